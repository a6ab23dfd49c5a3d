"""The whole page: one HTML file that needs nothing else, no network; and the same tables as Markdown."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import lru_cache
from pathlib import Path
from typing import Any

import matplotlib
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape
from matplotlib.figure import Figure

from phys_bench import summary
from phys_bench.findings import headline, troubled
from phys_bench.folders import load
from phys_bench.results import Results
from phys_bench.statistics import LEAST_SEEDS
from phys_bench.tables import Table, markdown_text
from phys_registry.errors import printable
from phys_samplers.atomic import write_atomically

from .canvas import Look, image_uri, looks, new_figure, png
from .charts import cost_chart, leaderboard_chart, learning_chart, learning_table, training_chart
from .gallery import gallery
from .interactive import Spec, cost_spec, embedded, leaderboard_spec, learning_spec, library


@lru_cache(maxsize=1)
def _environment() -> Environment:
    loader = PackageLoader(__package__)
    made = Environment(
        loader=loader,
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"anchor": anchor, "label": label}
    made.globals["file"] = lambda name: Markup(loader.get_source(made, name)[0])  # no template, whatever it holds
    return made


def label(name: str) -> Markup:
    """A sampler's label that a narrow column may break before brackets and after commas and equals signs."""
    text = escape(name)
    for sign in (",", "="):
        text = text.replace(sign, Markup(f"{sign}<wbr>"))
    return text.replace("[", Markup("<wbr>["))


def anchor(text: str) -> str:
    """An HTML id made of ``text``; letters and digits stay, so distinct component names stay distinct."""
    return "".join(c if c.isalnum() and c.isascii() else f"-{ord(c):x}-" for c in text)


def write_report(run: str | Path | Results, out: str | Path | None = None) -> Path:
    """Write ``report.html`` and ``report.md`` of a run.

    Args:
        run: folder with ``run.json``, ``records/`` and ``arrays/``, or results that were read from one.
        out: folder to write to, made if absent; the run folder unless given.

    Returns:
        The path of ``report.html``.

    Raises:
        ConfigurationError: if ``run`` is not a run folder.
    """
    results = run if isinstance(run, Results) else load(run)
    folder = Path(out) if out is not None else results.folder
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / "report.md", markdown_page(results).encode())
    path = folder / "report.html"
    write_atomically(path, html_page(results).encode())
    return path


def leaderboard_markdown(run_folder: str | Path) -> str:
    """The leaderboard of a run as one Markdown table."""
    return summary.leaderboard(load(run_folder)).markdown(level=0)


def leaderboard_figure(run_folder: str | Path) -> bytes:
    """The leaderboard of a run as a picture: primary scores with intervals and floors, one panel a task.

    Args:
        run_folder: as for ``write_report``.

    Returns:
        PNG bytes; an empty canvas for a run without cells.

    Raises:
        ConfigurationError: if ``run_folder`` is not a run folder.
    """
    run = load(run_folder)
    with _words():
        return png(leaderboard_chart(run, looks(run)) or new_figure(4, 1), 160)


def _words() -> AbstractContextManager[None]:
    """Texts in pictures are words: names with dollar signs are no formulae, which might not even be ones."""
    return matplotlib.rc_context({"text.parse_math": False})


def html_page(run: Results) -> str:
    """The report of ``run`` as one HTML document; control characters in it are spelt."""
    with _words():
        return printable(_page(run))


def _page(run: Results) -> str:
    look = looks(run)
    papers = [table for table in _papers(run) if table.rows]
    return _environment().get_template("page.html").render(
        run=run,
        facts=_facts(run),
        headline=headline(run),
        least_seeds=LEAST_SEEDS,
        look=look,
        counts=summary.counts(run),
        environment=summary.flat(_machine(run)),
        leaderboard=summary.leaderboard(run),
        chart=_chart(
            leaderboard_chart(run, look),
            f"Primary score of {len(run.samplers)} samplers on {len(run.tasks)} tasks, as in the table above.",
            spec=leaderboard_spec(run, look),
        ),
        vega=library(),
        papers=papers,
        tasks=[_task(run, task, look) for task in run.tasks],
        troubled=troubled(run),
        errors=summary.metric_errors(run),
        damaged=run.damaged,
        recipes=_recipes(run),
        citations=citations(run),
    )  # fmt: skip


