"""The runner: hands out jobs, writes a record for every cell that ends, and tells who listens."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from phys_registry import Registry

from .cell import Cell, TaskPlan
from .events import Job
from .executors import Pool
from .jobs import budgets_of, floors_of, jobs_of, limit_of, name_of, next_job, one_by_one
from .plan import Plan, PlannedCell
from .progress import Progress
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
