"""Files that are either whole or not there."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import socket
import time
from pathlib import Path

_SUFFIX = ".part"
LEFT_FOR = 24 * 3600.0
"""Seconds after which a file that nobody finished is taken for left behind."""


def write_atomically(path: Path, payload: bytes, *, new: bool = False) -> None:
    """Write ``payload`` to ``path``: to a file beside it, flushed to the disk, then renamed.

    Args:
        path: where to; its folder exists.
        payload: the whole content.
        new: whether ``path`` must not exist; of several that write it at once one succeeds.

    Raises:
        FileExistsError: if it must not, and does.
        OSError: naming ``path``, if the disk is full, read-only, or the folder not there.
    """
    name = os.fsencode(path.name)[:100].decode("utf-8", "ignore")  # what is added must still fit into a name
    temporary = path.with_name(f".{name}.{_host()}-{os.getpid()}-{secrets.token_hex(4)}{_SUFFIX}")
    try:
        with open(temporary, "wb") as stream:
            stream.write(payload)
            stream.flush()
            os.fsync(stream.fileno())
        if new:
            _link(temporary, path)
        os.replace(temporary, path)
        if new:
            temporary.unlink(missing_ok=True)  # a rename leaves two names of one file as they are
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):  # a full disk names no file, and the temporary one says nothing
            raise OSError(error.errno, error.strerror or str(error), str(path)) from None
        raise
    with contextlib.suppress(OSError):  # folders cannot be flushed on every system
        handle = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _link(temporary: Path, path: Path) -> None:
    """Give a file a second name that is not taken; where files have one name only, take the name with an empty file."""
    try:
        os.link(temporary, path)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS):
            raise
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644))


def remove_leftovers(folder: Path) -> None:
    """Remove what writers left behind: those of this machine that no longer live, and whatever is a day old.

    On a disk that several machines share the numbers of processes say nothing of those of another one.
    """
    import psutil

    for path in folder.glob(f".*{_SUFFIX}"):
        host, _, rest = path.name.removesuffix(_SUFFIX).rpartition(".")[2].rpartition("-")[0].rpartition("-")
        with contextlib.suppress(OSError):
            gone = host == _host() and rest.isdigit() and not psutil.pid_exists(int(rest))
            if gone or time.time() - path.stat().st_mtime > LEFT_FOR:
                path.unlink(missing_ok=True)


def _host() -> str:
    """The machine's name, with letters that every file system takes and no dot."""
    return re.sub(r"[^A-Za-z0-9]", "_", socket.gethostname())[:40] or "host"
