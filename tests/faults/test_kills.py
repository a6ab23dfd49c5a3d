"""Runs that are killed at random moments, and at random file operations, end in the table of an unbroken run."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from phys_bench import api
from phys_bench.store import RunFolder

TOYS = Path(__file__).parents[1] / "bench" / "toy_plugin.py"
SAMPLERS = ["exact", "toy-good", "toy-stacked", "mala[warmup_steps=2,sampling_steps=4]"]

Server = subprocess.Popen[str]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The process that forks runs; what they print goes to a file."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    command = [sys.executable, str(Path(__file__).with_name("killable.py"))]
    pipe = subprocess.PIPE
    with (
        open(tmp_path_factory.mktemp("server") / "stderr", "w+") as said,
        subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=said, text=True, env=environment) as process,
    ):
        yield process
        process.terminate()


def start(server: Server, suite: dict[str, Any], out: Path, die_at: int | None = None, **options: Any) -> int:
    """Begin a run; the number of its process."""
    assert server.stdin is not None
    request = {"suite": suite, "out": str(out), "plugins": [str(TOYS)], "die_at": die_at, **options}
    server.stdin.write(json.dumps(request) + "\n")
    server.stdin.flush()
    return int(answer(server))


def answer(server: Server) -> str:
    assert server.stdout is not None
    line = server.stdout.readline()
    assert line, "the process that forks runs is gone"
    return line


def kill(process: int) -> None:
    with contextlib.suppress(ProcessLookupError):  # it was done
        os.kill(process, signal.SIGKILL)


def suite(number: int, seeds: int) -> dict[str, Any]:
    return {
        "name": f"killed-{number}",
        "tasks": ["toy-normal"],
        "samplers": SAMPLERS,
        "seeds": list(range(100 * number, 100 * number + seeds)),
    }


def table(results: api.Results) -> list[Any]:
    keys = ("task", "sampler", "seed")
    return [([r["identity"][key] for key in keys], r["status"], r["scores"]) for r in results.records]


def kept(out: Path) -> dict[str, bytes]:
    """Records of a run folder, all of them whole; what a killed writer left is none of them."""
    folder = RunFolder(out)
    found = folder.scan()
    assert found.damaged == ()
    assert folder.head_damage() == ""
    assert not [id_ for id_ in found.records if id_.startswith(".")]
    return {id_: (out / "records" / f"{id_}.json").read_bytes() for id_ in found.records}


@pytest.mark.parametrize(
    ("kills", "seeds"), [(3, 1), pytest.param(60, 5, marks=pytest.mark.slow)], ids=["short", "long"]
)
@pytest.mark.parametrize("moment", ["time", "file operation"])
def test_killed_runs_lose_nothing(
    server: Server, tmp_path: Path, kills: int, seeds: int, moment: str, count: Callable[..., None]
) -> None:
    draw = random.Random(f"{moment} {kills}")
    done = number = 0
    longest = 0.5
    while done < kills:
        number += 1
        chosen, out = suite(number, seeds), tmp_path / str(number)
        whole = api.run(
            chosen, out=tmp_path / f"whole-{number}", executor="inline", device="cpu", progress=False, plugins=[TOYS]
        )
        before: dict[str, bytes] = {}
        status, began = -1, time.monotonic()
        while status != 0:
            unbroken = done >= kills
            die_at = draw.randrange(30) if moment == "file operation" and not unbroken else None
            began = time.monotonic()
            process = start(server, chosen, out, die_at=die_at, executor="inline")
            if moment == "time" and not unbroken:
                time.sleep(draw.uniform(0.0, longest))
                kill(process)
            status = int(answer(server))
            assert status in (0, -signal.SIGKILL)
            if status:
                done += 1
                count(f"kills of inline runs, at a random {moment}")
                count("kills of inline runs within a write", len(list(out.rglob(".*.part"))))
            after = kept(out) if out.exists() else {}
            assert before.items() <= after.items()  # a finished cell is never run again, nor changed
            before = after
        longest = min(longest, 2 * (time.monotonic() - began))
        results = api.load(out)
        assert table(results) == table(whole)
        assert len(results.records) == len(SAMPLERS) * seeds
        assert not (out / "run.lock").exists()
        assert not list(out.rglob(".*.part"))
        count("runs that ended in the table of an unbroken one")
        count("cells of killed runs, none lost", len(results.records))


@pytest.mark.slow
def test_a_run_can_be_killed_before_every_file_operation(
    server: Server, tmp_path: Path, count: Callable[..., None]
) -> None:
    """None of them leaves a folder in which the next run cannot go on."""
    chosen = {**suite(0, 1), "samplers": ["exact", "toy-good"]}
    number, status = 0, -1
    while status != 0:
        out = tmp_path / str(number)
        start(server, chosen, out, die_at=number, executor="inline")
        if status := int(answer(server)):
            count("kills of inline runs, one before every file operation")
            kept(out) if out.exists() else {}
            start(server, chosen, out, executor="inline")
            assert int(answer(server)) == 0, f"after a kill before file operation {number}"
            assert len(kept(out)) == 2
        number += 1
    assert number > 20


def below(process: int, *, recursive: bool = True) -> set[psutil.Process]:
    """What a run has started, and what that has."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return set(psutil.Process(process).children(recursive=recursive))
    return set()


