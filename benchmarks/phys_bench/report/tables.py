"""The numbers of the report's tables, once, for both the HTML page and the Markdown file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from phys_bench.results import ENERGY
from phys_bench.statistics import Estimate, estimate

from .markup import number
from .standing import Distance, Standing, distance, floor_of, score_estimate
from .view import Cell, Floor, Run

# cost -> (column title, unit in words for the reader)
COST_COLUMNS = {
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
"""Gradients and values of the target's energy are counted with training included, whoever asks for them; both columns
are left out where nobody does.

The last is no cost but what must not be hidden: the share of particles that met the walls of a sampler's box."""


@dataclass(frozen=True)
class Score:
    """A sampler's score by one metric on one task.

    Args:
        estimate: over the seeds that finished; None if none did.
        floor: of these seeds.
        distance: of the mean from the floor.
        trouble: statuses of the seeds that did not finish, e.g. ``1 of 3 diverged``; empty if all did.
    """

    estimate: Estimate | None
    floor: Floor | None
    distance: Distance | None
    trouble: str


def trouble(cells: Sequence[Cell]) -> str:
    """Which seeds did not finish, in words; empty if all did."""
    if not cells:
        return "not run"
    counts: dict[str, int] = {}
    for cell in cells:
        if not cell.ok:
            counts[cell.status] = counts.get(cell.status, 0) + 1
    if sum(counts.values()) == len(cells):
        return ", ".join(counts)
    return ", ".join(f"{count} of {len(cells)} {status}" for status, count in counts.items())


def score(run: Run, task: str, sampler: str, metric: str) -> Score:
    """The score of ``sampler`` on ``task`` by ``metric``."""
    cells = run.select(task, sampler)
    finished = [cell for cell in cells if cell.ok]
    value = score_estimate(finished, metric)
    floor = floor_of(finished, metric)
    apart = distance(value.mean, floor, run.best(metric)) if value is not None else None
    return Score(value, floor, apart, trouble(cells))


def cost(run: Run, task: str, sampler: str, name: str) -> float | None:
    """Mean of one cost over the seeds that finished; ``clamped`` is among their diagnostics, if it has a meaning."""
    finished = [c for c in run.select(task, sampler) if c.ok]
    kept = [
        {**c.costs, "clamped": c.diagnostics["clamped"]} if "clamped" in c.diagnostics else c.costs for c in finished
    ]
    values = [costs[name] for costs in kept if name in costs]
    found = estimate(values)
    return found.mean if found else None


def cost_columns(run: Run, task: str) -> dict[str, str]:
    """The columns of ``COST_COLUMNS`` that say something about ``task``."""
    asked = {name for cell in run.select(task) for name in ENERGY if cell.costs.get(name)}
    return {name: title for name, title in COST_COLUMNS.items() if asked or name not in ENERGY}


def cost_row(run: Run, task: str, sampler: str) -> list[str]:
    """One cell per column of ``cost_columns``, as text."""
    values = {name: cost(run, task, sampler, name) for name in cost_columns(run, task)}
    return [_seconds(value) if name.endswith("_seconds") else number(value) for name, value in values.items()]


def cost_notes(run: Run, task: str) -> list[str]:
    """What a reader of the costs of ``task`` must know, one sentence each."""
    cells, notes = run.select(task), []
    if ENERGY[0] in cost_columns(run, task):
        notes.append("∇E and E: gradients and further values of the target's energy, training included.")
    if any(cell.costs.get("stacked_seeds", 1) > 1 for cell in cells):
        notes.append("Seeds that trained together as one stacked network share its time equally.")
    if any(cell.shared_fit for cell in cells):
        notes.append("Samplers that differ in sampling options alone share one fit; each lists its time.")
    return notes


def _seconds(value: float | None) -> str:
    """Seconds, no finer than a clock is worth."""
    return "<0.01" if value is not None and 0 < value < 0.01 else number(value)


def diagnostics(run: Run, task: str, sampler: str) -> dict[str, float]:
    """The numbers among the diagnostics (acceptance rate, ESS, R̂, ...), averaged over the seeds that finished."""
    found: dict[str, list[float]] = {}
    for cell in run.select(task, sampler):
        for name, value in flat(cell.diagnostics) if cell.ok else ():
            if isinstance(value, int | float) and not isinstance(value, bool):
                found.setdefault(name, []).append(float(value))
    return {name: sum(values) / len(values) for name, values in found.items()}


def flat(data: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """(dotted name, value) of every leaf of a nested mapping."""
    rows: list[tuple[str, Any]] = []
    for key, value in data.items():
        rows += flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else [(f"{prefix}{key}", value)]
    return rows


def mean_rank(standing: Standing) -> str:
    """The mean rank in words."""
    return "–" if standing.mean_rank is None else f"{standing.mean_rank:.2f}"


def troubled(run: Run) -> list[list[Cell]]:
    """The cells that did not finish; seeds that ended alike are one entry."""
    groups: dict[tuple[str, ...], list[Cell]] = {}
    for cell in run.cells:
        if not cell.ok:
            groups.setdefault((cell.task, cell.sampler, cell.status, cell.reason), []).append(cell)
    return list(groups.values())


def reason(cell: Cell) -> str:
    """Why a cell did not finish, in words."""
    return cell.reason or "no reason was recorded"


def metric_errors(run: Run) -> list[str]:
    """Scores of finished cells that could not be computed, one sentence for equal reasons.

    Samplers without a score on the same tasks are named together; seeds only where it is not all of them.
    """
    users: dict[tuple[str, str], dict[str, dict[str, list[int]]]] = {}
    for cell in run.cells:
        for metric, why in cell.score_errors.items():
            tasks = users.setdefault((metric, why), {}).setdefault(cell.sampler, {})
            tasks.setdefault(cell.task, []).append(cell.seed)
    lines = []
    for (metric, why), by_sampler in users.items():
        together: dict[str, list[str]] = {}
        for sampler, tasks in by_sampler.items():
            where = ", ".join(task + _seeds(run, task, sampler, seeds) for task, seeds in tasks.items())
            together.setdefault(where, []).append(sampler)
        lines.append(f"{metric}: {why}: " + "; ".join(f"{', '.join(who)} on {on}" for on, who in together.items()))
    return lines


def _seeds(run: Run, task: str, sampler: str, seeds: Sequence[int]) -> str:
    if len(seeds) == len(run.select(task, sampler)):
        return ""
    return f" (seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))})"


def counts(run: Run) -> str:
    """How many cells there are and how they ended, in words."""
    by_status: dict[str, int] = {}
    for cell in run.cells:
        by_status[cell.status] = by_status.get(cell.status, 0) + 1
    parts = [f"{count} {status}" for status, count in by_status.items()]
    return f"{len(run.cells)} cells: {', '.join(parts)}" if parts else "no cells"
