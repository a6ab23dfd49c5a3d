"""Who does the jobs: the running process itself, or worker processes that are killed when they pass a limit."""

from __future__ import annotations

import os
import signal
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Protocol

from phys_registry import PhysError

from .environment import MIB, Used, descendants, memory_mib
from .events import BadEvent, Channel, Job, checked, decode, encode
from .plan import Key, LastFit, fit_key
from .suite import Budget
from .worker import end_descendants, start

LOOK = 0.1
"""Seconds between two looks at the limits."""
START_SECONDS = 180.0
START_ATTEMPTS, START_PAUSE = 3, 2.0
AT_ONCE, PATIENCE = 1_000, 10.0
"""Messages taken from a worker between two looks at the limits, and seconds that it may take to take a job."""
TAIL_LINES, TAIL_BYTES = 30, 20_000
LARGEST_LOG = 64 * MIB
"""Bytes of what a worker prints; beyond that it is stopped."""
LONGEST_WAIT = 20.0
"""So many times its limit a job may take on the clock if it does not get a processor."""
OUTSIDE = (signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT)
"""Signals that come from outside: no code of a cell ends with them by itself."""
LOST = 255
"""Exit code of a process whose end nobody saw, since the process that it was a copy of was killed."""

Handler = Callable[[Job, dict[str, Any]], None]


class WorkerError(PhysError, RuntimeError):
    """Worker processes cannot be started."""


@dataclass(frozen=True)
class Idle:
    """What free workers have: fits that they keep, and the plugins whose code ran in each."""

    fits: frozenset[Key | None]
    plugins: tuple[frozenset[str], ...]


class Pool(Protocol):
    """Takes jobs and tells what became of them.

    The last event of every job is ``ended`` with ``how`` (``done``, ``timeout``, ``memory``, ``outside`` or ``died``),
    ``reason`` and ``tail``, the last lines that its worker printed.
    """

    @property
    def free(self) -> int:
        """How many jobs can be taken now."""

    @property
    def busy(self) -> int:
        """How many jobs are not ended."""

    @property
    def idle(self) -> Idle:
        """What free workers have."""

    @property
    def fits(self) -> set[Key | None]:
        """Fits that busy workers keep or are making; None for those without."""

    def take(self, job: Job, limit: Budget) -> None:
        """Take a job that may use ``limit`` (of the whole job); a free worker that keeps its fit does it."""

    def step(self, handle: Handler) -> None:
        """Wait a moment and pass on what happened."""

    def close(self) -> None:
        """Stop everything, at once."""


class InlinePool:
    """Does jobs in this process, one at a time; nothing can be limited or killed here."""

    def __init__(self) -> None:
        self._jobs: deque[Job] = deque()
        self._kept = LastFit()

    @property
    def free(self) -> int:
        """One, unless a job waits."""
        return 1 - len(self._jobs)

    @property
    def busy(self) -> int:
        """Jobs waiting."""
        return len(self._jobs)

    @property
    def idle(self) -> Idle:
        """The last fit."""
        return Idle(frozenset({self._kept.key}), ())

    @property
    def fits(self) -> set[Key | None]:
        """That of the waiting job."""
        return {fit_key(job) for job in self._jobs}

    def take(self, job: Job, limit: Budget) -> None:
        """Take a job; the limit is not kept."""
        self._jobs.append(job)

    def step(self, handle: Handler) -> None:
        """Do a job."""
        from .execution import execute

        job, own, sent = {**self._jobs[0], "number": 0}, os.getpid(), 0
        how, reason = "done", ""

        def emit(event: Mapping[str, Any]) -> None:
            nonlocal sent
            message = {**event, "job": 0, "process": os.getpid(), "number": sent}
            sent += 1
            handle(self._jobs[0], checked(decode(encode(message)), job, process=own, number=sent - 1))

        try:
            execute(job, emit, self._kept)
        except SystemExit as error:
            how, reason = "died", f"it called sys.exit({error.code!r})"
        except BadEvent as error:
            how, reason = "died", f"it sent a message that is refused: {error}"
        handle(self._jobs.popleft(), {"event": "ended", "how": how, "reason": reason, "tail": ""})

    def close(self) -> None:
        """Forget waiting jobs."""
        self._jobs.clear()


