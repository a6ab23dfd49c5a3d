"""The benchmark's Python face.

>>> from phys_samplers import bench
>>> results = bench.run("quick", samplers=["bellman", "ula"])
>>> print(results.table())
>>> results.frame
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from phys_samplers.catalogue import registry
from phys_samplers.errors import ConfigurationError

from .claims import Claims
from .claims_read import load_claims
from .claims_run import decided_by
from .conflicts import Conflict, find_conflicts
from .environment import Fingerprints, choose_device, cpu_count, environment
from .execution import inline_threads
from .executors import InlinePool, Pool, ProcessPool
from .folders import check_owner, load, merge, new_head, status
from .plan import Plan, PlannedCell, plan_cells
from .remote import Executor, FuturePool, engine
from .resolve import Resolver, needs_inline
from .results import Results, compare
from .runner import Progress, Runner, choose_progress
from .store import Damage, RunFolder
from .suite import Budget, Override, Suite, list_suites, load_suite
from .tuned_suite import tune_suite

__all__ = [
    "Budget",
    "Claims",
    "Conflict",
    "Damage",
    "Executor",
    "Override",
    "Plan",
    "PlannedCell",
    "Results",
    "RunInterrupted",
    "Suite",
    "compare",
    "decided_by",
    "find_conflicts",
    "list_suites",
    "load",
    "load_claims",
    "load_suite",
    "merge",
    "plan",
    "run",
    "status",
    "tune",
]

EXECUTORS = ("auto", "process", "inline", "dask", "slurm")
"""Names, of which dask and slurm may be followed by a colon and more."""
SuiteLike = str | Path | Suite | Mapping[str, Any]


class RunInterrupted(KeyboardInterrupt):
    """Ctrl-C during a run; finished cells are kept.

    Attributes:
        results: of the cells that are finished. A command ends with exit code 130 then.
    """

    def __init__(self, message: str, results: Results) -> None:
        super().__init__(message)
        self.results = results


def plan(
    suite: SuiteLike,
    *,
    samplers: Sequence[str] | None = None,
    tasks: Sequence[str] | None = None,
    seeds: int | Sequence[int] | None = None,
    out: str | Path | None = None,
    device: str = "auto",
    plugins: Sequence[str | Path] = (),
    retry_failed: bool = False,
) -> Plan:
    """What ``run`` would do, without doing it; nothing is written.

    Args:
        suite: see ``run``, as for the other arguments.
        samplers: instead of the suite's.
        tasks: instead of the suite's.
        seeds: instead of the suite's.
        out: the run folder.
        device: ``auto``, ``cpu`` or ``cuda``.
        plugins: plugin files to load first.
        retry_failed: whether failed cells are run again.

    Returns:
        The plan; ``plan.table()`` shows it.

    Raises:
        PhysError: naming the part of the suite that is wrong.
    """
    for path in plugins:
        registry.load_file(path)
    chosen = load_suite(suite).select(tasks=tasks, samplers=samplers, seeds=seeds)
    folder = RunFolder(out if out is not None else Path("runs") / chosen.name)
    check_owner(folder, chosen.name)
    where = choose_device(device)
    cells = Resolver(chosen, where).cells()
    found = folder.scan(cell.id for cell in cells)
    return Plan(
        chosen, where, plan_cells(cells, found.records, found.damaged, retry_failed=retry_failed), found.damaged
    )


def run(
    suite: SuiteLike,
    *,
    samplers: Sequence[str] | None = None,
    tasks: Sequence[str] | None = None,
    seeds: int | Sequence[int] | None = None,
    out: str | Path | None = None,
    executor: str | Executor = "auto",
    workers: int | None = None,
    device: str = "auto",
    plugins: Sequence[str | Path] = (),
    retry_failed: bool = False,
    dry_run: bool = False,
    progress: Progress | bool | None = None,
    tuning: Mapping[str, Any] | None = None,
) -> Results:
    """Run a suite; cells that have a record already are not run again.

    Args:
        suite: name of a shipped suite, path of a TOML file, a mapping, or a ``Suite``.
        samplers: sampler texts instead of the suite's, such as ``bellman[kernel=gaussian,sliced]``.
        tasks: task texts instead of the suite's.
        seeds: a number of seeds, or the seeds, instead of the suite's.
        out: run folder; ``runs/<suite>`` if None.
        executor: ``process`` runs cells in killable workers, ``inline`` in this process, without limits;
            ``auto`` takes ``process`` unless a component is known to this process alone. ``dask`` makes a cluster of
            this machine, ``dask:ADDRESS`` asks a scheduler, ``slurm`` (``slurm:slurm_partition=cpu,timeout_min=60``)
            submits jobs; or any object whose ``submit(function, *texts)`` gives futures. Other machines must see the
            run folder and have the same packages.
        workers: number of worker processes, or of jobs at once elsewhere; one per CPU core if None (two on CUDA, which
            they share).
        device: ``auto``, ``cpu`` or ``cuda``.
        plugins: plugin files to load first.
        retry_failed: run failed, diverged and timed-out cells again. Without it they are kept, since the same code and
            seed end the same way; one that hit a limit which is higher now is always tried again.
        dry_run: print the plan, run and write nothing, and return what exists.
        progress: None shows a bar on a terminal and lines elsewhere, False nothing; or an object of your own.
        tuning: how the samplers' options were chosen, for the head of the run; see ``tune``.

    Returns:
        The results of the suite's cells, among them what its ``published`` and ``claims`` come to.

    Raises:
        PhysError: naming the part of the suite that is wrong, before anything is run.
        RunInterrupted: on Ctrl-C, with the finished cells.
    """
    made = plan(
        suite,
        samplers=samplers,
        tasks=tasks,
        seeds=seeds,
        out=out,
        device=device,
        plugins=plugins,
        retry_failed=retry_failed,
    )
    folder = RunFolder(out if out is not None else Path("runs") / made.suite.name)
    if dry_run:
        print(made.table(), file=sys.stderr)
        return _results(folder, made)
    how, note = _choose_executor(executor, made)
    count = _choose_workers(workers, made, how)
    if not made.todo and folder.exists and not os.access(folder.path, os.W_OK):
        results = _results(folder, made)
        results.notes += (f"{folder.path} cannot be written to; it is shown as it is.",)
        return results
    try:
        folder.prepare()
    except OSError as error:
        raise ConfigurationError(
            f"{folder.path} cannot be written to ({error.strerror}); give another folder (`--out`, in Python `out=`)"
        ) from error
    with folder.owned():
        problem = folder.head_damage()
        here = environment(made.device)
        head = new_head(made, folder.read_head(), executor=how, workers=count, environment=here)
        head |= {} if tuning is None else {"tuning": dict(tuning)}
        head["suite"] |= load_suite(suite).papers()  # of the cells of earlier calls too
        folder.write_head(head)
        notes = [note, problem and f"{problem}; it is written anew, and lists the cells of this run alone"]
        pool = _pool(how if isinstance(executor, str) else executor, count, folder, made.device)
        return _run(made, folder, how, count, notes, choose_progress(progress), pool)


def tune(
    suite: SuiteLike,
    *,
    trials: int = 30,
    fits: int = 1,
    seed: int = 0,
    samplers: Sequence[str] | None = None,
    tasks: Sequence[str] | None = None,
    seeds: int | Sequence[int] | None = None,
    out: str | Path | None = None,
    announce: Callable[[str], None] = lambda text: None,
    **options: Any,
) -> Results:
    """Tune every sampler of a suite on each of its tasks, by equally many trials on validation rows; then run it.

    Trials run in this process, one after another, without limits. What was searched, every trial and the choice are in
    the head of the run (``run.json``, ``tuning``). A killed search goes on with the pair of task and sampler it was at.

    Args:
        suite: see ``run``, as for the other arguments.
        trials: of every sampler on every task, the recipe as it stands included.
        fits: of a trial, whose mean score counts.
        seed: of proposals and of the trials' fits, which are other than those of the run.
        samplers: instead of the suite's.
        tasks: instead of the suite's.
        seeds: of the run.
        out: run folder; ``runs/<suite>-tuned`` if None.
        announce: told of every trial.
        options: of ``run``.

    Raises:
        MissingCapability: if optuna is not installed, or a task has no validation rows.
    """
    chosen = load_suite(suite).select(tasks=tasks, samplers=samplers, seeds=seeds)
    chosen = replace(chosen, name=f"{chosen.name}-tuned")
    folder = RunFolder(out if out is not None else Path("runs") / chosen.name)
    check_owner(folder, chosen.name)
    folder.prepare()
    with folder.owned():
        tuned, facts = tune_suite(chosen, folder, trials=trials, fits=fits, seed=seed, announce=announce)
    return run(tuned, out=folder.path, tuning=facts, **options)


def _run(made: Plan, folder: RunFolder, how: str, count: int, notes: list[str], shown: Progress, pool: Pool) -> Results:
    """Run a plan in a folder that is ours."""
    facts = {"suite": made.suite.to_dict(), "folder": str(folder.path), "device": made.device, "plan": made.summary()}
    folder.log("run started", plan=made.summary(), executor=how, workers=count)
    registry.emit("phys_run_started", run=facts)
    runner = Runner(made, folder, pool, shown, registry)
    outcome = "failed"
    try:
        with shown, inline_threads(how == "inline"):
            damaged = [f"{d.file} is damaged: {d.reason}; running it again" for d in made.damaged]
            for text in filter(None, [made.summary(), *notes, *damaged]):
                shown.note(text)
            runner.run()
        outcome = "finished"
    except KeyboardInterrupt:
        outcome = "interrupted"
        pool.close()
        done = sum(runner.counts.values())
        text = f"interrupted: {done} of {len(made.todo)} cells are done and kept in {folder.path}; run again to go on"
        shown.note(text)
        raise RunInterrupted(text, _results(folder, made)) from None
    finally:
        pool.close()
        folder.log(f"run {outcome}", counts=dict(runner.counts))
        registry.emit("phys_run_finished", run={**facts, "outcome": outcome, "counts": dict(runner.counts)})
    return _results(folder, made)


def _results(folder: RunFolder, made: Plan) -> Results:
    """The results of a plan's own cells."""
    ids = list(dict.fromkeys(planned.cell.id for planned in made.cells))
    head = folder.read_head() or {}
    if head:
        head = {**head, "suite": {**(head.get("suite") or {}), "seeds": list(made.suite.seeds), **made.suite.papers()}}
    results = Results.read(folder, ids, head)
    if missing := len(ids) - len(results.cells):
        results.notes += (f"{missing} of {len(ids)} cells have no record yet.",)
    return results


