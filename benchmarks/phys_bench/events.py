"""What workers may say: every message is checked against the job it is about, since a plugin's code runs beside them.

A message is a line of JSON with ``job``, ``process`` and ``number`` (of the job, of the worker's process, and which
message of that worker it is), ``event``, and what that event says. Whatever else comes is refused, and its worker with
it.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping
from json import JSONEncoder
from multiprocessing.connection import Connection, wait
from typing import Any

from phys_samplers.reading import parse_json
from phys_samplers.schema import Malformed, Shape, maybe, short, table
from phys_samplers.schema import number as number_

from .canonical import escaped, plain
from .shapes import COSTS, EVENTS, EVENTS_OF, OUTCOME, SCORED_OUTCOME

LARGEST = 8 * 2**20
"""Bytes of a message."""
LONGEST = {"traceback": 20_000}
"""Letters of texts, where not ``REASON``; of a traceback the last ones."""
REASON = 2_000
MOST_FACTS = 2**18
"""Letters of the JSON of diagnostics and of the environment."""
MOST_ROWS = 1_000
"""Of a history."""

Job = dict[str, Any]

_ENCODE = JSONEncoder(allow_nan=True).encode  # not json.dumps: a plugin may have put something else there


class BadEvent(ValueError):  # noqa: N818 - reads as what it is
    """A message that no worker sends about this job."""


def encode(message: Mapping[str, Any]) -> bytes:
    """A message as bytes; numbers that are not finite become null."""
    return _ENCODE(plain(message, longest=LARGEST)).encode("ascii")


def decode(payload: bytes) -> dict[str, Any]:
    """Inverse of ``encode``.

    Raises:
        BadEvent: if the bytes hold no message.
    """
    try:
        message = parse_json(payload)
    except Malformed as error:
        raise BadEvent(f"it is no JSON as workers send it: it {error}") from None
    if not isinstance(message, dict):
        raise BadEvent(f"it is a {type(message).__name__}; expected a mapping")
    return message


class Channel:
    """One end of what a runner and a worker tell each other, line by line.

    Args:
        connection: of a pipe between them, which is a pair of sockets; it is to be kept open.
    """

    def __init__(self, connection: Connection) -> None:
        self._socket = socket.socket(fileno=os.dup(connection.fileno()))
        self._socket.setblocking(False)
        self._came, self._looked_at = bytearray(), 0

    @property
    def holds(self) -> bool:
        """Whether a whole line has come."""
        return b"\n" in self._came

    def send(self, message: Mapping[str, Any], *, patience: float | None = None) -> None:
        """Send a message.

        Args:
            message: JSON-like.
            patience: seconds within which it must be taken; None for any time.

        Raises:
            OSError: if it is not, or the other end is gone.
        """
        self._socket.settimeout(patience)
        try:
            self._socket.sendall(encode(message) + b"\n")
        finally:
            self._socket.setblocking(False)

    def take(self) -> bytes | None:
        """The next line; None if there is no whole one yet. It never waits: who sends may stop in the middle of one.

        Raises:
            EOFError: if there will be none.
            OSError: if the other end is gone.
            BadEvent: if a line is too long.
        """
        while (end := self._came.find(b"\n", self._looked_at)) < 0:
            self._looked_at = len(self._came)
            if self._looked_at > LARGEST:
                raise BadEvent(f"it is longer than {LARGEST / 2**20:.0f} MiB")
            try:
                more = self._socket.recv(2**18)
            except BlockingIOError:
                return None
            if not more:
                raise EOFError
            self._came += more
        line = bytes(self._came[:end])
        del self._came[: end + 1]
        self._looked_at = 0
        return line

    def wait(self) -> bytes:
        """The next line, for which it waits.

        Raises:
            EOFError: if there will be none.
        """
        while (line := self.take()) is None:
            wait([self._socket])
        return line

    def close(self) -> None:
        """Let go of it."""
        self._socket.close()


def checked(message: Mapping[str, Any], job: Job | None, *, process: int, number: int) -> dict[str, Any]:
    """What a message says, of the types that ``shapes.EVENTS`` states, so that it makes a record that can be read.

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
        if type(found := message.get(name)) is not type(value) or found != value:
            raise BadEvent(f"its {name} is {short(found)}; expected {value}")
    kind = message.get("event")
    if kind not in EVENTS_OF[job["kind"] if job else None]:
        raise BadEvent(f"its event is {short(kind)}")
    _look(EVENTS[kind], message)
    return {"event": kind, **_READ[kind](message, job or {})}


