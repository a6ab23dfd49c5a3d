"""Results as text: for a terminal of 100 columns, and as Markdown."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from phys_registry.errors import suggest
from phys_samplers.errors import ConfigurationError

from .grid import ARROWS, GAP, code, fitted, folded, grid
from .results import COSTS, COUNTS, ENERGY
from .statistics import Estimate, distance
from .verdicts import footnotes

if TYPE_CHECKING:
    from .results import Results

_NAME_WIDTH = 24


def render(results: Results, metric: str | None, fmt: str, width: int) -> str:
    """All tables of a run; see ``Results.table``."""
    if fmt not in ("terminal", "github"):
        raise ConfigurationError(f"fmt is {fmt!r}; expected 'terminal' or 'github'")
    known = results.metrics()
    if metric not in (None, "all", *known):
        raise ConfigurationError(
            f"there is no metric {metric!r} in this run.{suggest(str(metric), known)} "
            f"It has {', '.join(known) or 'none'}"
        )
    if not results.records:
        return "no cells"
    wanted: list[str | None] = [*known] if metric == "all" else [metric]
    parts = [_scores(results, name, fmt, width) for name in wanted]
    parts += [_costs(results, fmt, width), _failures(results, fmt, width)]
    parts += [_published(results, fmt, width), _claims(results, fmt, width)]
    parts += [textwrap.fill(f"Note: {note}", width) for note in results.notes]
    return "\n\n".join(part for part in parts if part)


def _scores(results: Results, metric: str | None, fmt: str, width: int) -> str:
    """Samplers by tasks: mean ± standard deviation, distance from the floor, bootstrap interval."""
    tasks = [task for task in results.tasks if metric is None or metric in results.metrics(task)]
    columns = [_task_column(results, task, metric or results.primary(task), fmt) for task in tasks]
    names = ["floor", *(_wrapped(sampler, fmt) for sampler in results.samplers)]
    mean_ranks = results.mean_ranks()
    rank_column = ["rank", "", *(_number(mean_ranks[sampler]) for sampler in results.samplers)]
    title = "Scores (mean ± standard deviation over seeds, distance from the floor, [95 % bootstrap interval])"
    text = [f"### {title}" if fmt == "github" else title]
    for block in _blocks(columns, width if fmt == "terminal" else 10**9):
        last = block[-1] is columns[-1]
        rows = list(zip(names, *(column[1:] for column in block), *([rank_column[1:]] if last else []), strict=True))
        heads = ["sampler", *(column[0] for column in block), *(["rank"] if last else [])]
        text.append(grid(rows, heads, fmt))
    return "\n\n".join(text)


def _task_column(results: Results, task: str, metric: str, fmt: str) -> list[str]:
    floor, best = results.floor(task, metric), results.best(task, metric)
    newline = "\n" if fmt == "terminal" else " "
    column = [
        f"{task}{newline}{metric} {ARROWS.get(best, '')}",
        f"{floor['mean']:.3g} ± {_deviation(floor['std'])}" if floor else "–",
    ]
    for sampler in results.samplers:
        found = results.estimate(task, sampler, metric)
        if found is None:
            records = results.select(task, sampler)
            column.append(", ".join(dict.fromkeys(r["status"] if r["status"] != "ok" else "–" for r in records)))
            continue
        far = distance(found.mean, floor["mean"], floor["std"], best) if floor else ""
        seeds = len(results.select(task, sampler))
        some = f" ({found.count} of {seeds})" if found.count < seeds else ""
        first = f"{found.mean:.3g} ± {_deviation(found.std)} {far}".rstrip() + some
        column.append(f"{first}{newline}[{found.low:.3g}, {found.high:.3g}]")
    return column


def _blocks(columns: list[list[str]], width: int) -> list[list[list[str]]]:
    """Columns side by side as far as they fit."""
    blocks: list[list[list[str]]] = [[]]
    used = start = _NAME_WIDTH + 6 + GAP  # the names and the rank
    for column in columns:
        need = GAP + max(len(line) for text in column for line in text.split("\n"))
        if blocks[-1] and used + need > width:
            blocks.append([])
            used = start
        blocks[-1].append(column)
        used += need
    return [block for block in blocks if block]


def _costs(results: Results, fmt: str, width: int) -> str:
    """A row per sampler: the mean per cell over its finished cells, or the range over tasks where counts differ."""
    rows = []
    # a suite without energies has no use for columns of zeros
    asked = any(record["costs"].get(key) for record in results.records for key in ENERGY)
    shown = {key: heading for key, heading in COSTS.items() if asked or key not in ENERGY}
    for sampler in results.samplers:
        costs = [record["costs"] for record in results.select(sampler=sampler) if record["status"] == "ok"]
        values = {key: [cost[key] for cost in costs if cost.get(key) is not None] for key in shown}
        cells = (_range(column) if key in COUNTS else _mean(column) for key, column in values.items())
        rows.append([_wrapped(sampler, fmt), *cells])
    title = "Costs (counts, or their range over tasks; times per cell, mean; memory with libraries, largest)"
    if asked:
        title += "; ∇E and E: evaluations of the target per sample, training included"
    peak = list(shown).index("peak_memory_mib") + 1
    for row, sampler in zip(rows, results.samplers, strict=True):
        peaks = [r["costs"].get("peak_memory_mib") or 0.0 for r in results.select(sampler=sampler)]
        row[peak] = f"{max(peaks):,.0f}" if any(peaks) else "–"
    return (f"### {title}\n\n" if fmt == "github" else f"{title}\n\n") + grid(rows, ["sampler", *shown.values()], fmt)


def _failures(results: Results, fmt: str, width: int) -> str:
    """Every cell that has no score, with status and reason; seeds that ended alike share a line."""
    groups: dict[tuple[str, str, str, str], list[int]] = {}
    for record in results.failures:
        identity = record["identity"]
        key = (identity["task"], identity["sampler"], record["status"], record["reason"])
        groups.setdefault(key, []).append(identity["seed"])
    if not groups:
        return ""
    lines = []
    for (task, sampler, status, reason), seeds in groups.items():
        line = f"{task} / {sampler} / seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}: {status}: {reason}"
        wrap = textwrap.fill(line, width - 2, initial_indent="- ", subsequent_indent="  ", break_on_hyphens=False)
        lines.append(wrap if fmt == "terminal" else f"- {line}")
    title = f"Cells without scores: {len(results.failures)} of {len(results.records)}"
    return (f"### {title}\n\n" if fmt == "github" else f"{title}\n") + "\n".join(lines)


def _published(results: Results, fmt: str, width: int) -> str:
    """What a paper prints beside what was measured; empty for a suite without such rows."""
    found = results.published()
    if not found:
        return ""
    marks, notes = footnotes([(m.row.reason, m.row.note) for m in found])
    newline = "\n" if fmt == "terminal" else " "
    rows = []
    for m, mark in zip(found, marks, strict=True):
        row, floor, value = m.row, m.floor, m.estimate
        rows.append(
            [
                f"{row.task}{newline}{row.metric} {ARROWS.get(m.best, '')}",
                code(row.sampler, fmt),
                f"{m.printed}{newline}({row.source})",
                _spread(value, newline),
                f"{floor['mean']:.3g}{newline}± {_deviation(floor['std'])}" if floor else "–",
                m.distance or "–",
                f"{m.words} {mark}".rstrip(),
            ]
        )
    heads = [f"task{newline}metric", "sampler", "paper", "measured", "floor", "from floor", "verdict"]
    return _paper_part("Published and measured", rows, heads, {1, 6}, notes, fmt, width)


def _claims(results: Results, fmt: str, width: int) -> str:
    """What a paper says of two samplers, tested on paired seeds."""
    found = results.claims()
    if not found:
        return ""
    marks, notes = footnotes([(d.row.note,) for d in found])
    newline = "\n" if fmt == "terminal" else " "
    rows = []
    for d, mark in zip(found, marks, strict=True):
        row = d.row
        sides = [
            code(name, fmt) + (f"{newline}({lost})" if lost else "")
            for name, lost in zip((row.better, row.worse), d.trouble, strict=True)
        ]
        what = f"{row.task}{newline}{row.metric} {ARROWS.get(d.best, '')}"
        rows.append(
            [what, *sides, row.source, f"{d.wins} of {d.pairs}", _spread(d.difference, newline), f"{d.verdict} {mark}"]
        )
    heads = [f"task{newline}metric", "said to be better", "than", "source", "wins", "difference", "verdict"]
    return _paper_part("Claims, tested on paired seeds", rows, heads, {1, 2, 6}, notes, fmt, width)


def _paper_part(
    title: str, rows: list[list[str]], heads: list[str], elastic: set[int], notes: list[str], fmt: str, width: int
) -> str:
    """A table of what a paper reports, its footnotes below; the columns ``elastic`` share the room that is left."""
    if fmt == "terminal":
        heads, *rows = fitted([heads, *rows], elastic, width)
    lines = [f"[{number}] {text}" for number, text in enumerate(notes, 1)]
    if fmt == "terminal":
        lines = [textwrap.fill(line, width, subsequent_indent="    ") for line in lines]
    head = f"### {title}\n\n" if fmt == "github" else f"{title}\n\n"
    below = "\n\n" + ("\n" if fmt == "terminal" else "\n\n").join(lines) if lines else ""
    return head + grid(rows, heads, fmt, left=elastic) + below


def _spread(value: Estimate | None, newline: str) -> str:
    if value is None:
        return "–"
    return f"{value.mean:.3g}{newline}[{value.low:.3g}, {value.high:.3g}]"


def _deviation(value: float) -> str:
    """One digit, or all digits of a number of tens; never a power of ten for those."""
    return f"{value:.0f}" if 10 <= value < 1e6 else f"{value:.1g}"


def _wrapped(name: str, fmt: str) -> str:
    return code(name, fmt) if fmt == "github" else folded(name, _NAME_WIDTH)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _mean(values: Sequence[float]) -> str:
    return f"{sum(values) / len(values):,.2f}" if values else "–"


def _range(values: Sequence[float]) -> str:
    if not values:
        return "–"
    low, high = min(values), max(values)
    return f"{low:,.0f}" if low == high else f"{low:,.0f}–{high:,.0f}"