def _choose_executor(executor: str | Executor, made: Plan) -> tuple[str, str]:
    """Its name, and what a person should know."""
    if not isinstance(executor, str) and not callable(getattr(executor, "submit", None)):
        raise ConfigurationError(
            f"executor is {executor!r}; expected a name, or an object with submit(function, *texts)"
        )
    name = executor if isinstance(executor, str) else type(executor).__name__
    if name is executor and name.partition(":")[0] not in EXECUTORS:
        raise ConfigurationError(f"executor is {name!r}; expected {', '.join(EXECUTORS)}, or an object")
    if executor == "inline":
        return "inline", "executor 'inline': limits on time and memory are not kept"
    if not (own := needs_inline(made.todo, Fingerprints(registry))):
        return "process" if executor == "auto" else name, ""
    named = ", ".join(own)
    if executor != "auto":
        raise ConfigurationError(
            f"{named} is registered in this process only, where worker processes cannot see it; put it into a file and "
            "pass plugins=['FILE.py'], or use executor='inline'"
        )
    return "inline", f"{named} is known to this process only: cells run here, without limits on time and memory"


def _choose_workers(workers: int | None, made: Plan, how: str) -> int:
    if workers is not None and (isinstance(workers, bool) or not isinstance(workers, int) or workers < 1):
        raise ConfigurationError(f"workers is {workers!r}; expected an integer of at least 1, or None")
    if how == "inline":
        return 1
    usual = 2 if made.device == "cuda" else cpu_count()
    return max(1, min(workers or usual, len(made.todo) or 1))


def _pool(how: str | Executor, count: int, folder: RunFolder, device: str) -> Pool:
    if how == "inline":
        return InlinePool()
    files = [status.location for status in registry.plugins() if (status.source, status.status) == ("file", "loaded")]
    variables = {"PHYS_SAMPLERS_PLUGIN_FILES": os.pathsep.join(files)}
    copied = device == "cpu"
    if how == "process":
        return ProcessPool(count, folder.path / "logs", variables, copied=copied)
    asked, closing = engine(how, count, folder.path / "logs") if isinstance(how, str) else (how, ExitStack())
    return FuturePool(asked, count, variables, copied=copied, closing=closing)
