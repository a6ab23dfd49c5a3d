"""Files that are either whole or not there."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

_SUFFIX = ".part"


def write_atomically(path: Path, payload: bytes) -> None:
    """Write ``payload`` to ``path``: to a file beside it, flushed to the disk, then renamed.

    Args:
        path: where to; its folder exists.
        payload: the whole content.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}{_SUFFIX}")
    try:
        with open(temporary, "wb") as stream:
            stream.write(payload)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    with contextlib.suppress(OSError):  # folders cannot be flushed on every system
        handle = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def remove_leftovers(folder: Path) -> None:
    """Remove what writers that no longer live left behind."""
    import psutil

    for path in folder.glob(f".*{_SUFFIX}"):
        writer = path.name.removesuffix(_SUFFIX).rpartition(".")[2]
        if not (writer.isdigit() and psutil.pid_exists(int(writer))):
            path.unlink(missing_ok=True)
