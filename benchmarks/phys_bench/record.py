"""Records: one JSON file per cell, sealed by a checksum, so that a truncated or edited one is never half-used."""

from __future__ import annotations

from collections.abc import Mapping
from json import JSONDecoder, JSONEncoder
from typing import Any

from .canonical import canonical_text, digest, escaped
from .cell import Cell
from .events import STATUSES

FORMAT = 1
_ENCODE = JSONEncoder(indent=1, allow_nan=False).encode  # not json.dumps, which a plugin may have replaced
_DECODE = JSONDecoder().decode


class DamagedFile(ValueError):  # noqa: N818 - reads as the condition it names
    """A file of a run folder that is truncated, edited or of another format; the message says how that shows."""


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
    return {**record, **escaped({**facts, **outcome})}


def seal(data: Mapping[str, Any]) -> bytes:
    """JSON with a checksum of its own content."""
    return (_ENCODE({**data, "checksum": digest(data)}) + "\n").encode("ascii")


def unseal(payload: bytes) -> dict[str, Any]:
    """Inverse of ``seal``.

    Raises:
        DamagedFile: if the content is not what was written.
    """
    try:
        data = _DECODE(payload.decode())
    except (ValueError, RecursionError) as error:
        raise DamagedFile(f"it is not whole JSON ({error})") from None
    if not isinstance(data, dict) or not isinstance(data.get("checksum"), str):
        raise DamagedFile("it has no checksum")
    checksum = data.pop("checksum")
    try:
        found = digest(data)
    except ValueError:  # NaN, which no record holds
        found = ""
    if found != checksum:
        raise DamagedFile("its checksum is not that of its content; it was edited")
    return data


def check_record(data: Mapping[str, Any], stem: str) -> None:
    """Refuse a sealed file that is not the record ``stem``.

    Raises:
        DamagedFile: naming what does not fit.
    """
    if data.get("format") != FORMAT:
        raise DamagedFile(f"it has format {data.get('format')!r}; this version reads format {FORMAT}")
    if data.get("id") != stem or digest(data.get("identity")) != stem:
        raise DamagedFile("its name is not the hash of its identity")
    if data.get("status") not in STATUSES:
        raise DamagedFile(f"its status is {data.get('status')!r}; expected one of {', '.join(STATUSES)}")


def same_result(first: Mapping[str, Any], second: Mapping[str, Any]) -> bool:
    """Whether two records of one cell agree in status and scores."""
    keys = ("status", "scores")
    return canonical_text([first[key] for key in keys]) == canonical_text([second[key] for key in keys])
