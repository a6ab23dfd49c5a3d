"""A task about returns: an experience to learn from, and what is known of the laws to be found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self

import torch

from phys_samplers.target import Task
from phys_samplers.training import Callback

if TYPE_CHECKING:
    from phys_samplers.rl.recipe import ReturnModel
    from phys_samplers.sampler import Model
    from phys_samplers.target import Target


class Experience(Protocol):
    """Where transitions come from: an environment to act in (``Control``) or a policy to judge (``Prediction``)."""

    def learn(
        self,
        recipe: ReturnModel,
        target: Target,
        *,
        seeds: Sequence[int],
        device: torch.device | str,
        callbacks: Sequence[Callback],
    ) -> Sequence[Model | Exception]:
        """One fitted model per seed, or the exception that ended it."""
        ...


@dataclass(frozen=True, kw_only=True)
class ReturnTask(Task):
    """A task for return models.

    Args:
        experience: what they learn from.
    """

    contestants: ClassVar[str] = "return_model"

    experience: Any = None

    @property
    def capabilities(self) -> frozenset[str]:
        """What is offered; ``experience`` here besides."""
        return super().capabilities | {"experience"}

    def to(self, device: torch.device | str) -> Self:
        """Itself: experience is brought to the device as it is used, laws stay where they are."""
        return self
