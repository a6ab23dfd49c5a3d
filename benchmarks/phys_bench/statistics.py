"""Statistics over seeds: intervals, differences, ranks, distances from the floor, and those of learning curves.

Intervals are Student's t for up to `SMALL` seeds and the bias-corrected accelerated bootstrap (BCa, Efron 1987) beyond,
at the level that Student's t would need (Hesterberg 2015, "expanded"). Definitions of the interquartile mean and of the
probability of improvement: Agarwal et al. 2021 (arXiv:2108.13264).
"""

from __future__ import annotations

import itertools
import math
import string
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri, stdtr, stdtrit

FloatArray = NDArray[np.float64]

LEVEL = 0.95
LEAST_SEEDS = 3
"""Seeds below which nothing is called better, worse or equal."""
SMALL = 15
"""Seeds up to which the interval of a mean is Student's."""
RESAMPLES = 4_000


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over seeds.

    Args:
        mean: over the finite values.
        std: their sample standard deviation, NaN for one value.
        low: lower end of the 95 % interval of the mean, NaN for one value.
        high: its upper end.
        count: number of values.
    """

    mean: float
    std: float
    low: float
    high: float
    count: int

    @property
    def p(self) -> float:
        """Two-sided p value of Student's t test that the mean is zero; NaN for one value."""
        if self.count < 2:
            return math.nan
        if self.std <= 1e-12 * abs(self.mean):  # the same at every seed, up to rounding
            return 0.0 if self.mean else 1.0
        return float(2 * stdtr(self.count - 1, -abs(self.mean) / self.std * math.sqrt(self.count)))

    @property
    def visible(self) -> float:
        """The least true difference from zero that as many seeds of this spread show in four of five repeats."""
        if self.count < 2:
            return math.nan
        quantiles = stdtrit(self.count - 1, (1 + LEVEL) / 2) + stdtrit(self.count - 1, 0.8)
        return float(quantiles * self.std / math.sqrt(self.count))


def estimate(values: Sequence[float], *, level: float = LEVEL, seed: int = 0) -> Estimate | None:
    """Mean, spread and interval of the mean; None without finite values.

    Args:
        values: one per seed.
        level: of the interval.
        seed: of the resamples, where there are any.
    """
    finite = [v for v in values if math.isfinite(v)]
    n = len(finite)
    if n == 0:
        return None
    mean = math.fsum(finite) / n
    if n == 1:
        return Estimate(mean, math.nan, math.nan, math.nan, 1)
    std = math.sqrt(math.fsum((v - mean) ** 2 for v in finite) / (n - 1))
    if n <= SMALL:
        half = _student(n, level) * std / math.sqrt(n)
        return Estimate(mean, std, mean - half, mean + half, n)
    low, high = interval(np.array(finite), level=level, seed=seed)
    return Estimate(mean, std, float(low), float(high), n)


def interval(values: FloatArray, *, level: float = LEVEL, seed: int = 0) -> tuple[FloatArray, FloatArray]:
    """Ends of the interval of the mean along the last axis of ``values`` (..., n), n ≥ 2: two arrays (...,)."""
    n = values.shape[-1]
    mean, std = values.mean(-1), values.std(-1, ddof=1)
    if n <= SMALL:
        half = _student(n, level) * std / math.sqrt(n)
        return mean - half, mean + half
    means = np.sort(values @ _resample_weights(n, seed).T, axis=-1)
    below = 0.5 * ((means < mean[..., None]).mean(-1) + (means <= mean[..., None]).mean(-1))
    bias = ndtri(np.clip(below, 1e-6, 1 - 1e-6))
    deviation = values - mean[..., None]
    scale = (deviation**2).sum(-1) ** 1.5
    acceleration = np.divide((deviation**3).sum(-1), 6 * scale, out=np.zeros_like(scale), where=scale > 0)
    z = _student(n, level) * math.sqrt(n / (n - 1))
    ends = []
    for quantile in (-z, z):
        shifted = bias + quantile
        place = ndtr(bias + shifted / (1 - acceleration * shifted)) * (RESAMPLES - 1)
        lower = np.floor(place).astype(int)
        upper = np.minimum(lower + 1, RESAMPLES - 1)
        first, second = (np.take_along_axis(means, at[..., None], -1)[..., 0] for at in (lower, upper))
        ends.append(first + (place - lower) * (second - first))
    return ends[0], ends[1]


