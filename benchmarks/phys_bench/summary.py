"""The tables of a run: scores with ranks, costs, cells without a score, diagnostics, and what a paper reports."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from phys_registry.errors import suggest
from phys_samplers.errors import ConfigurationError

from .cells import Cell, Cells
from .findings import CLAIM_RULE, NUMBER_RULE, Decided, Measured, footnotes, headline, power, troubled
from .statistics import LEAST_SEEDS, Estimate, Standing
from .tables import ARROWS, Column, Entry, Table, interval, markdown_text, number, spread

COSTS = {
    "parameters": "parameters",
    "training_steps": "training steps",
    "nfe": "NFE / sample",
    "energy_gradients": "∇E / sample",
    "energy_densities": "E / sample",
    "fit_seconds": "fit [s]",
    "sample_seconds": "sample [s]",
    "cpu_seconds": "CPU [s]",
    "peak_memory_mib": "peak [MiB]",
    "clamped": "clamped",
}
"""Costs in the order of tables, with their heads. Gradients and values of the target's energy are counted with training
included, whoever asks for them; both columns are left out where nobody does.

The last is no cost but what must not be hidden: the share of particles that met the walls of a sampler's box."""
ENERGY = ("energy_gradients", "energy_densities")
_TONES = {
    "reproduced": "good", "holds": "good", "better": "good", "equal": "good",
    "worse": "bad", "does not hold": "bad",
}  # fmt: skip


def score_entry(cells: Cells, task: str, sampler: str, metric: str, *, with_trouble: bool = True) -> Entry:
    """A score with its spread, its interval, its distance from the floor and, once a row, what went wrong."""
    found = cells.score(task, sampler, metric)
    value = found.estimate
    status = found.trouble or ("no score" if value is None else "")
    if value is None:
        return Entry("" if with_trouble else "–", status=status if with_trouble else "")
    status = status if with_trouble else ""
    return Entry(
        number(value.mean), spread(value.std), interval(value), found.distance, status=status, value=value.mean
    )


def floor_entry(cells: Cells, task: str, metric: str) -> Entry:
    """``mean ± sd`` of a floor."""
    floor = cells.floor(task, metric)
    return Entry() if floor is None else Entry(number(floor.mean), spread(floor.std), value=floor.mean)


def leaderboard(cells: Cells, metric: str | None = None) -> Table:
    """Samplers by mean rank, with a score on every task: by ``metric``, or by each task's first one."""
    tasks = {task: metric or cells.primary(task) for task in cells.tasks if metric in (None, *cells.metrics(task))}
    grouped = any(standing.group for standing in cells.standings)
    first = next((standing.sampler for standing in cells.standings if standing.place), "")
    columns = [Column("sampler"), Column("rank", "0 first, 1 last"), *([Column("group")] if grouped else [])]
    columns.append(Column("P(better)", "than first"))
    columns += [Column(t, f"{m} {ARROWS.get(cells.best(m), '')}" if m else "–", link=t) for t, m in tasks.items()]
    rows = []
    for standing in cells.standings:
        name, odds = standing.sampler, standing.odds
        scores = [score_entry(cells, task, name, by) for task, by in tasks.items()]
        group = [Entry(standing.group)] if grouped else []
        group.append(Entry("" if odds is None else f"{odds:.2f}", value=odds))
        rows.append([Entry(name, name=True), _rank(cells, standing), *group, *scores])
    known = any(cells.floor(task, by) for task, by in tasks.items())
    if rows and known:
        floors = [floor_entry(cells, task, by) for task, by in tasks.items()]
        rows.insert(0, [Entry("floor"), *[Entry("")] * (len(columns) - len(tasks) - 1), *floors])
    remarks = _group_remarks(cells, grouped, first)
    title = "Scores: mean ± standard deviation over seeds, [95 % interval], distance from the floor"
    return Table(title, columns, rows, int(known), remarks=remarks)