@dataclass
class _Slot:
    """A worker: ``process`` is its keeper, ``worker`` the number of the process that does the jobs."""

    process: Any
    connection: Connection
    channel: Channel
    log: Path
    began: float
    worker: int = 0
    heard: int = 0
    ready: bool = False
    job: Job | None = None
    limit: Budget | None = None
    fit: Key | None = None
    plugins: frozenset[str] = frozenset()
    log_start: int = 0
    used: Used = field(default_factory=Used)


class ProcessPool:
    """Worker processes that are killed when they pass a limit, and replaced.

    A worker also goes when code of a plugin that is not built in has run in it and a job of another comes, or when a
    job has left something behind that cannot be put back for sure.

    Args:
        workers: how many at most; they are started when there is work for them.
        logs: folder for what they print.
        variables: environment variables they get.
        copied: see ``worker.start``.
    """

    def __init__(self, workers: int, logs: Path, variables: Mapping[str, str], *, copied: bool) -> None:
        self._workers, self._logs, self._variables, self._copied = workers, logs, dict(variables), copied
        self._slots: list[_Slot] = []
        self._waiting: deque[tuple[Job, Budget]] = deque()
        self._failures = self._started = self._taken = 0

    @property
    def free(self) -> int:
        """Workers without a job."""
        return self._workers - self.busy

    @property
    def busy(self) -> int:
        """Jobs not ended."""
        return len(self._waiting) + sum(slot.job is not None for slot in self._slots)

    @property
    def idle(self) -> Idle:
        """See ``Pool.idle``."""
        slots = [slot for slot in self._slots if slot.job is None]
        return Idle(frozenset(slot.fit for slot in slots), tuple(slot.plugins for slot in slots))

    @property
    def fits(self) -> set[Key | None]:
        """See ``Pool.fits``."""
        return {fit_key(job) for job, _ in self._waiting} | {slot.fit for slot in self._slots if slot.job}

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
            if slot.connection in ready or slot.channel.holds or not slot.process.is_alive():
                self._receive(slot, handle)
        for slot in list(self._slots):
            self._enforce(slot, handle)
        self._assign()

    def close(self) -> None:
        """Kill all workers."""
        for slot in self._slots:
            _kill(slot.process)
            slot.channel.close()
            slot.connection.close()
        self._slots.clear()
        self._waiting.clear()

    def _start(self) -> _Slot:
        self._started += 1
        log = self._logs / f"worker-{self._started}.log"
        log.unlink(missing_ok=True)
        for _ in range(START_ATTEMPTS):
            try:
                process, connection = start(log, self._variables, copied=self._copied)
                channel = Channel(connection)
                return _Slot(process=process, connection=connection, channel=channel, log=log, began=time.monotonic())
            except OSError as error:  # too many processes for now, perhaps those of a cell that is being ended
                problem = error
                time.sleep(START_PAUSE)
        raise WorkerError(f"worker processes cannot be started: {problem}") from problem

    def _assign(self) -> None:
        while self._waiting and (idle := [slot for slot in self._slots if slot.ready and slot.job is None]):
            job, limit = self._waiting[0]
            key, plugins = fit_key(job), frozenset(job.get("plugins", ()))
            clean = [slot for slot in idle if slot.plugins <= plugins]
            if not clean:
                self._drop(idle[0])  # and another one starts, since a job waits
                return
            self._waiting.popleft()
            slot = next((slot for slot in clean if slot.fit == key), clean[0])
            self._taken += 1
            slot.job, slot.limit = {**job, "number": self._taken}, limit
            slot.fit = key if job["kind"] == "cells" else slot.fit
            slot.plugins |= plugins
            slot.used = Used()
            slot.log_start = _size(slot.log)
            with suppress(OSError):  # a dead worker shows at the next step
                slot.channel.send(slot.job, patience=PATIENCE)

    def _receive(self, slot: _Slot, handle: Handler) -> None:
        """Pass on what a worker sent; it goes if it is dead or says what it must not."""
        for _ in range(AT_ONCE):
            if slot not in self._slots:
                return
            try:
                if (line := slot.channel.take()) is None:
                    if not slot.process.is_alive():
                        self._bury(slot, handle)
                    return
                event = self._heard(slot, line)
            except (EOFError, OSError):
                return self._bury(slot, handle)
            except BadEvent as error:
                return self._bury(slot, handle, f"its worker sent a message that is refused: {error}")
            if event["event"] == "ready":
                slot.ready, self._failures = True, 0
            elif event["event"] == "shared":  # as if it had been made now: who fits first must not decide who is late
                slot.used.seconds += event["seconds"]
            elif event["event"] == "done":
                left = bool(slot.plugins) and len(descendants(slot.process.pid)) > 1  # processes, beside the worker
                changed = left or bool(event["changed"])
                self._end(slot, handle, "done", "", resident=event["resident_mib"], changed=changed)
            elif slot.job is not None:
                handle(slot.job, event)

    def _heard(self, slot: _Slot, payload: bytes) -> dict[str, Any]:
        message = decode(payload)
        if not slot.ready and isinstance(message.get("process"), int):
            slot.worker = message["process"]
        event = checked(message, slot.job if slot.ready else None, process=slot.worker, number=slot.heard)
        slot.heard += 1
        return event

    def _end(
        self, slot: _Slot, handle: Handler, how: str, reason: str, *, resident: float = 0.0, changed: bool = False
    ) -> None:
        job, limit, tail = slot.job, slot.limit, "" if how == "done" else _tail(slot.log, slot.log_start)
        slot.job = slot.limit = None
        # What one job leaves in memory must not count against the next one, nor what it changed.
        if changed or (limit is not None and resident > limit.memory_mib / 2):
            self._drop(slot)
        if job is not None:
            handle(job, {"event": "ended", "how": how, "reason": reason, "tail": tail})

    def _bury(self, slot: _Slot, handle: Handler, reason: str = "") -> None:
        """Take note of a worker that ended by itself, or that is ended for ``reason``."""
        if not reason:
            slot.process.join(5)
        code = slot.process.exitcode
        self._drop(slot)
        if not slot.ready:
            self._failed_start(slot, reason or f"it ended with {_exit_text(code)}")
        elif slot.job is not None:
            outside = not reason and code is not None and (-code in OUTSIDE or code == LOST)
            reason = reason or f"its worker process ended with {_exit_text(code)}"
            self._end(slot, handle, "outside" if outside else "died", reason)

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
        family = descendants(slot.process.pid)
        slot.used.charge(family, slot.worker)
        seconds, memory = slot.limit.seconds, slot.limit.memory_mib
        used = memory_mib(family, memory)
        if slot.used.seconds > seconds:
            how, reason = "timeout", f"stopped at the limit of {seconds:g} s"
        elif slot.used.clock > LONGEST_WAIT * seconds:
            how, reason = "timeout", f"stopped after {slot.used.clock:,.0f} s, most of which it had no processor"
        elif used > memory:
            how, reason = "memory", f"stopped at {used:,.0f} MiB; the limit is {memory:,.0f} MiB"
        elif _size(slot.log) - slot.log_start > LARGEST_LOG:
            how, reason = "died", f"stopped: it printed more than {LARGEST_LOG / MIB:,.0f} MiB"
        else:
            return
        self._drop(slot)
        self._end(slot, handle, how, reason)
        if how == "died" and _size(slot.log) > LARGEST_LOG:
            slot.log.unlink(missing_ok=True)

    def _drop(self, slot: _Slot) -> None:
        if slot not in self._slots:
            return
        _kill(slot.process)
        slot.channel.close()
        slot.connection.close()
        self._slots.remove(slot)
        if self._waiting and len(self._slots) < self._workers:
            self._slots.append(self._start())


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _kill(process: Any) -> None:
    """Kill a keeper with all that its worker started."""
    end_descendants(process.pid)
    with suppress(OSError):  # its group outlives it, if somebody killed it
        os.killpg(process.pid, signal.SIGKILL)
    if process.is_alive():
        process.kill()
    process.join(5)


def _exit_text(code: int | None) -> str:
    names = {-number: number.name for number in signal.Signals}
    if code == LOST:
        return f"exit code {code}, or was lost"
    return f"signal {names.get(code, -code)}" if code is not None and code < 0 else f"exit code {code}"


def _tail(log: Path, start: int) -> str:
    """The last lines that a worker printed since ``start``."""
    try:
        with open(log, "rb") as stream:
            stream.seek(max(start, _size(log) - TAIL_BYTES))
            lines = stream.read(TAIL_BYTES).decode(errors="replace").splitlines()
    except OSError:
        return ""
    return "\n".join(lines[-TAIL_LINES:])
