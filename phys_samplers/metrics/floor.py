"""The floor of a score: what exact samples get, at the same sizes."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from phys_samplers.errors import ConfigurationError
from phys_samplers.metric import BESIDES, Metric, Scored
from phys_samplers.randomness import make_generator
from phys_samplers.sampler import Draw
from phys_samplers.target import Target

Source = Literal["exact", "train", "heldout"]


@dataclass(frozen=True)
class Floor:
    """The score of exact samples.

    Attributes:
        mean: over repeats.
        std: standard deviation over repeats (n − 1 in the denominator).
        values: one score per repeat.
        source: ``"exact"`` for draws of ``target.sample`` against the given reference; ``"train"`` for training rows
            against it; ``"heldout"`` for disjoint parts of the held-out rows against each other. Repeats of the last
            two overlap, so that ``std`` is a little small.
    """

    mean: float
    std: float
    values: tuple[float, ...]
    source: Source


def floor(
    metric: Metric, target: Target, *, n: int, reference: Tensor, repeats: int = 5, seed: int = 0
) -> Floor | None:
    """Score ``n`` exact draws, ``repeats`` times.

    A target without an exact sampler gives n random training rows instead, which are independent of the reference and
    of the same law. To a metric that itself reads the training rows they are not like any other draws: it gets disjoint
    random parts of the held-out rows, n scored against as many as ``reference`` has, and so does a target with fewer
    than n training rows.

    Args:
        metric: the score.
        target: what the samples should be from.
        n: number of generated samples that a sampler is scored with.
        reference: the rows (m, *event_shape) it is scored against.
        repeats: at least 2, for a spread.
        seed: of draws, splits and the metric's own randomness.

    Returns:
        The floor, or None where samples have none: the metric scores the model or the draw, or the target has neither
        an exact sampler nor enough rows.

    Raises:
        ConfigurationError: on a bad ``n`` or ``repeats``.
        MissingCapability: if the target lacks what the metric needs.
    """
    if n < 1 or repeats < 2:
        raise ConfigurationError(f"floor: n is {n} and repeats {repeats}; expected n >= 1 and repeats >= 2")
    if not metric.has_floor:
        return None
    target.require(*metric.needs - BESIDES.keys(), by=type(metric).__name__)
    source: Source
    if "sample" in target.capabilities:
        source = "exact"
    elif target.train is not None and len(target.train) >= n and "samples" not in metric.needs:
        source = "train"
    elif target.heldout is not None and len(target.heldout) >= n + len(reference):
        source = "heldout"
    else:
        return None

    values = []
    for repeat in range(repeats):
        if source == "exact":
            generator = make_generator(seed, "floor", "draw", repeat, device=reference.device)
            samples, against = target.sample(n, generator=generator), reference
        elif source == "train":
            samples, against = _shuffled(target.train, seed, repeat)[:n].to(reference.device), reference
        else:
            rows = _shuffled(target.heldout, seed, repeat)
            samples, against = rows[:n], rows[n : n + len(reference)]
        own = make_generator(seed, "floor", "metric", repeat)
        draw = Draw(samples, nfe=0.0)  # exact samples weigh the same
        values.append(metric(Scored(samples=samples, reference=against, target=target, generator=own, draw=draw)))
    return Floor(statistics.fmean(values), statistics.stdev(values), tuple(values), source)


def _shuffled(rows: Tensor | None, seed: int, repeat: int) -> Tensor:
    assert rows is not None  # checked by the caller
    order = torch.randperm(len(rows), generator=make_generator(seed, "floor", "split", repeat))
    return rows[order.to(rows.device)]
