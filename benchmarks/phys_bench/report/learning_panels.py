"""Learning curves of agents: interquartile means over seeds with bands, and what they come to."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from matplotlib.figure import Figure

from phys_bench.learning import (
    FloatArray,
    band,
    bootstrap,
    curve_of,
    interquartile_mean,
    probability_of_improvement,
)
from phys_registry import parse_spec

from .canvas import INK, Look, new_figure, plain
from .markup import escape, label, table
from .overview import swatch
from .view import Run

STEPS_TO, AREA = "steps-to", "return-auc"
MEANS = {AREA: "area, IQM", "late-return": "last fifth, IQM"}
"""Metrics whose interquartile means are given, and their heads."""


def curves(run: Run, task: str) -> dict[str, tuple[FloatArray, list[FloatArray]]]:
    """Steps and returns of every seed, by sampler; seeds evaluated at other steps are left out."""
    found: dict[str, tuple[FloatArray, list[FloatArray]]] = {}
    for cell in run.select(task):
        if not cell.ok or (curve := curve_of(cell.diagnostics)) is None:
            continue
        steps, members = found.setdefault(cell.sampler, (curve[0], []))
        if np.array_equal(steps, curve[0]):
            members.append(curve[1])
    return found


def learning_chart(run: Run, task: str, look: Mapping[str, Look]) -> Figure | None:
    """Greedy return against environment steps, all samplers on one pair of axes; None without curves."""
    found = curves(run, task)
    if not found:
        return None
    figure = new_figure(8.6, 4.4)
    axes = figure.subplots()
    for sampler, (steps, members) in found.items():
        middle, low, high = band(members)
        axes.fill_between(steps, low, high, color=look[sampler].colour, alpha=0.15, linewidth=0)
        axes.plot(steps, middle, color=look[sampler].colour, linewidth=1.8, label=sampler)
    plain(axes, title=task, grid=True)
    axes.set_xlabel("environment steps", color=INK)
    axes.set_ylabel("greedy return", color=INK)
    axes.legend(fontsize=8, frameon=False)
    return figure


def learning_table(run: Run, task: str, look: Mapping[str, Look]) -> str:
    """Medians of steps to each level with intervals and censored runs, interquartile means, odds against the first."""
    found = curves(run, task)
    if not found:
        return ""
    scored = run.metrics(task)
    levels = [metric for metric in scored if metric.partition("[")[0] == STEPS_TO]
    means = {metric: head for metric, head in MEANS.items() if metric in scored}
    first = next(iter(found))
    base = _scores(run, task, first, AREA)
    rows = []
    for sampler, (steps, members) in found.items():
        row = [f"{swatch(look[sampler])}{label(sampler)}", str(len(members))]
        for level in levels:
            values = _scores(run, task, sampler, level)
            never = int((values >= steps[-1]).sum())
            median = _text(values, lambda x: np.median(x, -1))
            row.append(median + (f"<small>; {never} never</small>" if never else ""))
        row += [_text(_scores(run, task, sampler, metric), interquartile_mean) for metric in means]
        areas = _scores(run, task, sampler, AREA)
        odds = sampler != first and len(areas) and len(base)
        row.append(f"{probability_of_improvement(areas, base):.2f}" if odds else "")
        rows.append(row)
    heads = [
        "sampler",
        "seeds",
        *(f"{escape(_words(level))}, median" for level in levels),
        *means.values(),
        f"P(area above {escape(first)})",
    ]
    note = (
        "<p><small>Brackets: 95 % bootstrap over seeds. IQM: mean of the middle half of the seeds. A median of steps "
        "counts runs that never reach the level with all their steps.</small></p>"
    )
    return table(heads, rows, classes="costs") + note


def _words(metric: str) -> str:
    """``steps to 195`` for ``steps-to[level=195.0]``."""
    level = parse_spec(metric)[0].options.get("level")
    return metric if level is None else f"steps to {level:g}"


def _scores(run: Run, task: str, sampler: str, metric: str) -> FloatArray:
    cells = run.select(task, sampler)
    return np.array([cell.scores[metric] for cell in cells if cell.ok and metric in cell.scores])


def _text(values: FloatArray, statistic: Callable[[FloatArray], FloatArray]) -> str:
    """The statistic with its interval."""
    if not len(values):
        return ""
    interval = bootstrap(values, statistic)
    style = ",.0f" if abs(interval.value) >= 10 else ".3g"
    return f"{interval.value:{style}}<br><small>[{interval.low:{style}}, {interval.high:{style}}]</small>"
