"""Jobs: what is handed to a worker, in which order, and which of them draw from one fit."""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

from phys_samplers.evaluations import Evaluations

from .cell import Cell, Pair, TaskPlan
from .events import Job
from .plan import Plan
from .scoring import FLOOR_REPEATS
from .store import RunFolder
from .suite import Budget

if TYPE_CHECKING:
    from phys_samplers.sampler import Model, Sampler

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
