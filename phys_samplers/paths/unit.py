r"""A density in units of the target's spread, where prior and noise have lengths near one, and what that spread is.

Models of one trained network that samples such a density, and their recipes, stand here too.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

import torch
from torch import Tensor, nn

from phys_samplers.density import DensityModel, FlatDensity, same_target
from phys_samplers.objective import TrainedSampler
from phys_samplers.paths.exploring import explore
from phys_samplers.randomness import Streams, make_generator
from phys_samplers.sampler import Sampler
from phys_samplers.target import Target

N = TypeVar("N", bound=nn.Module)
LARGEST = 1e6
"""Coordinate of a score at most."""
SCALES = torch.logspace(2, -2, 25, dtype=torch.float64)
SCALE_DRAWS, ENOUGH, AGREE = 10_000, 25.0, 1.5
"""Of the search for the target's spread: widths tried, widest first; draws at each; effective draws that decide; and by
which factor explorers may find another."""


def log_normal(difference: Tensor, variance: Tensor | float) -> Tensor:
    """log N(d; 0, v I) of differences (…, D) at a variance that broadcasts with (…,)."""
    if not isinstance(variance, Tensor):
        variance = difference.new_full((), variance)  # made on the device, not copied there
    dim = difference.shape[-1]
    return -0.5 * (difference.square().sum(-1) / variance + dim * (2 * math.pi * variance).log())


class UnitDensity:
    """A target's density in units of its spread, on flat coordinates (…, D), with leading axes kept.

    Args:
        target: with ``log_prob`` and ``score``.
        scale: its spread.
    """

    def __init__(self, target: Target, scale: float) -> None:
        self.flat, self.scale = FlatDensity(target), scale
        self.dim = self.flat.dim
        self._shift = self.dim * math.log(scale)

    def log_prob(self, x: Tensor) -> Tensor:
        """log p̃ (…,) of x (…, D), with the Jacobian of the unit."""
        return self.flat.log_prob(x.reshape(-1, self.dim) * self.scale).to(x.dtype).view(x.shape[:-1]) + self._shift

    def score(self, x: Tensor, *, attached: bool = False) -> Tensor:
        """∇log p̃ (…, D); ``attached`` keeps the graph that gradients along a path need."""
        if not attached:
            return self._unit(self.flat.score(x.reshape(-1, self.dim) * self.scale), x)
        with torch.enable_grad():
            x = x if x.requires_grad else x.detach().requires_grad_()
            (score,) = torch.autograd.grad(self.log_prob(x).sum(), x, create_graph=True)
        return score

    def both(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """log p̃ (…,) and ∇log p̃ (…, D), at the price of one."""
        value, score = self.flat.log_prob_and_score(x.reshape(-1, self.dim) * self.scale)
        return value.to(x.dtype).view(x.shape[:-1]) + self._shift, self._unit(score, x)

    def _unit(self, score: Tensor, like: Tensor) -> Tensor:
        """The score in units of the spread; where it leaves the numbers, as on a funnel's wall, it stays finite."""
        score = torch.nan_to_num(self.scale * score.to(like.dtype), nan=0.0, posinf=LARGEST, neginf=-LARGEST)
        return score.clamp_(-LARGEST, LARGEST).view(like.shape)


@torch.no_grad()
def spread(target: Target) -> float:
    """Root mean square of a coordinate under the target, by importance sampling from N(0, s²I).

    The widest s of a grid counts whose draws have ``ENOUGH`` effective ones: a narrow proposal looks best from within
    the one mode that it covers. Weights are raised to min(1, 4/D), so that they tell widths apart in many dimensions;
    of laws that are far from a normal one, as funnels, clusters and posteriors with uneven scales are, they tell too
    little, and where particles that move (``explore``) find another spread by a factor above ``AGREE``, theirs counts.
    """
    found = explore(target, device="cpu" if target.train is None else target.train.device).spread
    density = UnitDensity(target, 1.0)
    z = torch.randn(SCALE_DRAWS, density.dim, generator=make_generator(0, "spread"))
    z = z.to(torch.empty(0) if target.train is None else target.train)
    for scale in SCALES.tolist():
        log_weights = density.log_prob(z * scale).double() - log_normal(z * scale, scale**2).double()
        weights = torch.softmax(min(1.0, 4 / density.dim) * torch.nan_to_num(log_weights, nan=-math.inf), 0)
        if float(1 / weights.square().sum()) >= ENOUGH:
            weighed = scale * float((weights[:, None] * z.double().square()).sum(0).mean().sqrt())
            return weighed if abs(math.log(weighed / found)) <= math.log(AGREE) else found
    return found


class UnitModel(DensityModel, Generic[N]):
    """A network that samples a density, whose unit is the spread of the target.

    Args:
        recipe: the recipe.
        network: of one replica.
        target: on ``device``.
        scale: spread of the target.
        device: where to compute.
    """

    def __init__(
        self, recipe: Sampler, network: N, target: Target, *, scale: float, device: torch.device | str
    ) -> None:
        super().__init__(recipe, target=target, device=device)
        self.network, self.scale = network, scale

    def tensors(self) -> dict[str, Tensor]:
        """The numbers of the network."""
        return dict(self.network.state_dict())

    def facts(self) -> dict[str, Any]:
        """The spread that was found."""
        return {**super().facts(), "scale": self.scale}


@dataclass(frozen=True, kw_only=True)
class UnitSampler(TrainedSampler):
    """A recipe of such models.

    Attributes:
        model: their class.
    """

    model: ClassVar[type[UnitModel[Any]]]

    @abstractmethod
    def stacked(self, target: Target, streams: Streams) -> nn.Module:
        """The network before training, one replica for each of ``streams``."""

    def restore(
        self,
        tensors: Mapping[str, Tensor],
        facts: Mapping[str, Any],
        *,
        event_shape: tuple[int, ...],
        target: Target | None,
        device: torch.device | str = "cpu",
    ) -> UnitModel[Any]:
        """See ``Sampler.restore``."""
        target = same_target(target, event_shape, by=type(self).__name__)
        network = self.stacked(target, Streams([0], "restore")).requires_grad_(False)
        network.load_state_dict(dict(tensors))
        return self.model(self, network.to(device), target.to(device), scale=facts["scale"], device=device)
