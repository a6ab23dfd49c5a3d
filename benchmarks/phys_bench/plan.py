"""What a run will do: which of its cells exist, what is left, and the jobs that workers are handed, in which order."""

from __future__ import annotations

import dataclasses
from collections import Counter, deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any, Literal

from tabulate import tabulate

from phys_samplers.evaluations import Evaluations

from .cell import Cell, Pair, TaskPlan
from .events import Job
from .scoring import FLOOR_REPEATS
from .store import Damage, RunFolder
from .suite import Budget, Suite

if TYPE_CHECKING:
    from phys_samplers.sampler import Model, Sampler


State = Literal["run", "kept", "refused"]


@dataclass(frozen=True)
class PlannedCell:
    """A cell and what is to be done about it.

    Args:
        cell: the cell.
        state: ``run``; ``kept``: its record exists; ``refused``: it cannot be run.
        why: for people; empty for a new cell.
        record: the existing record.
    """

    cell: Cell
    state: State
    why: str = ""
    record: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Plan:
    """What a run would do.

    Args:
        suite: the suite.
        device: ``cpu`` or ``cuda``.
        cells: by task, sampler, seed.
        damaged: files of the run folder that cannot be used.
    """

    suite: Suite
    device: str
    cells: tuple[PlannedCell, ...]
    damaged: tuple[Damage, ...] = ()

    @property
    def todo(self) -> list[Cell]:
        """The cells to run."""
        return [planned.cell for planned in self.cells if planned.state == "run"]

    def summary(self) -> str:
        """One line: how many cells there are, exist, are refused and left, and how long these may take."""
        count = Counter(planned.state for planned in self.cells)
        known = [(p.cell.key["task"], p.cell.key["sampler"], p.record["costs"]) for p in self.cells if p.record]
        seconds = seconds_left([(cell.key["task"], cell.key["sampler"]) for cell in self.todo], known)
        return (
            f"{len(self.cells)} cells: {count['kept']} exist, {count['refused']} cannot be run, "
            f"{count['run']} to run on {self.device}" + (f", {in_words(seconds)}" if seconds else "")
        )

    def table(self) -> str:
        """A row per (task, sampler): seeds by what is to be done, and why; one row for a task that cannot be made."""
        groups: dict[tuple[str, str], list[PlannedCell]] = {}
        for planned in self.cells:
            pair = planned.cell.pair
            groups.setdefault((pair.task.label, "" if pair.task.problem else pair.sampler), []).append(planned)
        rows = []
        for (task, sampler), members in groups.items():
            if not sampler:
                samplers = dict.fromkeys(m.cell.pair.sampler for m in members)
                rows.append([task, f"all {len(samplers)}", "", "", "all", members[0].why])
                continue
            seeds = {
                state: ",".join(str(m.cell.seed) for m in members if m.state == state)
                for state in ("run", "kept", "refused")
            }
            why = "; ".join(dict.fromkeys(m.why for m in members if m.why))
            rows.append([task, sampler, *seeds.values(), why])
        headers = ["task", "sampler", "run seeds", "exist", "refused", "why"]
        text = tabulate(rows, headers, tablefmt="simple", maxcolwidths=[16, 30, 10, 10, 8, 40], disable_numparse=True)
        return f"{text}\n\n{self.summary()}"


def seconds_left(
    missing: Sequence[tuple[str, str]], known: Iterable[tuple[str, str, Mapping[str, Any]]]
) -> float | None:
    """Seconds of fitting and sampling that cells will take one after another, by what others took; None if unknown.

    Args:
        missing: task and sampler of every cell that is left.
        known: task, sampler and costs of cells that were run. The mean over seeds of the same task and sampler counts,
            else that of the same sampler, else that of all.
    """
    took: dict[tuple[str, str], list[float]] = {}
    for task, sampler, costs in known:
        if (sampling := costs.get("sample_seconds")) is not None:
            fitting = 0.0 if costs.get("shared_fit") else costs.get("fit_seconds") or 0.0
            for key in ((task, sampler), ("", sampler), ("", "")):
                took.setdefault(key, []).append(fitting + sampling)
    if not took or not missing:
        return None
    rows = (took.get((task, sampler)) or took.get(("", sampler)) or took["", ""] for task, sampler in missing)
    return sum(sum(row) / len(row) for row in rows)


def in_words(seconds: float) -> str:
    """How long cells will take, for people."""
    long = next((f"{seconds / n:.1f} {unit}" for n, unit in ((3600, "h"), (60, "min")) if seconds >= n), "")
    short = f"{seconds:.0f} s" if seconds >= 1 else "a second"
    return f"about {long or short} of fitting and sampling, over the number of workers"


