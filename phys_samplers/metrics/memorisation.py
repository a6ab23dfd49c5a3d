"""Does a sampler give back its training rows?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from phys_samplers.errors import ConfigurationError
from phys_samplers.metric import Metric
from phys_samplers.metrics.pairwise import nearest_distance
from phys_samplers.metrics.rows import rows

if TYPE_CHECKING:
    from phys_samplers.sampler import Model
    from phys_samplers.target import Target


@dataclass(frozen=True, kw_only=True)
class Memorisation(Metric):
    """Median distance to the nearest training row: of the samples, divided by that of the held-out reference.

    One for a sampler that generalises; towards zero for one that copies; above one for one that is off the data.

    Source: after C. Meehan, K. Chaudhuri and S. Dasgupta, A Non-Parametric Test to Detect Data-Copying in Generative
    Models (AISTATS 2020), who compare the same two sets of distances by a rank test.
    """

    best: ClassVar = "one"
    needs: ClassVar[frozenset[str]] = frozenset({"samples"})

    def __call__(
        self,
        samples: Tensor,
        reference: Tensor,
        *,
        target: Target,
        generator: torch.Generator,
        model: Model | None = None,
    ) -> float:
        """The ratio, at least 0.

        Raises:
            ConfigurationError: if at least half of the reference rows are training rows.
        """
        target.require(*self.needs, by="memorisation")
        assert target.train is not None  # what the capability "samples" says
        x, y = rows(samples, reference, by="memorisation")
        train, _ = rows(target.train.to(x.device).flatten(1), y, by="memorisation")
        scale = nearest_distance(y, train).median()
        if not scale > 0:
            raise ConfigurationError(
                "memorisation: at least half of the reference rows are training rows; score against held-out rows"
            )
        return float(nearest_distance(x, train).median() / scale)
