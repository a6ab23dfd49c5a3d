"""Charts over samplers: score against cost, training curves, and the leaderboard as a picture."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from .canvas import FLOOR, GRID, INK, TROUBLE, Look, new_figure, plain
from .standing import floor_of, score_estimate, standings
from .view import Cell, Floor, Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis

COSTS: tuple[tuple[str, Callable[[Cell], float | None]], ...] = (
    ("function evaluations per sample (NFE)", lambda cell: cell.costs.get("nfe")),
    ("fit + sample wall time [s]", lambda cell: _sum(cell.costs, "fit_seconds", "sample_seconds")),
)


def _sum(costs: Mapping[str, float], *names: str) -> float | None:
    known = [costs[name] for name in names if name in costs]
    return sum(known) if known else None


def compact(value: float, _position: object = None) -> str:
    """A tick label without powers of ten where plain digits are short."""
    if value == 0 or 1e-3 <= abs(value) < 1e4:
        return f"{value:g}"
    exponent = math.floor(math.log10(abs(value)))
    factor = value / 10**exponent
    return f"$10^{{{exponent}}}$" if math.isclose(factor, 1) else f"${factor:.2g}\\cdot10^{{{exponent}}}$"


def _log_axis(axis: Axis, low: float, high: float) -> None:
    """Ticks that leave at least two labels on a narrow logarithmic axis and few on a wide one."""
    decades = math.log10(high / low) if 0 < low < high else 0.0
    subs = (1.0,) if decades > 2.5 else (1.0, 3.0) if decades > 1.3 else (1.0, 2.0, 5.0)
    axis.set_major_locator(LogLocator(subs=subs, numticks=12))
    axis.set_major_formatter(FuncFormatter(compact))
    axis.set_minor_locator(NullLocator())


def cost_chart(run: Run, task: str, look: Mapping[str, Look]) -> Figure | None:
    """Primary score against function evaluations and against time, one point per seed, the floor as a line.

    The exact oracle is left out, because the floor stands for it, and so are costs of zero, which have no place on a
    logarithmic axis. None if nothing can be drawn.
    """
    metric = run.primary(task)
    scored = [cell for cell in run.select(task) if cell.ok and math.isfinite(cell.scores.get(metric, math.nan))]
    cells = [cell for cell in scored if not run.is_oracle(cell.sampler)]
    floor = floor_of(cells, metric)
    points = [[(c, x) for c in cells if (x := cost(c)) is not None and x > 0 and math.isfinite(x)] for _, cost in COSTS]
    if not any(points):
        return None
    figure = new_figure(9.6, 3.9)
    panels = figure.subplots(1, 2, sharey=True)
    heights = [c.scores[metric] for column in points for c, _ in column] + ([floor.mean] if floor else [])
    logarithmic = min(heights) > 0
    for axes, column, (name, _) in zip(panels, points, COSTS, strict=True):
        plain(axes, grid=True, size=11)
        axes.set_xlabel(name, fontsize=11, color=INK)
        _floor_line(axes, floor)
        for sampler in dict.fromkeys(c.sampler for c, _ in column):
            mine = [(x, c.scores[metric]) for c, x in column if c.sampler == sampler]
            _points(axes, mine, look[sampler], sampler)
        if column:
            axes.set_xscale("log")
            _pad_log(axes, [x for _, x in column])
        if logarithmic:
            axes.set_yscale("log")
            _log_axis(axes.yaxis, min(heights), max(heights))
    panels[0].set_ylabel(metric, fontsize=11, color=INK)
    fullest = max(panels, key=lambda axes: len(axes.get_legend_handles_labels()[1]))
    handles, labels = fullest.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right upper", frameon=False, fontsize=10)
    return figure


def _pad_log(axes: Axes, values: list[float]) -> None:
    low, high = min(values), max(values)
    room = max((high / low) ** 0.1, 1.25)
    axes.set_xlim(low / room, high * room)
    _log_axis(axes.xaxis, low / room, high * room)


def _points(axes: Axes, mine: list[tuple[float, float]], look: Look, label: str) -> None:
    x, y = np.array(mine).T
    axes.scatter(x, y, s=22, color=look.colour, marker=look.marker, alpha=0.45, linewidths=0, zorder=3)
    centre = np.exp(np.log(x).mean())
    style: dict[str, Any] = {"color": look.colour, "marker": look.marker, "edgecolors": "white", "linewidths": 1.0}
    axes.scatter(centre, y.mean(), s=95, zorder=4, label=label, **style)


def _floor_line(axes: Axes, floor: Floor | None) -> None:
    if floor is None:
        return
    axes.axhline(floor.mean, color=FLOOR, linewidth=1.4, linestyle=(0, (5, 3)), label="floor ± sd", zorder=1)
    if floor.std > 0:
        axes.axhspan(floor.mean - floor.std, floor.mean + floor.std, color=FLOOR, alpha=0.15, linewidth=0, zorder=0)


def training_chart(run: Run, task: str, look: Mapping[str, Look]) -> Figure | None:
    """Training curves, one panel per (sampler, loss), one line per seed, the validation loss dashed beside ``loss``.

    Losses of different samplers measure different things, so they never share an axis. None without histories.
    """
    panels_of: dict[tuple[str, str], list[Cell]] = {}
    for cell in run.select(task):
        for name in cell.history:
            key = "loss" if name == "validation" and "loss" in cell.history else name
            cells = panels_of.setdefault((cell.sampler, key), [])
            if cell not in cells:
                cells.append(cell)
    if not panels_of:
        return None
    columns = min(3, len(panels_of))
    rows = math.ceil(len(panels_of) / columns)
    figure = new_figure(3.9 * columns, 2.7 * rows)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, ((sampler, name), cells) in zip(panels, panels_of.items(), strict=False):
        _training_panel(axes, cells, name, look[sampler].colour)
        plain(axes, title=f"{sampler}: {name}", grid=True)
    for axes in panels[len(panels_of) :]:
        axes.set_visible(False)
    return figure


def _training_panel(axes: Axes, cells: list[Cell], name: str, colour: str) -> None:
    drawn = [("-", cell.history[name]) for cell in cells if name in cell.history]
    if name == "loss":
        drawn += [("--", cell.history["validation"]) for cell in cells if "validation" in cell.history]
    for line, (steps, values) in drawn:
        axes.plot(steps, values, line, color=colour, linewidth=1.2, alpha=0.75 if line == "-" else 1.0)
    values = np.concatenate([values for _, (_, values) in drawn])
    if values.min() > 0 and values.max() > 10 * values.min():
        axes.set_yscale("log")
        _log_axis(axes.yaxis, float(values.min()), float(values.max()))
    axes.set_xlabel("step", fontsize=9, color=INK)
    axes.locator_params(axis="x", nbins=5)


def leaderboard_chart(run: Run, look: Mapping[str, Look]) -> Figure | None:
    """Primary score of every sampler on every task with 95 % intervals, the floor as a band; None without samplers."""
    order = [row.sampler for row in standings(run)]
    tasks = run.tasks
    if not order or not tasks:
        return None
    columns = len(tasks) if len(tasks) <= 5 else 4
    rows = math.ceil(len(tasks) / columns)
    width = 1.3 + 0.07 * max(map(len, order)) + 2.35 * columns
    figure = new_figure(width, rows * (1.15 + 0.36 * len(order)))
    panels = figure.subplots(rows, columns, sharey=True, squeeze=False)
    for axes, task in zip(panels.ravel(), tasks, strict=False):
        _leaderboard_panel(axes, run, task, order, look)
    for axes in panels.ravel()[len(tasks) :]:
        axes.set_visible(False)
    for axes in panels[:, 0]:
        axes.set_yticks(range(len(order)), order, fontsize=11)
    return figure


def _leaderboard_panel(axes: Axes, run: Run, task: str, order: list[str], look: Mapping[str, Look]) -> None:
    metric = run.primary(task)
    plain(axes, title=task, size=10.5)
    axes.grid(True, axis="x", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(axis="y", length=0, labelsize=11)
    axes.set_ylim(len(order) - 0.4, -0.6)
    axes.set_xlabel(metric or "nothing scored", fontsize=10.5, color=INK)
    floor = floor_of(run.select(task), metric)
    seen: list[float] = []
    for row, sampler in enumerate(order):
        cells = run.select(task, sampler)
        value = score_estimate([c for c in cells if c.ok], metric)
        if value is None:
            status = ", ".join(dict.fromkeys(c.status for c in cells if not c.ok)) or "not run"
            across = axes.get_yaxis_transform()
            white = {"facecolor": "white", "edgecolor": "none", "pad": 1.5}
            axes.text(0.04, row, status, transform=across, fontsize=9.5, color=TROUBLE, va="center", bbox=white)
            continue
        seen += [value.low, value.high]
        paint, marker = look[sampler].colour, look[sampler].marker
        ends = [value.low, value.high]
        axes.plot(ends, [row, row], color=paint, linewidth=2.4, alpha=0.6, solid_capstyle="round")
        size = 80 * look[sampler].scale
        axes.scatter(value.mean, row, s=size, color=paint, marker=marker, edgecolors="white", linewidths=0.9, zorder=3)
    if floor is not None:
        seen.append(floor.mean)
        axes.axvline(floor.mean, color=FLOOR, linewidth=1.4, linestyle=(0, (5, 3)), zorder=1)
        axes.axvspan(floor.mean - floor.std, floor.mean + floor.std, color=FLOOR, alpha=0.15, linewidth=0, zorder=0)
    if seen and min(seen) > 0 and max(seen) > 4 * min(seen):
        axes.set_xscale("log")
        room = (max(seen) / min(seen)) ** 0.08
        axes.set_xlim(min(seen) / room, max(seen) * room)
        _log_axis(axes.xaxis, min(seen), max(seen))
    elif seen:
        room = 0.08 * max(max(seen) - min(seen), 1e-9)
        axes.set_xlim(min(seen) - room, max(seen) + room)
        axes.locator_params(axis="x", nbins=4)
    axes.tick_params(axis="x", labelsize=9.5)
