"""Samplers that lie, change their neighbours and leave processes behind: their cells fail, and nobody else's."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from phys_bench import api
from phys_bench.events import BadEvent, checked, decode, encode
from phys_samplers import catalogue

PLUGIN = Path(__file__).with_name("hostile_plugin.py")
REFUSED = "its worker sent a message that is refused: its "
OUTCOMES = {
    "surrogate": ("failed", "fitting: ValueError: a lone surrogate \\ud800 and \\x1b[31mred"),
    "patch": ("ok", ""),
    "state": ("ok", ""),
    "fork": ("ok", ""),
    "noise": ("failed", "its worker sent a message that is refused: it is no JSON"),
    "deep": ("failed", "its worker sent a message that is refused: it is no JSON"),
    "seed": ("failed", f"{REFUSED}job is 1"),
    "other-job": ("failed", f"{REFUSED}job is 99"),
    "other-process": ("failed", f"{REFUSED}job is 1"),
    "replay": ("failed", f"{REFUSED}job is 1"),
    "large": ("failed", "its message could not be read"),
    "grandchild": ("ok", ""),
    "child-memory": ("failed", "stopped at 1,"),
    "killed": ("failed", "its worker process ended with signal SIGKILL"),
    "printing": ("failed", "stopped: it printed more than 64 MiB"),
}


@pytest.fixture(scope="module")
def hostile(toys: Path) -> Path:
    catalogue.registry.load_file(PLUGIN)
    return PLUGIN


def run(suite: dict[str, Any], out: Path, executor: str = "process", **options: Any) -> api.Results:
    return api.run(suite, out=out, executor=executor, device="cpu", progress=False, **options)


def test_hostile_samplers_cost_their_own_cells_only(hostile: Path, tmp_path: Path) -> None:
    suite: dict[str, Any] = {
        "name": "hostile",
        "tasks": ["toy-normal"],
        "samplers": [f"hostile[deed={deed}]" for deed in OUTCOMES] + ["exact", "toy-good"],
        "seeds": 1,
        "metrics": ["toy-mean", "toy-spread", "w2"],
        "budget": {"seconds": 30, "memory_mib": 1400},
    }
    alone = run({**suite, "samplers": ["exact", "toy-good"]}, tmp_path / "alone", "inline")
    results = run(suite, tmp_path / "all", workers=2)
    found = {r["identity"]["sampler"]: r for r in results.records}
    for deed, (status, reason) in OUTCOMES.items():
        record = found[f"hostile[deed={deed}]"]
        assert record["status"] == status, (deed, record["reason"])
        assert record["reason"].startswith(reason), (deed, record["reason"])
        if status == "ok":
            assert "letters of diagnostics" in record["diagnostics"]["left_out"]
    for record in alone.records:
        assert found[record["identity"]["sampler"]]["scores"] == record["scores"]
    assert found["exact"]["status"] == found["toy-good"]["status"] == "ok"
    assert left_behind() == []

    # A cell that was killed from outside is tried again; the others end the same way.
    again = api.plan(suite, out=tmp_path / "all", device="cpu")
    assert [cell.pair.sampler for cell in again.todo] == ["hostile[deed=killed]"]


def left_behind() -> list[str]:
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        lines = [" ".join(p.info["cmdline"] or []) for p in psutil.process_iter(["cmdline"])]
        found = [line for line in lines if "left by a hostile sampler" in line]
        if not found:
            return []
        time.sleep(0.1)
    return found


def test_state_is_restored_in_this_process_too(hostile: Path, tmp_path: Path) -> None:
    suite = {"name": "h", "tasks": ["toy-normal"], "samplers": ["hostile[deed=state]", "exact"], "seeds": 1}
    alone = run({**suite, "samplers": ["exact"]}, tmp_path / "alone", "inline")
    before = Path.cwd()
    both = run(
        {**suite, "samplers": ["hostile[deed=state]", "hostile[deed=patch]", "exact"]}, tmp_path / "both", "inline"
    )
    assert Path.cwd() == before
    assert [r["status"] for r in both.records] == ["ok"] * 3
    assert both.records[-1]["scores"] == alone.records[0]["scores"]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({}, ""),
        ({"job": 2}, "its job is 2; expected 1"),
        ({"process": 8}, "its process is 8; expected 7"),
        ({"number": 4}, "its number is 4; expected 3"),
        ({"event": "steps"}, "its event is 'steps'"),
        ({"event": "ready"}, "its event is 'ready'"),
        ({"seed": 5}, "its seed is 5, which the job does not want"),
        ({"seed": "0"}, "its seed is '0'; expected a number"),
        ({"outcome": {"status": "fine"}}, "its status is 'fine'; expected one of ok, "),
        ({"outcome": {"status": "ok"}}, "it is ok without a score of w2"),
        ({"outcome": {"status": "ok", "scores": {"w2": "low"}}}, "its w2 is 'low'; expected a number"),
        ({"outcome": {"status": "ok", "scores": {"w2": 10**400}}}, "its w2 is 1000"),
        ({"outcome": {"status": "failed", "reason": ["x"]}}, "its reason is .'x'.; expected a text"),
        ({"outcome": ["x"]}, "its outcome is .'x'.; expected a mapping"),
    ],
)
def test_a_message_is_checked_against_its_job(change: dict[str, Any], problem: str) -> None:
    job = {"number": 1, "kind": "cells", "seeds": [0, 1], "wanted": [0], "metrics": ["w2"]}
    good = {
        "event": "cell",
        "job": 1,
        "process": 7,
        "number": 3,
        "seed": 0,
        "outcome": {"status": "ok", "scores": {"w2": 1}},
    }
    message = decode(encode({**good, **change}))
    if not problem:
        assert checked(message, job, process=7, number=3)["outcome"]["scores"] == {"w2": 1}
        return
    with pytest.raises(BadEvent, match=problem):
        checked(message, job, process=7, number=3)
