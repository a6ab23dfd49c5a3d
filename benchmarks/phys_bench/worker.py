"""A worker: does one job after another, until it is told to stop or is killed.

Two processes: a *keeper*, which the runner starts, and its child, which does the jobs. Whatever the jobs start stays a
descendant of the keeper (on Linux also what leaves its parent), and the keeper takes all of it along when the child
ends or the runner is gone, in the middle of C code too: an orphan would hold the machine for nothing.

On Linux workers are copies of one process that has imported torch and has done nothing else: a plugin gets a fresh
worker within a tenth of a second. That process ends with the runner's. Elsewhere, and on CUDA, which cannot be used in
copies, every worker imports by itself.

This module imports nothing heavy at its top: the environment must be set before torch is loaded.
"""

from __future__ import annotations

import ctypes
import faulthandler
import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from multiprocessing import parent_process
from multiprocessing.connection import Connection
from pathlib import Path
from types import ModuleType
from typing import Any

PATIENCE = 0.2
"""Seconds between two looks of a keeper."""
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS"), "1")
"""Workers share the cores, and results do not depend on how many there are."""
SAFE_PATH = {"PYTHONSAFEPATH": "1"}
"""A new process looks for modules where this one does, and not first in the current folder."""
RUNNER = "PHYS_SAMPLERS_RUNNER"
"""Environment variable that tells the process that workers are copies of the number of its runner."""
_SET_CHILD_SUBREAPER, _SET_PDEATHSIG = 36, 1


def start(log: Path, variables: Mapping[str, str], *, copied: bool) -> tuple[Any, Connection]:
    """Start a worker.

    Args:
        log: file that its standard output and error go to.
        variables: environment variables that it gets beside those of this process.
        copied: whether it may be a copy of a process that has imported torch.

    Returns:
        The process of its keeper, and the connection that jobs go into and events come out of.

    Raises:
        OSError: if the system starts no process, or the one that workers are copies of was killed meanwhile.
    """
    with no_main_module():
        copied = copied and sys.platform == "linux" and _import_once()
    context: Any = multiprocessing.get_context("forkserver" if copied else "spawn")
    ours, theirs = context.Pipe()
    given = {**os.environ, **variables, **ONE_THREAD, "PHYS_SAMPLERS_PROGRESS": "0"}
    process = context.Process(
        target=work, args=(theirs, str(log.absolute()), given, os.getcwd()), name="phys-bench worker"
    )
    with no_main_module(), _environment(SAFE_PATH):
        try:
            process.start()
        except EOFError as error:
            raise OSError("the process that workers are copies of was killed") from error
    theirs.close()
    return process, ours


@contextmanager
def no_main_module() -> Iterator[None]:
    """Keep a new process from importing the user's script again, which would run it if it has no main guard."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Environment variables of the processes that are started meanwhile."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _import_once() -> bool:
    """Start the process that workers are copies of, unless it lives: with one thread, and deaf to Ctrl-C.

    Returns:
        Whether it is ours; a fork of a process that had one cannot use it.
    """
    from multiprocessing import forkserver

    main = threading.current_thread() is threading.main_thread()
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN) if main else None
    try:
        with _environment({**ONE_THREAD, **SAFE_PATH, RUNNER: str(os.getpid())}):
            forkserver.set_forkserver_preload(["phys_bench.copied"])
            forkserver.ensure_running()
        return True
    except ChildProcessError:
        return False
    finally:
        if handler is not None:
            signal.signal(signal.SIGINT, handler)


def work(connection: Connection, log: str, variables: Mapping[str, str], folder: str) -> None:
    """Serve jobs; the target of the worker process.

    Args:
        connection: jobs come in here, events go out.
        log: file that standard output and error go to.
        variables: all environment variables.
        folder: the current one of the runner, from which tasks name files.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the runner decides
    os.setsid()  # a signal for the runner's whole group must not end the keeper, which clears up
    os.environ.clear()
    os.environ.update(variables)
    os.chdir(folder)
    _redirect(Path(log))
    _prctl(_SET_CHILD_SUBREAPER, 1)
    child = os.fork()
    if child == 0:
        end_with_parent()
        code = 1
        try:
            _serve(connection)
            code = 0
        except SystemExit as error:
            code = error.code if isinstance(error.code, int) else 1
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code & 0xFF)  # at once: what a plugin wants done at exit may hang
    connection.close()
    _keep(child)


def _keep(child: int) -> None:
    """Wait for the child or for the end of the runner, and end as the child does, with all that is left of it."""
    runner, parent, status = parent_process(), os.getppid(), None
    while status is None and os.getppid() == parent and runner is not None and runner.is_alive():
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
    from .events import Channel, decode
    from .execution import execute, single_threaded
    from .plan import LastFit

    single_threaded()
    channel, own, sent = Channel(connection), os.getpid(), 0
    job: dict[str, Any] = {}

    def emit(event: Mapping[str, Any]) -> None:
        nonlocal sent
        channel.send({**event, "job": job.get("number"), "process": own, "number": sent})
        sent += 1

    kept = LastFit()
    emit({"event": "ready"})
    while True:
        try:
            job = decode(channel.wait())
        except EOFError:
            return
        changed = execute(job, emit, kept)
        with suppress(OSError, ValueError):  # it may be full, or closed
            sys.stdout.flush()
        emit({"event": "done", "resident_mib": resident_mib(), "changed": changed})
        job = {}


def _redirect(log: Path) -> None:
    stream = open(log, "a", buffering=1, errors="backslashreplace")  # noqa: SIM115 - lives as long as the process
    os.dup2(stream.fileno(), 1)
    os.dup2(stream.fileno(), 2)
    sys.stdout = sys.stderr = stream
    faulthandler.enable(stream)


def end_with_parent(wanted: bool = True) -> None:
    """Let this process be killed, or not, when the thread that started it ends; on Linux."""
    _prctl(_SET_PDEATHSIG, signal.SIGKILL if wanted else 0)


def _prctl(option: int, value: int) -> None:
    """Ask the kernel of Linux; elsewhere nothing happens."""
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(option, value, 0, 0, 0)
