"""The paper's Bellman Diffusion: two networks s(x) ≥ 0 and g(x), and dx = g(x) dt + √s(x) dW (Eq. 12–13).

Its Euler–Maruyama step is x ← x + η g(x) + √(η s(x)) z. Algorithm 2 of the paper prints √s η z, which is no
discretisation of Eq. 13: read literally, at η = 0.1 the noise is too small by √10 and a law near p^19 comes out.

Two guards for learned fields and coarse steps, neither of which changes the stationary law. A cap c on the mobility
follows m = s h, h = 1/(1 + s/c), in place of s, with the drift h g + ½ s h'∇s, h' = −h²/c: the flux of any law ρ is
then h times that of (s, g), so that what had no flux has none. (Without the second term, as if the step alone were hη,
it is the law p/h that has no flux.) A box reflects particles at its walls: the law is p within it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from phys_bellman.kernels import KernelMean
from phys_bellman.losses import FieldLoss
from phys_bellman.model import BellmanModel, BellmanSampler
from phys_bellman.networks import FieldNetworks
from phys_samplers.dynamics import Dynamics, Noise
from phys_samplers.errors import ConfigurationError
from phys_samplers.fields.stacked import load_weights
from phys_samplers.integrators.base import Integrator
from phys_samplers.objective import Problem
from phys_samplers.options import Part, draw_option, make_part
from phys_samplers.randomness import Streams
from phys_samplers.standardise import Standardiser
from phys_samplers.target import Target


@dataclass(frozen=True, kw_only=True)
class BellmanFields(BellmanSampler):
    """Li et al. 2024 (arXiv:2410.01796): one network for s and one for g, trained by field matching; one SDE.

    See ``BellmanSampler`` for kernel, network, integrator and step size.

    Args:
        loss: by name or object: ``sliced-field-matching`` (Eq. 10–11), ``field-matching`` (Eq. 8) or
            ``denoising-field-matching``.
        normalise: match k/E[k] instead of k, so that one step size serves every data set.
        tied: g = ∇s instead of a network of its own.
        sampling_steps: T.
        prior_std: standard deviation of the starting points.
        mobility_cap: follow s/(1 + s/cap) < cap with the drift that keeps the same law stationary: smaller moves where
            the mobility is large, at the cost of a gradient of s a step.
        box: keep particles in the box of the training rows, widened on each side by this share of its own width, by
            reflection. A draw says what share of them met its walls (``clamped``); where that is large, the samples
            are made by the walls.
    """

    loss: Part = "sliced-field-matching"
    normalise: bool = True
    tied: bool = False
    sampling_steps: int = draw_option(300, least=1)
    prior_std: float = draw_option(1.0, above=0)
    mobility_cap: float | None = draw_option(None, above=0)
    box: float | None = draw_option(None, least=0)

    def problem(self, target: Target, rows: Tensor, standardiser: Standardiser, *, streams: Streams) -> Problem:
        """See ``RowsSampler.problem``."""
        loss = make_part("loss", self.loss)
        if not isinstance(loss, FieldLoss):
            raise ConfigurationError(
                f"loss is {self.loss!r}; the networks of the fields are trained by 'sliced-field-matching', "
                "'field-matching' or 'denoising-field-matching'"
            )
        kernel = self.kernel_part().resolve(rows)
        constant = float(KernelMean(kernel, rows).mean(at_most=1024)) if self.normalise else 1.0

        def finish(module: nn.Module, seed: int) -> BellmanFieldsModel:
            assert isinstance(module, FieldNetworks)
            return BellmanFieldsModel(self, module, standardiser, torch.stack(rows.aminmax(dim=0)))

        return Problem(self.networks(rows.shape[1], streams), replace(loss, kernel=kernel, constant=constant), finish)

    def networks(self, dim: int, streams: Streams) -> FieldNetworks:
        """The stacked pair of networks, or the one whose gradient is the other."""
        return FieldNetworks(self.field_part(), dim, streams=streams, tied=self.tied)

    def restore(
        self,
        tensors: Mapping[str, Tensor],
        facts: Mapping[str, Any],
        *,
        event_shape: tuple[int, ...],
        target: Target | None,
        device: torch.device | str = "cpu",
    ) -> BellmanFieldsModel:
        """See ``Sampler.restore``."""
        standardiser = Standardiser.from_tensors(tensors)
        module = self.networks(len(standardiser.mean), Streams([0], "restore"))
        return BellmanFieldsModel(self, load_weights(module, tensors, device), standardiser, tensors["bounds"])


class Fields(Protocol):
    """A pair of Bellman fields at x (B, D)."""

    def __call__(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """s (B,) ≥ 0 and g (B, D)."""
        ...


class CappedFields:
    """The pair of mobility s/(1 + s/cap) < cap with the stationary law of (s, g).

    Args:
        fields: s (B,), g (B, D) and ∇s (B, D) at x (B, D).
        cap: c, in units of s.
    """

    def __init__(self, fields: Callable[[Tensor], tuple[Tensor, Tensor, Tensor]], cap: float) -> None:
        self.fields = fields
        self.cap = cap

    def __call__(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """m (B,) and the drift (B, D)."""
        s, g, slope = self.fields(x)
        h = 1 / (1 + s / self.cap)
        m = s * h
        return m, torch.addcmul(h.unsqueeze(-1) * g, (m * h).unsqueeze(-1), slope, value=-0.5 / self.cap)


class Box:
    """Reflects particles at the walls of a box, and remembers which; those that jump past it end at a wall.

    Args:
        low: (D,).
        high: (D,).

    Attributes:
        ever: particles (B,) that were outside after any step; None before the first.
        last: those after the last step.
    """

    def __init__(self, low: Tensor, high: Tensor) -> None:
        self.low, self.high = low, high
        self.ever: Tensor | None = None
        self.last: Tensor | None = None

    def __call__(self, x: Tensor) -> Tensor:
        """x (B, D) in the box; NaN stays."""
        folded = self.high - (self.high - self.low - (x - self.low).abs()).abs()
        inside = torch.where((x < self.low) | (x > self.high), folded.clamp_(self.low, self.high), x)
        self.last = (inside != x).any(-1)
        self.ever = self.last if self.ever is None else self.ever | self.last
        return inside

    def shares(self) -> dict[str, float]:
        """``clamped``, the share of particles that met a wall, and ``clamped_at_end``, of those that did last."""
        named = {"clamped": self.ever, "clamped_at_end": self.last}
        return {name: float(mask.float().mean()) for name, mask in named.items() if mask is not None}


class BellmanDynamics(Dynamics):
    """Eq. 12–13 in the coordinates of the fields, from N(0, prior_std² I), for a time T·η.

    p is stationary for every mobility when g = ½(∇q + q∇log p) and s = q come from the same kernel: the flux
    gρ − ½∇(qρ) = ½q(ρ∇log p − ∇ρ) vanishes at ρ = p.

    Args:
        fields: s and g.
        dim: coordinates D.
        duration: T·η.
        prior_std: of the starting points.
        box: that particles are kept in, if any.
    """

    noise: Noise = "isotropic"

    def __init__(
        self, fields: Fields, dim: int, *, duration: float, prior_std: float = 1.0, box: Box | None = None
    ) -> None:
        self.fields = fields
        self.event_shape = (dim,)
        self.times = (0.0, duration)
        self.prior_std = prior_std
        self.box = box

    def drift(self, x: Tensor, t: float) -> Tensor:
        """The gradient field g(x)."""
        return self.fields(x)[1]

    def diffusion(self, x: Tensor, t: float) -> Tensor:
        """√s(x), (B, 1)."""
        return self.fields(x)[0].sqrt().unsqueeze(-1)

    def drift_and_diffusion(self, x: Tensor, t: float) -> tuple[Tensor, Tensor]:
        """g and √s from one evaluation of the fields."""
        s, g = self.fields(x)
        return g, s.sqrt().unsqueeze(-1)

    def confine(self, x: Tensor) -> Tensor:
        """Into the box."""
        return x if self.box is None else self.box(x)

    def prior(self, n: int, generator: torch.Generator) -> Tensor:
        """N(0, prior_std² I)."""
        return torch.randn(
            n, *self.event_shape, generator=generator, device=generator.device, dtype=torch.float32
        ).mul_(self.prior_std)


class BellmanFieldsModel(BellmanModel):
    """Two trained networks, one SDE, no annealing.

    Args:
        recipe: that made it.
        networks: a stack of one replica.
        standardiser: between data units and the networks'.
        bounds: least and greatest value of the standardised training rows, (2, D).
    """

    recipe: BellmanFields
    module: FieldNetworks

    def __init__(
        self, recipe: BellmanFields, networks: FieldNetworks, standardiser: Standardiser, bounds: Tensor
    ) -> None:
        super().__init__(recipe, networks, standardiser)
        self.bounds = bounds

    def pair(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """s (B,) and g (B, D) at standardised x."""
        y = x.unsqueeze(0)
        if self.module.tied:
            s, slope = self.module.scalar_and_slope(y)
            return s.squeeze(0), slope.squeeze(0)
        return self.module.scalar(y).squeeze(0), self.module.gradient(y).squeeze(0)

    def dynamics(self, integrator: Integrator) -> BellmanDynamics:
        """Eq. 13 for a time T·η, with the guards of the recipe."""
        recipe = self.recipe
        cap, margin = recipe.mobility_cap, recipe.box
        low, high = self.bounds
        return BellmanDynamics(
            self.pair if cap is None else CappedFields(lambda x: self.standard_fields(x, None), cap),
            self.dim,
            duration=recipe.sampling_steps * recipe.step_size,
            prior_std=recipe.prior_std,
            box=None if margin is None else Box(low - margin * (high - low), high + margin * (high - low)),
        )

    def standard_fields(self, x: Tensor, sigma: float | None) -> tuple[Tensor, Tensor, Tensor]:
        """s, g and ∇s; there is one blur only."""
        y = x.unsqueeze(0)
        s, slope = self.module.scalar_and_slope(y)
        g = slope if self.module.tied else self.module.gradient(y)
        return s.squeeze(0), g.squeeze(0), slope.squeeze(0)

    def diagnostics(self, dynamics: Dynamics) -> dict[str, float]:
        """What the box did."""
        assert isinstance(dynamics, BellmanDynamics)
        return {} if dynamics.box is None else dynamics.box.shares()

    def tensors(self) -> dict[str, Tensor]:
        """Networks, standardisation and the box of the data."""
        return {**super().tensors(), "bounds": self.bounds}
