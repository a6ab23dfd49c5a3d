"""The parts of the page that cover all tasks: explanation, leaderboard, cells without a score, recipes, citations."""

from __future__ import annotations

import json
from collections.abc import Mapping

from .canvas import Look
from .charts import leaderboard_chart
from .citations import citations
from .markup import anchor, bar, details, escape, floor_text, interval, label, picture, preformatted, table
from .standing import Standing, floor_of, standings
from .tables import mean_rank, metric_errors, reason, score, troubled
from .view import Cell, Run

_PARAGRAPHS = (
    "<b>Score.</b> A comparison between generated and held-out exact samples, averaged over seeds. All samplers of a "
    "task share the seeds, the training rows and the held-out rows.",
    "<b>Floor.</b> What exact samples score against other exact samples at the same sizes (mean ± standard deviation "
    "over repeats). Nobody can be expected to do better: at the floor, this metric at this sample size cannot tell the "
    "sampler from the truth. <b>1.4×</b> reads “1.4 times the floor”; where the floor is not a positive scale "
    "(unbiased MMD², log-densities), <b>+3.2σ</b> counts standard deviations of the floor.",
    "<b>[low, high]</b> is the 95 % bootstrap interval of the mean over seeds. With three seeds it shows little more "
    "than the spread of the three: where intervals overlap, the order may be luck.",
    "<b>Mean rank.</b> Within every task and seed the samplers are ranked by the task’s primary metric, and the ranks "
    "are averaged. A cell that failed, diverged or timed out takes the last rank; an incompatible one takes none. The "
    "exact oracle is a yardstick and takes no rank.",
    "<b>Equal budgets.</b> Compare scores at equal cost: each task lists the costs, and plots the score against "
    "function evaluations (NFE) and against time. Samplers that are given the density solve another problem "
    "than those that see samples only.",
)
_KEY = (
    ("floor", 0.06, "at the floor (within 2σ)"),
    ("near", 0.2, "up to 2×"),
    ("off", 0.6, "up to 8×"),
    ("far", 1.0, "beyond"),
)


def explanation() -> str:
    """How to read the page, in plain words, with the key of the coloured bars."""
    key = "".join(
        f'<span class="key gap {tone}"><span class="bar" aria-hidden="true">'
        f'<i style="width:{100 * level:.0f}%"></i></span>{words}</span>'
        for tone, level, words in _KEY
    )
    text = "".join(f"<p>{paragraph}</p>" for paragraph in _PARAGRAPHS) + f'<div class="keys">{key}</div>'
    fold = details("<h2>How to read this page</h2>", f'<div class="columns">{text}</div>', open_=True)
    return f'<section id="how">{fold}</section>'


def swatch(look: Look) -> str:
    """A square in the colour of a sampler."""
    return f'<span class="swatch" style="background:{look.colour}" aria-hidden="true"></span>'


def leaderboard(run: Run, look: Mapping[str, Look]) -> str:
    """Samplers by mean rank, with the primary score on every task."""
    head = ["sampler", "mean rank"]
    head += [
        f'<a href="#task-{anchor(t)}">{escape(t)}</a><span class="sub">{escape(run.primary(t) or "–")}</span>'
        for t in run.tasks
    ]
    rows = []
    for standing in standings(run):
        name = standing.sampler
        cells = [f"{swatch(look[name])}{label(name)}"]
        cells.append(f'{escape(mean_rank(standing))}<span class="sub">{_place(run, standing)}</span>')
        cells += [score_cell(run, task, name, run.primary(task)) for task in run.tasks]
        rows.append(cells)
    if rows:
        floors = (floor_of([c for c in run.select(task) if c.ok], run.primary(task)) for task in run.tasks)
        rows.insert(0, ["floor <small>exact vs exact</small>", "", *(escape(floor_text(floor)) for floor in floors)])
    body = table(head, rows) if rows else "<p>The run has no cells yet.</p>"
    chart = leaderboard_chart(run, look)
    if chart is not None:
        alt = f"Primary score of {len(run.samplers)} samplers on {len(run.tasks)} tasks, as in the table above."
        caption = (
            "Mean over seeds with 95 % interval; the dashed line is the floor, the band one standard deviation of it."
        )
        body += picture(chart, alt, caption)
    return f'<section id="leaderboard"><h2>Leaderboard</h2>{body}</section>'


def _place(run: Run, standing: Standing) -> str:
    if run.is_oracle(standing.sampler):
        return "oracle"
    some = f" ({standing.tasks} of {len(run.tasks)} tasks)" if standing.tasks < len(run.tasks) else ""
    return (f"place {standing.place}" if standing.place else "no rank") + some


def score_cell(run: Run, task: str, sampler: str, metric: str, *, with_trouble: bool = True) -> str:
    """A score with its interval, its distance from the floor and, once a row, what went wrong."""
    found = score(run, task, sampler, metric)
    trouble = found.trouble or ("no score" if found.estimate is None else "")
    note = f'<span class="status">{escape(trouble)}</span>' if trouble and with_trouble else ""
    if found.estimate is None:
        return note or "–"
    mean, _, rest = interval(found.estimate).partition(" ")
    return f"<b>{escape(mean)}</b> <small>{escape(rest)}</small>{bar(found.distance)}{note}"


def trouble_section(run: Run) -> str:
    """Every cell without a score with its reason and traceback, and every file that could not be read."""
    cells = troubled(run)
    errors = metric_errors(run)
    if not cells and not errors and not run.damaged:
        return '<section id="trouble"><h2>Cells without a score</h2><p>None: every cell finished.</p></section>'
    rows = [
        [
            escape(same[0].task),
            label(same[0].sampler),
            ", ".join(str(cell.seed) for cell in same),
            f'<span class="status">{escape(same[0].status)}</span>',
            _reason(same[0]),
        ]
        for same in cells
    ]
    body = table(["task", "sampler", "seeds", "status", "reason"], rows, classes="wrap") if rows else ""
    body += "".join(f'<p class="notice">{escape(line)}</p>' for line in errors)
    for name, why in run.damaged:
        body += f'<p class="notice">The file <code>{escape(name)}</code> was left out: {escape(why)}</p>'
    return f'<section id="trouble"><h2>Cells without a score</h2>{body}</section>'


def _reason(cell: Cell) -> str:
    text = escape(reason(cell))
    return text + (details("traceback", preformatted(cell.traceback)) if cell.traceback else "")


def recipes_section(run: Run) -> str:
    """The full recipe of every sampler; where tasks override options, each set with its tasks."""
    body = ""
    for sampler in run.samplers:
        sets: dict[str, list[str]] = {}
        for cell in run.select(sampler=sampler):
            text = json.dumps(cell.options, indent=2, ensure_ascii=False, sort_keys=True, default=str)
            if cell.task not in sets.setdefault(text, []):
                sets[text].append(cell.task)
        inner = "".join(
            f"<p><small>on {escape(', '.join(tasks))}</small></p>{preformatted(text)}" for text, tasks in sets.items()
        )
        body += details(escape(sampler), inner)
    lead = "<p>Every option of every sampler, defaults included.</p>"
    return f'<section id="recipes"><h2>Recipes</h2>{lead}{body}</section>'


def citations_section(run: Run) -> str:
    """BibTeX of what the run used."""
    found = citations(run)
    if not found:
        body = "<p>No component used here carries a citation, or the plugins that declare them are not installed.</p>"
    else:
        body = "".join(
            f"<p><small>{escape(', '.join(users))}</small></p>{preformatted(text)}" for text, users in found.items()
        )
    return f'<section id="citations"><h2>Citations</h2>{body}</section>'
