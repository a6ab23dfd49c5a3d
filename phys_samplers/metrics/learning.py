"""What the learning curve of an agent says: how soon, how much on the way, how well at the end.

A curve holds the mean undiscounted return of greedy episodes at every evaluation, on environments and with random
numbers of their own; training's ε-greedy episodes say little of a policy.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, cast

from torch import Tensor

from phys_samplers.errors import MissingCapability
from phys_samplers.metric import Best, Metric, Scored
from phys_samplers.options import option
from phys_samplers.target import Target

if TYPE_CHECKING:
    from phys_samplers.rl.agent import Agent


@dataclass(frozen=True, kw_only=True)
class LearningMetric(Metric):
    """What the scores of agents share; subclasses give ``_score``. Samples are returns of scored episodes (n, 1)."""

    best: ClassVar[Best] = "high"
    needs: ClassVar[frozenset[str]] = frozenset({"experience", "model"})

    def __call__(self, scored: Scored) -> float:
        """The score of an agent.

        Raises:
            MissingCapability: if the model is no agent.
        """
        scored.require(self)
        if not getattr(scored.model, "curve", None):
            raise MissingCapability(f"{type(scored.model).__name__} has no learning curve; expected an agent")
        return self._score(cast("Agent", scored.model), scored)

    @abstractmethod
    def _score(self, agent: Agent, scored: Scored) -> float:
        """The score of an agent, whose evaluations are in order in its ``curve``."""


@dataclass(frozen=True, kw_only=True)
class AreaUnderCurve(LearningMetric):
    """The mean of the curve over all evaluations: its area, by the number of steps."""

    def _score(self, agent: Agent, scored: Scored) -> float:
        rows = agent.curve
        return sum(row["return"] for row in rows) / len(rows)


@dataclass(frozen=True, kw_only=True)
class LateReturn(LearningMetric):
    """The mean return of the last evaluations.

    Args:
        share: of the evaluations.
    """

    share: float = option(0.2, above=0, most=1)

    def _score(self, agent: Agent, scored: Scored) -> float:
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

    best: ClassVar[Best] = "low"

    level: float = option(195.0, above=-math.inf)

    def _score(self, agent: Agent, scored: Scored) -> float:
        rows = agent.curve
        return float(next((row["step"] for row in rows if row["return"] >= self.level), rows[-1]["step"]))


@dataclass(frozen=True, kw_only=True)
class FinalReturn(LearningMetric):
    """The return of the agent as it is deployed, over the scored episodes.

    Args:
        tail: share of the worst episodes that the mean is of; 1 for all of them.
    """

    tail: float = option(1.0, above=0, most=1)

    def _score(self, agent: Agent, scored: Scored) -> float:
        worst = scored.samples.flatten().sort().values[: max(1, round(self.tail * len(scored.samples)))]
        return float(worst.double().mean())


@dataclass(frozen=True, kw_only=True)
class ExpectedReturn(LearningMetric):
    """The discounted return that an agent expects of its best action in one state of a finite environment.

    Args:
        state: its number.
    """

    state: int = option(0, least=0)

    def _score(self, agent: Agent, scored: Scored) -> float:
        return float(agent.mean(self.state).max())


@dataclass(frozen=True, kw_only=True)
class ChoiceMetric(LearningMetric):
    """About choices whose worth is exactly known (``target.law.choices``: states and worth of each action there)."""

    best: ClassVar[Best] = "low"

    def _choices(self, target: Target, agent: Agent) -> tuple[Tensor, Tensor]:
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

    def _score(self, agent: Agent, scored: Scored) -> float:
        worth, seen = self._choices(scored.target, agent)
        taken = worth.gather(1, seen.argmax(1, keepdim=True)).squeeze(1)
        return float((worth.max(1).values - taken).mean())


@dataclass(frozen=True, kw_only=True)
class ChoiceError(ChoiceMetric):
    """How far off the agent's idea of each action's worth is; mean over states and actions."""

    def _score(self, agent: Agent, scored: Scored) -> float:
        worth, seen = self._choices(scored.target, agent)
        return float((worth - seen).abs().mean())
