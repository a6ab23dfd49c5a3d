"""The run folder on disk.

``run.json``                  suite, environment, and the cells that make up the run
``records/<id>.json``         one sealed record per cell
``arrays/<id>.safetensors``   samples and field grids of a cell, for pictures; written before its record
``floors/<id>.json``          what exact samples score against exact samples
``run.lock``                  whose the folder is while a run goes on
``log.jsonl``                 what happened when
``logs/worker-<n>.log``       what workers printed
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from json import JSONEncoder
from pathlib import Path
from typing import Any

import psutil

from phys_samplers.atomic import remove_leftovers, write_atomically
from phys_samplers.errors import ConfigurationError, FileError
from phys_samplers.reading import as_path, parse_json, read_bytes, read_json, said
from phys_samplers.schema import Malformed, Shape, anything, short

from .canonical import canonical_text, digest, escaped
from .cell import Cell
from .shapes import FLOOR, FORMAT, HEAD, LARGEST, LARGEST_ARRAYS, LOCK, RECORD, SEARCH

_ENCODE = JSONEncoder(indent=1, allow_nan=False).encode  # not json.dumps, which a plugin may have replaced


NOT_ITS_NAME = "has a name that is not the hash of its identity"


def new_record(cell: Cell, outcome: Mapping[str, Any], **facts: Any) -> dict[str, Any]:
    """The record of a cell.

    Args:
        cell: the cell.
        outcome: ``status`` and what else is known: reason, traceback, scores, costs, diagnostics, …
        facts: further fields.
    """
    record = {
        "format": FORMAT,
        "id": cell.id,
        "identity": cell.identity,
        "status": "failed",
        "reason": "",
        "traceback": "",
        "primary": cell.pair.task.primary,
        "best": {metric.label: metric.best for metric in cell.pair.task.metrics},
        "scores": {},
        "score_errors": {},
        "floors": {},
        "costs": {},
        "diagnostics": {},
        "history": [],
        "arrays": None,
        "budget": {"seconds": cell.pair.budget.seconds, "memory_mib": cell.pair.budget.memory_mib},
        "hit_limit": None,
        "environment": {},
        "started": None,
        "finished": None,
    }
    whole = {**record, **escaped({**facts, **outcome})}
    try:
        RECORD(whole, "")
    except Malformed as problem:  # nobody could read it, and the cell would be lost
        return {**record, "reason": f"its record cannot be kept: {problem}"}
    return whole


def seal(data: Mapping[str, Any]) -> bytes:
    """JSON with a checksum of its own content."""
    return (_ENCODE({**data, "checksum": digest(data)}) + "\n").encode("ascii")


def unseal(payload: bytes, shape: Shape = anything) -> dict[str, Any]:
    """Inverse of ``seal``.

    Args:
        payload: content of a file.
        shape: what it must hold.

    Raises:
        Malformed: if the content is not what was written, or has another shape.
    """
    data = parse_json(payload)
    if not isinstance(data, dict) or not isinstance(data.get("checksum"), str):
        raise Malformed("has no checksum")
    checksum = data.pop("checksum")
    if digest(data) != checksum:
        raise Malformed("has a checksum that is not that of its content; it was edited")
    if (found := data.get("format", FORMAT)) != FORMAT:
        raise Malformed(f"has format {short(found)}; this version reads format {FORMAT}")
    shape(data, "")
    return data


def same_result(first: Mapping[str, Any], second: Mapping[str, Any]) -> bool:
    """Whether two records of one cell agree in status and scores."""
    keys = ("status", "scores")
    return canonical_text([first[key] for key in keys]) == canonical_text([second[key] for key in keys])


def _holder(lock: Path) -> str:
    """Who has a lock; empty if it is gone, or its process is."""
    try:
        facts = read_json(lock, LOCK, largest=2**16)
    except FileNotFoundError:
        return ""
    except FileError:
        return "a run whose lock cannot be read"
    host, process, since, born = (facts[key] for key in ("host", "process", "since", "born"))
    if host == socket.gethostname():
        try:
            if abs(_born(process) - born) > 1:  # its number was given to another one
                return ""
        except (psutil.NoSuchProcess, OverflowError):
            return ""
    return f"process {process} on {host} since {since}"


def _born(process: int) -> float:
    """When a process began: on Linux in seconds since the machine did, which stays when somebody sets the clock.

    Raises:
        psutil.NoSuchProcess: if there is none.
    """
    if not Path("/proc/self/stat").exists():
        return psutil.Process(process).create_time()
    try:
        ticks = Path(f"/proc/{process}/stat").read_text(errors="replace").rpartition(")")[2].split()[19]
    except (FileNotFoundError, ProcessLookupError):
        raise psutil.NoSuchProcess(process) from None
    return int(ticks) / os.sysconf("SC_CLK_TCK")


def _remove_stale(lock: Path) -> None:
    """Remove a lock whose process is gone; of several that find it, one does, and none removes the next owner's."""
    folder = os.open(lock.parent, os.O_RDONLY)
    try:
        with suppress(OSError):  # some shared disks have no such locks
            fcntl.flock(folder, fcntl.LOCK_EX)
        if os.path.lexists(lock) and not _holder(lock):  # also a link that leads nowhere
            lock.unlink(missing_ok=True)
    finally:
        os.close(folder)


