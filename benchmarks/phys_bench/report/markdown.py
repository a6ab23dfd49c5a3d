"""The report as Markdown: the same tables without pictures, for terminals, commits and discussions."""

from __future__ import annotations

from collections.abc import Sequence

from tabulate import tabulate

from .citations import citations
from .markup import floor_text, interval
from .published import published_tables
from .standing import floor_of, standings
from .tables import cost_columns, cost_notes, cost_row, counts, flat, mean_rank, metric_errors, reason, score, troubled
from .view import Run


def markdown_page(run: Run) -> str:
    """The report of ``run`` as GitHub-flavoured Markdown."""
    parts = [f"# Benchmark: {_plain(run.suite)}", _plain(run.summary)]
    parts.append(" · ".join(part for part in (f"{run.started} UTC" if run.started else "", counts(run)) if part))
    parts += [_plain(note) for note in run.notes]
    parts.append(
        "Scores are means over seeds with a 95 % bootstrap interval; `1.4×` is 1.4 times the floor, `+3.2σ` counts "
        "standard deviations of the floor. The floor is what exact samples score against exact samples at equal sizes."
    )
    parts += ["## Leaderboard", leaderboard_table(run)]
    parts += _published(run)
    for task in run.tasks:
        parts += [f"## {_plain(task)}", *_task(run, task)]
    parts += ["## Cells without a score", _trouble(run)]
    if run.environment:
        parts += ["## Environment", _table(["", ""], [[name, str(value)] for name, value in flat(run.environment)])]
    if found := citations(run):
        parts.append("## Citations")
        parts += [f"Used by {', '.join(users)}:\n\n```bibtex\n{text}\n```" for text, users in found.items()]
    return "\n\n".join(part for part in parts if part) + "\n"


def leaderboard_table(run: Run) -> str:
    """Samplers by mean rank with the primary score on every task, as a Markdown table."""
    head = ["sampler", "mean rank", *(f"{task} ({run.primary(task) or 'nothing scored'})" for task in run.tasks)]
    rows = [
        [row.sampler, mean_rank(row), *(_score(run, task, row.sampler, run.primary(task)) for task in run.tasks)]
        for row in standings(run)
    ]
    floors = [floor_text(floor_of([c for c in run.select(task) if c.ok], run.primary(task))) for task in run.tasks]
    return _table(head, [["floor", "", *floors], *rows])


def _published(run: Run) -> list[str]:
    """What a paper reports beside the measurement; nothing for a suite without such rows."""
    parts = []
    for name, rule, head, rows, notes in published_tables(run):
        listed = "\n".join(f"{number}. {_plain(note)}" for number, note in enumerate(notes, 1))
        parts += [f"### {name}", rule, _table(head, [[cell.text for cell in row] for row in rows]), listed]
    return ["## Paper and measurement", *parts] if parts else []


def _task(run: Run, task: str) -> list[str]:
    metrics = run.metrics(task)
    samplers = [s.sampler for s in standings(run) if run.select(task, s.sampler)]
    if not metrics:
        return ["No cell of this task has a score.", _costs(run, task, samplers)]
    floors = [floor_text(floor_of([c for c in run.select(task) if c.ok], metric)) for metric in metrics]
    rows = [[s, *(_score(run, task, s, metric) for metric in metrics)] for s in samplers]
    return [_table(["sampler", *metrics], [["floor", *floors], *rows]), _costs(run, task, samplers)]


def _costs(run: Run, task: str, samplers: Sequence[str]) -> str:
    rows = [[s, *cost_row(run, task, s)] for s in samplers]
    return "\n\n".join(
        [_table(["sampler", *cost_columns(run, task).values()], rows, right=True), " ".join(cost_notes(run, task))]
    ).strip()


def _score(run: Run, task: str, sampler: str, metric: str) -> str:
    found = score(run, task, sampler, metric)
    if found.estimate is None:
        return found.trouble or "–"
    apart = f" {found.distance.text}" if found.distance else ""
    return interval(found.estimate) + apart + (f" ({found.trouble})" if found.trouble else "")


def _trouble(run: Run) -> str:
    rows = [
        [same[0].task, same[0].sampler, ", ".join(str(c.seed) for c in same), same[0].status, reason(same[0])]
        for same in troubled(run)
    ]
    errors = "\n".join(f"- {_plain(line)}" for line in metric_errors(run))
    notes = "\n".join(f"- the file `{name}` was left out: {_plain(why)}" for name, why in run.damaged)
    listed = _table(["task", "sampler", "seeds", "status", "reason"], rows) if rows else ""
    return "\n\n".join(part for part in (listed, errors, notes) if part) or "None: every cell finished."


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], *, right: bool = False) -> str:
    align = ["left", *["right" if right else "left"] * (len(head) - 1)]
    cells = [[_plain(cell) for cell in row] for row in rows]
    return str(
        tabulate(
            cells,
            [_plain(h) for h in head],
            tablefmt="github",
            disable_numparse=True,
            colalign=align if cells else None,
        )
    )


def _plain(text: str) -> str:
    """Text that can neither break out of a table cell nor become HTML."""
    for old, new in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("|", "\\|")):
        text = text.replace(old, new)
    return " ".join(text.split())