def wait_for_records(out: Path, process: int, more: int) -> None:
    """Until workers have finished ``more`` cells, or the run is over."""
    files, deadline = out / "records", time.monotonic() + 60
    wanted = len(list(files.glob("*.json"))) + more
    while len(list(files.glob("*.json"))) < wanted and psutil.pid_exists(process) and time.monotonic() < deadline:
        time.sleep(0.01)


def finished(out: Path) -> dict[str, bytes]:
    """Records of cells that are ok."""
    return {id_: payload for id_, payload in kept(out).items() if json.loads(payload)["status"] == "ok"}


def end(whom: str, process: int) -> list[psutil.Process]:
    """Send a signal to a run; the processes below it."""
    number = {"terminated": signal.SIGTERM, "interrupted": signal.SIGINT}.get(whom, signal.SIGKILL)
    known = below(process)
    with contextlib.suppress(ProcessLookupError):
        (os.killpg if whom in ("group", "interrupted") else os.kill)(process, number)
    known |= below(process)
    for other in list(known):
        known |= below(other.pid)
    return list(known)


PROCESS_SAMPLERS = ["exact", "toy-stacked", "toy-good[pause=0.1]", "toy-good[shift=1.0,pause=0.05]"]


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("whom", ["killed", "terminated", "interrupted", "group"])
def test_runs_in_workers_that_are_ended_leave_no_orphans_and_lose_no_cell(
    server: Server, tmp_path: Path, whom: str, count: Callable[..., None]
) -> None:
    draw = random.Random(whom)
    chosen = {**suite(7, 12), "samplers": PROCESS_SAMPLERS}
    whole = api.run(chosen, out=tmp_path / "w", executor="inline", device="cpu", progress=False, plugins=[TOYS])
    kills, number, status, before = 0, 0, -1, {}
    while kills < 8 or status:
        out = tmp_path / str(number)
        process = start(server, chosen, out, executor="process", workers=2)
        if kills < 8:
            if kills % 4:
                wait_for_records(out, process, draw.randrange(1, 6))
                time.sleep(draw.uniform(0.0, 0.2))
            else:  # at whatever moment of the start
                time.sleep(draw.uniform(0.0, 3.0))
            known = end(whom, process)
        status = int(answer(server))
        if kills < 8:
            assert psutil.wait_procs(known, timeout=5)[1] == [], "orphans after 5 s"
            count("processes below ended runs, all gone after 5 s", len(known))
        assert status in (0, 130 if whom == "interrupted" else -signal.SIGTERM if whom == "terminated" else -9)
        if status:
            kills += 1
            count(f"runs in workers ended: {whom}")
        after = finished(out) if out.exists() else {}
        assert before.items() <= after.items()  # a finished cell is never run again, nor changed
        before = after
        if status == 0:
            assert table(api.load(out)) == table(whole)
            assert not (out / "run.lock").exists()
            count("runs that ended in the table of an unbroken one")
            count("cells of killed runs, none lost", len(whole.records))
            number, before = number + 1, {}


@pytest.mark.parametrize(
    ("kills", "seeds"), [(3, 4), pytest.param(50, 20, marks=pytest.mark.slow)], ids=["short", "long"]
)
@pytest.mark.timeout(1200)
def test_killed_workers_cost_the_cells_that_they_had(
    server: Server, tmp_path: Path, kills: int, seeds: int, count: Callable[..., None]
) -> None:
    """Workers, their keepers and the process that they are copies of are killed, whatever they do at that moment."""
    draw = random.Random(kills)
    chosen = {**suite(8, seeds), "samplers": PROCESS_SAMPLERS}
    whole = api.run(chosen, out=tmp_path / "w", executor="inline", device="cpu", progress=False, plugins=[TOYS])
    done, number, before = 0, 0, {}
    while True:
        out = tmp_path / str(number)
        process = start(server, chosen, out, executor="process" if done < kills else "inline", workers=2)
        while done < kills and psutil.pid_exists(process):
            wait_for_records(out, process, draw.randrange(1, 3))
            victims = sorted(below(process), key=lambda p: p.pid)
            if draw.random() < 0.95:  # else perhaps the process that they are copies of, which takes its time to start
                victims = [p for p in victims if p not in below(process, recursive=False)]
            if victims:
                kill(draw.choice(victims).pid)
                done += 1
                count("kills of workers and their keepers")
        status = int(answer(server))
        assert status == 0
        after = finished(out)
        assert before.items() <= after.items()
        before = after
        results = api.load(out)
        failed = [r["reason"] for r in results.records if r["status"] != "ok"]
        assert len(results.records) == len(whole.records)
        assert not [reason for reason in failed if "SIGKILL" not in reason and "was lost" not in reason]
        count("cells of killed workers, run again at the next start", len(failed))
        if not failed:
            assert table(results) == table(whole)
            count("runs that ended in the table of an unbroken one")
            count("cells of killed runs, none lost", len(whole.records))
            number, before = number + 1, {}
            if done >= kills:
                return