@lru_cache(maxsize=256)
def _student(n: int, level: float) -> float:
    return float(stdtrit(n - 1, (1 + level) / 2))


@lru_cache(maxsize=32)
def _resample_weights(n: int, seed: int) -> FloatArray:
    """How often each of ``n`` values is drawn, over n: (RESAMPLES, n)."""
    weights = np.zeros((RESAMPLES, n))
    drawn = np.random.default_rng(seed).integers(0, n, size=(RESAMPLES, n))
    np.add.at(weights, (np.arange(RESAMPLES)[:, None], drawn), 1 / n)
    return weights


def paired_difference(first: Mapping[int, float], second: Mapping[int, float], *, seed: int = 0) -> Estimate | None:
    """``second − first`` over the seeds that both have; None if there are none.

    Args:
        first: values by seed.
        second: values by seed.
        seed: of the resamples.
    """
    shared = sorted(set(first) & set(second))
    return estimate([second[s] - first[s] for s in shared], seed=seed)


def holm(p_values: Sequence[float]) -> list[float]:
    """P values of a family of tests, raised by Holm's step-down rule; NaN (no test) stays and counts for nothing.

    A family in which everything below 5 % is reported holds a false alarm in at most 5 % of repeats, however the tests
    depend on each other (Holm 1979).
    """
    tested = sorted((p, i) for i, p in enumerate(p_values) if not math.isnan(p))
    raised = list(p_values)
    highest = 0.0
    for place, (p, i) in enumerate(tested):
        highest = max(highest, min(1.0, (len(tested) - place) * p))
        raised[i] = highest
    return raised


def verdicts(differences: Sequence[Estimate | None]) -> list[str]:
    """``better``, ``worse``, ``equal`` or ``unclear`` of each difference of badnesses (lower is better) in a table.

    ``better`` or ``worse`` needs at least `LEAST_SEEDS` pairs and a p value below 5 % after Holm's correction over all
    of them; ``equal`` is no difference at any seed.
    """
    tested = [d if d is not None and d.count >= LEAST_SEEDS else None for d in differences]
    raised = holm([math.nan if d is None else d.p for d in tested])
    words = []
    for found, p in zip(differences, raised, strict=True):
        if found is not None and found.mean == 0 and (found.count == 1 or found.std == 0):
            words.append("equal")
        elif found is not None and p < 1 - LEVEL:
            words.append("better" if found.mean < 0 else "worse")
        else:
            words.append("unclear")
    return words


EXACT_VALUE = {"zero": 0.0, "half": 0.5, "one": 1.0}
"""What the exact law scores, for metrics that are best at a value rather than at an end."""


def badness(value: float, best: str) -> float:
    """A number that is lower for better scores, whichever way the metric points; infinite for none."""
    if not math.isfinite(value):
        return math.inf
    if best in EXACT_VALUE:
        return abs(value - EXACT_VALUE[best])
    return -value if best == "high" else value


@dataclass(frozen=True, slots=True)
class Distance:
    """How far a score is from its floor, in words and as a bar.

    Args:
        text: ``1.40×`` (score over floor) or ``+3.2σ`` where the floor is not a positive scale.
        level: length of the bar in [0, 1]; 0 is the floor, each doubling adds a fifth.
        tone: ``floor`` (within two standard deviations), ``near``, ``off`` or ``far``, with bounds at one and three
            doublings.
    """

    text: str
    level: float
    tone: str


