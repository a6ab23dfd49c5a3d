"""Charts over samplers: the leaderboard as a picture, score against cost, and the curves of training and learning."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from phys_bench.cells import Cell, Cells, Floor, trouble
from phys_bench.statistics import FloatArray, band, bootstrap, curve_of, interquartile_mean, probability_of_improvement
from phys_bench.summary import ENERGY
from phys_bench.tables import Column, Entry, Table
from phys_registry import parse_spec

from .canvas import FLOOR, GRID, INK, TROUBLE, Look, Sweep, log_axis, logarithmic, new_figure, plain, sweeps

MANY = 15
"""From here on the rows of the leaderboard are drawn closer."""
NAMED = 12
"""Sweeps that the legend of a chart names; the others are grey."""


def leaderboard_chart(run: Cells, look: Mapping[str, Look]) -> Figure | None:
    """Primary score of every sampler on every task with 95 % intervals, the floor as a band; None without samplers."""
    order = [row.sampler for row in run.standings]
    tasks = run.tasks
    if not order or not tasks:
        return None
    columns = len(tasks) if len(tasks) <= 5 else 4
    rows = math.ceil(len(tasks) / columns)
    many = len(order) > MANY
    width = 1.3 + (0.058 if many else 0.07) * max(map(len, order)) + 2.35 * columns
    figure = new_figure(width, rows * (1.15 + (0.2 if many else 0.36) * len(order)))
    panels = figure.subplots(rows, columns, sharey=True, squeeze=False)
    for axes, task in zip(panels.ravel(), tasks, strict=False):
        leaderboard_panel(axes, run, task, order, look)
    for axes in panels.ravel()[len(tasks) :]:
        axes.set_visible(False)
    for axes in panels[:, 0]:
        axes.set_yticks(range(len(order)), order, fontsize=9 if many else 11)
    return figure


def leaderboard_panel(axes: Axes, run: Cells, task: str, order: list[str], look: Mapping[str, Look]) -> None:
    """Primary score of the samplers of ``order``, one a row, on a task."""
    metric = run.primary(task)
    plain(axes, title=task, size=10.5)
    axes.grid(True, axis="x", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(order) - 0.4, -0.6)
    axes.set_xlabel(metric or "nothing scored", fontsize=10.5, color=INK)
    values = {row: run.estimate(task, sampler, metric) for row, sampler in enumerate(order)}
    marks: dict[str, list[tuple[float, int, str]]] = {}
    for row, value in values.items():
        own = look[order[row]]
        if value is not None:
            marks.setdefault(own.marker, []).append((value.mean, row, own.colour))
            continue
        status = trouble(run.select(task, order[row])) or "no score"
        white = {"facecolor": "white", "edgecolor": "none", "pad": 1.5}
        across = axes.get_yaxis_transform()
        axes.text(0.04, row, status, transform=across, fontsize=9.5, color=TROUBLE, va="center", bbox=white)
    spans = [(row, value.low, value.high) for row, value in values.items() if value and value.count > 1]
    if spans:
        rows, lows, highs = (list(column) for column in zip(*spans, strict=True))
        paints = [look[order[int(row)]].colour for row in rows]
        axes.hlines(rows, lows, highs, colors=paints, linewidth=2.4, alpha=0.6, capstyle="round")
    size = 80 if len(order) <= MANY else 45
    for marker, points in marks.items():
        x, y, colours = zip(*points, strict=True)
        area = size * Look("", marker).scale
        axes.scatter(x, y, s=area, c=colours, marker=marker, edgecolors="white", linewidths=0.9, zorder=3)
    seen = [end for value in values.values() if value for end in (value.mean, value.low, value.high) if end == end]
    floor = run.floor(task, metric)
    if floor is not None:
        seen.append(floor.mean)
        axes.axvline(floor.mean, color=FLOOR, linewidth=1.4, linestyle=(0, (5, 3)), zorder=1)
        axes.axvspan(floor.mean - floor.std, floor.mean + floor.std, color=FLOOR, alpha=0.15, linewidth=0, zorder=0)
    means = [value.mean for value in values.values() if value] + ([floor.mean] if floor else [])
    if logarithmic(means):
        # an interval that reaches below zero is cut where the axis ends
        low, high = max(min(seen), 0.4 * min(means)), max(seen)
        room = (high / low) ** 0.08
        axes.set_xscale("log")
        axes.set_xlim(low / room, high * room)
        log_axis(axes.xaxis, low, high)
    elif seen:
        room = 0.08 * max(max(seen) - min(seen), 1e-9)
        axes.set_xlim(min(seen) - room, max(seen) + room)
        axes.locator_params(axis="x", nbins=4)
    axes.tick_params(axis="x", labelsize=9.5)


COSTS: tuple[tuple[str, Callable[[Cell], float | None]], ...] = (
    ("function evaluations per sample (NFE)", lambda cell: cell.costs.get("nfe")),
    ("energy evaluations per sample (∇E + E)", lambda cell: _sum(cell.costs, *ENERGY)),
    ("fit + sample wall time [s]", lambda cell: _sum(cell.costs, "fit_seconds", "sample_seconds")),
)
WIDTHS = {1: 6.0, 2: 10.6, 3: 13.2}
HEIGHT, LEGEND_ROW = 4.6, 0.21
"""Inches; the widths are those of as many panels."""


def _sum(costs: Mapping[str, float], *names: str) -> float | None:
    known = [costs[name] for name in names if name in costs]
    return sum(known) if known else None


def cost_chart(run: Cells, task: str, look: Mapping[str, Look]) -> Figure | None:
    """Primary score against function evaluations, those of the energy if any, and time; the floor is a line.

    One small mark per seed, a large one at their mean; the means of a sweep, samplers that differ in their number of
    sampling steps alone, are joined. The exact oracle is left out, because the floor stands for it, and so are costs of
    zero, which have no place on a logarithmic axis. Beyond `NAMED` sweeps those that rank lower are grey. None if
    nothing can be drawn.
    """
    floor = run.floor(task, run.primary(task))
    shown = [index for index in range(len(COSTS)) if cost_points(run, task, index)]
    if not shown:
        return None
    named, others = chart_sweeps(run, task)
    longest = max(len(sweep.label) for sweep in named)
    columns = max(1, min(4, round(12.3 * WIDTHS[len(shown)]) // (longest + 7)))
    rows = math.ceil((len(named) + (floor is not None) + bool(others)) / columns)
    width, height = WIDTHS[len(shown)], HEIGHT + LEGEND_ROW * rows
    figure = new_figure(width, height, layout=None)  # placed in inches: half the time of a layout engine
    panels = figure.subplots(1, len(shown), sharey=True, squeeze=False)[0]
    below = (0.75 + LEGEND_ROW * rows) / height
    figure.subplots_adjust(left=0.85 / width, right=1 - 0.15 / width, bottom=below, top=1 - 0.12 / height, wspace=0.06)
    for axes, index in zip(panels, shown, strict=True):
        cost_panel(axes, run, task, index, look)
    panels[0].set_ylabel(run.primary(task), fontsize=11, color=INK)
    fullest = max(panels, key=lambda axes: len(axes.get_legend_handles_labels()[1]))
    handles, labels = fullest.get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower left", ncols=columns, frameon=False, fontsize=9.5)
    return figure


def cost_points(run: Cells, task: str, index: int) -> dict[str, list[tuple[float, float]]]:
    """(cost, primary score) of every seed by sampler, as far as both can be drawn; ``index`` is that in `COSTS`."""
    found: dict[str, list[tuple[float, float]]] = {}
    for cell in run.select(task):
        x, y = COSTS[index][1](cell), cell.scores.get(run.primary(task), math.nan)
        if cell.ok and not run.is_oracle(cell.sampler) and math.isfinite(y) and x is not None and 0 < x < math.inf:
            found.setdefault(cell.sampler, []).append((x, y))
    return found


def chart_sweeps(run: Cells, task: str) -> tuple[list[Sweep], set[str]]:
    """The sweeps that a chart names, and the samplers of the others."""
    metric = run.primary(task)
    scored = [cell for cell in run.select(task) if cell.ok and math.isfinite(cell.scores.get(metric, math.nan))]
    families = sweeps([cell for cell in scored if not run.is_oracle(cell.sampler)])
    if len(families) > NAMED:
        first = {sampler: place for place, sampler in enumerate(run.order(task))}
        families.sort(key=lambda sweep: first[sweep.samplers[0]])
    return families[:NAMED], {sampler for sweep in families[NAMED:] for sampler in sweep.samplers}


def cost_panel(axes: Axes, run: Cells, task: str, index: int, look: Mapping[str, Look]) -> None:
    """Primary score on a task against one of `COSTS`; panels of one task have one scale of scores."""
    plain(axes, grid=True, size=11)
    axes.set_xlabel(COSTS[index][0], fontsize=11, color=INK)
    floor = run.floor(task, run.primary(task))
    _floor_line(axes, floor)
    named, others = chart_sweeps(run, task)
    points = cost_points(run, task, index)
    _seeds(axes, points, others, look)
    for sweep in named:
        _means(axes, sweep, points, look)
    axes.set_xscale("log")
    _pad_log(axes, [x for row in points.values() for x, _ in row])
    columns = [cost_points(run, task, column) for column in range(len(COSTS))]
    heights = [y for column in columns for row in column.values() for _, y in row] + ([floor.mean] if floor else [])
    if logarithmic(heights):
        axes.set_yscale("log")
        log_axis(axes.yaxis, min(heights), max(heights))


def _pad_log(axes: Axes, values: list[float]) -> None:
    low, high = min(values), max(values)
    room = max((high / low) ** 0.1, 1.25)
    axes.set_xlim(low / room, high * room)
    log_axis(axes.xaxis, low / room, high * room)


def _seeds(
    axes: Axes, points: Mapping[str, Sequence[tuple[float, float]]], others: set[str], look: Mapping[str, Look]
) -> None:
    """A small mark per seed at its (cost, score); ``others`` have a grey one at their mean and share a legend entry."""
    marks: dict[str, tuple[list[tuple[float, float]], list[str]]] = {}
    for sampler, own in points.items():
        grey = sampler in others
        kind, colour = ("others", FLOOR) if grey else (look[sampler].marker, look[sampler].colour)
        at, colours = marks.setdefault(kind, ([], []))
        shown = [middle(own)] if grey else own
        at += shown
        colours += [colour] * len(shown)
    for kind, (at, colours) in marks.items():
        grey = kind == "others"
        style: dict[str, Any] = {"marker": "o", "label": kind} if grey else {"marker": kind}
        x, y = np.array(at).T
        axes.scatter(x, y, s=18, c=colours, alpha=0.3 if grey else 0.4, linewidths=0, zorder=3, **style)


def _means(
    axes: Axes, sweep: Sweep, points: Mapping[str, Sequence[tuple[float, float]]], look: Mapping[str, Look]
) -> None:
    """A large mark at the mean (cost, score) of every sampler of a sweep, joined by a line."""
    mine = look[sweep.samplers[0]]
    centres = [middle(points[sampler]) for sampler in sweep.samplers if sampler in points]
    if not centres:
        return
    style: dict[str, Any] = {"color": mine.colour, "marker": mine.marker, "markeredgecolor": "white"}
    style |= {"markersize": 9.5} if len(centres) == 1 else {"markersize": 7.5, "linewidth": 1.6}
    x, y = np.array(sorted(centres)).T
    axes.plot(x, y, label=sweep.label, linestyle="-" if len(centres) > 1 else "none", zorder=4, **style)


def middle(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Geometric mean of the costs and mean of the scores."""
    x, y = np.array(points).T
    return float(np.exp(np.log(x).mean())), float(y.mean())


def _floor_line(axes: Axes, floor: Floor | None) -> None:
    if floor is None:
        return
    axes.axhline(floor.mean, color=FLOOR, linewidth=1.4, linestyle=(0, (5, 3)), label="floor ± sd", zorder=1)
    if floor.std > 0:
        axes.axhspan(floor.mean - floor.std, floor.mean + floor.std, color=FLOOR, alpha=0.15, linewidth=0, zorder=0)


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
