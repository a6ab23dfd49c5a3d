"""The part of the page about one task: scores, costs, charts, and a picture per sampler."""

from __future__ import annotations

from collections.abc import Mapping

from .canvas import Look
from .charts import training_chart
from .cost_chart import cost_chart
from .image_panels import image_picture, is_image
from .learning_panels import learning_chart, learning_table
from .markup import anchor, details, escape, floor_text, label, number, picture, table
from .overview import score_cell, swatch
from .reading import read_arrays
from .sample_panels import Picture, frame, sample_picture
from .standing import floor_of, standings
from .sweeps import STEPS, sweeps
from .tables import cost_columns, cost_notes, cost_row, diagnostics, score
from .view import Cell, FloatArray, Run

_ARROWS = {"high": "↑ higher is better", "zero": "→ 0 is exact", "half": "→ ½ is exact", "one": "→ 1 is exact"}


_COST_CAPTION = (
    "Large marks: mean over seeds; small marks: single seeds; dashed: floor. "
    "A line joins samplers that differ in their number of sampling steps alone."
)


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
    if (chart := learning_chart(run, task, look)) is not None:
        alt = f"Greedy return on {task} against environment steps, a line and a band per sampler."
        caption = "Interquartile mean over seeds; bands: 95 % bootstrap at each evaluation."
        body += "<h3>Learning</h3>" + picture(chart, alt, caption) + learning_table(run, task, look)
    else:  # the samples of agents are returns of episodes, with nothing to hold them against
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
    notes = "".join(f"<p><small>{escape(note)}</small></p>" for note in cost_notes(run, task))
    return table(["sampler", *map(escape, cost_columns(run, task).values())], rows, classes="costs") + notes


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
    against = ", ".join(axes.get_xlabel() for axes in chart.axes)
    alt = f"{metric} on {task} against {against}; dashed line: the floor."
    return picture(chart, alt, _COST_CAPTION)


def _pictures(run: Run, task: str, look: Mapping[str, Look]) -> str:
    body = ""
    finished = [cell for cell in run.select(task) if cell.ok]
    between = {sampler for sweep in sweeps(finished) for sampler in sweep.samplers[1:-1]}
    first = {cell.sampler: cell for cell in reversed(finished)}
    shown = [first[sampler] for sampler in _order(run, task) if sampler in first and sampler not in between]
    loaded = [(cell, read_arrays(cell)) for cell in shown]
    box = _shared_frame([arrays for _, arrays in loaded if not isinstance(arrays, str)])
    for cell, arrays in loaded:
        sampler = cell.sampler
        if isinstance(arrays, str):
            body += f'<p class="notice"><b>{escape(sampler)}</b>: no picture, {escape(arrays)}.</p>'
            continue
        try:
            drawn = _draw(cell, arrays, look[sampler], box)
        except (ValueError, IndexError, ArithmeticError) as error:  # odd arrays cost their own picture only
            body += f'<p class="notice"><b>{escape(sampler)}</b>: the picture could not be drawn: {escape(error)}</p>'
            continue
        caption = (
            f"{swatch(look[sampler])}<b>{escape(sampler)}</b>, seed {cell.seed}{_caption_score(run, task, sampler)}"
        )
        body += picture(drawn.figure, drawn.alt, caption)
    if not body:
        return "<p>No cell finished, so there is nothing to show.</p>"
    note = f"<p><small>Of samplers that differ in {STEPS} alone, those with the fewest and most are shown.</small></p>"
    return (note if between else "") + f'<div class="gallery">{body}</div>'


def _draw(cell: Cell, arrays: dict[str, FloatArray], look: Look, box: FloatArray | None) -> Picture:
    if is_image(cell.event_shape):
        return image_picture(arrays, shape=cell.event_shape, task=cell.task, sampler=cell.sampler)
    return sample_picture(arrays, task=cell.task, sampler=cell.sampler, colour=look.colour, box=box)


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
