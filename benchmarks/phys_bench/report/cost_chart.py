"""Score against cost: function evaluations, those of the energy, and time; a line through the members of a sweep."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure

from phys_bench.results import ENERGY

from .canvas import FLOOR, INK, Look, log_axis, new_figure, plain
from .standing import floor_of
from .sweeps import Sweep, sweeps
from .view import Cell, Floor, Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes

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


def cost_chart(run: Run, task: str, look: Mapping[str, Look]) -> Figure | None:
    """Primary score against function evaluations, those of the energy if any, and time; the floor is a line.

    One small mark per seed, a large one at their mean; the means of a sweep, samplers that differ in their number of
    sampling steps alone, are joined. The exact oracle is left out, because the floor stands for it, and so are costs of
    zero, which have no place on a logarithmic axis. None if nothing can be drawn.
    """
    metric = run.primary(task)
    scored = [cell for cell in run.select(task) if cell.ok and math.isfinite(cell.scores.get(metric, math.nan))]
    cells = [cell for cell in scored if not run.is_oracle(cell.sampler)]
    floor = floor_of(cells, metric)
    points = [[(c, x) for c in cells if (x := cost(c)) is not None and x > 0 and math.isfinite(x)] for _, cost in COSTS]
    shown = [index for index, column in enumerate(points) if column]
    if not shown:
        return None
    families = sweeps(cells)
    longest = max(len(sweep.label) for sweep in families)
    columns = max(1, min(4, round(12.3 * WIDTHS[len(shown)]) // (longest + 7)))
    rows = math.ceil((len(families) + (floor is not None)) / columns)
    figure = new_figure(WIDTHS[len(shown)], HEIGHT + LEGEND_ROW * rows)
    panels = figure.subplots(1, len(shown), sharey=True, squeeze=False)[0]
    heights = [c.scores[metric] for column in points for c, _ in column] + ([floor.mean] if floor else [])
    for axes, index in zip(panels, shown, strict=True):
        column, (name, _) = points[index], COSTS[index]
        plain(axes, grid=True, size=11)
        axes.set_xlabel(name, fontsize=11, color=INK)
        _floor_line(axes, floor)
        for sweep in families:
            _sweep(axes, sweep, [(c.sampler, x, c.scores[metric]) for c, x in column], look)
        axes.set_xscale("log")
        _pad_log(axes, [x for _, x in column])
        if min(heights) > 0 and max(heights) > 4 * min(heights):
            axes.set_yscale("log")
            log_axis(axes.yaxis, min(heights), max(heights))
    panels[0].set_ylabel(metric, fontsize=11, color=INK)
    fullest = max(panels, key=lambda axes: len(axes.get_legend_handles_labels()[1]))
    handles, labels = fullest.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower left", ncols=columns, frameon=False, fontsize=9.5)
    return figure


def _pad_log(axes: Axes, values: list[float]) -> None:
    low, high = min(values), max(values)
    room = max((high / low) ** 0.1, 1.25)
    axes.set_xlim(low / room, high * room)
    log_axis(axes.xaxis, low / room, high * room)


def _sweep(axes: Axes, sweep: Sweep, points: list[tuple[str, float, float]], look: Mapping[str, Look]) -> None:
    """The (sampler, cost, score) points that belong to a sweep."""
    centres = []
    mine = look[sweep.samplers[0]]
    for sampler in sweep.samplers:
        own = np.array([(x, y) for name, x, y in points if name == sampler])
        if len(own):
            x, y = own.T
            axes.scatter(x, y, s=18, color=mine.colour, marker=mine.marker, alpha=0.4, linewidths=0, zorder=3)
            centres.append((float(np.exp(np.log(x).mean())), float(y.mean())))
    if not centres:
        return
    style: dict[str, Any] = {"color": mine.colour, "marker": mine.marker, "markeredgecolor": "white"}
    style |= {"markersize": 9.5} if len(centres) == 1 else {"markersize": 7.5, "linewidth": 1.6}
    x, y = np.array(sorted(centres)).T
    axes.plot(x, y, label=sweep.label, linestyle="-" if len(centres) > 1 else "none", zorder=4, **style)


def _floor_line(axes: Axes, floor: Floor | None) -> None:
    if floor is None:
        return
    axes.axhline(floor.mean, color=FLOOR, linewidth=1.4, linestyle=(0, (5, 3)), label="floor ± sd", zorder=1)
    if floor.std > 0:
        axes.axhspan(floor.mean - floor.std, floor.mean + floor.std, color=FLOOR, alpha=0.15, linewidth=0, zorder=0)
