"""What a loss is: one number per replica from a batch of rows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from torch import Tensor, nn

from phys_samplers.randomness import Streams


@dataclass(frozen=True, kw_only=True)
class Loss(ABC):
    """A loss of a stacked network; a frozen dataclass whose fields are its hyper-parameters."""

    @abstractmethod
    def __call__(self, module: nn.Module, rows: Tensor, streams: Streams) -> Tensor:
        """One loss per replica (R,), an average over the batch.

        Args:
            module: the stacked network that is trained.
            rows: training rows (R, B, D), independent draws.
            streams: source of every further random number.
        """
