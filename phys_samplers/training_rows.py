"""The memoriser: it hands out training rows, independent draws of their empirical law (1/N) Σ δ_{x_i}.

Nothing it gives is new. Scores that compare laws rank it near the exact sampler, scores of memorisation put it last,
so that a table with it shows what such scores can and cannot tell. As the law of latent codes it shows what a decoder
costs by itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from phys_samplers.errors import ConfigurationError
from phys_samplers.randomness import make_generator
from phys_samplers.sampler import Draw, Model, Sampler
from phys_samplers.target import Target

if TYPE_CHECKING:
    from phys_samplers.training import Callback


class TrainingRowsModel(Model):
    """Rows drawn with replacement, at no function evaluation.

    Args:
        recipe: the recipe.
        rows: (N, *event_shape).
    """

    def __init__(self, recipe: TrainingRows, rows: Tensor) -> None:
        self.recipe = recipe
        self.rows = rows

    @property
    def device(self) -> torch.device:
        """Where the rows are."""
        return self.rows.device

    def draw(self, n: int, *, seed: int = 0, start: Tensor | None = None, **options: Any) -> Draw:
        """``n`` rows with nfe 0.

        Raises:
            ConfigurationError: on a bad ``n`` or seed, on ``start`` and on any option.
        """
        self.check_draw(n, start)
        if start is not None:
            raise ConfigurationError("start was given, but training rows have no chain to start; leave it out")
        self.recipe.for_draw(options)
        generator = make_generator(seed, "training rows", device=self.device)
        return Draw(self.rows[torch.randint(len(self.rows), (n,), generator=generator, device=self.device)], 0.0)

    def tensors(self) -> dict[str, Tensor]:
        """The rows."""
        return {"rows": self.rows}


@dataclass(frozen=True, kw_only=True)
class TrainingRows(Sampler):
    """Keeps the training rows and hands out random ones; the seed of fitting has nothing to act on."""

    needs: ClassVar[frozenset[str]] = frozenset({"samples"})

    def fit(
        self, target: Target, *, seed: int = 0, device: torch.device | str = "cpu", callbacks: Sequence[Callback] = ()
    ) -> TrainingRowsModel:
        """The model that holds the rows of ``target``.

        Raises:
            MissingCapability: if the target has no training rows.
        """
        target.require(*self.needs, by="the sampler of training rows")
        assert target.train is not None
        model = TrainingRowsModel(self, target.train.detach().to(device))
        model.target_name, model.event_shape = target.name, target.event_shape
        return model

    def restore(
        self,
        tensors: Mapping[str, Tensor],
        facts: Mapping[str, Any],
        *,
        event_shape: tuple[int, ...],
        target: Target | None,
        device: torch.device | str = "cpu",
    ) -> TrainingRowsModel:
        """See ``Sampler.restore``."""
        return TrainingRowsModel(self, tensors["rows"].to(device))
