"""Annealed Bellman Diffusion: the fields (s, g)(x, σ) of the data blurred by σ, followed from a broad law to the data.

With a denoiser D ≈ E[x₀ | x] the score of the blurred law p_σ is (D − x)/σ² (Tweedie), so that for *any* positive
mobility q

    s = q(x, σ),    g = ½ (∇q + q (D(x, σ) − x)/σ²)

are exact Bellman fields of p_σ: p_σ is stationary under dx = g dt + √s dW. Here q is a kernel mean over rows of the
training data, divided by its average. In the clock dτ = dt/σ² the drift splits into a relaxation towards the denoiser
and the rest. While σ falls at the rate L = −d log σ/dτ, the probability-flow drift L (D − x) carries p_σ along, so that
the particles have the law p_σ(τ) at every moment, however fast σ falls:

    dx = (q/2 + L)(D − x) dτ + ½σ²∇q dτ + σ√q dW_τ.

At constant σ, L = 0, this is Eq. 13 for the blurred law; without noise (q = 0) it is the probability-flow ODE; with
q = 1 it is annealed Langevin dynamics with transport. The exponential integrator's step of size δ is, for r = q/2 + L,
a = δr and z ~ N(0, I),

    x ← x + (1 − e^{−a})(D − x) + ½δσ²∇q (1 − e^{−a})/a + σ√(q (1 − e^{−2a})/2r) z.

σ falls geometrically in τ and rests at σ_min for the last steps; the samples have the law p_{σ_min}.

A denoising integrator splits the two motions instead: the probability-flow ODE dx/dσ = −σ(2g − ∇s)/s = (x − D)/σ from
level to level of a noise schedule, and Bellman diffusion at constant σ between (``corrected-heun``).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
from torch import Tensor, nn

from phys_bellman.kernels import Kernel, KernelMean
from phys_bellman.model import BellmanModel, BellmanSampler
from phys_samplers.denoisers.denoiser import Denoiser, DenoisingFlow, DenoisingLoss, broad_normal, denoise_at
from phys_samplers.dynamics import Dynamics, Noise, Relaxation
from phys_samplers.errors import ConfigurationError
from phys_samplers.fields.stacked import load_weights
from phys_samplers.integrators.base import Integrator, uniform
from phys_samplers.objective import Problem
from phys_samplers.options import Part, draw_option, fit_option, make_part
from phys_samplers.randomness import Streams, make_generator
from phys_samplers.schedules.base import NoiseSchedule
from phys_samplers.standardise import Standardiser
from phys_samplers.target import Target


@dataclass(frozen=True, kw_only=True)
class BellmanDiffusion(BellmanSampler):
    """Fields of the data blurred by σ, annealed from σ_max to σ_min, with one trained network, the denoiser D.

    Li et al. 2024 (arXiv:2410.01796), whose own networks are ``BellmanFields``. See ``BellmanSampler`` for kernel and
    network.

    Args:
        loss: of the denoiser, by name or object.
        integrator: by name or object. ``corrected-heun`` is Bellman diffusion at constant blur between steps of the
            probability flow; ``exponential-ou`` runs the annealed SDE instead.
        schedule: noise levels that a denoising integrator steps through, by name or object.
        sampling_steps: T; None is 30 levels for a denoising integrator and 300 steps of an SDE.
        step_size: δ, in units of σ².
        sigma_max: blur at the start, in standardised units.
        sigma_min: blur at the end.
        hold: share of the steps spent at sigma_min.
        reference: training rows that the mobility averages over.
    """

    loss: Part = "denoising"
    integrator: Part = draw_option("corrected-heun[corrector_size=0.5,churn=0.3,churn_min=0.3,churn_max=5.0]")
    schedule: Part = draw_option("edm")
    sampling_steps: int | None = draw_option(None, least=1)
    sigma_max: float = draw_option(5.0, above=0)
    sigma_min: float = draw_option(0.03, above=0)
    hold: float = draw_option(0.05, least=0, below=1)
    reference: int = fit_option(256, least=2)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.sigma_max > self.sigma_min:
            raise ConfigurationError(
                f"sigma_max is {self.sigma_max} and sigma_min {self.sigma_min}; expected sigma_max > sigma_min"
            )

    def problem(self, target: Target, rows: Tensor, standardiser: Standardiser, *, streams: Streams) -> Problem:
        """See ``RowsSampler.problem``."""
        loss = make_part("loss", self.loss)
        if not isinstance(loss, DenoisingLoss):
            raise ConfigurationError(f"loss is {self.loss!r}; the denoiser is trained by 'denoising'")
        kernel = self.kernel_part().resolve(rows)

        def finish(module: nn.Module, seed: int) -> BellmanDiffusionModel:
            generator = make_generator(seed, "reference")
            chosen = torch.randperm(len(rows), generator=generator)[: self.reference].to(rows.device)
            return self._model(module, kernel, rows[chosen], standardiser)

        return Problem(self._denoiser(rows.shape[1], streams), loss, finish)

    def _denoiser(self, dim: int, streams: Streams) -> Denoiser:
        return Denoiser(self.field_part(), dim, streams=streams)

    def _model(
        self, module: nn.Module, kernel: Kernel, reference: Tensor, standardiser: Standardiser
    ) -> BellmanDiffusionModel:
        assert isinstance(module, Denoiser)
        return BellmanDiffusionModel(self, module, KernelMean(kernel, reference), standardiser)

    def restore(
        self,
        tensors: Mapping[str, Tensor],
        facts: Mapping[str, Any],
        *,
        event_shape: tuple[int, ...],
        target: Target | None,
        device: torch.device | str = "cpu",
    ) -> BellmanDiffusionModel:
        """See ``Sampler.restore``."""
        standardiser = Standardiser.from_tensors(tensors)
        module = load_weights(self._denoiser(len(standardiser.mean), Streams([0], "restore")), tensors, device)
        kernel = self.kernel_part()
        if kernel.epsilon is None:
            # The bandwidth was resolved on the training rows, which the checkpoint does not hold.
            kernel = replace(kernel, epsilon=facts["epsilon"])
        return self._model(module, kernel, tensors["mobility.reference"], standardiser)


class BlurredFields:
    """s and g of the blurred law, in standardised coordinates.

    Args:
        denoiser: D, a stack of one replica.
        mobility: kernel mean over reference rows.
    """

    def __init__(self, denoiser: Denoiser, mobility: KernelMean) -> None:
        self.denoiser = denoiser
        self.mobility = mobility
        self._means: dict[float, Tensor] = {}

    def denoise(self, x: Tensor, sigma: float) -> Tensor:
        """D(x, σ): (B, D) → (B, D)."""
        return denoise_at(self.denoiser, x, sigma)

    def scalar(self, x: Tensor, sigma: float) -> tuple[Tensor, Tensor]:
        """q (B,) and ∇q (B, D), divided by the average of q over p_σ."""
        if sigma not in self._means:
            self._means[sigma] = self.mobility.mean(sigma**2)
        q, slope = self.mobility(x, sigma**2)
        return q / self._means[sigma], slope / self._means[sigma]

    def __call__(self, x: Tensor, sigma: float) -> tuple[Tensor, Tensor]:
        """s (B,) and g (B, D)."""
        q, slope = self.scalar(x, sigma)
        return q, self.gradient(q, slope, self.score(x, sigma))

    def score(self, x: Tensor, sigma: float) -> Tensor:
        """∇log p_σ = (D − x)/σ² (B, D)."""
        return (self.denoise(x, sigma) - x) / sigma**2

    @staticmethod
    def gradient(q: Tensor, slope: Tensor, score: Tensor) -> Tensor:
        """g = ½(∇q + q ∇log p_σ) (B, D)."""
        return 0.5 * torch.addcmul(slope, q.unsqueeze(-1), score)


class AnnealedBellmanDynamics(Dynamics):
    """The equation above on τ ∈ [0, steps · δ], from N(0, (1 + σ_max²) I), the blurred law's own variance.

    Args:
        fields: s and g.
        dim: coordinates D.
        sigma_max: blur at the start.
        sigma_min: blur at the end.
        duration: steps · δ.
        hold: share of the time spent at sigma_min at the end.
    """

    noise: Noise = "isotropic"

    def __init__(
        self,
        fields: BlurredFields,
        dim: int,
        *,
        sigma_max: float,
        sigma_min: float,
        duration: float,
        hold: float = 0.0,
    ) -> None:
        self.fields = fields
        self.event_shape = (dim,)
        self.sigma_max, self.sigma_min = sigma_max, sigma_min
        self.times = (0.0, duration)
        self.fall = duration * (1 - hold)

    def sigma(self, t: float) -> float:
        """The blur at time τ."""
        return self.sigma_max * (self.sigma_min / self.sigma_max) ** min(1.0, t / self.fall)

    def speed(self, t: float) -> float:
        """L = −d log σ/dτ at time τ."""
        return math.log(self.sigma_max / self.sigma_min) / self.fall if t < self.fall else 0.0

    def relaxation(self, x: Tensor, t: float) -> tuple[Relaxation, Tensor]:
        """Rate q/2 + L towards the denoiser, the mobility's own drift as the rest, and the diffusion σ√q."""
        sigma = self.sigma(t)
        q, slope = self.fields.scalar(x, sigma)
        q = q.unsqueeze(-1)
        centre = self.fields.denoise(x, sigma)
        return Relaxation(0.5 * q + self.speed(t), centre, slope.mul_(0.5 * sigma**2)), q.sqrt().mul_(sigma)

    def drift(self, x: Tensor, t: float) -> Tensor:
        """σ² g + L (D − x)."""
        return self.drift_and_diffusion(x, t)[0]

    def diffusion(self, x: Tensor, t: float) -> Tensor:
        """σ √s, (B, 1)."""
        sigma = self.sigma(t)
        return self.fields.scalar(x, sigma)[0].sqrt().mul_(sigma).unsqueeze(-1)

    def drift_and_diffusion(self, x: Tensor, t: float) -> tuple[Tensor, Tensor]:
        """σ² g + L (D − x) and σ √s from one evaluation of the fields."""
        (rate, centre, rest), diffusion = self.relaxation(x, t)
        return torch.addcmul(cast(Tensor, rest), rate, centre - x), diffusion

    def prior(self, n: int, generator: torch.Generator) -> Tensor:
        """N(0, (1 + σ_max²) I): the moments of standardised data blurred by σ_max."""
        return broad_normal(n, self.event_shape[0], self.sigma_max, generator)


