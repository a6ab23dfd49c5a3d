"""Who stands where: normalised ranks with intervals, and groups of samplers that cannot be told apart.

Everything is computed from badnesses (lower is better, infinite for a cell without a score) by task, sampler and seed.
"""

from __future__ import annotations

import itertools
import math
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from .statistics import (
    LEAST_SEEDS,
    LEVEL,
    Estimate,
    estimate,
    holm,
    paired_difference,
    probability_of_improvement,
    ranks,
)

Field = Mapping[str, Mapping[int, float]]
"""Sampler -> seed -> badness, on one task."""


@dataclass(frozen=True, slots=True)
class Standing:
    """A sampler's place in the leaderboard.

    Args:
        sampler: label.
        place: from 1; None for the exact oracle and for samplers that take no rank.
        rank: mean over tasks of the mean over seeds of (rank − 1)/(samplers − 1): 0 is first everywhere, 1 last.
        tasks: number of tasks it was compatible with.
        group: letters; samplers that share one cannot be told apart on any task. Empty with too few seeds.
        odds: probability that a seed of it beats one of the first sampler, mean over the tasks of both; None for that
            sampler itself, or without a task of both.
    """

    sampler: str
    place: int | None
    rank: Estimate | None
    tasks: int
    group: str = ""
    odds: float | None = None


def normalised_ranks(fields: Mapping[str, Field]) -> dict[str, Estimate]:
    """The mean rank of every sampler that met another one, with its interval over seeds.

    Each task counts once, whatever its number of seeds, so that a failure on it counts once; a failed cell is last.
    """
    by_task: dict[str, dict[str, dict[int, float]]] = {}
    for task, field in fields.items():
        for seed in {seed for row in field.values() for seed in row}:
            block = {sampler: row[seed] for sampler, row in field.items() if seed in row}
            for sampler, rank in ranks(block).items() if len(block) > 1 else ():
                by_task.setdefault(sampler, {}).setdefault(task, {})[seed] = (rank - 1) / (len(block) - 1)
    found = {}
    for sampler, tasks in by_task.items():
        mean = sum(sum(row.values()) / len(row) for row in tasks.values()) / len(tasks)
        shared = set.intersection(*(set(row) for row in tasks.values()))
        over = estimate([sum(row[seed] for row in tasks.values()) / len(tasks) for seed in sorted(shared)])
        over = over or Estimate(mean, math.nan, math.nan, math.nan, 0)
        found[sampler] = Estimate(mean, over.std, _share(over.low), _share(over.high), over.count)
    return found


def _share(value: float) -> float:
    """Between 0 and 1; NaN stays."""
    return min(max(value, 0.0), 1.0) if value == value else value


def told_apart(fields: Mapping[str, Field]) -> set[tuple[str, str]]:
    """Pairs (better, worse) whose paired scores differ on some task, by `holm` over all pairs of all tasks.

    Student's t test on at least `LEAST_SEEDS` seeds that both finished. A pair that differs both ways is in twice.
    """
    pairs, tests = [], []
    for field in fields.values():
        finite = {s: {seed: v for seed, v in row.items() if math.isfinite(v)} for s, row in field.items()}
        for first, second in itertools.combinations(finite, 2):
            found = paired_difference(finite[first], finite[second])
            if found is not None and found.count >= LEAST_SEEDS:
                pairs.append((first, second) if found.mean > 0 else (second, first))
                tests.append(found.p)
    return {pair for pair, p in zip(pairs, holm(tests), strict=True) if p < 1 - LEVEL}


def groups(samplers: Sequence[str], apart: set[tuple[str, str]]) -> dict[str, str]:
    """Letters of every sampler: two share one exactly if they are not told apart (Piepho 2004, insert and absorb)."""
    columns = [frozenset(samplers)]
    for first, second in sorted(apart, key=lambda pair: tuple(map(samplers.index, pair))):
        split: list[frozenset[str]] = []
        for column in columns:
            both = first in column and second in column
            split += [column - {first}, column - {second}] if both else [column]
        kept = sorted(set(split), key=len, reverse=True)
        columns = [c for i, c in enumerate(kept) if not any(c <= other for other in kept[:i])]
    columns.sort(key=lambda column: sorted(map(samplers.index, column)))
    names = [*string.ascii_lowercase, *(a + b for a in string.ascii_lowercase for b in string.ascii_lowercase)]
    marks: dict[str, str] = {}
    for sampler in samplers:
        marks[sampler] = " ".join(name for name, column in zip(names, columns, strict=False) if sampler in column)
    return marks


def stand(fields: Mapping[str, Field], tasks: Mapping[str, int], oracles: Sequence[str]) -> list[Standing]:
    """Samplers by mean rank, after the exact oracles, which take none; those without a rank come last.

    Args:
        fields: the fields of all tasks, without the oracles.
        tasks: sampler -> number of tasks it was compatible with, in the order of the suite.
        oracles: labels of the exact samplers.
    """
    found = normalised_ranks(fields)
    order = sorted(found, key=lambda sampler: found[sampler].mean)
    seeds = max((len(row) for field in fields.values() for row in field.values()), default=0)
    marks = groups(order, told_apart(fields)) if seeds >= LEAST_SEEDS else {}
    rows, place, last = [Standing(name, None, None, tasks[name]) for name in oracles], 0, math.nan
    for count, sampler in enumerate(order, 1):
        place, last = (place, last) if found[sampler].mean == last else (count, found[sampler].mean)
        odds = _odds(fields, sampler, order[0]) if count > 1 else None
        rows.append(Standing(sampler, place, found[sampler], tasks[sampler], marks.get(sampler, ""), odds))
    return rows + [
        Standing(name, None, None, n) for name, n in tasks.items() if name not in found and name not in oracles
    ]


def _odds(fields: Mapping[str, Field], sampler: str, first: str) -> float | None:
    both = [field for field in fields.values() if sampler in field and first in field]
    values = [[np.array([*field[name].values()]) for name in (first, sampler)] for field in both]
    found = [probability_of_improvement(theirs, own) for theirs, own in values]
    return sum(found) / len(found) if found else None
