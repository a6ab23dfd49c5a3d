"""What the learning curve of an agent says: how soon, how much on the way, how well at the end.

A curve holds the mean undiscounted return of greedy episodes at every evaluation, on environments and with random
numbers of their own; training's ε-greedy episodes say little of a policy.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, cast

import torch
from torch import Tensor

from phys_samplers.errors import ConfigurationError, MissingCapability
from phys_samplers.metric import Metric
from phys_samplers.sampler import Model
from phys_samplers.target import Target

if TYPE_CHECKING:
    from phys_samplers.rl.agent import Agent


@dataclass(frozen=True, kw_only=True)
class LearningMetric(Metric):
    """What the scores of agents share; subclasses give ``score``."""

    best: ClassVar[Literal["low", "high", "zero", "half", "one"]] = "high"
    needs: ClassVar[frozenset[str]] = frozenset({"experience"})
    needs_model: ClassVar[bool] = True
    needs_rows: ClassVar[bool] = False

    def __call__(
        self,
        samples: Tensor,
        reference: Tensor,
        *,
        target: Target,
        generator: torch.Generator,
        model: Model | None = None,
    ) -> float:
        """The score of an agent; the reference plays no part.

        Raises:
            MissingCapability: if the model is no agent.
        """
        if not getattr(model, "curve", None):
            raise MissingCapability(f"{type(model).__name__} has no learning curve; expected an agent")
        return self.score(cast("Agent", model), samples, target)

    @abstractmethod
    def score(self, agent: Agent, returns: Tensor, target: Target) -> float:
        """The score.

        Args:
            agent: with the evaluations ``curve``, in order.
            returns: of the scored episodes (n, 1).
            target: the task.
        """


@dataclass(frozen=True, kw_only=True)
class AreaUnderCurve(LearningMetric):
    """The mean of the curve over all evaluations: its area, by the number of steps."""

    def score(self, agent: Agent, returns: Tensor, target: Target) -> float:
        """See ``LearningMetric``."""
        rows = agent.curve
        return sum(row["return"] for row in rows) / len(rows)


@dataclass(frozen=True, kw_only=True)
class LateReturn(LearningMetric):
    """The mean return of the last evaluations.

    Args:
        share: of the evaluations.
    """

    share: float = 0.2

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise ConfigurationError(f"share is {self.share}; expected a share, above 0 and at most 1")

    def score(self, agent: Agent, returns: Tensor, target: Target) -> float:
        """See ``LearningMetric``."""
        rows = agent.curve
        last = rows[-max(1, round(self.share * len(rows))) :]
        return sum(row["return"] for row in last) / len(last)


@dataclass(frozen=True, kw_only=True)
class StepsTo(LearningMetric):
    """Environment steps until an evaluation first reaches a return.

    A run that never does counts with all its steps: a lower bound, so that medians hold while fewer than half of the
    runs are so, and means are too small.

    Args:
        level: the return.
    """

    best: ClassVar[Literal["low", "high", "zero", "half", "one"]] = "low"

    level: float = 195.0

    def __post_init__(self) -> None:
        if not math.isfinite(self.level):
            raise ConfigurationError(f"level is {self.level}; expected a return")

    def score(self, agent: Agent, returns: Tensor, target: Target) -> float:
        """See ``LearningMetric``."""
        rows = agent.curve
        return float(next((row["step"] for row in rows if row["return"] >= self.level), rows[-1]["step"]))


@dataclass(frozen=True, kw_only=True)
class FinalReturn(LearningMetric):
    """The return of the agent as it is deployed, over the scored episodes.

    Args:
        tail: share of the worst episodes that the mean is of; 1 for all of them.
    """

    tail: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.tail <= 1:
            raise ConfigurationError(f"tail is {self.tail}; expected a share, above 0 and at most 1")

    def score(self, agent: Agent, returns: Tensor, target: Target) -> float:
        """See ``LearningMetric``."""
        worst = returns.flatten().sort().values[: max(1, round(self.tail * len(returns)))]
        return float(worst.double().mean())


@dataclass(frozen=True, kw_only=True)
class ExpectedReturn(LearningMetric):
    """The discounted return that an agent expects of its best action in one state of a finite environment.

    Args:
        state: its number.
    """

    state: int = 0

    def __post_init__(self) -> None:
        if self.state < 0:
            raise ConfigurationError(f"state is {self.state}; expected the number of a state")

    def score(self, agent: Agent, returns: Tensor, target: Target) -> float:
        """See ``LearningMetric``."""
        return float(agent.mean(self.state).max())


@dataclass(frozen=True, kw_only=True)
class ChoiceMetric(LearningMetric):
    """About choices whose worth is exactly known (``target.law.choices``: states and worth of each action there)."""

    best: ClassVar[Literal["low", "high", "zero", "half", "one"]] = "low"

    def choices(self, target: Target, agent: Agent) -> tuple[Tensor, Tensor]:
        """The exact worth of actions (S, A), and what the agent takes it for.

        Raises:
            MissingCapability: if the target does not know it.
        """
        known = getattr(target.law, "choices", None)
        if known is None:
            raise MissingCapability(f"target {target.name!r} does not know what actions are worth")
        states, worth = known
        law = agent.law(states)
        return worth, law.lower_tail(target.law.tail).double().cpu()


@dataclass(frozen=True, kw_only=True)
class ChoiceRegret(ChoiceMetric):
    """What the agent's choices are worth less than the best ones, exactly; mean over states."""

    def score(self, agent: Agent, returns: Tensor, target: Target) -> float:
        """See ``LearningMetric``."""
        worth, seen = self.choices(target, agent)
        taken = worth.gather(1, seen.argmax(1, keepdim=True)).squeeze(1)
        return float((worth.max(1).values - taken).mean())


@dataclass(frozen=True, kw_only=True)
class ChoiceError(ChoiceMetric):
    """How far off the agent's idea of each action's worth is; mean over states and actions."""

    def score(self, agent: Agent, returns: Tensor, target: Target) -> float:
        """See ``LearningMetric``."""
        worth, seen = self.choices(target, agent)
        return float((worth - seen).abs().mean())