def _papers(run: Results) -> list[Table]:
    return [summary.published_table(run, run.published()), summary.claims_table(run, run.claims())]


def _facts(run: Results) -> dict[str, Any]:
    """Name, purpose and date of the run, and what a reader should know of it."""
    suite = run.head.get("suite") or {}
    return {
        "suite": run.name,
        "summary": str(suite.get("summary") or ""),
        "started": str(run.head.get("started") or "")[:16].replace("T", " "),
        "notes": [note for note in run.notes if not note.startswith(("records/", "arrays/"))],  # these are ``damaged``
    }


def _machine(run: Results) -> Mapping[str, Any]:
    found: Mapping[str, Any] = run.head.get("environment") or {}
    return found or next((cell.environment for cell in run.cells if cell.environment), {})


def _chart(figure: Figure | None, alt: str, *, points: bool = False, spec: Spec | None = None) -> dict[str, Any] | None:
    """A figure as the template shows it, with the chart that a browser may draw in its place."""
    if figure is None:
        return None
    uri = image_uri(figure, points=points)
    return {"uri": uri, "alt": alt, "width": figure.get_figwidth(), "spec": embedded(spec)}


def _task(run: Results, task: str, look: Mapping[str, Look]) -> dict[str, Any]:
    """Everything the run says about a task."""
    costs = cost_chart(run, task, look)
    against = ", ".join(axes.get_xlabel() for axes in costs.axes) if costs else ""
    learning = learning_chart(run, task, look)
    exhibits, note = ([], "") if learning is not None else gallery(run, task, look)
    return {
        "name": task,
        "primary": run.primary(task),
        "seeds": len({cell.seed for cell in run.select(task)}),
        "scores": summary.task_scores(run, task),
        "like": run.like_exact(task),
        "compared": any(found.count >= LEAST_SEEDS for found in run.from_exact(task).values()),
        "costs": summary.costs(run, task),
        "cost_chart": _chart(
            costs,
            f"{run.primary(task)} on {task} against {against}; dashed line: the floor.",
            spec=cost_spec(run, task, look),
        ),
        "learning": _chart(
            learning,
            f"Greedy return on {task} against environment steps, a line and a band per sampler.",
            spec=learning_spec(run, task, look),
        ),
        "learning_table": learning_table(run, task) if learning is not None else None,
        "gallery": [_exhibit(run, task, exhibit) for exhibit in exhibits],
        "gallery_note": note,
        "agents": any(cell.kind == "return_model" for cell in run.select(task)),
        "training": _chart(
            training_chart(run, task, look), f"Training curves on {task}, one line per seed.", points=True
        ),
        "diagnostics": summary.diagnostics(run, task),
    }


def _exhibit(run: Results, task: str, exhibit: Any) -> dict[str, Any]:
    picture, sampler = exhibit.picture, exhibit.sampler
    if isinstance(picture, str):
        return {"sampler": sampler, "problem": picture}
    score = run.score(task, sampler, run.primary(task)) if sampler else None
    entry = summary.score_entry(run, task, sampler, run.primary(task)) if sampler else None
    apart = f" ({entry.gap.text} floor)" if entry and entry.gap and entry.gap.text.endswith("×") else ""
    words = f"; {run.primary(task)} over all seeds {entry.text}{apart}" if entry and score and score.estimate else ""
    chart = _chart(picture.figure, picture.alt, points=True)
    return {"sampler": sampler, "seed": exhibit.seed, "problem": "", "words": words, **(chart or {})}