def plan_cells(
    cells: list[Cell], records: Mapping[str, Mapping[str, Any]], damaged: tuple[Damage, ...], *, retry_failed: bool
) -> tuple[PlannedCell, ...]:
    """Decide about every cell.

    A record that exists is kept. Failed, diverged and timed-out cells are kept too, since with the same seed and code
    they end the same way, unless ``retry_failed``, unless they hit a limit that is higher now, or unless they were
    killed from outside.
    """
    broken = {damage.id: damage for damage in damaged}
    found = []
    for cell in cells:
        record, refusal, why = records.get(cell.id), cell.pair.refusal, ""
        state: State = "run"
        if refusal is not None:
            state, why = "refused", f"{refusal.status}: {refusal.reason}"
        elif cell.id in broken:
            why, record = f"{broken[cell.id].file} is damaged: {broken[cell.id].reason}", None
        elif record is not None:
            again = _worth_retrying(cell, record, retry_failed)
            state, why = ("run" if again else "kept"), again
            if not again and record["status"] != "ok":
                why = f"{record['status']}: {record['reason']}"
        found.append(PlannedCell(cell, state, why, record))
    return tuple(found)


def _worth_retrying(cell: Cell, record: Mapping[str, Any], retry_failed: bool) -> str:
    """Why a cell with a record is run again; empty if it is not."""
    if record["status"] in ("ok", "incompatible"):
        return ""
    if retry_failed:
        return f"{record['status']} before, tried again"
    hit, budget = record.get("hit_limit"), cell.pair.budget
    if hit == "outside":
        return f"{record['reason']}, which was not the cell's own doing"
    if hit == "seconds" and budget.seconds > record["budget"]["seconds"]:
        return f"the limit is {budget.seconds:g} s now, it was {record['budget']['seconds']:g} s"
    if hit == "memory" and budget.memory_mib > record["budget"]["memory_mib"]:
        return f"the limit is {budget.memory_mib:g} MiB now, it was {record['budget']['memory_mib']:g} MiB"
    return ""


Key = tuple[str, tuple[int, ...]]
"""What decides a fit but its seeds (``Pair.fit``), and the seeds that were fitted together."""


def fit_key(job: Mapping[str, Any]) -> Key | None:
    """Under which key the fit of a job is kept; None if it cannot be shared."""
    return (job["fit"], tuple(job["seeds"])) if job.get("fit") else None


@dataclass(frozen=True, kw_only=True)
class Fit:
    """What fitting the seeds of a job gave.

    Args:
        models: one per seed, or the exception that fitting it ended with.
        costs: per seed, as records hold them.
        seconds: wall-clock time of all seeds together.
        evaluations: the counter of the density that these models ask.
    """

    models: Sequence[Model | Exception]
    costs: Mapping[str, Any]
    seconds: float
    evaluations: Evaluations

    def shared_with(self, recipe: Sampler) -> Fit:
        """The same fit with the sampling options of ``recipe``, at the same costs, which were paid once."""
        own = {
            f.name: getattr(recipe, f.name)
            for f in dataclasses.fields(recipe)
            if f.init and f.name not in recipe.fit_options()
        }
        models = [model if isinstance(model, Exception) else model.with_options(**own) for model in self.models]
        return dataclasses.replace(self, models=models, costs={**self.costs, "shared_fit": True})


class LastFit:
    """Keeps one fit: jobs come ordered by fit, and memory matters."""

    def __init__(self) -> None:
        self.key: Key | None = None
        self._fit: Fit | None = None

    def take(self, key: Key | None) -> Fit | None:
        """The fit of ``key``, if it is the one kept; any other is forgotten, before a new one needs its memory."""
        if key is None or key != self.key:
            self.key = self._fit = None
        return self._fit

    def keep(self, key: Key | None, fit: Fit) -> None:
        """Keep ``fit`` instead of the one before."""
        if key is not None:
            self.key, self._fit = key, fit


def floor_job(task: TaskPlan, metrics: Sequence[str]) -> Job:
    """Score exact samples of a task against exact samples."""
    return {
        "kind": "floors",
        "task": task.label,
        "content": task.content,
        "metrics": list(metrics),
        "eval_size": task.eval_size,
        "plugins": list(task.plugins),
    }


