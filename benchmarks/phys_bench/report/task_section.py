"""The part of the page about one task: scores, costs, charts, and a picture per sampler."""

from __future__ import annotations

from collections.abc import Mapping

from .canvas import Look
from .charts import cost_chart, training_chart
from .markup import anchor, details, escape, floor_text, label, number, picture, table
from .overview import score_cell, swatch
from .reading import read_arrays
from .sample_panels import frame, sample_picture
from .standing import floor_of, standings
from .tables import COST_COLUMNS, cost_row, diagnostics, score
from .view import FloatArray, Run

_ARROWS = {"high": "↑ higher is better", "zero": "→ 0 is exact", "half": "→ ½ is exact", "one": "→ 1 is exact"}


def task_section(run: Run, task: str, look: Mapping[str, Look]) -> str:
    """Everything the run says about ``task``."""
    metrics = run.metrics(task)
    body = f"<h2>{escape(task)}</h2>"
    if metrics:
        seeds = len({cell.seed for cell in run.select(task)})
        body += f"<p>Ranked by <b>{escape(metrics[0])}</b>; {seeds} seed{'s' if seeds != 1 else ''}.</p>"
        body += _scores(run, task, metrics, look)
    else:
        body += '<p class="notice">No cell of this task has a score: <a href="#trouble">the reasons</a>.</p>'
    body += "<h3>Costs</h3>" + _costs(run, task, look) + _cost_chart(run, task, look)
    body += "<h3>Samples and fields</h3>" + _pictures(run, task, look)
    if (curves := training_chart(run, task, look)) is not None:
        drawn = picture(
            curves, f"Training curves on {task}, one line per seed.", "One line per seed; dashed: validation.", 100
        )
        body += details("<h3>Training curves</h3>", drawn)
    body += _diagnostics(run, task, look)
    return f'<section id="task-{anchor(task)}">{body}</section>'


def _order(run: Run, task: str) -> list[str]:
    present = {cell.sampler for cell in run.select(task)}
    return [row.sampler for row in standings(run) if row.sampler in present]


def _scores(run: Run, task: str, metrics: list[str], look: Mapping[str, Look]) -> str:
    head = ["sampler"]
    for metric in metrics:
        way = _ARROWS.get(run.best(metric), "↓ lower is better")
        head.append(f'{escape(metric)}<span class="sub">{way}</span>')
    finished = [cell for cell in run.select(task) if cell.ok]
    floors = [floor_of(finished, metric) for metric in metrics]
    rows = []
    for sampler in _order(run, task):
        cells = [score_cell(run, task, sampler, m, with_trouble=m == metrics[0]) for m in metrics]
        rows.append([f"{swatch(look[sampler])}{label(sampler)}", *cells])
    rows.insert(0, ["floor <small>exact vs exact</small>", *(escape(floor_text(floor)) for floor in floors)])
    sources = list(dict.fromkeys(floor.source for floor in floors if floor and floor.source))
    note = f"<p><small>Floor: {escape('; '.join(sources))}.</small></p>" if sources else ""
    return table(head, rows, classes="scores") + note


def _costs(run: Run, task: str, look: Mapping[str, Look]) -> str:
    rows = [[f"{swatch(look[s])}{label(s)}", *map(escape, cost_row(run, task, s))] for s in _order(run, task)]
    shared = any(cell.costs.get("stacked_seeds", 1) > 1 for cell in run.select(task))
    note = "<p><small>Seeds that trained together as one stacked network share its time equally.</small></p>"
    return table(["sampler", *map(escape, COST_COLUMNS.values())], rows, classes="costs") + (note if shared else "")


def _diagnostics(run: Run, task: str, look: Mapping[str, Look]) -> str:
    """What samplers say of their own runs, folded."""
    rows = []
    for sampler in _order(run, task):
        if found := diagnostics(run, task, sampler):
            words = " · ".join(f"{escape(name)} {number(value)}" for name, value in found.items())
            rows.append([f"{swatch(look[sampler])}{label(sampler)}", words])
    return details("<h3>Diagnostics</h3>", table(["sampler", "mean over seeds"], rows, classes="wrap")) if rows else ""


def _cost_chart(run: Run, task: str, look: Mapping[str, Look]) -> str:
    chart = cost_chart(run, task, look)
    if chart is None:
        return ""
    metric = run.primary(task)
    alt = f"{metric} on {task} against function evaluations per sample and against wall time; dashed line: the floor."
    return picture(chart, alt, "Large marks: mean over seeds; small marks: single seeds; dashed: floor.")


def _pictures(run: Run, task: str, look: Mapping[str, Look]) -> str:
    body = ""
    shown = [next((c for c in run.select(task, sampler) if c.ok), None) for sampler in _order(run, task)]
    loaded = [(cell, read_arrays(cell)) for cell in shown if cell is not None]
    box = _shared_frame([arrays for _, arrays in loaded if not isinstance(arrays, str)])
    for cell, arrays in loaded:
        sampler = cell.sampler
        if isinstance(arrays, str):
            body += f'<p class="notice"><b>{escape(sampler)}</b>: no picture, {escape(arrays)}.</p>'
            continue
        try:
            drawn = sample_picture(arrays, task=task, sampler=sampler, colour=look[sampler].colour, box=box)
        except (ValueError, IndexError, ArithmeticError) as error:  # odd arrays cost their own picture only
            body += f'<p class="notice"><b>{escape(sampler)}</b>: the picture could not be drawn: {escape(error)}</p>'
            continue
        caption = (
            f"{swatch(look[sampler])}<b>{escape(sampler)}</b>, seed {cell.seed}{_caption_score(run, task, sampler)}"
        )
        body += picture(drawn.figure, drawn.alt, caption)
    return f'<div class="gallery">{body}</div>' if body else "<p>No cell finished, so there is nothing to show.</p>"


def _shared_frame(loaded: list[dict[str, FloatArray]]) -> FloatArray | None:
    """The frame of all pictures of a task, so that they can be compared by eye."""
    if not loaded:
        return None
    grid = next((arrays["grid"] for arrays in loaded if "grid" in arrays), None)
    return frame(loaded[0]["reference"], grid)


def _caption_score(run: Run, task: str, sampler: str) -> str:
    metric = run.primary(task)
    found = score(run, task, sampler, metric)
    if found.estimate is None:
        return ""
    apart = f" ({found.distance.text} floor)" if found.distance and found.distance.text.endswith("×") else ""
    return escape(f"; {metric} over all seeds {number(found.estimate.mean)}{apart}")