def _rank(cells: Cells, standing: Standing) -> Entry:
    """The normalised mean rank with its interval, and the place."""
    if cells.is_oracle(standing.sampler):
        return Entry(sub="oracle")
    rank, some = standing.rank, standing.tasks < len(cells.tasks)
    where = f", {standing.tasks} of {len(cells.tasks)} tasks" if some else ""
    if rank is None:
        return Entry(sub="no rank" + where)
    return Entry(f"{rank.mean:.2f}", rank_interval(rank), f"place {standing.place}{where}", value=rank.mean)


def rank_interval(rank: Estimate) -> str:
    """``[low, high]`` with two digits; empty without an interval."""
    return "" if rank.count < 2 else f"[{rank.low:.2f}, {rank.high:.2f}]"


def _group_remarks(cells: Cells, grouped: bool, first: str) -> list[str]:
    if not first or len([standing for standing in cells.standings if standing.place]) < 2:
        return []
    odds = f"P(better): a seed of the sampler beats one of {first}, mean over their tasks; ties count half."
    if not grouped:
        return [f"With fewer than {LEAST_SEEDS} seeds nothing is told apart, and there are no groups.", odds]
    shared = (
        "Samplers that share a letter of their group cannot be told apart on any task (paired t tests, 5 % after "
        "Holm's correction over all pairs and tasks)."
    )
    if len({standing.group for standing in cells.standings if standing.place}) == 1:
        shared += " Here no pair is told apart, however far apart scores look: take more seeds, or fewer samplers."
    return [shared, odds]


def task_scores(cells: Cells, task: str) -> Table:
    """Every metric of a task."""
    metrics = cells.scored(task)
    floors = [cells.floor(task, metric) for metric in metrics]
    known = any(floors)
    rows = [[Entry("floor"), *(floor_entry(cells, task, metric) for metric in metrics)]] if known else []
    for sampler in cells.order(task):
        scores = [score_entry(cells, task, sampler, m, with_trouble=m == metrics[0]) for m in metrics]
        rows.append([Entry(sampler, name=True), *scores])
    sources = list(dict.fromkeys(floor.source for floor in floors if floor and floor.source))
    remarks = [f"Floor: {'; '.join(sources)}."] if sources else []
    remarks += [text for text in [power(cells, task)] if text]
    columns = [Column("sampler"), *(Column(m, ARROWS.get(cells.best(m), "")) for m in metrics)]
    return Table("", columns, rows if metrics else [], int(known), remarks=remarks)


def cost_columns(cells: Cells, task: str | None = None) -> dict[str, str]:
    """The columns of `COSTS` that say something about a task, or about the run."""
    asked = any(cell.costs.get(name) for cell in cells.select(task) for name in ENERGY)
    return {name: title for name, title in COSTS.items() if asked or name not in ENERGY}


def costs(cells: Cells, task: str | None = None) -> Table:
    """Means over the cells that finished, on a task or (with the range where tasks differ) over all."""
    shown = cost_columns(cells, task)
    rows = []
    for sampler in cells.samplers if task is None else cells.order(task):
        finished = [cell for cell in cells.select(task, sampler) if cell.ok]
        rows.append([Entry(sampler, name=True), *(_cost(finished, name) for name in shown)])
    title = "Costs: means over cells, or from the least to the most over tasks" if task is None else "Costs"
    columns = [Column("sampler"), *(Column(title) for title in shown.values())]
    return Table(title, columns, rows, remarks=cost_notes(cells, task))


def _cost(finished: Sequence[Cell], name: str) -> Entry:
    """The mean of one cost; ``clamped`` is among the diagnostics, if it has a meaning."""
    by_task: dict[str, list[float]] = {}
    for cell in finished:
        value = cell.diagnostics.get(name) if name == "clamped" else cell.costs.get(name)
        if value is not None:
            by_task.setdefault(cell.task, []).append(value)
    means = [sum(values) / len(values) for values in by_task.values()]
    if not means:
        return Entry()
    write = _seconds if name.endswith("_seconds") else number
    low, high = min(means), max(means)
    return Entry(write(low) if write(low) == write(high) else f"{write(low)}–{write(high)}", value=high)