def cell_job(cells: Sequence[Cell], seeds: Sequence[int], folder: RunFolder, device: str) -> Job:
    """Fit ``seeds`` of a pair together, and score those of ``cells``."""
    pair = cells[0].pair
    return {
        "kind": "cells",
        "task": pair.task.label,
        "content": pair.task.content,
        "sampler": str(pair.spec),
        "contestant": pair.kind,
        "label": pair.sampler,
        "fit": pair.fit,
        "seeds": list(seeds),
        "wanted": [cell.seed for cell in cells],
        "ids": {str(cell.seed): cell.id for cell in cells},
        "metrics": [metric.label for metric in pair.task.metrics],
        "plugins": list(pair.plugins),
        "eval_size": pair.task.eval_size,
        "device": device,
        "arrays": str((folder.path / "arrays").absolute()),
    }


def limit_of(job: Job, budgets: Mapping[tuple[str, str], Budget], common: Budget) -> Budget:
    """What a job may use: the time of all its seeds, the memory of one cell."""
    if job["kind"] == "floors":
        return Budget(seconds=common.seconds * 2, memory_mib=common.memory_mib)
    budget = budgets[job["task"], job["label"]]
    return Budget(seconds=budget.seconds * len(job["seeds"]), memory_mib=budget.memory_mib)


def jobs_of(plan: Plan, folder: RunFolder) -> deque[Job]:
    """The jobs of a plan.

    Floors come first, since records hold them; then samplers that train several seeds as one network, the longest
    jobs, those with the same fit one after the other; then the rest, one job per seed. A stacked network is always
    fitted with all seeds of the suite, those already recorded too, so that a resumed run repeats the very arithmetic
    of an unbroken one.
    """
    groups: dict[tuple[str, str], list[Cell]] = {}
    tasks: dict[str, TaskPlan] = {}
    for cell in plan.todo:
        groups.setdefault((cell.pair.task.label, cell.pair.sampler), []).append(cell)
        tasks[cell.pair.task.label] = cell.pair.task
    floors, single = [], []
    stacked: dict[Any, list[Job]] = {}
    for task in tasks.values():
        missing = [
            m.label for m in task.metrics if m.has_floor and not folder.read_floor(task.floor_id(m, FLOOR_REPEATS))
        ]
        if missing:
            floors.append(floor_job(task, missing))
    for names, cells in groups.items():
        if cells[0].pair.stacks:
            job = cell_job(cells, plan.suite.seeds, folder, plan.device)
            stacked.setdefault(job["fit"] or names, []).append(job)
        else:
            single += [cell_job([cell], [cell.seed], folder, plan.device) for cell in cells]
    return deque([*floors, *chain.from_iterable(stacked.values()), *single])


def next_job(
    jobs: Iterable[Job],
    idle: Collection[Key | None],
    busy: Collection[Key | None],
    plugins: Sequence[frozenset[str]] = (),
) -> Job | None:
    """Which job a free worker should do next, None if there is none.

    The first one whose fit a free worker keeps; else the first one whose fit no busy worker has in hand; else the
    first one: fitting once more on an idle core costs no time, and its drawing need not wait. Among equals the one for
    which no worker has to be replaced, because other plugins' code has run in all of them.

    Args:
        jobs: that can be done now.
        idle: fits that free workers keep.
        busy: fits that busy workers keep or make.
        plugins: those whose code has run in each free worker.
    """

    def urgency(job: Job) -> tuple[int, bool]:
        key = fit_key(job)
        own = frozenset(job.get("plugins", ()))
        strange = bool(plugins) and not any(ran <= own for ran in plugins)
        return (1 if key is None else 0 if key in idle else 2 if key in busy else 1), strange

    return min(jobs, key=urgency, default=None)


def one_by_one(job: Job, seeds: Sequence[int]) -> list[Job]:
    """The jobs that try ``seeds`` of a stacked job each by itself, so that only the guilty ones are charged."""
    return [{**job, "seeds": [seed], "wanted": [seed], "ids": {str(seed): job["ids"][str(seed)]}} for seed in seeds]


def name_of(job: Job) -> str:
    """For people."""
    if job["kind"] == "floors":
        return f"{job['task']} / floors"
    return f"{job['task']} / {job['label']} / seed{'s' * (len(job['wanted']) > 1)} {', '.join(map(str, job['wanted']))}"


def budgets_of(plan: Plan) -> dict[tuple[str, str], Budget]:
    """Budgets per cell by task and sampler label."""
    pairs: list[Pair] = [planned.cell.pair for planned in plan.cells]
    return {(pair.task.label, pair.sampler): pair.budget for pair in pairs}


def floors_of(task: TaskPlan, folder: RunFolder) -> dict[str, Any]:
    """The kept floors of a task by metric label."""
    found = {m.label: folder.read_floor(task.floor_id(m, FLOOR_REPEATS)) for m in task.metrics if m.has_floor}
    keys = ("mean", "std", "source")
    return {label: {key: floor[key] for key in keys} for label, floor in found.items() if floor and "mean" in floor}