@dataclass(frozen=True)
class Damage:
    """A file that cannot be used.

    Args:
        file: its path inside the run folder.
        reason: why.
        id: of the cell it belongs to.
    """

    file: str
    reason: str
    id: str


@dataclass(frozen=True)
class Scan:
    """What a run folder holds.

    Args:
        records: whole records by id.
        damaged: files that cannot be used.
    """

    records: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    damaged: tuple[Damage, ...] = ()


def now() -> str:
    """Date and time, UTC."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


class RunFolder:
    """Reads and writes a run folder.

    Args:
        path: the folder; made at the first write.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = as_path(path, "the folder of a run")
        if self.path.exists() and not self.path.is_dir():
            raise ConfigurationError(f"{self.path} is a file; expected a folder for the run")

    @property
    def exists(self) -> bool:
        """Whether something was run here."""
        return (self.path / "run.json").is_file() or (self.path / "records").is_dir()

    def prepare(self) -> None:
        """Make the folder, and clear what killed writers left."""
        for name in ("records", "arrays", "floors", "logs"):
            (self.path / name).mkdir(parents=True, exist_ok=True)
            remove_leftovers(self.path / name)
        remove_leftovers(self.path)

    @contextmanager
    def owned(self) -> Iterator[None]:
        """Let no other run into the folder meanwhile, on whatever machine; the file ``run.lock`` says whose it is.

        A lock whose process no longer lives on this machine is taken over. Of one from another machine nobody here can
        tell: it is removed by hand.

        Raises:
            ConfigurationError: naming the run that has the folder.
        """
        own: dict[str, Any]
        lock, own = self.path / "run.lock", {"host": socket.gethostname(), "process": os.getpid(), "since": now()}
        own["born"] = _born(os.getpid())
        for _ in range(2):
            try:
                write_atomically(lock, json.dumps(own).encode(), new=True)
                break
            except FileExistsError:
                if problem := _holder(lock):
                    raise ConfigurationError(
                        f"{self.path} is in use by {problem}; wait for it, or remove {lock} if that run is gone"
                    ) from None
                _remove_stale(lock)
        else:
            raise ConfigurationError(f"{self.path} is being taken by another run at this moment; try again")
        try:
            yield
        finally:
            with suppress(OSError, FileError):  # it may be another's, if somebody removed ours; a fork has none
                if own["process"] == os.getpid() and read_json(lock, LOCK, largest=2**16) == own:
                    lock.unlink()

    def arrays_file(self, cell_id: str) -> Path:
        """Where the arrays of a cell lie."""
        return self.path / "arrays" / f"{cell_id}.safetensors"

    def write_record(self, record: Mapping[str, Any]) -> None:
        """Write a record, whole or not at all."""
        write_atomically(self.path / "records" / f"{record['id']}.json", seal(record))

    def scan(self, ids: Iterable[str] | None = None) -> Scan:
        """Read records, and check their arrays.

        Args:
            ids: which; all if None.
        """
        records: dict[str, dict[str, Any]] = {}
        damaged = []
        for id_ in self.record_ids() if ids is None else dict.fromkeys(ids):
            try:
                records[id_] = self.read_record(id_)
            except FileNotFoundError:
                continue
            except FileError as error:
                damaged.append(Damage(f"records/{id_}.json", error.problem, id_))
                continue
            if problem := self.arrays_problem(records[id_]):
                damaged.append(Damage(f"arrays/{id_}.safetensors", problem, id_))
        return Scan(records, tuple(damaged))

    def record_ids(self) -> list[str]:
        """The names of all records, whole or not."""
        return sorted(path.stem for path in (self.path / "records").glob("*.json"))

    def read_record(self, cell_id: str) -> dict[str, Any]:
        """The record of a cell.

        Raises:
            FileNotFoundError: if there is none.
            FileError: if it is truncated, edited, of another format, or has a field of another type.
        """
        data = self._sealed(f"records/{cell_id}.json", RECORD)
        if data["id"] != cell_id or digest(data["identity"]) != cell_id:
            raise FileError.about(self.path / "records" / f"{cell_id}.json", NOT_ITS_NAME)
        return data

    def _sealed(self, name: str, shape: Shape) -> dict[str, Any]:
        """The content of a sealed file.

        Raises:
            FileNotFoundError: if there is none.
            FileError: naming the file and the field.
        """
        path = self.path / name
        payload = read_bytes(path, LARGEST)
        try:
            return unseal(payload, shape)
        except Malformed as error:
            raise FileError.about(path, said(error)) from None

    def arrays_problem(self, record: Mapping[str, Any]) -> str:
        """Why the arrays of a record cannot be used; empty if they can, or if it has none."""
        if not record["arrays"]:
            return ""
        try:
            payload = read_bytes(self.arrays_file(record["id"]), LARGEST_ARRAYS)
        except FileNotFoundError:
            return "it is missing"
        except FileError as error:
            return error.problem
        return "" if digest(payload) == record["arrays"]["checksum"] else "it is truncated or edited"

    def write_floor(self, floor_id: str, floor: Mapping[str, Any]) -> None:
        """Keep a floor."""
        write_atomically(self.path / "floors" / f"{floor_id}.json", seal({"id": floor_id, **floor}))

    def read_floor(self, floor_id: str) -> dict[str, Any] | None:
        """A kept floor; None if there is none that is whole."""
        try:
            data = self._sealed(f"floors/{floor_id}.json", FLOOR)
        except (FileNotFoundError, FileError):
            return None
        return data if data.get("id") == floor_id else None

    def write_search(self, key: str, search: Mapping[str, Any]) -> None:
        """Keep what tuning a sampler on a task came to."""
        (self.path / "tuning").mkdir(exist_ok=True)
        write_atomically(self.path / "tuning" / f"{key}.json", seal({"id": key, **search}))

    def read_search(self, key: str) -> dict[str, Any] | None:
        """A kept search; None if there is none that is whole."""
        try:
            data = self._sealed(f"tuning/{key}.json", SEARCH)
        except (FileNotFoundError, FileError):
            return None
        return data if data["id"] == key else None

    def write_head(self, head: Mapping[str, Any]) -> None:
        """Write ``run.json``, sealed as records are: published numbers, claims and verdicts come from it."""
        write_atomically(self.path / "run.json", seal({key: value for key, value in head.items() if key != "checksum"}))

    def read_head(self) -> dict[str, Any] | None:
        """``run.json``; None if it is missing or damaged, which ``head_damage`` tells apart."""
        try:
            return self._sealed("run.json", HEAD)
        except (FileNotFoundError, FileError):
            return None

    def head_damage(self) -> str:
        """What is wrong with ``run.json``; empty if it is whole, or not there."""
        try:
            self._sealed("run.json", HEAD)
        except FileNotFoundError:
            return ""
        except FileError as error:
            return f"run.json is damaged: {error.problem}"
        return ""

    def log(self, event: str, **facts: Any) -> None:
        """Append a line to the log."""
        path = self.path / "log.jsonl"
        try:
            with open(path, "a", encoding="utf-8", errors="backslashreplace") as stream:
                stream.write(
                    json.dumps({"time": now(), "event": event, **facts}, ensure_ascii=False, default=str) + "\n"
                )
        except OSError as error:  # a full disk names no file
            raise OSError(error.errno, error.strerror, str(path)) from None


def listed_ids(head: Mapping[str, Any] | None) -> list[str] | None:
    """The ids of the run's cells in order; None if ``run.json`` does not say."""
    rows = (head or {}).get("cells")
    return [str(row["id"]) for row in rows] if rows else None
