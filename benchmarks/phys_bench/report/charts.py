"""Charts over samplers: training curves, and the leaderboard as a picture."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from .canvas import FLOOR, GRID, INK, TROUBLE, Look, log_axis, new_figure, plain
from .standing import floor_of, score_estimate, standings
from .view import Cell, Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes


MANY = 15
"""From here on the rows of the leaderboard are drawn closer."""


def training_chart(run: Run, task: str, look: Mapping[str, Look]) -> Figure | None:
    """Training curves, one panel per (sampler, loss), one line per seed, the validation loss dashed beside ``loss``.

    Losses of different samplers measure different things, so they never share an axis; equal curves, those of a shared
    fit, are drawn once. None without histories.
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
    alike: dict[tuple[object, ...], list[tuple[str, str]]] = {}
    for (sampler, name), cells in panels_of.items():
        alike.setdefault((name, *(_curves(cell, name) for cell in cells)), []).append((sampler, name))
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


def leaderboard_chart(run: Run, look: Mapping[str, Look]) -> Figure | None:
    """Primary score of every sampler on every task with 95 % intervals, the floor as a band; None without samplers."""
    order = [row.sampler for row in standings(run)]
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
        _leaderboard_panel(axes, run, task, order, look)
    for axes in panels.ravel()[len(tasks) :]:
        axes.set_visible(False)
    for axes in panels[:, 0]:
        axes.set_yticks(range(len(order)), order, fontsize=9 if many else 11)
    return figure


def _leaderboard_panel(axes: Axes, run: Run, task: str, order: list[str], look: Mapping[str, Look]) -> None:
    metric = run.primary(task)
    plain(axes, title=task, size=10.5)
    axes.grid(True, axis="x", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(axis="y", length=0)
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
        size = (80 if len(order) <= MANY else 45) * look[sampler].scale
        axes.scatter(value.mean, row, s=size, color=paint, marker=marker, edgecolors="white", linewidths=0.9, zorder=3)
    if floor is not None:
        seen.append(floor.mean)
        axes.axvline(floor.mean, color=FLOOR, linewidth=1.4, linestyle=(0, (5, 3)), zorder=1)
        axes.axvspan(floor.mean - floor.std, floor.mean + floor.std, color=FLOOR, alpha=0.15, linewidth=0, zorder=0)
    if seen and min(seen) > 0 and max(seen) > 4 * min(seen):
        axes.set_xscale("log")
        room = (max(seen) / min(seen)) ** 0.08
        axes.set_xlim(min(seen) / room, max(seen) * room)
        log_axis(axes.xaxis, min(seen), max(seen))
    elif seen:
        room = 0.08 * max(max(seen) - min(seen), 1e-9)
        axes.set_xlim(min(seen) - room, max(seen) + room)
        axes.locator_params(axis="x", nbins=4)
    axes.tick_params(axis="x", labelsize=9.5)
