r"""Points to noise and back, along the probability-flow ODE: encoding, decoding, and what lies between two points.

The ODE du/dλ = (u − D)/λ is a bijection between points with noise of the smallest level λ₀ and noise at the largest one
λ₁ (Song et al. 2021, arXiv:2011.13456, Sec. 4.3 and App. D.3; for Poisson flows Xu et al. 2022, arXiv:2209.11178,
Sec. 4). It is followed in z = u/√(1 + λ²) and the angle φ = arctan λ, as in ``likelihood``,

    dz/dφ = (z − sD)/λ,        s = √(1 + λ²),

where standardised Gaussian data stand still. The code of a point is its z at λ₁: about standard normal for diffusion,
heavy-tailed for a Poisson flow. Decoding is the same grid backwards, so that both are inverse to each other up to the
error of the solver. Codes of diffusion are interpolated on great circles (``between``), where they are typical.
"""

from __future__ import annotations

import math
from abc import abstractmethod

import torch
from torch import Tensor

from phys_samplers.denoisers.denoiser import Denoise
from phys_samplers.denoisers.likelihood import angles
from phys_samplers.denoisers.reverse import ReverseProcess
from phys_samplers.dynamics import Dynamics
from phys_samplers.errors import ConfigurationError
from phys_samplers.integrators.base import Integrator
from phys_samplers.integrators.driver import integrate
from phys_samplers.options import Part, make_part
from phys_samplers.sampler import Model
from phys_samplers.standardise import Standardiser


class AngleFlow(Dynamics):
    """dz/dφ = (z − sD)/λ.

    Args:
        denoise: D(u, λ).
        dim: coordinates D.
        levels: λ₀ and λ₁.
    """

    def __init__(self, denoise: Denoise, dim: int, levels: tuple[float, float]) -> None:
        self._denoise = denoise
        self.event_shape = (dim,)
        self.times = (math.atan(levels[0]), math.atan(levels[1]))

    def drift(self, x: Tensor, t: float) -> Tensor:
        """(z − sD)/λ at λ = tan φ."""
        ratio, scale = math.tan(t), 1 / math.cos(t)
        return torch.sub(x, self._denoise(x * scale, ratio), alpha=scale).div_(ratio)

    def prior(self, n: int, generator: torch.Generator) -> Tensor:
        """None: it starts from points or from codes."""
        raise TypeError("the flow between points and codes starts from one of them: it has no prior")


def carry(
    denoise: Denoise, u: Tensor, *, levels: tuple[float, float], integrator: Integrator, steps: int, up: bool
) -> Tensor:
    """Points u (B, D) at λ₀ to codes z at λ₁, or codes back to points.

    Args:
        denoise: D.
        u: points with noise of the smallest level, or codes.
        levels: λ₀ < λ₁.
        integrator: any scheme for ODEs.
        steps: of it.
        up: from points to codes.

    Raises:
        IncompatibleError: if the integrator is not one for ODEs.
        DivergenceError: if a point leaves the finite numbers.
    """
    grid, scale = angles(levels, steps), math.sqrt(1 + levels[0] ** 2)
    start = u / scale if up else u
    flow = AngleFlow(denoise, u.shape[1], levels)
    end = integrate(flow, start, integrator=integrator, grid=grid if up else grid[::-1], bound=math.inf).x
    return end if up else end * scale


def between(first: Tensor, last: Tensor, points: int) -> Tensor:
    """``points`` codes (points, B, *event_shape) from ``first`` to ``last`` (B, *event_shape), ends included.

    On great circles, with norms that go evenly from one to the other (Shoemake 1985): the straight line between two
    normal codes passes through norms that no code has.

    Raises:
        ConfigurationError: on fewer than two points or codes of different shapes.
    """
    if points < 2 or first.shape != last.shape:
        raise ConfigurationError(
            f"points is {points}, first has shape {tuple(first.shape)} and last {tuple(last.shape)}; expected at least "
            "two points and equal shapes"
        )
    a, b = first.flatten(1), last.flatten(1)
    lengths = a.norm(dim=1, keepdim=True), b.norm(dim=1, keepdim=True)
    a, b = a / lengths[0], b / lengths[1]
    angle = (a * b).sum(1, keepdim=True).clamp(-1, 1).acos().clamp_min(1e-6)
    share = torch.linspace(0, 1, points, dtype=a.dtype, device=a.device).view(-1, 1, 1)
    line = (((1 - share) * angle).sin() * a + (share * angle).sin() * b) / angle.sin()
    codes = line * torch.lerp(lengths[0], lengths[1], share)
    return codes.unflatten(2, first.shape[1:])


class Inverted(Model):
    """What a model with a denoiser adds for codes."""

    recipe: ReverseProcess
    standardiser: Standardiser

    @abstractmethod
    def denoise(self, x: Tensor, sigma: float) -> Tensor:
        """D(x, σ) at standardised x (B, D)."""

    @torch.no_grad()
    def encode(self, x: Tensor, *, integrator: Part = "rk4", steps: int = 32) -> Tensor:
        """Codes (B, *event_shape) of x (B, *event_shape): where the probability-flow ODE carries it (``inversion``).

        Args:
            x: points, in data units.
            integrator: any scheme for ODEs, by name or object.
            steps: of it.

        Raises:
            ConfigurationError: on points of another shape than the model's, or that are not finite.
        """
        self.check_points(x)
        u = self.standardiser.forward(x.detach().to(self.standardiser.mean.device))
        return self._carry(u, integrator, steps, up=True)

    @torch.no_grad()
    def decode(self, codes: Tensor, *, integrator: Part = "rk4", steps: int = 32) -> Tensor:
        """The points, in data units, of codes (B, *event_shape); with equal options the inverse of ``encode``.

        Raises:
            ConfigurationError: on codes of another shape than the model's, or that are not finite.
        """
        self.check_points(codes)
        return self._carry(codes.detach().to(self.standardiser.mean.device).flatten(1), integrator, steps, up=False)

    def _carry(self, u: Tensor, integrator: Part, steps: int, *, up: bool) -> Tensor:
        schedule, scheme = self.recipe.schedule_part, make_part("integrator", integrator)
        levels = (schedule.ratio(schedule.end), schedule.ratio(schedule.start))
        end = carry(self.denoise, u, levels=levels, integrator=scheme, steps=steps, up=up)
        return end.unflatten(1, self.event_shape) if up else self.standardiser.inverse(end, self.event_shape)
