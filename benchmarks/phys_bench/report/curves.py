"""Curves of training, and of learning agents with what they come to."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from phys_bench.cells import Cell, Cells
from phys_bench.statistics import (
    FloatArray,
    band,
    bootstrap,
    curve_of,
    interquartile_mean,
    probability_of_improvement,
)
from phys_bench.tables import Column, Entry, Table
from phys_registry import parse_spec

from .canvas import INK, Look, log_axis, new_figure, plain

STEPS_TO, AREA = "steps-to", "return-auc"
MEANS = {AREA: "area, IQM", "late-return": "last fifth, IQM"}
"""Metrics whose interquartile means are given, and their heads."""
MOST_PANELS = 24


def training_chart(run: Cells, task: str, look: Mapping[str, Look]) -> Figure | None:
    """Training curves, one panel per (sampler, loss), one line per seed, the validation loss dashed beside ``loss``.

    Losses of different samplers measure different things, so they never share an axis; equal curves, those of a shared
    fit, are drawn once, and no more than `MOST_PANELS`, those of the first samplers of the table. None without curves.
    """
    panels_of: dict[tuple[str, str], list[Cell]] = {}
    for cell in (cell for sampler in run.order(task) for cell in run.select(task, sampler)):
        for name in dict.fromkeys("loss" if n == "validation" and "loss" in cell.history else n for n in cell.history):
            panels_of.setdefault((cell.sampler, name), []).append(cell)
    if not panels_of:
        return None
    alike: dict[tuple[object, ...], list[tuple[str, str]]] = {}
    for (sampler, name), cells in panels_of.items():
        alike.setdefault((name, *(_curves(cell, name) for cell in cells)), []).append((sampler, name))
    alike = dict(list(alike.items())[:MOST_PANELS])
    columns = min(3, len(alike))
    rows = math.ceil(len(alike) / columns)
    figure = new_figure(3.9 * columns, 2.7 * rows)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, same in zip(panels, alike.values(), strict=False):
        sampler, name = same[0]
        _training_panel(axes, panels_of[same[0]], name, look[sampler].colour)
        others = f"\nshared by {len(same) - 1} more" if len(same) > 1 else ""
        plain(axes, title=f"{sampler}: {name}{others}", grid=True)
    for axes in panels[len(alike) :]:
        axes.set_visible(False)
    return figure


def _curves(cell: Cell, name: str) -> tuple[object, ...]:
    """What tells the curves of a cell from those of another one."""
    names = (name, "validation") if name == "loss" else (name,)
    return (
        cell.component,
        cell.seed,
        *(array.tobytes() for key in names if key in cell.history for array in cell.history[key]),
    )


def _training_panel(axes: Axes, cells: list[Cell], name: str, colour: str) -> None:
    drawn = [("-", cell.history[name]) for cell in cells if name in cell.history]
    if name == "loss":
        drawn += [("--", cell.history["validation"]) for cell in cells if "validation" in cell.history]
    for line, (steps, values) in drawn:
        axes.plot(steps, values, line, color=colour, linewidth=1.2, alpha=0.75 if line == "-" else 1.0)
    values = np.concatenate([values for _, (_, values) in drawn])
    if values.min() > 0 and values.max() > 10 * values.min():
        axes.set_yscale("log")
        log_axis(axes.yaxis, float(values.min()), float(values.max()))
    axes.set_xlabel("step", fontsize=9, color=INK)
    axes.locator_params(axis="x", nbins=5)


def curves(run: Cells, task: str) -> dict[str, tuple[FloatArray, list[FloatArray]]]:
    """Steps and returns of every seed, by sampler; seeds evaluated at other steps are left out."""
    found: dict[str, tuple[FloatArray, list[FloatArray]]] = {}
    for cell in run.select(task):
        if not cell.ok or (curve := curve_of(cell.diagnostics)) is None:
            continue
        steps, members = found.setdefault(cell.sampler, (curve[0], []))
        if np.array_equal(steps, curve[0]):
            members.append(curve[1])
    return found


def learning_chart(run: Cells, task: str, look: Mapping[str, Look]) -> Figure | None:
    """Greedy return against environment steps, all samplers on one pair of axes; None without curves."""
    if not curves(run, task):
        return None
    figure = new_figure(8.6, 4.4)
    learning_panel(figure.subplots(), run, task, look)
    return figure


def learning_panel(axes: Axes, run: Cells, task: str, look: Mapping[str, Look]) -> None:
    """Interquartile mean of the greedy return over seeds with its pointwise interval, against environment steps."""
    for sampler, (steps, members) in curves(run, task).items():
        middle, low, high = band(members)
        axes.fill_between(steps, low, high, color=look[sampler].colour, alpha=0.15, linewidth=0)
        axes.plot(steps, middle, color=look[sampler].colour, linewidth=1.8, label=sampler)
    plain(axes, title=task, grid=True)
    axes.set_xlabel("environment steps", color=INK)
    axes.set_ylabel("greedy return", color=INK)
    axes.legend(fontsize=8, frameon=False)


def learning_table(run: Cells, task: str) -> Table:
    """Medians of steps to each level with intervals and censored runs, interquartile means, odds against the first."""
    found = curves(run, task)
    scored = run.scored(task)
    levels = [metric for metric in scored if metric.partition("[")[0] == STEPS_TO]
    means = {metric: head for metric, head in MEANS.items() if metric in scored}
    first = next(iter(found), "")
    base = _scores(run, task, first, AREA)
    rows = []
    for sampler, (steps, members) in found.items():
        row = [Entry(sampler, name=True), Entry(str(len(members)), value=len(members))]
        for level in levels:
            values = _scores(run, task, sampler, level)
            never = int((values >= steps[-1]).sum())
            row.append(_entry(values, lambda x: np.median(x, -1), f"; {never} never" if never else ""))
        row += [_entry(_scores(run, task, sampler, metric), interquartile_mean) for metric in means]
        areas = _scores(run, task, sampler, AREA)
        odds = sampler != first and len(areas) and len(base)
        better = probability_of_improvement(areas, base) if odds else None
        row.append(Entry("" if better is None else f"{better:.2f}", value=better))
        rows.append(row)
    heads = ["sampler", "seeds", *(f"{_words(level)}, median" for level in levels), *means.values()]
    remark = (
        "Brackets: 95 % bootstrap over seeds, too narrow below about fifteen of them. IQM: mean of the middle half of "
        "the seeds. A median of steps counts runs that never reach the level with all their steps."
    )
    return Table("", [*map(Column, heads), Column(f"P(area above {first})")], rows, remarks=[remark])


def _words(metric: str) -> str:
    """``steps to 195`` for ``steps-to[level=195.0]``."""
    level = parse_spec(metric)[0].options.get("level")
    return metric if level is None else f"steps to {level:g}"


def _scores(run: Cells, task: str, sampler: str, metric: str) -> FloatArray:
    cells = run.select(task, sampler)
    return np.array([cell.scores[metric] for cell in cells if cell.ok and metric in cell.scores])


def _entry(values: FloatArray, statistic: Callable[[FloatArray], Any], detail: str = "") -> Entry:
    """The statistic with its interval."""
    if not len(values):
        return Entry("")
    value, low, high = bootstrap(values, statistic)
    style = ",.0f" if abs(value) >= 10 else ".3g"
    return Entry(f"{value:{style}}", detail, f"[{low:{style}}, {high:{style}}]", value=value)
