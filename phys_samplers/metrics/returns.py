r"""How far the laws of returns that a model learned are from the exact ones, state by state, then averaged.

Returns are in the unit of the task's range, so that scores of different tasks compare. All comes from the integrated
distribution functions H(x) = ∫_{−∞}^x F = Σ_m w_m E(x − c_m − hZ)⁺ on a grid: their increments are F averaged over the
cells of the grid, which no atom slips through, whatever its place. Weights are divided by their sum but where the sum
itself is scored.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from phys_samplers.errors import ConfigurationError, MissingCapability
from phys_samplers.metric import Metric, Scored
from phys_samplers.options import option
from phys_samplers.rl.law import integrated_cdf

if TYPE_CHECKING:
    from phys_samplers.rl.law import ReturnLaw

LOW, HIGH, INTERVALS = -0.25, 1.25, 16_384
"""The grid; what a model puts further out counts as if it were at its ends. Where F − F* changes its sign within a
cell, up to half of the cell is missed: 5·10⁻⁵."""


def grid() -> Tensor:
    """The nodes (G,)."""
    return torch.linspace(LOW, HIGH, INTERVALS + 1, dtype=torch.float64)


@dataclass(frozen=True, kw_only=True)
class ReturnMetric(Metric):
    """What the scores of return models share; subclasses give ``_compare``."""

    needs: ClassVar[frozenset[str]] = frozenset({"experience", "model"})

    @torch.no_grad()
    def __call__(self, scored: Scored) -> float:
        """The average over the queried states; samples play no part.

        Raises:
            MissingCapability: if the target knows no exact laws, or the model has no ``laws``.
            ConfigurationError: if the model's laws are not of the queried states, or not finite.
        """
        scored.require(self)
        model, target, generator = scored.model, scored.target, scored.generator
        name = type(self).__name__
        exact = getattr(target.law, "laws", None)
        if exact is None:
            raise MissingCapability(
                f"{name} compares with exact laws of returns, which target {target.name!r} does not know; it scores "
                "policies that are judged, not agents that act"
            )
        laws = getattr(model, "laws", None)
        if not callable(laws):
            raise MissingCapability(
                f"{name} needs a fitted return model with laws(seed=...), given {type(model).__name__}"
            )
        device = generator.device
        learned = laws(seed=int(torch.randint(2**31, (1,), generator=generator, device=device)))
        if learned.weights.shape[:-1] != exact.weights.shape[:-1]:
            raise ConfigurationError(
                f"{name}: the model's laws have shape {tuple(learned.weights.shape[:-1])}; "
                f"expected {tuple(exact.weights.shape[:-1])}, one for each queried state"
            )
        learned = replace(learned, points=learned.points.cpu().double(), weights=learned.weights.cpu().double())
        if not (torch.isfinite(learned.points).all() and torch.isfinite(learned.weights).all()):
            raise ConfigurationError(f"{name}: the model's laws hold NaN or infinite values")
        scale = target.experience.scale  # type: ignore[attr-defined]
        means = getattr(target.law, "means", exact.mean)
        first, second = (law.moved(1 / scale.width, -scale.low / scale.width) for law in (learned, exact))
        return float(self._compare(first, second, scale.forward(means)).mean())

    @abstractmethod
    def _compare(self, learned: ReturnLaw, exact: ReturnLaw, means: Tensor) -> Tensor:
        """The score of each state (Q,).

        Args:
            learned: the model's laws (Q,), in the unit of the task's range, float64.
            exact: the exact ones.
            means: exact expected returns (Q,).
        """


@dataclass(frozen=True, kw_only=True)
class ReturnW1(ReturnMetric):
    """∫ |F − F*| dx: the Wasserstein-1 distance."""

    def _compare(self, learned: ReturnLaw, exact: ReturnLaw, means: Tensor) -> Tensor:
        return _difference(learned, exact).abs().sum(-1)


@dataclass(frozen=True, kw_only=True)
class ReturnCramer(ReturnMetric):
    """∫ (F − F*)² dx: the squared Cramér distance, half the energy distance."""

    def _compare(self, learned: ReturnLaw, exact: ReturnLaw, means: Tensor) -> Tensor:
        return _difference(learned, exact).square().sum(-1) * (INTERVALS / (HIGH - LOW))


@dataclass(frozen=True, kw_only=True)
class ReturnMeanError(ReturnMetric):
    """|E X − E* X|, the mean over states.

    Args:
        largest: whether the largest over states is given instead.
    """

    largest: bool = False

    def _compare(self, learned: ReturnLaw, exact: ReturnLaw, means: Tensor) -> Tensor:
        error = (learned.mean - means).abs()
        return error.amax().unsqueeze(0) if self.largest else error


@dataclass(frozen=True, kw_only=True)
class ReturnQuantileError(ReturnMetric):
    """|F⁻¹ − F*⁻¹|, the mean over some levels.

    Args:
        levels: in (0, 1).
    """

    levels: tuple[float, ...] = option((0.05, 0.25, 0.5, 0.75, 0.95), above=0, below=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.levels:
            raise ConfigurationError("levels is empty; expected at least one number between 0 and 1")

    def _compare(self, learned: ReturnLaw, exact: ReturnLaw, means: Tensor) -> Tensor:
        levels = torch.tensor(self.levels, dtype=torch.float64)
        return (learned.quantiles(levels) - exact.quantiles(levels)).abs().mean(-1)


@dataclass(frozen=True, kw_only=True)
class ReturnMassError(ReturnMetric):
    """|Σw − 1| of the model's own weights."""

    def _compare(self, learned: ReturnLaw, exact: ReturnLaw, means: Tensor) -> Tensor:
        return (learned.total - 1).abs()


@dataclass(frozen=True, kw_only=True)
class ReturnTailError(ReturnMetric):
    """Error of the mean of the worst share α of returns, max_x x − H(x)/α (Rockafellar and Uryasev 2000).

    Args:
        share: α.
    """

    share: float = option(0.1, above=0, below=1)

    def _compare(self, learned: ReturnLaw, exact: ReturnLaw, means: Tensor) -> Tensor:
        x = grid()
        tails = [(x - integrated_cdf(law, x) / self.share).amax(-1) for law in (learned, exact)]
        return (tails[0] - tails[1]).abs()


def _difference(learned: ReturnLaw, exact: ReturnLaw) -> Tensor:
    """∫ (F − F*) (Q, G − 1) over each cell."""
    x = grid()
    return torch.diff(integrated_cdf(learned, x) - integrated_cdf(exact, x), dim=-1)
