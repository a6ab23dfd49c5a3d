"""Whatever a worker sends is refused, or makes a record that the strict reader takes."""

from __future__ import annotations

import copy
import json
import random
from typing import Any

import pytest

from phys_bench.canonical import digest
from phys_bench.events import BadEvent, checked, decode, encode
from phys_bench.shapes import RECORD
from phys_bench.store import seal, unseal

JOB = {"number": 1, "kind": "cells", "seeds": [0, 1], "wanted": [0], "metrics": ["w2", "ksd"]}
OUTCOME: dict[str, Any] = {
    "status": "ok",
    "scores": {"w2": 1.0, "ksd": None},
    "score_errors": {"ksd": "none"},
    "costs": {"nfe": 10.0, "fit_seconds": 1.5, "stacked_seeds": 2, "shared_fit": False},
    "diagnostics": {"acceptance": [0.5, 0.75]},
    "environment": {"torch": "2"},
    "history": [{"step": 0, "loss": 1.0}],
    "arrays": {"checksum": "0" * 32, "event_shape": [2], "samples": 5, "reference": 5},
    "started": "then",
    "finished": "now",
}
CELL = {"event": "cell", "job": 1, "process": 7, "number": 3, "seed": 0, "outcome": OUTCOME}
STEP = {"event": "step", "job": 1, "process": 7, "number": 3, "step": 5, "seeds": [0, 1], "values": {"loss": [1, None]}}
DONE = {"event": "done", "job": 1, "process": 7, "number": 3, "resident_mib": 300.0, "changed": ["dtype"]}
FLOOR = {"event": "floor", "job": 1, "process": 7, "number": 3, "metric": "w2", "mean": 0.1, "std": 0.01}


def changed(message: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """A copy with another value at a path."""
    copied = copy.deepcopy(message)
    *parents, last = path.split(".")
    holder = copied
    for name in parents:
        holder = holder[name]
    holder[last] = value
    return copied


def heard(message: dict[str, Any], job: dict[str, Any] | None = None) -> dict[str, Any]:
    """What the runner makes of it; sent by a plugin, not by ``encode``."""
    return checked(decode(json.dumps(message).encode()), JOB if job is None else job, process=7, number=3)


@pytest.mark.parametrize(
    ("message", "path", "value", "problem"),
    [
        (CELL, "outcome.costs.nfe", float("nan"), "it is no JSON as workers send it: .*NaN"),
        (CELL, "outcome.costs.nfe", -1.0, "its costs.nfe is -1.0; expected a number of at least 0"),
        (CELL, "outcome.costs.nfe", None, "its costs.nfe is None; expected a number of at least 0"),
        (CELL, "outcome.costs.nfe", "10", "its costs.nfe is '10'"),
        (CELL, "outcome.costs.stacked_seeds", 0, "its costs.stacked_seeds is 0"),
        (CELL, "outcome.costs.shared_fit", 1, "its costs.shared_fit is 1; expected true or false"),
        (CELL, "outcome.scores.w2", True, "its w2 is True; expected a number"),
        (CELL, "outcome.scores.other", 1.0, "its score of 'other' is of no metric of the job"),
        (CELL, "outcome.scores", [1.0], "its scores is .1.0.; expected a mapping"),
        (CELL, "outcome.score_errors.ksd", 1, "its score_errors.ksd is 1"),
        (CELL, "outcome.history", [[0, 1]], r"its history\[0\] is"),
        (CELL, "outcome.arrays.checksum", "../../x", "its arrays.checksum is"),
        (CELL, "outcome.diagnostics", "fine", "its diagnostics is 'fine'; expected a mapping"),
        (CELL, "outcome.finished", 5, "its finished is 5"),
        (CELL, "outcome.hit_limit", "patience", "its hit_limit is 'patience'"),
        (CELL, "seed", 1, "its seed is 1, which the job does not want"),
        (CELL, "seed", False, "its seed is False; expected a number"),
        (CELL, "number", 2, "its number is 2; expected 3"),
        (CELL, "number", 3.0, "its number is 3.0; expected 3"),
        (CELL, "job", True, "its job is True; expected 1"),
        (CELL, "event", ["cell"], "its event is .'cell'."),
        (STEP, "step", -1, "its step is -1"),
        (STEP, "seeds", [0, 2], "it is of other seeds"),
        (STEP, "values.loss", [1.0], "it is of other seeds"),
        (STEP, "values.loss", ["1", 2], r"its values.loss\[0\] is '1'"),
        (DONE, "resident_mib", float("inf"), "it is no JSON as workers send it: .*Infinity"),
        (DONE, "changed", "dtype", "its changed is 'dtype'; expected a list"),
        (FLOOR, "mean", 0.0, "its event is 'floor'"),
    ],
)
def test_what_no_worker_sends_is_refused(message: dict[str, Any], path: str, value: Any, problem: str) -> None:
    with pytest.raises(BadEvent, match=problem):
        heard(changed(message, path, value))


def test_floors_come_from_jobs_of_floors_alone() -> None:
    job = {**JOB, "kind": "floors"}
    assert heard(FLOOR, job)["mean"] == 0.1
    for message in (CELL, STEP):
        with pytest.raises(BadEvent, match="its event is"):
            heard(message, job)
    with pytest.raises(BadEvent, match="its metric is 'w1', which the job does not have"):
        heard(changed(FLOOR, "metric", "w1"), job)


def test_numbers_that_are_not_finite_are_sent_as_null() -> None:
    sent = decode(encode({"values": [float("nan"), float("inf"), 1e301, 2.0], "long": 10**700, "half": "\ud800 é"}))
    assert sent == {"values": [None, None, None, 2.0], "long": "an integer of 2,326 bits", "half": "\\ud800 é"}
    with pytest.raises(ValueError, match="nested more than 32 deep"):
        encode({"deep": json.loads("[" * 40 + "]" * 40)})


def record(outcome: dict[str, Any]) -> dict[str, Any]:
    identity = {"task": "t", "sampler": "s", "seed": 0, "component": "s"}
    facts = {"format": 1, "id": digest(identity), "identity": identity, "primary": "w2", "best": {}, "floors": {}}
    return {**facts, "scores": {}, "score_errors": {}, "costs": {}, "arrays": None, **outcome}


VALUES: list[Any] = [
    None,
    True,
    0,
    -1,
    10**25,
    1e299,
    "",
    "x",
    "\x1b[31m",
    [],
    {},
    [[1]],
    {"a": {"b": [None]}},
    "y" * 9999,
]


def test_what_is_accepted_makes_a_record_that_is_read() -> None:
    """Values of any type, spliced in anywhere: refused by name, or the record of it passes the reader of records."""
    generator, accepted = random.Random(0), 0
    names = [*OUTCOME, *(f"costs.{name}" for name in OUTCOME["costs"]), "scores.w2", "reason", "traceback", "extra"]
    names += ["diagnostics.x", "environment.x", "arrays.samples", "costs.extra", "score_errors.w2"]
    for _ in range(600):
        message: dict[str, Any] = CELL
        for name in generator.sample(names, generator.choice((1, 1, 2, 3))):
            try:
                message = changed(message, f"outcome.{name}", generator.choice(VALUES))
            except (TypeError, KeyError, IndexError):  # its parent is no mapping any more
                continue
        try:
            outcome = heard(message)["outcome"]
        except BadEvent:
            continue
        accepted += 1
        written = seal(record(outcome))
        assert len(written) < 2**20
        assert unseal(written, RECORD)["status"] == outcome["status"]
    assert 100 < accepted < 500
