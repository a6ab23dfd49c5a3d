"""The runner: hands out jobs, writes a record for every cell that ends, and shows people how far it is."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any, Self, TextIO

from phys_registry import Registry

from .cell import Cell, TaskPlan
from .events import Job
from .executors import Pool
from .plan import Plan, PlannedCell, budgets_of, floors_of, jobs_of, limit_of, name_of, next_job, one_by_one
from .scoring import FLOOR_REPEATS
from .store import RunFolder, new_record, now

_STATUS = {"timeout": "timeout", "memory": "failed", "outside": "failed", "died": "failed", "done": "failed"}
_LIMIT = {"timeout": "seconds", "memory": "memory", "outside": "outside"}


class Runner:
    """Runs a plan once.

    Args:
        plan: what to do.
        folder: where records go; prepared.
        pool: who does the jobs.
        progress: who is shown what happens.
        registry: whose lifecycle hooks are called.
    """

    def __init__(self, plan: Plan, folder: RunFolder, pool: Pool, progress: Progress, registry: Registry) -> None:
        self._plan, self._folder, self._pool = plan, folder, pool
        self._progress, self._registry = progress, registry
        self._cells = {cell.id: cell for cell in plan.todo}
        self._tasks: dict[str, TaskPlan] = {cell.pair.task.label: cell.pair.task for cell in plan.todo}
        self._budgets = budgets_of(plan)
        self._floors: dict[str, dict[str, Any]] = {}
        self._left: dict[str, None] = dict.fromkeys(self._cells)
        self.counts: Counter[str] = Counter()

    def run(self) -> None:
        """Do everything; on return every cell of the plan has a record."""
        refused = [planned for planned in self._plan.cells if _is_news(planned)]
        self._progress.started(len(self._plan.todo) + len(refused))
        for planned in refused:
            refusal = planned.cell.pair.refusal
            assert refusal is not None
            outcome = {"status": refusal.status, "reason": refusal.reason, "traceback": refusal.traceback}
            self._write(planned.cell, {**outcome, "finished": now()}, floors={})
        self._queue = jobs_of(self._plan, self._folder)
        self._pending_floors = {job["task"] for job in self._queue if job["kind"] == "floors"}
        while self._queue or self._pool.busy:
            self._hand_out()
            self._pool.step(self._on_event)

    def _hand_out(self) -> None:
        """Give jobs to free workers; cells of a task wait for its floors, which their records hold."""
        while self._pool.free:
            ready = [job for job in self._queue if job["kind"] == "floors" or job["task"] not in self._pending_floors]
            job = next_job(ready, self._pool.idle.fits, self._pool.fits, self._pool.idle.plugins)
            if job is None:
                return
            self._queue.remove(job)
            self._pool.take(job, limit_of(job, self._budgets, self._plan.suite.budget))
            self._progress.job_started(name_of(job))

    def _on_event(self, job: Job, event: dict[str, Any]) -> None:
        match event["event"]:
            case "floor":
                self._keep_floor(job, event)
            case "step":
                self._pass_on_step(job, event)
            case "cell":
                self._record(job, event["seed"], event["outcome"])
            case "error":
                self._failed(job, {key: value for key, value in event.items() if key != "event"})
            case "ended":
                self._ended(job, event)

    def _keep_floor(self, job: Job, event: Mapping[str, Any]) -> None:
        task = self._tasks[job["task"]]
        metric = next(m for m in task.metrics if m.label == event["metric"])
        facts = {key: value for key, value in event.items() if key not in ("event", "metric")}
        self._folder.write_floor(
            task.floor_id(metric, FLOOR_REPEATS),
            {"task": task.label, "metric": metric.label, "n": task.eval_size, **facts},
        )

    def _pass_on_step(self, job: Job, event: Mapping[str, Any]) -> None:
        for place, seed in enumerate(event["seeds"]):
            if seed in job["wanted"]:
                values = {name: row[place] for name, row in event["values"].items() if row[place] is not None}
                key = {"task": job["task"], "sampler": job["label"], "seed": seed}
                self._registry.emit("phys_step_logged", cell=key, step=event["step"], values=values)

    def _remaining(self, job: Job) -> list[int]:
        return [seed for seed in job.get("wanted", ()) if job["ids"][str(seed)] in self._left]

    def _failed(self, job: Job, outcome: Mapping[str, Any]) -> None:
        """A job that gave no model: its seeds are tried one by one, unless there is but one or all share the reason."""
        remaining = self._remaining(job)
        if len(job["seeds"]) > 1 and outcome["status"] != "incompatible":
            self._folder.log("retried one by one", job=name_of(job), reason=outcome["reason"])
            self._progress.note(f"{name_of(job)}: {outcome['reason']}; trying the seeds one by one")
            self._queue.extendleft(reversed(one_by_one(job, remaining)))
            job["wanted"] = []
            return
        for seed in remaining:
            self._record(job, seed, outcome)

    def _ended(self, job: Job, event: Mapping[str, Any]) -> None:
        if job["kind"] == "floors":
            self._pending_floors.discard(job["task"])
            if event["how"] != "done":
                self._folder.log("floors failed", task=job["task"], reason=event["reason"])
                self._progress.note(f"{name_of(job)}: {event['reason']}; scores of this task have no floor")
        elif self._remaining(job):
            how = event["how"]
            reason = event["reason"] or "the worker returned no result for this seed"
            tail = f"last output of the worker:\n{event['tail']}" if event["tail"] else ""
            outcome = {"status": _STATUS[how], "reason": reason, "traceback": tail, "hit_limit": _LIMIT.get(how)}
            self._failed(job, {**outcome, "finished": now()})
        self._progress.job_ended(name_of(job))

    def _record(self, job: Job, seed: int, outcome: Mapping[str, Any]) -> None:
        task = self._tasks[job["task"]]
        if task.label not in self._floors:
            self._floors[task.label] = floors_of(task, self._folder)
        self._write(self._cells[job["ids"][str(seed)]], outcome, self._floors[task.label])

    def _write(self, cell: Cell, outcome: Mapping[str, Any], floors: Mapping[str, Any]) -> None:
        record = new_record(cell, outcome, floors=floors)
        self._folder.write_record(record)
        self._left.pop(cell.id, None)
        self.counts[record["status"]] += 1
        self._folder.log("cell finished", id=cell.id, **cell.key, status=record["status"], reason=record["reason"])
        self._registry.emit("phys_cell_finished", record=record)
        self._progress.cell(record)


def _is_news(planned: PlannedCell) -> bool:
    """Whether a refused cell has no record of its refusal yet."""
    refusal, record = planned.cell.pair.refusal, planned.record
    return refusal is not None and (record is None or record["reason"] != refusal.reason)


class Progress:
    """Told of a run as it goes; shows nothing. Override what is to be seen."""

    def __enter__(self) -> Self:
        """The run begins."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """The run ends."""

    def started(self, total: int) -> None:
        """``total`` cells are to be run."""

    def job_started(self, name: str) -> None:
        """A job begins."""

    def job_ended(self, name: str) -> None:
        """A job ends."""

    def cell(self, record: Mapping[str, Any]) -> None:
        """A cell has its record."""

    def note(self, text: str) -> None:
        """Something a person should know."""


def line_of(record: Mapping[str, Any]) -> str:
    """One line about a cell."""
    identity = record["identity"]
    name = f"{identity['task']} / {identity['sampler']} / seed {identity['seed']}"
    if record["status"] != "ok":
        return f"{name}: {record['status']}: {record['reason']}"
    metric, costs = record["primary"], record["costs"]
    floor = record["floors"].get(metric)
    beside = f" (floor {floor['mean']:.4g})" if floor else ""
    seconds = costs["fit_seconds"] + costs["sample_seconds"]
    return f"{name}: {metric} {record['scores'][metric]:.4g}{beside}, {seconds:.1f} s"


class Lines(Progress):
    """A line per cell; a stream that is closed or full costs the lines only.

    Args:
        stream: where to; standard error if None.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream
        self._total = self._done = 0

    def started(self, total: int) -> None:
        """Remember how many there are."""
        self._total = total

    def cell(self, record: Mapping[str, Any]) -> None:
        """A line with what came out."""
        self._done += 1
        width = len(str(self._total))
        self.note(f"[{self._done:>{width}}/{self._total}] {line_of(record)}")

    def note(self, text: str) -> None:
        """A line."""
        if (stream := self._stream or sys.stderr) is not None:  # None where standard error is closed
            with suppress(OSError, ValueError):
                print(text, file=stream, flush=True)


