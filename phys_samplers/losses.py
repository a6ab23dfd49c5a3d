"""What a loss is: one number per replica from a batch of rows; and the loss that several families share, denoising."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from phys_samplers.errors import ConfigurationError
from phys_samplers.fields.stacked import stacked_product
from phys_samplers.options import check_values
from phys_samplers.parts import Part, make_part
from phys_samplers.randomness import Streams


@dataclass(frozen=True, kw_only=True)
class Loss(ABC):
    """A loss of a stacked network; a frozen dataclass whose fields are its hyper-parameters."""

    def __post_init__(self) -> None:
        check_values(self)

    @abstractmethod
    def __call__(self, module: nn.Module, rows: Tensor, streams: Streams) -> Tensor:
        """One loss per replica (R,), an average over the batch.

        Args:
            module: the stacked network that is trained.
            rows: training rows (R, B, D), independent draws.
            streams: source of every further random number.
        """


Levels = Literal["lognormal", "log-uniform", "schedule"]


@dataclass(frozen=True, kw_only=True)
class DenoisingLoss(Loss):
    """E w(σ) |D(x + σn, σ) − x|² over noise levels σ; the module's weight w makes all levels weigh alike.

    In the form of EDM (Karras et al. 2022, arXiv:2206.00364, Sec. 5).

    Its minimiser is the posterior mean E[x | x + σn], so (D − x)/σ² is the score of the blurred law (Vincent 2011).

    Args:
        log_sigma_mean: P_mean; EDM's −1.2 for data of standard deviation ½ is −1.2 + ln 2 ≈ −0.5 for unit variance.
        log_sigma_std: P_std of EDM.
        levels: ``"lognormal"``: log σ ~ N(log_sigma_mean, log_sigma_std²), clamped to the bounds; ``"log-uniform"`` on
            [sigma_min, sigma_max]; ``"schedule"``: σ/α of a noise schedule at uniform times (Ho et al. 2020).
        schedule: the noise schedule, by name, mapping or object, for ``levels="schedule"``; a sampler fills in its own.
        sigma_min: smallest level; lognormal levels are clamped to it.
        sigma_max: largest level.
        stable_target: replace x by its posterior mean over (at most 128) rows of the batch, its own among them (Xu,
            Tong & Jaakkola 2023), see ``posterior_mean``: the same minimiser, with far less noise where several modes
            explain a point.
    """

    log_sigma_mean: float = -0.5
    log_sigma_std: float = 1.2
    levels: Levels = "lognormal"
    schedule: Part | None = None
    sigma_min: float = 0.01
    sigma_max: float = 10.0
    stable_target: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.schedule is not None:
            object.__setattr__(self, "schedule", make_part("schedule", self.schedule))
        if not 0 < self.sigma_min < self.sigma_max:
            raise ConfigurationError(
                f"sigma_min is {self.sigma_min} and sigma_max {self.sigma_max}; expected 0 < sigma_min < sigma_max"
            )

    def __call__(self, module: nn.Module, rows: Tensor, streams: Streams) -> Tensor:
        """See ``Loss``; ``module`` is a ``Denoiser``."""
        sigma = self.sample_sigma(streams, rows.shape[1]).to(rows.dtype)
        noised = self.perturb(rows, sigma, streams)
        target = self._targets(noised, sigma, rows) if self.stable_target else rows
        error = (module(noised, sigma) - target).square().mean(-1)
        return (error * module.loss_weight(sigma)).mean(-1)  # type: ignore[operator]

    def perturb(self, rows: Tensor, sigma: Tensor, streams: Streams) -> Tensor:
        """x + σn, (R, B, D)."""
        noise = streams.normal(*rows.shape[1:], dtype=rows.dtype)
        return torch.addcmul(rows, noise, sigma.unsqueeze(-1))

    def log_kernel(self, squared: Tensor, sigma: Tensor, dim: int) -> Tensor:
        """log N(x; y, σ² I) up to a constant of x, for squared distances |x − y|² (R, B, M) and σ (R, B, 1)."""
        return squared / (-2 * sigma.square())

    def _targets(self, noised: Tensor, sigma: Tensor, rows: Tensor) -> Tensor:
        # Groups keep the cost linear in the batch; every group holds the sources of its own points.
        groups = zip(noised.split(128, 1), sigma.split(128, 1), rows.split(128, 1), strict=True)
        return torch.cat([self.posterior_mean(*group) for group in groups], 1)

    def posterior_mean(self, noised: Tensor, sigma: Tensor, rows: Tensor) -> Tensor:
        """Σ_j w_j y_j with w_j ∝ k(x | y_j) over the rows y: (R, B, D), (R, B), (R, M, D) → (R, B, D).

        The stable target field of Xu, Tong & Jaakkola 2023 (arXiv:2302.00670). As the rows hold the one that generated
        each noised point, this is the conditional expectation of that row given the point and the *set* of rows
        (exchangeable, each equally likely to be the source), so its mean given the point is still E[x₀ | x]: unbiased
        for every number of rows, with no more variance than x₀ itself (Rao–Blackwell).
        """
        squared = torch.cdist(noised, rows, compute_mode="use_mm_for_euclid_dist").square_()
        return stacked_product(torch.softmax(self.log_kernel(squared, sigma.unsqueeze(-1), rows.shape[-1]), -1), rows)

    def sample_sigma(self, streams: Streams, batch: int) -> Tensor:
        """Noise levels (R, B)."""
        if self.levels == "schedule":
            if self.schedule is None:
                raise ConfigurationError(
                    "levels is 'schedule' but schedule is None; name one, e.g. schedule=\"linear\", or use a sampler "
                    "that has one"
                )
            return self.schedule.training_ratios(streams, batch)
        if self.levels == "lognormal":
            log_sigma = streams.normal(batch) * self.log_sigma_std + self.log_sigma_mean
            return log_sigma.exp_().clamp_(self.sigma_min, self.sigma_max)
        ratio = self.sigma_max / self.sigma_min
        return torch.pow(ratio, streams.uniform(batch)).mul_(self.sigma_min)
