"""A worker: imports torch once, then does one job after another, until it is told to stop or is killed.

Two processes: a *keeper*, which the runner starts, and its child, which does the jobs. Whatever the jobs start stays a
descendant of the keeper (on Linux also what leaves its parent), and the keeper takes all of it along when the child
ends or the runner is gone, in the middle of C code too: an orphan would hold the machine for nothing.

This module imports nothing heavy at its top: the environment must be set before torch is loaded.
"""

from __future__ import annotations

import ctypes
import faulthandler
import os
import signal
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from multiprocessing import parent_process
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

PATIENCE = 0.2
"""Seconds between two looks of a keeper."""
_SET_CHILD_SUBREAPER, _SET_PDEATHSIG = 36, 1


def work(connection: Connection, log: str, variables: Mapping[str, str]) -> None:
    """Serve jobs; the target of the worker process.

    Args:
        connection: jobs come in here, events go out.
        log: file that standard output and error go to.
        variables: environment variables to set first.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    os.environ.update(variables)
    os.environ["PHYS_SAMPLERS_PROGRESS"] = "0"
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS"):
        os.environ[name] = "1"
    _redirect(Path(log))
    runner = parent_process()
    parent = runner.pid if runner and runner.pid else os.getppid()  # who asks the system may be an orphan already
    _prctl(_SET_CHILD_SUBREAPER, 1)
    child = os.fork()
    if child == 0:
        _prctl(_SET_PDEATHSIG, signal.SIGKILL)
        _serve(connection)
        os._exit(0)
    connection.close()
    _keep(child, parent)


def _keep(child: int, parent: int) -> None:
    """Wait for the child or for the end of the parent, and end as the child does, with all that is left of it."""
    status = None
    while status is None and os.getppid() == parent:
        time.sleep(PATIENCE if _ended(child) is None else 0)
        status = _ENDED.pop(child, None)
    end_descendants(os.getpid())
    if status is None or os.WIFEXITED(status):
        os._exit(1 if status is None else os.WEXITSTATUS(status))
    with suppress(OSError):
        signal.signal(os.WTERMSIG(status), signal.SIG_DFL)
    os.kill(os.getpid(), os.WTERMSIG(status))


_ENDED: dict[int, int] = {}


def _ended(child: int) -> int | None:
    """The status of the child if it ended; strangers that were left to this process are buried."""
    while True:
        try:
            number, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return _ENDED.get(child)
        if number == 0:
            return _ENDED.get(child)
        if number == child:
            _ENDED[child] = status


def end_descendants(process: int) -> None:
    """Kill what a process has started, and what that has, until there is no more of it."""
    import psutil

    for _ in range(100):  # a process that starts others as fast as they are killed is not waited for
        try:
            found = [row for row in psutil.Process(process).children(recursive=True) if _lives(row)]
        except psutil.Error:
            return
        for row in found:
            with suppress(psutil.Error):
                row.kill()
        if not found:
            return
        time.sleep(0.01)


def _lives(process: Any) -> bool:
    import psutil

    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def _serve(connection: Connection) -> None:
    from .environment import resident_mib
    from .events import decode, encode
    from .execution import execute, single_threaded
    from .plan import LastFit

    single_threaded()
    send, own, sent = connection.send_bytes, os.getpid(), 0
    job: dict[str, Any] = {}

    def emit(event: Mapping[str, Any]) -> None:
        nonlocal sent
        send(encode({**event, "job": job.get("number"), "process": own, "number": sent}))
        sent += 1

    kept = LastFit()
    emit({"event": "ready"})
    while True:
        try:
            job = decode(connection.recv_bytes())
        except EOFError:
            return
        changed = execute(job, emit, kept)
        sys.stdout.flush()
        emit({"event": "done", "resident_mib": resident_mib(), "changed": changed})
        job = {}


def _redirect(log: Path) -> None:
    stream = open(log, "a", buffering=1, errors="backslashreplace")  # noqa: SIM115 - lives as long as the process
    os.dup2(stream.fileno(), 1)
    os.dup2(stream.fileno(), 2)
    sys.stdout = sys.stderr = stream
    faulthandler.enable(stream)


def _prctl(option: int, value: int) -> None:
    """Ask the kernel of Linux; elsewhere nothing happens."""
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(option, value, 0, 0, 0)
