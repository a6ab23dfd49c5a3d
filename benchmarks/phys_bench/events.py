"""What workers may say: every message is checked against the job it is about, since a plugin's code runs beside them.

A message is JSON with ``job``, ``process`` and ``number`` (of the job, of the worker's process, and which message of
that worker it is), ``event``, and what that event says. Whatever else comes is refused, and its worker with it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from json import JSONDecoder, JSONEncoder
from typing import Any

from .canonical import escaped, plain
from .shapes import STATUSES

LARGEST = 8 * 2**20
"""Bytes of a message."""
LONGEST = {"reason": 2_000, "traceback": 20_000}
"""Letters of texts; of a traceback the last ones."""
MOST_DIAGNOSTICS = 2**18
"""Letters of the JSON of diagnostics."""

Job = dict[str, Any]

_ENCODE = JSONEncoder(allow_nan=True).encode  # not json.dumps: a plugin may have put something else there
_DECODE = JSONDecoder().decode


class BadEvent(ValueError):  # noqa: N818 - reads as what it is
    """A message that no worker sends about this job."""


def encode(message: Mapping[str, Any]) -> bytes:
    """A message as bytes."""
    return _ENCODE(message).encode("ascii")


def decode(payload: bytes) -> dict[str, Any]:
    """Inverse of ``encode``.

    Raises:
        BadEvent: if the bytes hold no message.
    """
    try:
        message = plain(_DECODE(payload.decode("ascii")))
    except (ValueError, RecursionError) as error:
        raise BadEvent(f"it is no JSON ({type(error).__name__})") from None
    if not isinstance(message, dict):
        raise BadEvent(f"it is a {type(message).__name__}; expected a mapping")
    return message


def checked(message: Mapping[str, Any], job: Job | None, *, process: int, number: int) -> dict[str, Any]:
    """What a message says, of the types that it must have.

    Args:
        message: as it came.
        job: that the worker has.
        process: the worker's.
        number: of the message.

    Raises:
        BadEvent: naming the field that is wrong.
    """
    expected = {"job": job["number"] if job else None, "process": process, "number": number}
    for name, value in expected.items():
        if message.get(name) != value:
            raise BadEvent(f"its {name} is {_short(message.get(name))}; expected {value}")
    kind = message.get("event")
    if kind not in _FIELDS or (job is None) != (kind == "ready"):
        raise BadEvent(f"its event is {_short(kind)}")
    return {"event": kind, **_FIELDS[kind](_Reader(message), job or {})}


def outcome(data: Mapping[str, Any], metrics: list[str] | None = None) -> dict[str, Any]:
    """The outcome of a cell, of the types that a record has.

    Args:
        data: as it came.
        metrics: labels of the metrics that it may have scores of; None for a cell without a model.

    Raises:
        BadEvent: naming the field that is wrong.
    """
    read = _Reader(data)
    found: dict[str, Any] = {
        "status": read.one_of("status", STATUSES),
        "reason": read.text("reason", ""),
        "traceback": read.text("traceback", ""),
        "hit_limit": read.one_of("hit_limit", (None, "memory", "seconds", "outside")),
        "finished": read.text("finished", None),
    }
    if "started" in data:
        found["started"] = read.text("started", None)
    if metrics is None:
        return found
    for name in ("costs", "environment"):
        found[name] = read.mapping(name)
    numbers = read.mapping("scores")
    if numbers or found["status"] == "ok":
        found["scores"] = {label: _Reader(numbers).number(label) for label in metrics}
    errors = read.mapping("score_errors")
    found["score_errors"] = {label: _Reader(errors).text(label, "") for label in metrics if label in errors}
    if found["status"] == "ok" and metrics[0] not in numbers:
        raise BadEvent(f"it is ok without a score of {metrics[0]}")
    found["diagnostics"] = diagnostics(read.mapping("diagnostics"))
    found["history"] = [_Reader({"row": row}).mapping("row") for row in read.rows("history")]
    found["arrays"] = read.mapping("arrays") or None
    return found


def diagnostics(facts: dict[str, Any]) -> dict[str, Any]:
    """Diagnostics, or a word in their place if they are too long for a record."""
    length = len(_ENCODE(facts))
    return facts if length <= MOST_DIAGNOSTICS else {"left_out": f"{length:,} letters of diagnostics"}


class _Reader:
    """Reads typed values out of a message."""

    def __init__(self, data: Mapping[str, Any]) -> None:
        self._data = data

    def _fail(self, name: str, expected: str) -> BadEvent:
        return BadEvent(f"its {escaped(name)[:100]} is {_short(self._data.get(name))}; expected {expected}")

    def text(self, name: str, default: str | None) -> str | None:
        value = self._data.get(name)
        if value is None:
            return default
        if not isinstance(value, str):
            raise self._fail(name, "a text")
        longest = LONGEST.get(name, LONGEST["reason"])
        return escaped(value[-longest:] if name == "traceback" else value[:longest])

    def number(self, name: str) -> float | None:
        value = self._data.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e300:
            raise self._fail(name, "a number")
        return value

    def positive(self, name: str) -> float:
        value = self.number(name)
        if value is None or not (math.isfinite(value) and value >= 0):
            raise self._fail(name, "a number of at least 0")
        return value

    def mapping(self, name: str) -> dict[str, Any]:
        value = self._data.get(name)
        if value is not None and not isinstance(value, dict):
            raise self._fail(name, "a mapping")
        return escaped(value or {})

    def rows(self, name: str) -> list[Any]:
        value = self._data.get(name)
        if value is not None and not isinstance(value, list):
            raise self._fail(name, "a list")
        return (value or [])[:1_000]

    def one_of(self, name: str, allowed: tuple[Any, ...]) -> Any:
        value = self._data.get(name)
        if not any(value is known or (isinstance(value, str) and value == known) for known in allowed):
            raise self._fail(name, f"one of {', '.join(map(str, allowed))}")
        return value


def _floor(read: _Reader, job: Job) -> dict[str, Any]:
    found: dict[str, Any] = {"metric": read.one_of("metric", tuple(job.get("metrics", ())))}
    if problem := read.text("error", None):
        return {**found, "error": problem}
    rows = read.rows("values")
    values = [_Reader({"value": value}).number("value") for value in rows]
    return {
        **found,
        "mean": read.number("mean"),
        "std": read.positive("std"),
        "source": read.text("source", ""),
        "values": values,
    }


def _step(read: _Reader, job: Job) -> dict[str, Any]:
    seeds = read.rows("seeds")
    values = read.mapping("values")
    rows = {name: _Reader(values).rows(name) for name in values}
    if seeds != job.get("seeds") or any(len(row) != len(seeds) for row in rows.values()):
        raise BadEvent("it is of other seeds than those of the job")
    numbers = {name: [_Reader({"value": value}).number("value") for value in row] for name, row in rows.items()}
    return {"step": read.positive("step"), "seeds": seeds, "values": numbers}


def _cell(read: _Reader, job: Job) -> dict[str, Any]:
    seed = read.positive("seed")
    if seed not in job.get("wanted", ()):
        raise BadEvent(f"its seed is {seed}, which the job does not want")
    return {"seed": int(seed), "outcome": outcome(read.mapping("outcome"), job["metrics"])}


def _error(read: _Reader, job: Job) -> dict[str, Any]:
    return outcome(read.mapping("outcome"))


_FIELDS: dict[str, Callable[[_Reader, Job], dict[str, Any]]] = {
    "ready": lambda read, job: {},
    "shared": lambda read, job: {"seconds": read.positive("seconds")},
    "done": lambda read, job: {
        "resident_mib": read.positive("resident_mib"),
        "changed": [str(escaped(name))[:200] for name in read.rows("changed")],
    },
    "floor": _floor,
    "step": _step,
    "cell": _cell,
    "error": _error,
}


def _short(value: Any) -> str:
    return repr(escaped(value))[:100]
