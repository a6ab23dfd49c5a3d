"""Jobs on other machines, by an engine that people have: dask, Slurm through submitit, or any executor of futures.

The engine carries a job and what came of it. There a process of its own does the job with a worker that has limits, is
killed when it passes one, and sees the code of no other job: all of that is ``ProcessPool``, at the other end. Machines
share the run folder and have the same environment.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Protocol

from phys_samplers.errors import ConfigurationError, MissingCapability
from phys_samplers.schema import Malformed, one_of, table, text

from .events import REASON, BadEvent, Job, checked, decode, encode
from .executors import LOOK, Handler, Idle, ProcessPool
from .plan import Key, fit_key
from .suite import Budget
from .worker import SAFE_PATH, end_with_parent, no_main_module

HOW = one_of("done", "timeout", "memory", "outside", "died")
ENDED = table({"event": one_of("ended"), "how": HOW, "reason": text(), "tail": text()})


class Future(Protocol):
    """What an executor gives for a job, as ``concurrent.futures`` and submitit have it."""

    def done(self) -> bool:
        """Whether ``result`` returns or raises at once."""

    def result(self) -> Any:
        """What the function returned; raises what it raised, or that its process ended."""

    def cancel(self) -> Any:
        """Do not begin with it, if that can be helped."""


class Executor(Protocol):
    """Whatever runs functions elsewhere: ``concurrent.futures``, ``dask``'s ``client.get_executor()``, submitit's."""

    def submit(self, function: Callable[..., Any], /, *arguments: Any) -> Future:
        """Run ``function`` with texts as arguments; it returns texts."""


class FuturePool:
    """Gives each job to an executor, and tells what became of it when it is over; see ``Pool``.

    Args:
        executor: who runs the jobs.
        workers: how many it is given at once.
        variables: environment variables of the workers, which name plugin files.
        copied: see ``worker.start``.
        closing: ended with the pool.
    """

    def __init__(
        self, executor: Executor, workers: int, variables: Mapping[str, str], *, copied: bool, closing: ExitStack
    ) -> None:
        self._executor, self._workers, self._closing = executor, workers, closing
        self._given = {"variables": dict(variables), "copied": copied, "folder": os.getcwd()}
        self._jobs: list[tuple[Job, Future]] = []

    @property
    def free(self) -> int:
        """Jobs that may still be given to the executor."""
        return self._workers - self.busy

    @property
    def busy(self) -> int:
        """Jobs not ended."""
        return len(self._jobs)

    @property
    def idle(self) -> Idle:
        """Nothing: every job begins in a process of its own."""
        return Idle(frozenset(), ())

    @property
    def fits(self) -> set[Key | None]:
        """See ``Pool.fits``."""
        return {fit_key(job) for job, _ in self._jobs}

    def take(self, job: Job, limit: Budget) -> None:
        """Give a job to the executor; its clock starts when a worker there begins with it."""
        given = {**self._given, "job": job, "seconds": limit.seconds, "memory_mib": limit.memory_mib}
        self._jobs.append((job, self._executor.submit(do, json.dumps(given))))

    def step(self, handle: Handler) -> None:
        """Pass on what jobs that are over have said."""
        if not (over := [item for item in self._jobs if item[1].done()]):
            time.sleep(LOOK)
        for item in over:
            job, future = item
            self._jobs.remove(item)
            try:
                said = _read(future.result(), job)
            except BadEvent as error:
                said = [_ended("died", f"its worker sent a message that is refused: {error}")]
            except Exception as error:  # the engine's: a machine that is gone, a job that was cancelled
                said = [_ended("outside", f"{type(self._executor).__name__} lost it: {error}"[:REASON])]
            for event in said:
                handle(job, event)

    def close(self) -> None:
        """Cancel what is not over, and let go of the engine."""
        for _, future in self._jobs:
            with suppress(Exception):
                future.cancel()
        self._jobs.clear()
        self._closing.close()


def _ended(how: str, reason: str, tail: str = "") -> dict[str, Any]:
    return {"event": "ended", "how": how, "reason": reason, "tail": tail}


def _read(lines: Any, job: Job) -> list[dict[str, Any]]:
    """The events of a job, checked like those of a worker next door.

    Raises:
        BadEvent: if it is anything else.
    """
    if not isinstance(lines, list) or not lines or not all(isinstance(line, str) for line in lines):
        raise BadEvent(f"it is a {type(lines).__name__}; expected lines")
    *events, last = [decode(line.encode()) for line in lines]
    own = {**job, "number": 0}
    found = [
        checked({**event, "job": 0, "process": 0, "number": place}, own, process=0, number=place)
        for place, event in enumerate(events)
    ]
    try:
        ENDED(last, "")
    except Malformed as error:
        raise BadEvent(f"its last one {error}") from None
    return [*found, _ended(last["how"], last["reason"][:REASON], last["tail"])]


def do(given: str) -> list[str]:
    """Do a job, at the other end: in a new process, whose worker can be limited and killed.

    Args:
        given: JSON of the job, its limits, and what its worker gets.

    Returns:
        Its events, a line of JSON each.

    Raises:
        RuntimeError: if that process ended by itself.
    """
    # -P: modules are looked for where they are installed, and not first in the current folder
    command = [sys.executable, "-P", "-m", "phys_bench.remote"]
    done = subprocess.run(command, input=given.encode(), capture_output=True, env={**os.environ, **SAFE_PATH})
    if done.returncode:
        raise RuntimeError(
            f"its process ended with {done.returncode}: {done.stderr.decode(errors='replace')[-REASON:]}"
        )
    return done.stdout.decode().splitlines()


def _main() -> None:
    end_with_parent()
    given = json.loads(sys.stdin.buffer.read())
    os.chdir(given["folder"])
    events: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="phys-bench-") as logs:
        pool = ProcessPool(1, Path(logs), given["variables"], copied=given["copied"])
        try:
            pool.take(given["job"], Budget(seconds=given["seconds"], memory_mib=given["memory_mib"]))
            while pool.busy:
                pool.step(lambda job, event: events.append(event))
        finally:
            pool.close()
    # steps of training tell how far a job is, and it is over
    sys.stdout.buffer.writelines(encode(event) + b"\n" for event in events if event["event"] != "step")
    sys.stdout.buffer.flush()


def engine(name: str, workers: int, jobs: Path) -> tuple[Executor, ExitStack]:
    """An engine by name: ``dask`` (a cluster of this machine), ``dask:ADDRESS`` of a scheduler, ``slurm``.

    Args:
        name: as in ``bench.run(executor=)``; ``slurm:KEY=VALUE,…`` sets parameters of submitit, such as
            ``slurm_partition``.
        workers: of a cluster that is made here.
        jobs: folder for what submitit writes.

    Returns:
        The executor, and what is to be closed after it.

    Raises:
        MissingCapability: if its package is not installed.
        ConfigurationError: on another name, or where no scheduler answers.
    """
    kind, _, rest = name.partition(":")
    closing = ExitStack()
    try:
        if kind == "dask":
            return _dask(rest, workers, closing), closing
        if kind == "slurm":
            parameters = _parameters(rest)
            import submitit

            made = submitit.AutoExecutor(folder=jobs, cluster="slurm")
            made.update_parameters(name="phys-bench", **parameters)
            return made, closing
    except ImportError as error:
        raise MissingCapability(
            f"executor {name!r} needs {error.name}, which is not installed: pip install 'phys-samplers[cluster]'"
        ) from None
    except (OSError, RuntimeError, NameError, ValueError, TypeError) as error:  # no scheduler, an unknown parameter
        closing.close()
        raise ConfigurationError(f"executor {name!r} cannot be had: {error}") from error
    raise ConfigurationError(f"executor is {name!r}; expected dask, dask:ADDRESS, slurm or slurm:KEY=VALUE")


def _dask(address: str, workers: int, closing: ExitStack) -> Executor:
    """A client of the scheduler at an address, or of a new cluster of this machine."""
    from dask import distributed

    dask: Any = distributed
    options: dict[str, Any] = {"n_workers": workers, "threads_per_worker": 1, "dashboard_address": None}
    with no_main_module():
        where = address or closing.enter_context(dask.LocalCluster(**options, processes=True))
    client = closing.enter_context(dask.Client(where))
    executor: Executor = client.get_executor(pure=False)
    return executor


def _parameters(given: str) -> dict[str, Any]:
    """``a=1,b=x`` as parameters.

    Raises:
        ConfigurationError: naming the part that is none.
    """
    found: dict[str, Any] = {}
    for part in filter(None, given.split(",")):
        key, sign, value = part.partition("=")
        if not sign or not key.isidentifier():
            raise ConfigurationError(f"{part!r} of executor 'slurm' is no KEY=VALUE, such as slurm_partition=cpu")
        found[key] = int(value) if value.isdecimal() else value
    return found


if __name__ == "__main__":
    _main()
