"""Pictures of results, each on one pair of matplotlib axes; the report is drawn by the same panels.

>>> from phys_samplers import bench, plots
>>> results = bench.load("runs/quick")
>>> axes = plots.score_against_nfe(results, "moons")
>>> axes.figure.savefig("moons.svg")
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
from matplotlib.axes import Axes

from phys_bench.cells import Cell, Cells
from phys_bench.statistics import distance
from phys_samplers.errors import ConfigurationError

from .canvas import INK, log_axis, looks, new_figure, plain
from .charts import cost_panel, cost_points, curves, leaderboard_panel, learning_panel
from .gallery import read_arrays
from .panels import frame, samples_panel

__all__ = ["leaderboard", "learning_curves", "performance_profile", "samples", "score_against_nfe"]

MOST = 32.0
"""Times the floor beyond which a performance profile does not look."""


def leaderboard(results: Cells, task: str, ax: Axes | None = None) -> Axes:
    """Primary score of every sampler on a task with its 95 % interval; the floor as a band.

    Args:
        results: of a run.
        task: label.
        ax: axes to draw on; those of a new figure if None.

    Raises:
        ConfigurationError: on a task that the run does not have.
    """
    _check("task", task, results.tasks)
    order = results.order(task)
    axes = ax or _axes(6.4, 1.2 + 0.36 * len(order))
    leaderboard_panel(axes, results, task, order, looks(results))
    axes.set_yticks(range(len(order)), order)
    return axes


def score_against_nfe(results: Cells, task: str, ax: Axes | None = None) -> Axes:
    """Primary score on a task against function evaluations per sample: a small mark a seed, a large one their mean.

    Means of samplers that differ in their number of sampling steps alone are joined. The exact oracle is left out; the
    floor stands for it.

    Args:
        results: of a run.
        task: label.
        ax: axes to draw on; those of a new figure if None.

    Raises:
        ConfigurationError: on a task that the run does not have, or without a score of a sampler that counts them.
    """
    _check("task", task, results.tasks)
    if not cost_points(results, task, 0):
        raise ConfigurationError(f"no sampler has a score and a positive number of evaluations on {task!r}; run it")
    axes = ax or _axes(8.4, 4.6)
    cost_panel(axes, results, task, 0, looks(results))
    axes.set_ylabel(results.primary(task), color=INK)
    axes.legend(frameon=False, fontsize=9, loc="upper left", bbox_to_anchor=(1, 1))
    return axes


def performance_profile(results: Cells, tasks: Sequence[str] | None = None, ax: Axes | None = None) -> Axes:
    """Share of runs whose score is within τ times the floor, against τ; higher is better.

    After Dolan and Moré 2002 (arXiv:cs/0102001), with the floor in the place of the best solver, so that a profile does
    not change when another sampler joins. Where the floor is no positive scale (an accuracy, an unbiased estimate), τ
    counts half the standard deviations between. Every task weighs the same, whatever its number of seeds; what failed
    is never within. Tasks a sampler is incompatible with do not count for it.

    Args:
        results: of a run.
        tasks: labels; all tasks with a floor if None.
        ax: axes to draw on; those of a new figure if None.

    Raises:
        ConfigurationError: on a task that the run does not have, or if no task has a floor.
    """
    for task in tasks or ():
        _check("task", task, results.tasks)
    known = [t for t in tasks or results.tasks if results.floor(t, results.primary(t)) is not None]
    if not known:
        raise ConfigurationError("no task has a floor, which scores are measured by; take metrics that have one")
    axes = ax or _axes(6.4, 4.2)
    plain(axes, grid=True)
    look = looks(results)
    for sampler in (row.sampler for row in results.standings):
        rows = [[_times(results, c) for c in results.select(t, sampler) if c.status != "incompatible"] for t in known]
        weighed = [(times, 1 / len(row)) for row in rows for times in row]
        if not weighed:
            continue
        times, weights = np.array(sorted(weighed)).T
        shares = np.cumsum(weights) / weights.sum()
        within = times < MOST
        x = np.concatenate([[1.0], times[within], [MOST]])
        y = np.concatenate([[0.0], shares[within], [shares[within][-1] if within.any() else 0.0]])
        axes.step(x, y, where="post", label=sampler, color=look[sampler].colour, linewidth=1.8)
    axes.set_xscale("log")
    axes.set_xlim(1, MOST)
    log_axis(axes.xaxis, 1, MOST)
    axes.set_ylim(-0.02, 1.02)
    axes.set_xlabel("τ: times the floor", color=INK)
    axes.set_ylabel(f"share of runs within τ, {len(known)} task{'s' * (len(known) > 1)}", color=INK)
    axes.legend(frameon=False, fontsize=9)
    return axes


def learning_curves(results: Cells, task: str, ax: Axes | None = None) -> Axes:
    """Greedy return of agents against environment steps: interquartile mean over seeds and its pointwise interval.

    Args:
        results: of a run.
        task: label.
        ax: axes to draw on; those of a new figure if None.

    Raises:
        ConfigurationError: on a task that the run does not have, or that no agent learned on.
    """
    _check("task", task, results.tasks)
    if not curves(results, task):
        raise ConfigurationError(f"no agent has a learning curve on {task!r}; take a task of control, as rl-quick has")
    axes = ax or _axes(8.6, 4.4)
    learning_panel(axes, results, task, looks(results))
    return axes


def samples(results: Cells, task: str, sampler: str, seed: int | None = None, ax: Axes | None = None) -> Axes:
    """Samples that a run kept: a histogram in one dimension, else points by their first two coordinates.

    Args:
        results: of a run, read from its folder.
        task: label.
        sampler: label.
        seed: the first that finished if None.
        ax: axes to draw on; those of a new figure if None.

    Raises:
        ConfigurationError: if there is no such cell, or it has no samples.
    """
    _check("task", task, results.tasks)
    _check("sampler", sampler, results.samplers)
    cells = [cell for cell in results.select(task, sampler) if cell.ok and seed in (None, cell.seed)]
    if not cells:
        raise ConfigurationError(
            f"{sampler!r} has no finished cell on {task!r}{'' if seed is None else f', seed {seed}'}"
        )
    arrays = read_arrays(cells[0])
    if isinstance(arrays, str):
        raise ConfigurationError(f"{sampler!r} on {task!r}: {arrays}")
    axes = ax or _axes(4.2, 4.2)
    box = frame(arrays["reference"], arrays.get("grid"))
    samples_panel(axes, arrays=arrays, colour=looks(results)[sampler].colour, box=box)
    return axes


def _times(results: Cells, cell: Cell) -> float:
    """How many times the floor a cell scores, at least 1; infinite without a score."""
    metric = results.primary(cell.task)
    floor, value = results.floor(cell.task, metric), cell.scores.get(metric, math.nan)
    gap = distance(value, floor.mean, floor.std, results.best(metric)) if floor and cell.ok else None
    return math.inf if gap is None or gap.level >= 1 else 2.0 ** (5 * gap.level)


def _check(what: str, value: str, known: Iterable[str]) -> None:
    if value not in known:
        raise ConfigurationError(f"the run has no {what} {value!r}; it has {', '.join(known) or 'none'}")


def _axes(width: float, height: float) -> Axes:
    axes: Axes = new_figure(width, height).subplots()
    return axes
