"""Where a Langevin sampler takes its score from, on flat particles (B, D): a target's density, or a fitted model."""

from __future__ import annotations

from typing import Any, Protocol

from torch import Tensor

from phys_samplers.errors import ConfigurationError
from phys_samplers.target import Target


class ScoreSource(Protocol):
    """∇log p on flat particles, with its evaluations counted."""

    evaluations: int

    def score(self, x: Tensor, sigma: float | None = None) -> Tensor:
        """The score (B, D) at x (B, D), of the law blurred by ``sigma`` (data units) if given."""
        ...


class TargetDensity:
    """The density of a target.

    Args:
        target: with ``log_prob`` and ``score``.
    """

    def __init__(self, target: Target) -> None:
        self.target = target
        self.evaluations = 0

    def score(self, x: Tensor, sigma: float | None = None) -> Tensor:
        """See ``ScoreSource``; there is no blurred law.

        Raises:
            ConfigurationError: if ``sigma`` is given.
        """
        if sigma is not None:
            raise ConfigurationError(
                f"sigma is {sigma!r}, but target {self.target.name!r} gives the score of its own law only; leave sigma "
                "out, or follow a fitted model that knows blurred laws"
            )
        self.evaluations += 1
        return self.target.score(x.unflatten(1, self.target.event_shape)).flatten(1)

    def log_prob_and_score(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """log p (B,) and its gradient (B, D), counted as one evaluation."""
        self.evaluations += 1
        log_prob, score = self.target.log_prob_and_score(x.unflatten(1, self.target.event_shape))
        return log_prob, score.flatten(1)


class ModelScore:
    """The score of a fitted model.

    Args:
        model: anything with ``score(x, sigma=None)`` in data units.
        event_shape: of its particles.
    """

    def __init__(self, model: Any, event_shape: tuple[int, ...]) -> None:
        self.model = model
        self.event_shape = event_shape
        self.evaluations = 0

    def score(self, x: Tensor, sigma: float | None = None) -> Tensor:
        """See ``ScoreSource``."""
        self.evaluations += 1
        return self.model.score(x.unflatten(1, self.event_shape), sigma=sigma).flatten(1)
