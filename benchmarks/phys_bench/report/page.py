"""The whole page: one HTML file that needs nothing else, no network and no script."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from typing import Any

from .canvas import looks
from .markup import anchor, details, escape
from .overview import citations_section, explanation, leaderboard, recipes_section, trouble_section
from .published import published_section
from .tables import counts, flat
from .task_section import task_section
from .view import Run


def html_page(run: Run) -> str:
    """The report of ``run`` as one HTML document."""
    look = looks(run)
    title = f"Benchmark: {run.suite}"
    links = [("how", "how to read"), ("leaderboard", "leaderboard")]
    links += [("published", "paper and measurement")] if run.published or run.claims else []
    links += [(f"task-{anchor(task)}", task) for task in run.tasks]
    links += [("trouble", "cells without a score"), ("recipes", "recipes"), ("citations", "citations")]
    nav = "".join(f'<a href="#{escape(target)}">{escape(words)}</a>' for target, words in links)
    style = resources.files(__package__).joinpath("style.css").read_text(encoding="utf-8")
    body = [
        explanation(),
        leaderboard(run, look),
        published_section(run),
        *(task_section(run, task, look) for task in run.tasks),
        trouble_section(run),
        recipes_section(run),
        citations_section(run),
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n"
        f'<header class="top"><h1>{escape(title)}</h1>{_meta(run)}<nav aria-label="sections">{nav}</nav></header>\n'
        f"<main>{''.join(body)}</main>\n"
        "<footer>Computed by phys-samplers from the records of the run alone.</footer>\n</body>\n</html>\n"
    )


def _meta(run: Run) -> str:
    parts = [
        f"{run.started} UTC" if run.started else "",
        f"{len(run.tasks)} tasks",
        f"{len(run.samplers)} samplers",
        counts(run),
    ]
    line = " · ".join(escape(part) for part in parts if part)
    lead = f"<p>{escape(run.summary)}</p>" if run.summary else ""
    notes = "".join(f'<p class="notice">{escape(note)}</p>' for note in run.notes)
    return f'{lead}<p class="meta">{line}</p>{notes}' + details("environment", facts(run.environment))


def facts(environment: Mapping[str, Any]) -> str:
    """A mapping as a list of terms; nested mappings are written out flat."""
    rows = [f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in flat(environment)]
    return f'<dl class="facts">{"".join(rows)}</dl>' if rows else "<p>No environment was recorded.</p>"