def cost_notes(cells: Cells, task: str | None = None) -> list[str]:
    """What a reader of the costs must know, one sentence each."""
    found, notes = cells.select(task), []
    if ENERGY[0] in cost_columns(cells, task):
        notes.append("∇E and E: gradients and further values of the target's energy, training included.")
    if any(cell.costs.get("stacked_seeds", 1) > 1 for cell in found):
        notes.append("Seeds that trained together as one stacked network share its time equally.")
    if any(cell.shared_fit for cell in found):
        notes.append("Samplers that differ in sampling options alone share one fit; each lists its time.")
    return notes


def _seconds(value: float) -> str:
    """Seconds, no finer than a clock is worth."""
    return "<0.01" if 0 < value < 0.01 else number(value)


def diagnostics(cells: Cells, task: str) -> Table:
    """The numbers among the diagnostics (acceptance rate, ESS, R̂, ...), means over the seeds that finished."""
    rows = []
    for sampler in cells.order(task):
        found: dict[str, list[float]] = {}
        for cell in cells.select(task, sampler):
            for name, value in flat(cell.diagnostics) if cell.ok else ():
                if isinstance(value, int | float) and not isinstance(value, bool):
                    found.setdefault(name, []).append(float(value))
        if found:
            words = " · ".join(f"{name} {number(sum(vs) / len(vs))}" for name, vs in found.items())
            rows.append([Entry(sampler, name=True), Entry(words)])
    return Table("Diagnostics", [Column("sampler"), Column("mean over seeds", words=True)], rows)