class Bar(Progress):
    """A bar with the number of cells, the time left and the jobs that run; what went wrong is printed above it.

    A terminal that is gone (a connection that broke) costs the bar only.
    """

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
        from rich.progress import Progress as RichProgress

        self._bar = RichProgress(
            TextColumn("cells"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.description}", markup=False),
            console=Console(stderr=True),
        )
        self._running: list[str] = []
        self._task = self._bar.add_task("", total=None)

    def __enter__(self) -> Self:
        with suppress(OSError, ValueError):
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError, ValueError):
            self._bar.stop()

    def started(self, total: int) -> None:
        """Set the length."""
        with suppress(OSError, ValueError):
            self._bar.update(self._task, total=total)

    def job_started(self, name: str) -> None:
        """Show the job."""
        self._running.append(name)
        self._show()

    def job_ended(self, name: str) -> None:
        """Hide the job."""
        if name in self._running:
            self._running.remove(name)
        self._show()

    def cell(self, record: Mapping[str, Any]) -> None:
        """Advance; print what went wrong."""
        with suppress(OSError, ValueError):
            self._bar.advance(self._task)
        if record["status"] not in ("ok", "incompatible"):
            self.note(line_of(record))

    def note(self, text: str) -> None:
        """Print above the bar."""
        with suppress(OSError, ValueError):
            self._bar.console.print(text, markup=False, highlight=False)

    def _show(self) -> None:
        with suppress(OSError, ValueError):
            self._bar.update(self._task, description="; ".join(self._running[:2]))


def choose_progress(progress: Progress | bool | None) -> Progress:
    """The given one; for None or True a bar on a terminal and lines elsewhere; nothing for False."""
    if progress is None or progress is True:
        return Bar() if sys.stderr is not None and sys.stderr.isatty() else Lines()
    return Progress() if progress is False else progress
