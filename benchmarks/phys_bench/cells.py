"""What a run holds, typed and indexed once: `Cell`, `Floor`, and `Cells`, which answers by task, sampler and seed."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from .canonical import HUGE, TINY
from .statistics import (
    LEAST_SEEDS,
    Distance,
    Estimate,
    FloatArray,
    Standing,
    badness,
    distance,
    estimate,
    paired_difference,
    stand,
    verdicts,
)

_SOURCES = {
    "exact": "exact draws against the reference rows",
    "train": "training rows against the held-out reference rows",
    "heldout": "disjoint parts of the held-out rows against each other",
}


@dataclass(frozen=True, slots=True)
class Floor:
    """What exact samples score against exact samples at the same sizes.

    Args:
        mean: over repeats.
        std: over repeats.
        source: where it comes from, in words.
    """

    mean: float
    std: float
    source: str = ""


@dataclass(frozen=True, slots=True)
class Cell:
    """One (task, sampler, seed) of a run.

    Args:
        id: name of its files.
        task: task label.
        sampler: label in the suite.
        seed: the seed.
        component: registry name of the sampler.
        kind: of that component.
        status: ``ok``, ``failed``, ``diverged``, ``timeout`` or ``incompatible``.
        reason: why it is not ok, in one sentence.
        traceback: of the error, or an empty string.
        options: the full recipe.
        scores: metric -> value; metrics without a number are left out.
        floors: metric -> floor.
        costs: seconds, MiB, counts.
        diagnostics: JSON-like facts of fitting and sampling.
        history: curve name -> (steps, values).
        score_errors: metric -> why it gave no number.
        parts: registered parts of the recipe, as ``kind/name``.
        best: metric -> ``low``, ``high``, ``zero``, ``half`` or ``one``.
        primary: metric the task is ranked by.
        environment: versions and hardware.
        shared_fit: whether it drew from the fit of another sampler, whose time its costs repeat.
        event_shape: of one sample, if it is known.
        arrays_path: where samples and fields lie, or None.
        arrays_problem: why that file cannot be used, or an empty string.
        sources: what was run -> hash of its code.
        device: it ran on.
    """

    id: str
    task: str
    sampler: str
    seed: int
    component: str = ""
    kind: str = "sampler"
    status: str = "ok"
    reason: str = ""
    traceback: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    scores: Mapping[str, float] = field(default_factory=dict)
    floors: Mapping[str, Floor] = field(default_factory=dict)
    costs: Mapping[str, float] = field(default_factory=dict)
    diagnostics: Mapping[str, Any] = field(default_factory=dict)
    history: Mapping[str, tuple[FloatArray, FloatArray]] = field(default_factory=dict)
    score_errors: Mapping[str, str] = field(default_factory=dict)
    parts: Sequence[str] = ()
    best: Mapping[str, str] = field(default_factory=dict)
    primary: str = ""
    environment: Mapping[str, Any] = field(default_factory=dict)
    shared_fit: bool = False
    event_shape: tuple[int, ...] = ()
    arrays_path: Path | None = None
    arrays_problem: str = ""
    sources: Mapping[str, str] = field(default_factory=dict)
    device: str = ""

    @property
    def ok(self) -> bool:
        """Whether the cell finished with scores."""
        return self.status == "ok"

    @property
    def key(self) -> tuple[str, str, int]:
        """Task, sampler and seed."""
        return self.task, self.sampler, self.seed


class Shared:
    """Equal facts of many records, kept once: a run repeats recipes, floors and machines thousands of times."""

    def __init__(self) -> None:
        self._kept: dict[Any, Any] = {}

    def __call__(self, value: Any) -> Any:
        """The first value that was equal to this one."""
        return self._kept.setdefault(repr(value), value)


def cell_of(
    record: Mapping[str, Any], shared: Shared | None = None, arrays: Path | None = None, problem: str = ""
) -> Cell:
    """The cell that a record describes.

    Args:
        record: of `phys_bench.store`.
        shared: of the run.
        arrays: the file of its arrays.
        problem: why that file cannot be used.
    """
    kept = shared or Shared()
    identity, costs = record["identity"], record["costs"]
    floors = {name: floor for name, facts in record["floors"].items() if (floor := _floor(facts)) is not None}
    return Cell(
        id=record["id"],
        task=kept(identity["task"]),
        sampler=kept(identity["sampler"]),
        seed=identity["seed"],
        component=kept(identity["component"]),
        kind=kept(identity.get("kind", "sampler")),
        status=kept(record["status"]),
        reason=kept(record["reason"]),
        traceback=kept(record.get("traceback") or ""),
        options=kept(identity.get("options") or {}),
        scores=_numbers(record["scores"], kept),
        floors=kept(floors),
        costs=_numbers(costs, kept),
        diagnostics=kept(record.get("diagnostics") or {}),
        history=_history(record.get("history")),
        score_errors=kept({name: str(error) for name, error in record["score_errors"].items()}),
        parts=kept(tuple(identity.get("parts") or ())),
        best=kept(record["best"]),
        primary=kept(record["primary"]),
        environment=kept(record.get("environment") or {}),
        shared_fit=costs.get("shared_fit") is True,
        event_shape=kept(tuple((record["arrays"] or {}).get("event_shape") or ())),
        arrays_path=arrays if record["arrays"] else None,
        arrays_problem=problem,
        sources=kept(_sources(identity)),
        device=kept(identity.get("device", "")),
    )


def _sources(identity: Mapping[str, Any]) -> dict[str, str]:
    parts = identity.get("parts") or {}
    made = [identity.get("task_component"), identity.get("sampler_component"), *(parts.values() if parts else ())]
    known = {part["target"]: part["source"] for part in made if part and part.get("source")}
    return {"the library": identity.get("library", "")} | known


def _numbers(values: Mapping[str, Any], kept: Callable[[str], str]) -> dict[str, float]:
    """The numbers of a mapping; a JSON null stands for a value that is not finite or not known."""
    numbers = {k: v for k, v in values.items() if isinstance(v, int | float) and not isinstance(v, bool)}
    return {kept(k): float(v) if abs(v) > TINY else 0.0 for k, v in numbers.items() if abs(v) < HUGE}


def _floor(facts: Mapping[str, Any] | None) -> Floor | None:
    if not facts or "mean" not in (numbers := _numbers(facts, str)):
        return None
    source = str(facts.get("source") or "")
    return Floor(numbers["mean"], numbers.get("std", 0.0), _SOURCES.get(source, source))


def _history(rows: Any) -> dict[str, tuple[FloatArray, FloatArray]]:
    """Curves from a list of ``{"step": ..., "loss": ...}`` rows; values that are not finite numbers are left out."""
    found: dict[str, tuple[list[float], list[float]]] = {}
    for row in rows if isinstance(rows, list) else ():
        numbers = _numbers(row, str) if isinstance(row, Mapping) else {}
        if (step := numbers.pop("step", None)) is None:
            continue
        for name, value in numbers.items():
            steps, values = found.setdefault(name, ([], []))
            steps.append(step)
            values.append(value)
    return {name: (np.array(s), np.array(v)) for name, (s, v) in found.items() if len(s) > 1}


@dataclass(frozen=True, slots=True)
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


class Cells:
    """Cells in the order of the suite, found by task, sampler and seed without a search.

    Args:
        cells: the cells.
        best: which way metrics point, of tasks without a cell too.
    """

    def __init__(self, cells: Iterable[Cell], best: Mapping[str, str] | None = None) -> None:
        self.cells = tuple(cells)
        self._best = dict(best or {})
        self._by: dict[tuple[str | None, str | None], list[Cell]] = {(None, None): list(self.cells)}
        self._primary: dict[str, str] = {}
        self._metrics: dict[str | None, dict[str, None]] = {}
        self._floors: dict[tuple[str, str], Floor] = {}
        for cell in self.cells:
            for key in ((cell.task, cell.sampler), (cell.task, None), (None, cell.sampler)):
                self._by.setdefault(key, []).append(cell)
            if cell.primary:
                self._primary.setdefault(cell.task, cell.primary)
            named = dict.fromkeys(cell.best)
            for task in (None, cell.task):
                self._metrics.setdefault(task, {}).update(named)
            for metric, floor in cell.floors.items():
                self._floors.setdefault((cell.task, metric), floor)
            for metric, way in cell.best.items():
                self._best.setdefault(metric, way)

    @cached_property
    def tasks(self) -> list[str]:
        """Task labels in order."""
        return list(dict.fromkeys(cell.task for cell in self.cells))

    @cached_property
    def samplers(self) -> list[str]:
        """Sampler labels in order."""
        return list(dict.fromkeys(cell.sampler for cell in self.cells))

    @property
    def failures(self) -> list[Cell]:
        """The cells that are not ``ok``."""
        return [cell for cell in self.cells if not cell.ok]

    def select(self, task: str | None = None, sampler: str | None = None) -> list[Cell]:
        """The cells of a task, of a sampler, or of both."""
        return self._by.get((task, sampler), [])

    def primary(self, task: str) -> str:
        """The metric that a task is ranked by, or an empty string if no record names one."""
        return self._primary.get(task, "")

    def metrics(self, task: str | None = None) -> list[str]:
        """Metric labels (of a task), those that rank first."""
        first = [self.primary(task)] if task is not None else list(self._primary.values())
        return [name for name in dict.fromkeys([*first, *self._metrics.get(task, {})]) if name]

    def scored(self, task: str) -> list[str]:
        """The metrics of a task that some cell has a number of, the one that ranks first."""
        known = {name for cell in self.select(task) for name in cell.scores}
        return [name for name in self.metrics(task) if name in known]

    def best(self, metric: str) -> str:
        """Which way a metric is better: ``low``, ``high``, ``zero``, ``half`` or ``one``."""
        return self._best.get(metric, "low")

    def scores(self, task: str, sampler: str, metric: str) -> dict[int, float]:
        """Scores by seed; seeds without one are left out."""
        return {c.seed: c.scores[metric] for c in self.select(task, sampler) if metric in c.scores}

    def badnesses(self, task: str, sampler: str, metric: str) -> dict[int, float]:
        """What to compare, lower being better: scores by seed, those of metrics with an exact value as distances."""
        best = self.best(metric)
        return {seed: badness(value, best) for seed, value in self.scores(task, sampler, metric).items()}

    def estimate(self, task: str, sampler: str, metric: str) -> Estimate | None:
        """Mean over seeds with spread and interval; None without scores."""
        return estimate(list(self.scores(task, sampler, metric).values()))

    def floor(self, task: str, metric: str) -> Floor | None:
        """What exact samples score; None if unknown."""
        return self._floors.get((task, metric))

    def score(self, task: str, sampler: str, metric: str) -> Score:
        """The score of a sampler with its floor, its distance from it, and what became of the other seeds."""
        value, floor = self.estimate(task, sampler, metric), self.floor(task, metric)
        apart = distance(value.mean, floor.mean, floor.std, self.best(metric)) if value and floor else None
        return Score(value, floor, apart, trouble(self.select(task, sampler)))

    def is_oracle(self, sampler: str) -> bool:
        """Whether a sampler is the exact oracle: a yardstick, which takes no rank."""
        return any(cell.component == "exact" for cell in self.select(sampler=sampler)[:1])

    def statuses(self, task: str, sampler: str, metric: str, seeds: Iterable[int]) -> dict[int, str]:
        """What became of each seed: empty if it has a score, else a status, ``no score`` or ``not run``."""
        cells = {cell.seed: cell for cell in self.select(task, sampler)}
        found = {}
        for seed in sorted({*seeds, *cells}):
            cell = cells.get(seed)
            scored = "" if cell and metric in cell.scores else "no score"
            found[seed] = "not run" if cell is None else scored if cell.ok else cell.status
        return found

    def field(self, task: str, metric: str = "") -> dict[str, dict[int, float]]:
        """What samplers are ranked by on a task: badness by sampler and seed, of its first metric unless given.

        A cell that failed, diverged or timed out has an infinite one; an incompatible one takes no part, nor does one
        whose draw does not bring what is ranked (an estimate of log Z). The exact sampler is the yardstick.
        """
        metric = metric or self.primary(task)
        best = self.best(metric)
        found: dict[str, dict[int, float]] = {}
        for cell in self.select(task):
            value = cell.scores.get(metric)
            if cell.status == "incompatible" or cell.component == "exact" or (value is None and cell.ok):
                continue
            found.setdefault(cell.sampler, {})[cell.seed] = math.inf if value is None else badness(value, best)
        return found

    @cached_property
    def standings(self) -> list[Standing]:
        """Samplers by mean rank; the exact oracle, which takes no rank, comes first."""
        tasks = {s: len({c.task for c in self.select(sampler=s) if c.status != "incompatible"}) for s in self.samplers}
        return stand({t: self.field(t) for t in self.tasks}, tasks, [s for s in self.samplers if self.is_oracle(s)])

    def mean_ranks(self) -> dict[str, float | None]:
        """Normalised mean rank of every sampler, best first; None for those that take no rank."""
        rows = sorted(self.standings, key=lambda row: row.rank is None)
        return {row.sampler: row.rank.mean if row.rank else None for row in rows}

    def from_exact(self, task: str) -> dict[str, Estimate]:
        """Badness of every sampler beyond that of exact samples at the same seeds, or beyond the floor without any."""
        metric, field = self.primary(task), self.field(task)
        exact: dict[int, float] = {}
        for sampler in filter(self.is_oracle, self.samplers):
            exact |= self.badnesses(task, sampler, metric)
        floor = self.floor(task, metric)
        if not exact and floor is not None:
            exact = {cell.seed: badness(floor.mean, self.best(metric)) for cell in self.select(task)}
        finite = {s: {seed: v for seed, v in row.items() if math.isfinite(v)} for s, row in field.items()}
        found = {s: paired_difference(exact, row) for s, row in finite.items() if len(row) == len(field[s])}
        return {sampler: difference for sampler, difference in found.items() if difference is not None}

    def like_exact(self, task: str) -> list[str]:
        """Samplers that all seeds together cannot tell from exact samples, best first.

        Their mean is within two standard deviations of the floor, where there is one, and the paired test (`verdicts`,
        over all samplers of the task) does not find them worse; at least `LEAST_SEEDS` seeds.
        """
        found = {s: d for s, d in self.from_exact(task).items() if d.count >= LEAST_SEEDS}
        words = dict(zip(found, verdicts(list(found.values())), strict=True))
        metric = self.primary(task)
        kept = []
        for sampler in self.order(task):
            gap = self.score(task, sampler, metric).distance
            if words.get(sampler, "worse") != "worse" and (gap is None or gap.tone == "floor"):
                kept.append(sampler)
        return kept

    def order(self, task: str) -> list[str]:
        """The samplers of a task as they stand."""
        return [row.sampler for row in self.standings if self.select(task, row.sampler)]


def trouble(cells: Sequence[Cell]) -> str:
    """Which seeds did not finish, in words; empty if all did."""
    if not cells:
        return "not run"
    counts = Counter(cell.status for cell in cells if not cell.ok)
    if counts.total() == len(cells):
        return ", ".join(counts)
    return ", ".join(f"{count} of {len(cells)} {status}" for status, count in counts.items())
