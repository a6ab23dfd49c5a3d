"""Tails: how far out samples reach, where moments say little or do not exist."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from phys_samplers.errors import ConfigurationError
from phys_samplers.metric import Best, Metric, Scored
from phys_samplers.options import option

LEVELS = (0.5, 0.9, 0.99, 0.999)


@dataclass(frozen=True, kw_only=True)
class TailQuantiles(Metric):
    """Σ |log(quantile of the samples / quantile of the reference)|, of all |u_i| together and of |u|, at four levels.

    Coordinates u are centred by the reference's medians and scaled by its median distances from them. Levels are .5,
    .9, .99 and .999; samples that do not reach the tail score about the logarithm of what they lack. One that is a
    factor 2 short everywhere scores 5.5. The score of exact samples (the floor) is not small: of 1,000, a single one is
    beyond the last quantile of |u|. Coordinates on which the reference is constant are left out.
    """

    def __call__(self, scored: Scored) -> float:
        """The sum of the eight."""
        x, y = scored.rows(self, least=2)
        x, y = _standardised(x, y, by=self.label)
        gaps = [
            _quantiles(u).log() - _quantiles(v).log()
            for u, v in ((x.abs().flatten(), y.abs().flatten()), (x.norm(dim=1), y.norm(dim=1)))
        ]
        return float(torch.cat(gaps).abs().sum())


@dataclass(frozen=True, kw_only=True)
class TailIndex(Metric):
    """log of Hill's tail index of samples over that of the reference, both of |u|; below 0 where tails are too heavy.

    Hill's estimate 1/mean log(|u|_(i)/|u|_(k)) over the largest k = ``share`` · n values is ν for a law with tails
    P(|u| > r) ~ r^{−ν}, with a relative standard error of 1/√k; u as in ``TailQuantiles``.

    Source: B. M. Hill, A Simple General Approach to Inference About the Tail of a Distribution (Annals of Statistics 3,
    1975), Eq. 2.5.

    Args:
        share: of the values that count as the tail.
    """

    best: ClassVar[Best] = "zero"

    share: float = option(0.05, above=0, most=0.5)

    def __call__(self, scored: Scored) -> float:
        """The logarithm of the ratio.

        Raises:
            ConfigurationError: if fewer than five values are in a tail.
        """
        x, y = scored.rows(self, least=2)
        x, y = _standardised(x, y, by=self.label)
        return float(self._index(x.norm(dim=1)).log() - self._index(y.norm(dim=1)).log())

    def _index(self, sizes: Tensor) -> Tensor:
        k = int(self.share * len(sizes))
        if k < 5:
            raise ConfigurationError(
                f"{self.label}: the tail of {len(sizes)} rows at share {self.share} holds {k}; expected at least 5"
            )
        largest = sizes.topk(k + 1).values
        return 1 / (largest[:-1] / largest[-1]).log().mean()


def _standardised(x: Tensor, y: Tensor, *, by: str) -> tuple[Tensor, Tensor]:
    """Both centred and scaled by medians of the reference ``y``, without coordinates that it does not vary on."""
    centre = y.median(0).values
    scale = (y - centre).abs().median(0).values
    if not (scale > 0).any():
        raise ConfigurationError(f"{by}: half of the {len(y)} reference rows are equal; expected a law with spread")
    return ((x - centre) / scale)[:, scale > 0], ((y - centre) / scale)[:, scale > 0]


def _quantiles(values: Tensor) -> Tensor:
    """At ``LEVELS``; ``torch.quantile`` refuses more than 2²⁴ values."""
    ordered = values.sort().values
    places = [min(int(level * len(ordered)), len(ordered) - 1) for level in LEVELS]
    return ordered[torch.tensor(places, device=ordered.device)].clamp(min=torch.finfo(values.dtype).tiny)
