"""Worker processes that are killed when they pass a limit, and replaced."""

from __future__ import annotations

import json
import multiprocessing
import signal
import sys
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from types import ModuleType
from typing import Any

import psutil

from phys_registry import PhysError

from .fits import Key, fit_key
from .meter import MIB
from .pool import Handler, Job
from .suite import Budget
from .worker import work

LOOK = 0.1
"""Seconds between two looks at the limits."""
START_SECONDS = 180.0
START_ATTEMPTS = 3
TAIL_LINES = 30


class WorkerError(PhysError, RuntimeError):
    """Worker processes cannot be started."""


@dataclass
class _Slot:
    process: Any
    connection: Connection
    log: Path
    began: float
    ready: bool = False
    job: Job | None = None
    limit: Budget | None = None
    fit: Key | None = None
    deadline: float = 0.0
    log_start: int = 0


class ProcessPool:
    """Worker processes that are killed when they pass a limit, and replaced.

    Args:
        workers: how many at most; they are started when there is work for them.
        logs: folder for what they print.
        variables: environment variables they get.
    """

    def __init__(self, workers: int, logs: Path, variables: Mapping[str, str]) -> None:
        self._context = multiprocessing.get_context("spawn")  # forking a process that runs threads is unsafe
        self._workers, self._logs, self._variables = workers, logs, dict(variables)
        self._slots: list[_Slot] = []
        self._waiting: deque[tuple[Job, Budget]] = deque()
        self._failures, self._started = 0, 0

    @property
    def free(self) -> int:
        """Workers without a job."""
        return self._workers - self.busy

    @property
    def busy(self) -> int:
        """Jobs not ended."""
        return len(self._waiting) + sum(slot.job is not None for slot in self._slots)

    @property
    def fits(self) -> tuple[set[Key | None], set[Key | None]]:
        """See ``Pool.fits``."""
        waiting = {fit_key(job) for job, _ in self._waiting}
        return {slot.fit for slot in self._slots if not slot.job}, waiting | {s.fit for s in self._slots if s.job}

    def take(self, job: Job, limit: Budget) -> None:
        """Take a job; its clock starts when a worker begins with it, imports excluded."""
        self._waiting.append((job, limit))
        idle = sum(slot.job is None for slot in self._slots)
        if idle < len(self._waiting) and len(self._slots) < self._workers:
            self._slots.append(self._start())
        self._assign()

    def step(self, handle: Handler) -> None:
        """Wait for events at most ``LOOK`` seconds, pass them on, and enforce the limits."""
        ready = wait([slot.connection for slot in self._slots], LOOK)
        for slot in list(self._slots):
            if slot.connection in ready and not self._receive(slot, handle) and slot in self._slots:
                self._bury(slot, handle)
        for slot in list(self._slots):
            self._enforce(slot, handle)
        self._assign()

    def close(self) -> None:
        """Kill all workers."""
        for slot in self._slots:
            _kill(slot.process)
            slot.connection.close()
        self._slots.clear()
        self._waiting.clear()

    def _start(self) -> _Slot:
        self._started += 1
        log = self._logs / f"worker-{self._started}.log"
        log.unlink(missing_ok=True)
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=work, args=(theirs, str(log), self._variables), name="phys-bench worker")
        with _no_main_module():
            process.start()
        theirs.close()
        return _Slot(process=process, connection=ours, log=log, began=time.monotonic())

    def _assign(self) -> None:
        while self._waiting and (idle := [slot for slot in self._slots if slot.ready and slot.job is None]):
            job, limit = self._waiting.popleft()
            key = fit_key(job)
            slot = next((slot for slot in idle if slot.fit == key), idle[0])
            slot.job, slot.limit = job, limit
            slot.fit = key if job["kind"] == "cells" else slot.fit
            slot.deadline = time.monotonic() + limit.seconds
            slot.log_start = slot.log.stat().st_size if slot.log.exists() else 0
            with suppress(OSError):  # a dead worker shows at the next step
                slot.connection.send_bytes(json.dumps(job).encode())

    def _receive(self, slot: _Slot, handle: Handler) -> bool:
        """Pass on what a worker sent; False if it is dead."""
        while True:
            try:
                if not slot.connection.poll():
                    return True
                event = json.loads(slot.connection.recv_bytes())
            except (EOFError, OSError):
                return False
            if event["event"] == "ready":
                slot.ready, self._failures = True, 0
            elif event["event"] == "shared":  # as if it had been made now: who fits first must not decide who is late
                slot.deadline -= event["seconds"]
            elif event["event"] == "done":
                self._end(slot, handle, "done", "", resident=event["resident_mib"])
            elif slot.job is not None:
                handle(slot.job, event)

    def _end(self, slot: _Slot, handle: Handler, how: str, reason: str, *, resident: float = 0.0) -> None:
        job, limit, tail = slot.job, slot.limit, "" if how == "done" else _tail(slot.log, slot.log_start)
        slot.job = slot.limit = None
        # What one job leaves in memory must not count against the next one.
        if limit is not None and resident > limit.memory_mib / 2:
            self._drop(slot)
        if job is not None:
            handle(job, {"event": "ended", "how": how, "reason": reason, "tail": tail})

    def _bury(self, slot: _Slot, handle: Handler) -> None:
        """Take note of a worker that ended by itself."""
        slot.process.join(5)
        code = slot.process.exitcode
        self._drop(slot)
        if not slot.ready:
            self._failed_start(slot, f"it ended with {_exit_text(code)}")
        elif slot.job is not None:
            self._end(slot, handle, "died", f"its worker process ended with {_exit_text(code)}")

    def _failed_start(self, slot: _Slot, reason: str) -> None:
        self._failures += 1
        if self._failures >= START_ATTEMPTS:
            raise WorkerError(
                f"{self._failures} worker processes in a row could not start: {reason}\n{_tail(slot.log, 0)}\n"
                "try executor='inline' to see the error in this process"
            )
        self._slots.append(self._start())

    def _enforce(self, slot: _Slot, handle: Handler) -> None:
        if not slot.ready:
            if slot in self._slots and time.monotonic() > slot.began + START_SECONDS:
                self._drop(slot)
                self._failed_start(slot, f"it was not ready after {START_SECONDS:.0f} s")
            return
        if slot.job is None or slot.limit is None:
            return
        if time.monotonic() > slot.deadline:
            self._drop(slot)
            self._end(slot, handle, "timeout", f"stopped at the limit of {slot.limit.seconds:g} s")
            return
        with suppress(psutil.Error):
            used = psutil.Process(slot.process.pid).memory_info().rss / MIB
            if used > slot.limit.memory_mib:
                limit = slot.limit.memory_mib
                self._drop(slot)
                self._end(slot, handle, "memory", f"stopped at {used:,.0f} MiB; the limit is {limit:,.0f} MiB")

    def _drop(self, slot: _Slot) -> None:
        _kill(slot.process)
        slot.connection.close()
        self._slots.remove(slot)
        if self._waiting and len(self._slots) < self._workers:
            self._slots.append(self._start())


def _kill(process: Any) -> None:
    """Kill a worker with all that it started."""
    children = []
    with suppress(psutil.Error):
        children = psutil.Process(process.pid).children(recursive=True)
    if process.is_alive():
        process.kill()
    for child in children:
        with suppress(psutil.Error):
            child.kill()
    process.join(5)


def _exit_text(code: int | None) -> str:
    if code is None or code >= 0:
        return f"exit code {code}"
    with suppress(ValueError):
        return f"signal {signal.Signals(-code).name}"
    return f"signal {-code}"


def _tail(log: Path, start: int) -> str:
    """The last lines that a worker printed since ``start``."""
    try:
        with open(log, "rb") as stream:
            stream.seek(start)
            lines = stream.read()[-20_000:].decode(errors="replace").splitlines()
    except OSError:
        return ""
    return "\n".join(lines[-TAIL_LINES:])


@contextmanager
def _no_main_module() -> Iterator[None]:
    """Keep a new process from importing the user's script again, which would run it if it has no main guard."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