def distance(value: float, mean: float, std: float, best: str) -> Distance | None:
    """How far a score is from its floor (``mean``, ``std``); None where that cannot be said.

    The ratio is used where the floor is a positive scale well apart from zero and lower is better; otherwise (an
    unbiased MMD², an accuracy) the difference is counted in standard deviations of the floor.
    """
    if not math.isfinite(value):
        return None
    exact = EXACT_VALUE.get(best)
    usual = badness(mean, best) if exact is None else math.hypot(mean - exact, std)
    excess = badness(value, best) - usual
    sigmas = excess / std if std > 0 else math.copysign(math.inf, excess) if excess else 0.0
    if best == "low" and mean > 2 * std:
        ratio = value / mean
        text, doublings = f"{ratio:.2f}×" if ratio < 10 else f"{ratio:,.0f}×", math.log2(max(ratio, 1.0))
    elif std > 0:
        # two standard deviations are where a score starts to differ from its floor, as a ratio of one does
        text, doublings = f"{sigmas:+.1f}σ" if abs(sigmas) < 1000 else f"{sigmas:+,.0f}σ", math.log2(max(sigmas / 2, 1))
    else:
        return None
    tone = "floor" if sigmas <= 2 else "near" if doublings <= 1 else "off" if doublings <= 3 else "far"
    return Distance(text, min(doublings / 5, 1.0), tone)


def ranks(badnesses: Mapping[str, float]) -> dict[str, float]:
    """Ranks from 1, by name; equal values share the mean of their ranks, and infinite ones are all last."""
    places: dict[float, list[int]] = {}
    for place, value in enumerate(sorted(badnesses.values()), 1):
        places.setdefault(value, []).append(place)
    means = {value: sum(held) / len(held) for value, held in places.items()}
    means[math.inf] = float(len(badnesses))  # failing in company must not improve a rank
    return {name: means[value] for name, value in badnesses.items()}


def curve_of(diagnostics: Mapping[str, Any]) -> tuple[FloatArray, FloatArray] | None:
    """Steps and greedy returns of a cell's learning curve; None if it has none."""
    rows = diagnostics.get("curve")
    if not isinstance(rows, list) or not rows:
        return None
    steps, returns = ([row[key] for row in rows] for key in ("step", "return"))
    return np.array(steps, dtype=np.float64), np.array(returns, dtype=np.float64)


def interquartile_mean(values: FloatArray) -> FloatArray:
    """The mean of the middle half along the last axis; quarters that split a value count it by its share."""
    ordered = np.sort(values, axis=-1)
    n = ordered.shape[-1]
    edges = np.arange(n + 1) / n
    weights = np.clip(np.minimum(edges[1:], 0.75) - np.maximum(edges[:-1], 0.25), 0, None)
    mean: FloatArray = (ordered * weights).sum(-1) / weights.sum()
    return mean


def bootstrap(
    values: FloatArray, statistic: Callable[[FloatArray], Any], *, seed: int = 0
) -> tuple[float, float, float]:
    """``statistic`` (along the last axis) of ``values`` (n,) with its percentile interval over resampled seeds."""
    rows = np.random.default_rng(seed).integers(0, len(values), size=(RESAMPLES, len(values)))
    tail = 100 * (1 - LEVEL) / 2
    low, high = np.percentile(statistic(values[rows]), [tail, 100 - tail])
    return float(statistic(values)), float(low), float(high)


def band(curves: Sequence[FloatArray], *, seed: int = 0) -> tuple[FloatArray, FloatArray, FloatArray]:
    """The interquartile mean over seeds at every evaluation, and its pointwise interval: three arrays (steps,)."""
    values = np.stack(curves, -1)
    rows = np.random.default_rng(seed).integers(0, values.shape[-1], size=(RESAMPLES // 8, values.shape[-1]))
    resampled = interquartile_mean(np.moveaxis(values[:, rows], 1, 0))
    tail = 100 * (1 - LEVEL) / 2
    low, high = np.percentile(resampled, [tail, 100 - tail], axis=0)
    return interquartile_mean(values), low, high


def probability_of_improvement(first: FloatArray, second: FloatArray) -> float:
    """P(a seed of ``first`` is above one of ``second``), ties counted half."""
    one, other = first[:, None], second[None]
    return float((one > other).mean() + 0.5 * (one == other).mean())


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