def _recipes(run: Results) -> dict[str, list[tuple[str, str]]]:
    """Of every sampler, each full recipe with the tasks that it ran on."""
    found: dict[str, list[tuple[str, str]]] = {}
    for sampler in run.samplers:
        sets: dict[str, dict[str, None]] = {}
        texts: dict[int, str] = {}
        for cell in run.select(sampler=sampler):
            if id(cell.options) not in texts:
                texts[id(cell.options)] = json.dumps(
                    cell.options, indent=2, ensure_ascii=False, sort_keys=True, default=str
                )
            sets.setdefault(texts[id(cell.options)], {})[cell.task] = None
        found[sampler] = [(", ".join(tasks), text) for text, tasks in sets.items()]
    return found


def used_components(run: Results) -> list[tuple[str, str]]:
    """(kind, name) of every component that a run names: samplers and their parts, tasks and metrics."""
    used: dict[tuple[str, str], None] = {}
    for cell in run.cells:
        used[(cell.kind, cell.component)] = None
        for part in cell.parts:
            kind, _, name = part.partition("/")
            used[(kind, name)] = None
        used[("task", cell.task.partition("[")[0])] = None
        for metric in cell.scores:
            used[("metric", metric.partition("[")[0])] = None
    return list(used)


def citations(run: Results) -> dict[str, list[str]]:
    """BibTeX entry -> the components (``kind/name``) that ask for it; those that are not installed are left out."""
    found: dict[str, list[str]] = {}
    for kind, name in used_components(run):
        if text := _citation(kind, name):
            found.setdefault(text, []).append(f"{kind}/{name}")
    return found


def _citation(kind: str, name: str) -> str:
    try:
        from phys_samplers.catalogue import registry

        return str(registry.get(kind, name).bibtex)
    except Exception:  # a record may come from another machine, with plugins that are not here or are broken
        return ""


def markdown_page(run: Results) -> str:
    """The report of ``run`` as GitHub-flavoured Markdown."""
    facts = _facts(run)
    started = f"{markdown_text(facts['started'])} UTC" if facts["started"] else ""
    parts = [f"# Benchmark: {markdown_text(facts['suite'])}", markdown_text(facts["summary"])]
    parts += [" · ".join(_some([started, summary.counts(run)])), *map(markdown_text, facts["notes"])]
    parts.append(
        "Scores are means over seeds ± standard deviation with a 95 % interval; `1.4×` is 1.4 times the floor, `+3.2σ` "
        "counts standard deviations of the floor. The floor is what exact samples score against exact samples at equal "
        "sizes."
    )
    parts.append(markdown_text(" ".join(headline(run))))
    parts += ["## Leaderboard", summary.leaderboard(run).markdown()]
    papers = _some(table.markdown() for table in _papers(run))
    parts += ["## Paper and measurement", *papers] if papers else []
    for task in run.tasks:
        scores = summary.task_scores(run, task).markdown() or "No cell of this task has a score."
        parts += [f"## {markdown_text(task)}", scores, summary.costs(run, task).markdown()]
    parts += ["## Cells without a score", _trouble(run)]
    if machine := summary.flat(_machine(run)):
        rows = [f"| {markdown_text(name)} | {markdown_text(str(value))} |" for name, value in machine]
        parts += ["## Environment", "\n".join(["| fact | value |", "|---|---|", *rows])]
    if found := citations(run):
        parts.append("## Citations")
        parts += [f"Used by {', '.join(users)}:\n\n{_fenced(text)}" for text, users in found.items()]
    return "\n\n".join(_some(parts)) + "\n"


def _fenced(text: str) -> str:
    """BibTeX as a block that nothing in it ends."""
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{fence}bibtex\n{printable(text)}\n{fence}"


def _trouble(run: Results) -> str:
    errors = "\n".join(f"- {markdown_text(line)}" for line in summary.metric_errors(run))
    files = "\n".join(
        f"- the file {markdown_text(one.file)} was left out: {markdown_text(one.reason)}" for one in run.damaged
    )
    return "\n\n".join(_some([summary.failures(run).markdown(), errors, files])) or "None: every cell finished."


def _some(parts: Iterable[str]) -> Sequence[str]:
    return [part for part in parts if part]