def flat(data: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """(dotted name, value) of every leaf of a nested mapping."""
    rows: list[tuple[str, Any]] = []
    for key, value in data.items():
        rows += flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else [(f"{prefix}{key}", value)]
    return rows


def failures(cells: Cells) -> Table:
    """Every cell that has no score, with status and reason."""
    rows = [
        [
            Entry(same[0].task),
            Entry(same[0].sampler, name=True),
            Entry(", ".join(str(cell.seed) for cell in same)),
            Entry("", status=same[0].status),
            Entry(same[0].reason or "no reason was recorded"),
        ]
        for same in troubled(cells)
    ]
    columns = [Column("task"), *(Column(title, words=True) for title in ("sampler", "seeds", "status", "reason"))]
    return Table(f"Cells without scores: {len(cells.failures)} of {len(cells.cells)}", columns, rows)


def metric_errors(cells: Cells) -> list[str]:
    """Scores of finished cells that could not be computed, one sentence for equal reasons.

    Samplers without a score on the same tasks are named together; seeds only where it is not all of them.
    """
    users: dict[tuple[str, str], dict[str, dict[str, list[int]]]] = {}
    for cell in cells.cells:
        for metric, why in cell.score_errors.items():
            tasks = users.setdefault((metric, why), {}).setdefault(cell.sampler, {})
            tasks.setdefault(cell.task, []).append(cell.seed)
    lines = []
    for (metric, why), by_sampler in users.items():
        together: dict[str, list[str]] = {}
        for sampler, tasks in by_sampler.items():
            where = ", ".join(task + _some(cells, task, sampler, seeds) for task, seeds in tasks.items())
            together.setdefault(where, []).append(sampler)
        lines.append(f"{metric}: {why}: " + "; ".join(f"{', '.join(who)} on {on}" for on, who in together.items()))
    return lines


def _some(cells: Cells, task: str, sampler: str, seeds: Sequence[int]) -> str:
    if len(seeds) == len(cells.select(task, sampler)):
        return ""
    return f" (seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))})"


def published_table(cells: Cells, found: Sequence[Measured]) -> Table:
    """What a paper prints beside what was measured."""
    marks, notes = footnotes([(one.row.reason, one.row.note) for one in found])
    rows = []
    for one, mark in zip(found, marks, strict=True):
        row, value = one.row, one.estimate
        rows.append(
            [
                _where(cells, row.task, row.metric),
                Entry(row.sampler, name=True),
                Entry(one.printed, sub=row.source, value=one.paper),
                Entry(number(value.mean), sub=interval(value), value=value.mean) if value else Entry(),
                Entry(number(one.floor.mean), sub=spread(one.floor.std), value=one.floor.mean)
                if one.floor
                else Entry(),
                Entry(one.distance or "–"),
                Entry(f"{one.words} {mark}".rstrip(), tone="bad" if one.trouble else _TONES.get(one.verdict, "")),
            ]
        )
    columns = [Column("task", "metric"), Column("sampler", words=True)]
    columns += [Column(title) for title in ("paper", "measured", "floor", "from floor")]
    return Table("Published and measured", [*columns, Column("verdict", words=True)], rows, 0, NUMBER_RULE, notes)


def _where(cells: Cells, task: str, metric: str) -> Entry:
    """A task, linked where the run has it, above a metric."""
    return Entry(task, sub=f"{metric} {ARROWS.get(cells.best(metric), '')}", link=task if task in cells.tasks else "")


def claims_table(cells: Cells, found: Sequence[Decided]) -> Table:
    """What a paper says of two samplers, tested on paired seeds."""
    marks, notes = footnotes([(one.row.note,) for one in found])
    rows = []
    for one, mark in zip(found, marks, strict=True):
        row, apart = one.row, one.difference
        rows.append(
            [
                _where(cells, row.task, row.metric),
                Entry(row.better, sub=one.trouble[0], name=True),
                Entry(row.worse, sub=one.trouble[1], name=True),
                Entry(row.source),
                Entry(f"{one.wins} of {one.pairs}"),
                Entry(number(apart.mean), sub=interval(apart), value=apart.mean) if apart else Entry(),
                Entry(f"{one.verdict} {mark}".rstrip(), tone=_TONES.get(one.verdict, "")),
            ]
        )
    columns = [Column("task", "metric"), Column("said to be better", words=True), Column("than", words=True)]
    columns += [Column("source"), Column("wins"), Column("difference"), Column("verdict", words=True)]
    return Table("Claims, tested on paired seeds", columns, rows, 0, CLAIM_RULE, notes)


def counts(cells: Cells) -> str:
    """How many cells there are and how they ended, in words."""
    by_status: dict[str, int] = {}
    for cell in cells.cells:
        by_status[cell.status] = by_status.get(cell.status, 0) + 1
    parts = [f"{count} {status}" for status, count in by_status.items()]
    return f"{len(cells.cells)} cells: {', '.join(parts)}" if parts else "no cells"


def run_text(
    cells: Cells,
    published: Sequence[Measured],
    claims: Sequence[Decided],
    notes: Sequence[str],
    *,
    metric: str | None,
    fmt: str,
    width: int,
) -> str:
    """All tables of a run as text; see ``Results.table``."""
    if fmt not in ("terminal", "github"):
        raise ConfigurationError(f"fmt is {fmt!r}; expected 'terminal' or 'github'")
    known = cells.metrics()
    if metric not in (None, "all", *known):
        raise ConfigurationError(
            f"there is no metric {metric!r} in this run.{suggest(str(metric), known)} "
            f"It has {', '.join(known) or 'none'}"
        )
    if not cells.cells:
        return "no cells"
    tables = [leaderboard(cells, name) for name in (known if metric == "all" else [metric])]
    tables += [costs(cells), failures(cells), published_table(cells, published), claims_table(cells, claims)]
    if fmt == "github":
        parts = [markdown_text(" ".join(headline(cells))), *(table.markdown() for table in tables)]
        parts += [markdown_text(f"Note: {note}") for note in notes]
    else:
        parts = [textwrap.fill(" ".join(headline(cells)), width)]
        parts += [_listed(cells, width) if i == len(tables) - 3 else t.terminal(width) for i, t in enumerate(tables)]
        parts += [textwrap.fill(f"Note: {note}", width) for note in notes]
    return "\n\n".join(part for part in parts if part)


def _listed(cells: Cells, width: int) -> str:
    """The failures as a list, which long reasons fit better than a table."""
    lines = []
    for same in troubled(cells):
        seeds = f"seed{'s' * (len(same) > 1)} {', '.join(str(cell.seed) for cell in same)}"
        line = f"- {same[0].task} / {same[0].sampler} / {seeds}: {same[0].status}: {same[0].reason}"
        lines.append(textwrap.fill(line, width, subsequent_indent="  ", break_on_hyphens=False))
    return "\n".join([failures(cells).title, *lines]) if lines else ""
