"""Where samplers stand: their place in the leaderboard, and how far a score is from its floor."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from phys_bench.statistics import EXACT_VALUE, Estimate, badness, estimate
from phys_bench.statistics import distance as distance_text

from .view import Cell, Floor, Run


@dataclass(frozen=True)
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


def distance(value: float, floor: Floor | None, best: str = "low") -> Distance | None:
    """How far ``value`` is from its floor; None where that cannot be said.

    Args:
        value: a mean score.
        floor: what exact samples score.
        best: which way the metric points: ``low``, ``high``, ``zero``, ``half`` or ``one``.
    """
    if floor is None:
        return None
    text = distance_text(value, floor.mean, floor.std, best)
    if not text:
        return None
    exact = EXACT_VALUE.get(best)
    usual = badness(floor.mean, best) if exact is None else math.hypot(floor.mean - exact, floor.std)
    excess = badness(value, best) - usual
    sigmas = excess / floor.std if floor.std > 0 else math.copysign(math.inf, excess) if excess else 0.0
    # two standard deviations are where a score starts to differ from its floor, as a ratio of one does
    doublings = math.log2(max(value / floor.mean if text.endswith("×") else sigmas / 2, 1.0))
    tone = "floor" if sigmas <= 2 else "near" if doublings <= 1 else "off" if doublings <= 3 else "far"
    return Distance(text, min(doublings / 5, 1.0), tone)


def score_estimate(cells: Sequence[Cell], metric: str) -> Estimate | None:
    """Mean over cells with its 95 % bootstrap interval; None if none of them has the metric."""
    return estimate([cell.scores[metric] for cell in cells if metric in cell.scores])


def floor_of(cells: Sequence[Cell], metric: str) -> Floor | None:
    """The floor of a metric: the cells of a task share it."""
    return next((cell.floors[metric] for cell in cells if metric in cell.floors), None)


@dataclass(frozen=True)
class Standing:
    """A sampler's place in the leaderboard.

    Args:
        sampler: label.
        place: from 1; None for the exact oracle and for samplers that were compatible with no task.
        mean_rank: over the (task, seed) pairs it was compatible with.
        tasks: number of tasks it was compatible with.
    """

    sampler: str
    place: int | None
    mean_rank: float | None
    tasks: int


def standings(run: Run) -> list[Standing]:
    """Samplers by mean rank; the exact oracle, which takes no rank, comes first."""
    order = sorted(run.mean_ranks, key=lambda sampler: not run.is_oracle(sampler))  # stable: ranks stay in order
    rows: list[Standing] = []
    for sampler in order:
        rank = run.mean_ranks[sampler]
        tasks = {cell.task for cell in run.select(sampler=sampler) if cell.status != "incompatible"}
        better = sum(row.mean_rank is not None and rank is not None and row.mean_rank < rank for row in rows)
        rows.append(Standing(sampler, None if rank is None else better + 1, rank, len(tasks)))
    return rows