class BlurredFlow(DenoisingFlow):
    """The probability-flow ODE of the blurred laws, dx/dσ = −σ (2g − ∇s)/s = (x − D)/σ, and their mobility.

    Args:
        fields: s and g.
        dim: coordinates D.
        levels: blurs to pass, falling; the last one may be 0.
    """

    def __init__(self, fields: BlurredFields, dim: int, *, levels: tuple[float, ...]) -> None:
        def prior(n: int, generator: torch.Generator) -> Tensor:
            return broad_normal(n, dim, levels[0], generator)

        super().__init__(fields.denoise, prior, dim, start=levels[0])
        self.fields = fields
        self.levels = levels

    def mobility(self, x: Tensor, t: float) -> tuple[Tensor, Tensor]:
        """The scalar field s and ∇s at blur t."""
        return self.fields.scalar(x, t)


class BellmanDiffusionModel(BellmanModel):
    """A trained denoiser with its mobility."""

    recipe: BellmanDiffusion

    def __init__(
        self, recipe: BellmanDiffusion, denoiser: Denoiser, mobility: KernelMean, standardiser: Standardiser
    ) -> None:
        super().__init__(recipe, denoiser, standardiser)
        self.blurred = BlurredFields(denoiser, mobility)

    def dynamics(self, integrator: Integrator) -> Dynamics:
        """The annealed SDE, or for a denoising integrator the flow from level to level."""
        recipe, steps = self.recipe, self.recipe.sampling_steps
        if integrator.equation == "denoising":
            schedule: NoiseSchedule = make_part("schedule", recipe.schedule)
            levels = tuple(map(schedule.ratio, schedule.grid(steps or 30, to_zero=True)))
            return BlurredFlow(self.blurred, self.dim, levels=levels)
        return AnnealedBellmanDynamics(
            self.blurred,
            self.dim,
            sigma_max=recipe.sigma_max,
            sigma_min=recipe.sigma_min,
            duration=(steps or 300) * recipe.step_size,
            hold=recipe.hold,
        )

    def grid(self, dynamics: Dynamics) -> tuple[float, ...]:
        """The levels of the flow, or equal steps of the SDE."""
        if isinstance(dynamics, BlurredFlow):
            return dynamics.levels
        return uniform(*dynamics.times, self.recipe.sampling_steps or 300)

    def standard_fields(self, x: Tensor, sigma: float | None) -> tuple[Tensor, Tensor, Tensor]:
        """s, g and ∇s of the law blurred by ``sigma`` (σ_min by default)."""
        sigma = self.recipe.sigma_min if sigma is None else sigma
        s, slope = self.blurred.scalar(x, sigma)
        return s, self.blurred.gradient(s, slope, self.blurred.score(x, sigma)), slope

    def standard_score(self, x: Tensor, sigma: float | None) -> Tensor:
        """(2g − ∇s)/s, which here is (D − x)/σ² without the division."""
        sigma = self.recipe.sigma_min if sigma is None else sigma
        return self.blurred.score(x, sigma)

    def tensors(self) -> dict[str, Tensor]:
        """Network, reference rows and standardisation."""
        return {**super().tensors(), "mobility.reference": self.blurred.mobility.reference}

    def facts(self) -> dict[str, Any]:
        """The resolved bandwidth."""
        return {"epsilon": self.blurred.mobility.kernel.variance}
