"""The floor of a score: what exact samples get, at the same sizes."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from phys_samplers.errors import ConfigurationError
from phys_samplers.metric import Metric
from phys_samplers.randomness import make_generator
from phys_samplers.target import Target


@dataclass(frozen=True)
class Floor:
    """The score of exact samples.

    Attributes:
        mean: over repeats.
        std: standard deviation over repeats (n − 1 in the denominator).
        values: one score per repeat.
        source: ``"exact"`` for draws of ``target.sample`` against the given reference; ``"heldout"`` for disjoint
            parts of the held-out rows against each other, whose repeats overlap, so that ``std`` is a little small.
    """

    mean: float
    std: float
    values: tuple[float, ...]
    source: Literal["exact", "heldout"]


def floor(
    metric: Metric, target: Target, *, n: int, reference: Tensor, repeats: int = 5, seed: int = 0
) -> Floor | None:
    """Score ``n`` exact draws, ``repeats`` times.

    A target without an exact sampler gives disjoint random parts of its held-out rows instead, n scored against as
    many as ``reference`` has, if there are so many.

    Args:
        metric: the score.
        target: what the samples should be from.
        n: number of generated samples that a sampler is scored with.
        reference: the rows (m, *event_shape) it is scored against.
        repeats: at least 2, for a spread.
        seed: of draws, splits and the metric's own randomness.

    Returns:
        The floor, or None where samples have none: the metric scores the model, or the target has neither an exact
        sampler nor n + m held-out rows.

    Raises:
        ConfigurationError: on a bad ``n`` or ``repeats``.
        MissingCapability: if the target lacks what the metric needs.
    """
    if n < 1 or repeats < 2:
        raise ConfigurationError(f"floor: n is {n} and repeats {repeats}; expected n >= 1 and repeats >= 2")
    if metric.needs_model:
        return None
    target.require(*metric.needs, by=type(metric).__name__)
    source: Literal["exact", "heldout"]
    if "sample" in target.capabilities:
        source = "exact"
    elif target.heldout is not None and len(target.heldout) >= n + len(reference):
        source = "heldout"
    else:
        return None

    values = []
    for repeat in range(repeats):
        if source == "exact":
            generator = make_generator(seed, "floor", "draw", repeat, device=reference.device)
            samples, against = target.sample(n, generator=generator), reference
        else:
            samples, against = _split(target, n, len(reference), seed, repeat)
        own = make_generator(seed, "floor", "metric", repeat)
        values.append(metric(samples, against, target=target, generator=own))
    return Floor(statistics.fmean(values), statistics.stdev(values), tuple(values), source)


def _split(target: Target, n: int, m: int, seed: int, repeat: int) -> tuple[Tensor, Tensor]:
    assert target.heldout is not None  # checked by the caller
    order = torch.randperm(len(target.heldout), generator=make_generator(seed, "floor", "split", repeat))
    order = order.to(target.heldout.device)
    return target.heldout[order[:n]], target.heldout[order[n : n + m]]