def outcome(data: Mapping[str, Any], metrics: list[str] | None = None) -> dict[str, Any]:
    """The outcome of a cell, of the types that a record has.

    Args:
        data: as it came.
        metrics: labels of the metrics that it may have scores of; None for a cell without a model.

    Raises:
        BadEvent: naming the field that is wrong.
    """
    _look(OUTCOME if metrics is None else SCORED_OUTCOME, data)
    found: dict[str, Any] = {
        "status": data["status"],
        "reason": _text(data, "reason") or "",
        "traceback": _text(data, "traceback") or "",
        "hit_limit": data.get("hit_limit"),
        "finished": _text(data, "finished"),
    }
    if "started" in data:
        found["started"] = _text(data, "started")
    if metrics is None:
        return found
    numbers, errors = data.get("scores") or {}, data.get("score_errors") or {}
    if strange := [label for label in (*numbers, *errors) if label not in metrics]:
        raise BadEvent(f"its score of {short(strange[0])} is of no metric of the job")
    _look(table({}, dict.fromkeys(metrics, maybe(number_()))), numbers)
    if found["status"] == "ok" and metrics[0] not in numbers:
        raise BadEvent(f"it is ok without a score of {metrics[0]}")
    if numbers:
        found["scores"] = {label: numbers.get(label) for label in metrics}
    costs = data.get("costs") or {}
    found["costs"] = {name: costs[name] for name in COSTS if name in costs}
    found["score_errors"] = {label: escaped(text[:REASON]) for label, text in errors.items()}
    for name in ("diagnostics", "environment"):
        found[name] = bounded(escaped(data.get(name) or {}), name)
    found["history"] = [escaped(row) for row in (data.get("history") or ())[:MOST_ROWS]]
    found["arrays"] = data.get("arrays") or None
    return found


def bounded(facts: dict[str, Any], name: str) -> dict[str, Any]:
    """Facts, or a word in their place if they are too long for a record."""
    length = len(_ENCODE(facts))
    return facts if length <= MOST_FACTS else {"left_out": f"{length:,} letters of {name}"}


def _look(shape: Shape, data: Any) -> None:
    try:
        shape(data, "")
    except Malformed as error:
        raise BadEvent(f"it {error}" if str(error).startswith("lacks") else f"its {error}") from None


def _text(data: Mapping[str, Any], name: str) -> str | None:
    value, longest = data.get(name), LONGEST.get(name, REASON)
    return None if value is None else escaped(value[-longest:] if name == "traceback" else value[:longest])


def _floor(message: Mapping[str, Any], job: Job) -> dict[str, Any]:
    metric = message["metric"]
    if metric not in job.get("metrics", ()):
        raise BadEvent(f"its metric is {short(metric)}, which the job does not have")
    if problem := _text(message, "error"):
        return {"metric": metric, "error": problem}
    facts = {name: message.get(name) for name in ("mean", "std")}
    return {"metric": metric, **facts, "source": _text(message, "source") or "", "values": message.get("values") or []}


def _step(message: Mapping[str, Any], job: Job) -> dict[str, Any]:
    seeds, values = message["seeds"], message["values"]
    if seeds != job.get("seeds") or any(len(row) != len(seeds) for row in values.values()):
        raise BadEvent("it is of other seeds than those of the job")
    return {"step": message["step"], "seeds": seeds, "values": escaped(values)}


def _cell(message: Mapping[str, Any], job: Job) -> dict[str, Any]:
    seed = message["seed"]
    if seed not in job.get("wanted", ()):
        raise BadEvent(f"its seed is {short(seed)}, which the job does not want")
    return {"seed": int(seed), "outcome": outcome(message["outcome"], job["metrics"])}


_READ: dict[str, Callable[[Mapping[str, Any], Job], dict[str, Any]]] = {
    "ready": lambda message, job: {},
    "shared": lambda message, job: {"seconds": message["seconds"]},
    "done": lambda message, job: {
        "resident_mib": message["resident_mib"],
        "changed": [escaped(name[:200]) for name in message["changed"]],
    },
    "floor": _floor,
    "step": _step,
    "cell": _cell,
    "error": lambda message, job: outcome(message["outcome"]),
}
