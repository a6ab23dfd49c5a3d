"""The section on what a paper reports: its numbers beside the measured ones, and its claims, tested."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from phys_bench.grid import ARROWS
from phys_bench.verdicts import CLAIM_RULE, NUMBER_RULE, Measured, footnotes

from .markup import anchor, escape, interval, label, number, table
from .view import Run

_TONES = {
    "reproduced": "good", "holds": "good", "better": "good", "equal": "good",
    "worse": "bad", "does not hold": "bad",
}  # fmt: skip


@dataclass(frozen=True)
class Entry:
    """A cell of a table.

    Args:
        main: its text.
        sub: what is said below it, smaller.
        name: whether ``main`` is a sampler's label.
        tone: ``good``, ``bad`` or empty, of a verdict.
        link: name of the task whose section it leads to.
    """

    main: str
    sub: str = ""
    name: bool = False
    tone: str = ""
    link: str = ""

    @property
    def text(self) -> str:
        """For Markdown, on one line."""
        return f"{self.main} ({self.sub})" if self.sub else self.main

    @property
    def html(self) -> str:
        """For the page."""
        body = label(self.main) if self.name else escape(self.main)
        if self.link:
            body = f'<a href="#task-{anchor(self.link)}">{body}</a>'
        if self.tone:
            body = f'<span class="verdict {self.tone}">{body}</span>'
        return body + (f'<span class="sub">{escape(self.sub)}</span>' if self.sub else "")


class PaperTable(NamedTuple):
    """A table: its title, the rule of its verdicts, column titles, rows and footnotes."""

    title: str
    rule: str
    head: Sequence[str]
    rows: Sequence[Sequence[Entry]]
    notes: Sequence[str]


def published_tables(run: Run) -> list[PaperTable]:
    """The tables of the section, those without rows left out."""
    return [table for table in (_numbers(run), _claims(run)) if table.rows]


def published_section(run: Run) -> str:
    """The section as HTML; empty for a suite that names nothing published."""
    body = ""
    for part in published_tables(run):
        rows = [[cell.html for cell in row] for row in part.rows]
        notes = "".join(f"<li>{escape(note)}</li>" for note in part.notes)
        body += f"<h3>{escape(part.title)}</h3><p>{escape(part.rule)}</p>"
        body += table([escape(title) for title in part.head], rows)
        body += f'<ol class="notes">{notes}</ol>' if notes else ""
    return f'<section id="published"><h2>Paper and measurement</h2>{body}</section>' if body else ""


def _numbers(run: Run) -> PaperTable:
    marks, notes = footnotes([(found.row.reason, found.row.note) for found in run.published])
    rows = []
    for found, mark in zip(run.published, marks, strict=True):
        floor = found.floor
        rows.append(
            [
                _task(run, found.row.task),
                Entry(found.row.sampler, name=True),
                Entry(f"{found.row.metric} {ARROWS.get(found.best, '')}"),
                Entry(found.printed, found.row.source),
                Entry(interval(found.estimate) if found.estimate else "–"),
                Entry(f"{number(floor['mean'])} ± {number(floor['std'])}" if floor else "–"),
                Entry(found.distance or "–"),
                Entry(f"{found.words} {mark}".rstrip(), tone=_tone(found)),
            ]
        )
    head = ["task", "sampler", "metric", "paper", "measured", "floor", "from floor", "verdict"]
    return PaperTable("Published and measured", NUMBER_RULE, head, rows, notes)


def _claims(run: Run) -> PaperTable:
    marks, notes = footnotes([(found.row.note,) for found in run.claims])
    rows = []
    for found, mark in zip(run.claims, marks, strict=True):
        row = found.row
        rows.append(
            [
                _task(run, row.task),
                Entry(f"{row.metric} {ARROWS.get(found.best, '')}"),
                Entry(row.better, found.trouble[0], name=True),
                Entry(row.worse, found.trouble[1], name=True),
                Entry(row.source),
                Entry(f"{found.wins} of {found.pairs}"),
                Entry(interval(found.difference) if found.difference else "–"),
                Entry(f"{found.verdict} {mark}".rstrip(), tone=_TONES.get(found.verdict, "")),
            ]
        )
    head = ["task", "metric", "said to be better", "than", "source", "wins", "difference", "verdict"]
    return PaperTable("Claims, tested on paired seeds", CLAIM_RULE, head, rows, notes)


def _tone(found: Measured) -> str:
    return "bad" if found.trouble else _TONES.get(found.verdict, "")


def _task(run: Run, task: str) -> Entry:
    return Entry(task, link=task if task in run.tasks else "")
