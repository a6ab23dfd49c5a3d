"""Samplers that lie, change their neighbours and leave processes behind: their cells fail, and nobody else's."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from phys_bench import api
from phys_bench.events import BadEvent, checked, decode, encode
from phys_samplers import catalogue

PLUGIN = Path(__file__).with_name("hostile_plugin.py")
REFUSED = "its worker sent a message that is refused: it"
ENDED = "its worker process ended with "
STOPPED = "stopped at the limit of 2 s"

QUICK = {
    "none": ("ok", ""),
    "surrogate": ("failed", "fitting: ValueError: a lone surrogate \\ud800 and \\x1b[31mred"),
    "patch": ("ok", ""),
    "state": ("ok", ""),
    "fork": ("ok", ""),
    "noise": ("failed", f"{REFUSED} is no JSON"),
    "deep": ("failed", f"{REFUSED} is no JSON"),
    "seed": ("failed", f"{REFUSED}s job is 1"),
    "other-job": ("failed", f"{REFUSED}s job is 99"),
    "other-process": ("failed", f"{REFUSED}s job is 1"),
    "replay": ("failed", f"{REFUSED}s job is 1"),
    "large": ("failed", f"{REFUSED} is longer than 8 MiB"),
    "half": ("timeout", STOPPED),
    "grandchild": ("ok", ""),
    "child-memory": ("failed", "stopped at 1,"),
    "killed": ("failed", f"{ENDED}signal SIGKILL"),
    "printing": ("failed", "stopped: it printed more than 64 MiB"),
    "modules": ("ok", ""),
    "closed-outputs": ("ok", ""),
    "no-draw": ("failed", "sampling: TypeError: draw returned SimpleNamespace; expected Draw"),
}
"""What becomes of cells whose sampler does what no sampler should: status, and how the reason begins."""
STATE = (
    *("dtype", "gradients", "inference", "threads", "deterministic", "denormals", "seeds", "folder", "lost-folder"),
    *("environment", "handlers", "timer", "path", "patch-system", "patch-builtins", "patch-seeds", "warnings"),
    *("locale", "stack", "numpy", "redirected"),
)
LEFT = ("child", "burning-child", "thread", "daemon-thread", "at-exit", "finalizer", "litter", "heldout", "stop-keeper")
OUTCOMES = {
    **QUICK,
    **dict.fromkeys((*STATE, *LEFT), ("ok", "")),
    **dict.fromkeys(("burn", "child-burn", "sleep", "hang-in-c", "stopped"), ("timeout", STOPPED)),
    "flood": ("failed", f"{REFUSED}s job is None"),
    "limits": ("failed", "fitting: OSError: [Errno 24] Too many open files"),
    "memory": ("failed", "stopped at 1,"),
    "exit": ("failed", f"{ENDED}exit code 7"),
    "exit-well": ("failed", f"{ENDED}exit code 0"),
    "sys-exit": ("failed", f"{ENDED}exit code 3"),
    "interrupt": ("failed", f"{ENDED}exit code 1"),
    "closed-files": ("failed", f"{ENDED}exit code 1"),
    "abort": ("failed", f"{ENDED}signal SIGABRT"),
    "segfault": ("failed", f"{ENDED}signal SIGSEGV"),
    "kill-keeper": ("failed", f"{ENDED}signal SIGKILL"),
    "end-keeper": ("failed", f"{ENDED}signal SIGTERM"),
    "recursion": ("failed", "fitting: RecursionError: "),
    "mute": ("failed", "fitting: MuteError: <MuteError whose text raises SystemExit>"),
    "huge-nfe": ("failed", f"{REFUSED}s costs.nfe is None"),
    "nan": ("diverged", "sampling: FloatingPointError: 64 of 64 samples are not finite"),
    "infinite": ("diverged", "sampling: FloatingPointError: 64 of 64 samples are not finite"),
    "complex": ("failed", "sampling: ConfigurationError: samples are torch.complex64"),
    "no-tensor": ("failed", "sampling: ConfigurationError: samples are list"),
    "negative-nfe": ("failed", "sampling: ConfigurationError: nfe is -1.0"),
    "nan-nfe": ("failed", "sampling: ConfigurationError: nfe is nan"),
    "weights": ("failed", "sampling: ConfigurationError: log_weights have shape (64, 2)"),
    "number": ("failed", "sampling: ValueError: the samples have shape (63, 2)"),
    "shape": ("failed", "sampling: ValueError: the samples have shape (64, 1)"),
    **dict.fromkeys(("half-precision", "integers", "one-row", "with-graph"), ("ok", "")),
}
OTHER_SAMPLES = ("half-precision", "integers", "one-row")
OUTSIDE = ("killed", "kill-keeper", "end-keeper")
NEIGHBOURS = ["exact", "toy-good"]


@pytest.fixture(scope="module")
def hostile(toys: Path) -> Path:
    catalogue.registry.load_file(PLUGIN)
    return PLUGIN


def run(suite: dict[str, Any], out: Path, executor: str = "process", **options: Any) -> api.Results:
    return api.run(suite, out=out, executor=executor, device="cpu", progress=False, **options)


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "outcomes", [QUICK, pytest.param(OUTCOMES, marks=pytest.mark.slow)], ids=["one of each kind", "all"]
)
def test_hostile_samplers_cost_their_own_cells_only(
    hostile: Path, tmp_path: Path, outcomes: dict[str, tuple[str, str]], count: Callable[..., None]
) -> None:
    suite: dict[str, Any] = {
        "name": "hostile",
        "tasks": ["toy-normal"],
        "samplers": [f"hostile[deed={deed}]" for deed in outcomes] + NEIGHBOURS,
        "seeds": 1,
        "metrics": ["toy-mean", "toy-spread", "energy-distance"],  # by torch.cdist, as one of them patches
        "budget": {"seconds": 30, "memory_mib": 1400},
        "overrides": [
            {"sampler": f"hostile[deed={deed}]", "seconds": 2}
            for deed, (_, reason) in outcomes.items()
            if reason == STOPPED
        ],
    }
    alone = run({**suite, "samplers": NEIGHBOURS, "overrides": []}, tmp_path / "alone", "inline")
    results = run(suite, tmp_path / "all", workers=2)
    assert left_behind() == []
    assert results.table("all")
    found = {r["identity"]["sampler"]: r for r in results.records}
    honest = found["hostile[deed=none]"]["scores"]
    became = {deed: (r["status"], r["reason"]) for deed in outcomes for r in [found[f"hostile[deed={deed}]"]]}
    assert {
        deed: (became[deed], expected)
        for deed, expected in outcomes.items()
        if became[deed][0] != expected[0] or not became[deed][1].startswith(expected[1])
    } == {}
    count("hostile samplers, each with the outcome that is stated", len(outcomes))
    for deed, (status, _) in outcomes.items():
        record = found[f"hostile[deed={deed}]"]
        if status == "ok" and deed not in OTHER_SAMPLES:  # they are one another's neighbours
            assert record["scores"] == honest, deed
            assert deed == "with-graph" or "letters of diagnostics" in record["diagnostics"]["left_out"]
    assert {r["identity"]["sampler"]: r["scores"] for r in alone.records} == {n: found[n]["scores"] for n in NEIGHBOURS}
    assert [found[name]["status"] for name in NEIGHBOURS] == ["ok", "ok"]

    # A cell that was killed from outside is tried again; the others end the same way.
    again = api.plan(suite, out=tmp_path / "all", device="cpu")
    assert [c.pair.sampler for c in again.todo] == [f"hostile[deed={d}]" for d in outcomes if d in OUTSIDE]


def left_behind() -> list[str]:
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        lines = [" ".join(p.info["cmdline"] or []) for p in psutil.process_iter(["cmdline"])]
        found = [line for line in lines if f"left by {PLUGIN}" in line]
        if not found:
            return []
        time.sleep(0.1)
    return found


def test_the_worker_of_one_plugin_does_no_cells_of_another(hostile: Path, tmp_path: Path) -> None:
    suite = {
        "name": "h",
        "tasks": ["toy-normal"],
        "samplers": ["hostile[deed=patch-class]", *NEIGHBOURS],
        "seeds": 1,
        "metrics": ["energy-distance"],
    }
    alone = run({**suite, "samplers": NEIGHBOURS}, tmp_path / "alone", "inline")
    results = run(suite, tmp_path / "all", workers=1)
    assert results.records[0]["scores"]["energy-distance"] == 0.0  # its own, which it changed
    assert [r["scores"] for r in results.records[1:]] == [r["scores"] for r in alone.records]


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
