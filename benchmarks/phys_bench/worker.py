"""A worker process: imports torch once, then does one job after another, until it is told to stop or is killed.

Messages are JSON. This module imports nothing heavy at its top: the environment must be set before torch is loaded.
"""

from __future__ import annotations

import faulthandler
import json
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any


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
    _redirect(Path(log))
    _follow_parent()
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS"):
        os.environ[name] = "1"

    from .execution import execute, single_threaded
    from .fits import LastFit
    from .meter import resident_mib

    single_threaded()

    def emit(event: Mapping[str, Any]) -> None:
        connection.send_bytes(json.dumps(event).encode())

    kept = LastFit()
    emit({"event": "ready"})
    while True:
        try:
            job = json.loads(connection.recv_bytes())
        except EOFError:
            return
        execute(job, emit, kept)
        sys.stdout.flush()
        emit({"event": "done", "resident_mib": resident_mib()})


def _redirect(log: Path) -> None:
    stream = open(log, "a", buffering=1)  # noqa: SIM115 - lives as long as the process
    os.dup2(stream.fileno(), 1)
    os.dup2(stream.fileno(), 2)
    sys.stdout = sys.stderr = stream
    faulthandler.enable(stream)


def _follow_parent() -> None:
    """Die with the parent, in the middle of a job too: an orphan would hold the machine for nothing."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def follow() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True, name="parent watch").start()
