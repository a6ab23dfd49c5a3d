"""Runs in worker processes: limits, deaths, interruption and resumption. Few, since every run imports torch."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from phys_bench import api
from phys_bench.environment import Used

SUITE = {
    "name": "toy",
    "tasks": ["toy-normal"],
    "samplers": ["toy-good[pause=0.3]", "toy-stacked", "toy-good[shift=1.0]"],
    "seeds": 4,
}
SCRIPT = """
import json, sys
from phys_bench import api
# No main guard, on purpose: workers must not run the user's script again.
print("script runs", flush=True)
api.run(json.loads(sys.argv[1]), out=sys.argv[2], executor="process", workers=1, device="cpu", plugins=[sys.argv[3]])
"""


def start(suite: dict[str, Any], out: Path, plugin: Path, **options: Any) -> subprocess.Popen[str]:
    """A run in a process of its own, in a session of its own, so that nothing reaches the test's."""
    script = out.parent / "script.py"
    script.write_text(SCRIPT)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    command = [sys.executable, str(script), json.dumps(suite), str(out), str(plugin)]
    pipe = subprocess.PIPE
    return subprocess.Popen(
        command, env=environment, stdout=pipe, stderr=pipe, text=True, start_new_session=True, **options
    )


def wait_for_records(process: subprocess.Popen[str], out: Path, count: int) -> None:
    deadline = time.monotonic() + 120
    while len(list((out / "records").glob("*.json"))) < count:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.005)


def wait_until_gone(children: list[psutil.Process]) -> None:
    _, alive = psutil.wait_procs(children, timeout=20)
    assert not alive


def table(results: api.Results) -> list[Any]:
    return [
        (r["identity"]["task"], r["identity"]["sampler"], r["identity"]["seed"], r["scores"]) for r in results.records
    ]


def test_workers_are_limited_replaced_and_charged_by_cell(toys: Path, tmp_path: Path) -> None:
    bad = [f"toy-bad[how={how},second_only=true]" for how in ("exit", "hang", "memory")]
    suite = {
        "name": "toy",
        "tasks": ["toy-normal"],
        "samplers": [*bad, "toy-stacked[bad=hang]", "toy-good"],
        "seeds": 2,
        "budget": {"seconds": 2.0, "memory_mib": 1500},
        "overrides": [{"sampler": bad[2], "seconds": 60}],
    }
    results = api.run(suite, out=tmp_path, executor="process", workers=2, device="cpu", progress=False)
    found = {
        (r["identity"]["sampler"], r["identity"]["seed"]): (r["status"], r["reason"], r["hit_limit"])
        for r in results.records
    }
    assert [found[sampler, 0][0] for sampler in results.samplers] == ["ok"] * 5
    assert found["toy-good", 1][0] == "ok"
    assert found[bad[0], 1] == ("failed", "its worker process ended with exit code 7", None)
    assert found[bad[1], 1] == ("timeout", "stopped at the limit of 2 s", "seconds")
    status, reason, limit = found[bad[2], 1]
    assert (status, limit) == ("failed", "memory")
    assert "the limit is 1,500 MiB" in reason
    # The stacked job hung as a whole; tried one by one, only seed 1 is guilty.
    assert found["toy-stacked[bad=hang]", 1][0] == "timeout"
    assert "about to exit" in results.select(sampler=bad[0])[1].traceback
    # What is left is the process that workers are copies of, which has none.
    (left,) = [p for p in psutil.Process().children() if "forkserver" in " ".join(p.cmdline())]
    assert left.children() == []
    children = psutil.Process().children(recursive=True)
    assert not [p for p in children if "spawn_main" in " ".join(p.cmdline())]


def test_a_run_killed_in_the_middle_resumes_to_the_same_table(toys: Path, tmp_path: Path) -> None:
    whole = api.run(SUITE, out=tmp_path / "whole", executor="inline", device="cpu", progress=False)
    out = tmp_path / "killed"
    process = start(SUITE, out, toys)
    wait_for_records(process, out, 2)
    children = psutil.Process(process.pid).children(recursive=True)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    wait_until_gone(children)  # workers do not outlive their parent

    done = api.status(out)
    assert 2 <= done["counts"]["ok"] < 12
    assert done["missing"] == 12 - done["counts"]["ok"]
    assert not done["damaged"]
    kept = {path.name: path.stat().st_mtime_ns for path in (out / "records").glob("*.json")}
    again = start(SUITE, out, toys)
    stdout, stderr = again.communicate(timeout=120)
    assert again.returncode == 0, stderr
    assert stdout.splitlines() == ["script runs"]
    after = {path.name: path.stat().st_mtime_ns for path in (out / "records").glob("*.json")}
    assert kept.items() <= after.items()
    assert table(api.load(out)) == table(whole)


@pytest.mark.usefixtures("deaf")
def test_ctrl_c_keeps_what_is_finished(toys: Path, tmp_path: Path, interruptible: Callable[[], None]) -> None:
    out = tmp_path / "run"
    suite = {**SUITE, "samplers": ["toy-good[pause=0.3]"], "seeds": 40}
    process = start(suite, out, toys, preexec_fn=interruptible)
    wait_for_records(process, out, 2)
    children = psutil.Process(process.pid).children(recursive=True)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: the workers get it too
    _, stderr = process.communicate(timeout=60)
    assert process.returncode != 0
    assert "RunInterrupted" in stderr
    assert "of 40 cells are done and kept" in stderr
    wait_until_gone(children)
    results = api.load(out)
    assert len(results.records) >= 2
    assert all(r["status"] == "ok" for r in results.records)
    log = [json.loads(line)["event"] for line in (out / "log.jsonl").read_text().splitlines()]
    assert log[-1] == "run interrupted"


@pytest.mark.gpu
def test_cells_run_on_cuda(toys: Path, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    results = api.run(
        {**SUITE, "tasks": ["moons"], "samplers": ["exact", "bellman[steps=20]"], "seeds": 2},
        out=tmp_path, executor="process", device="cuda", progress=False,
    )  # fmt: skip
    assert [r["status"] for r in results.records] == ["ok"] * 4
    assert all(r["identity"]["device"] == "cuda" for r in results.records)
    assert results.records[-1]["costs"]["peak_device_memory_mib"] > 0


def test_workers_import_nothing_from_the_current_folder(tmp_path: Path) -> None:
    """A folder may hold a file that is named like one of our modules."""
    (tmp_path / "phys_bench.py").write_text("import pathlib\npathlib.Path('ran').write_text('')\nraise SystemExit(3)\n")
    suite = tmp_path / "suite.toml"
    suite.write_text('name = "s"\ntasks = ["normal"]\nsamplers = ["exact"]\nmetrics = ["mean-error"]\nseeds = [0]\n')
    code = (
        "import sys; from phys_bench import api\n"
        "if __name__ == '__main__':\n"
        "    results = api.run(sys.argv[1], out=sys.argv[2], executor='process', workers=1, progress=False)\n"
        "    sys.exit(not all(cell.ok for cell in results.cells))\n"
    )
    script = tmp_path / "elsewhere" / "run.py"
    script.parent.mkdir()
    script.write_text(code)
    done = subprocess.run(
        [sys.executable, str(script), str(suite), str(tmp_path / "out")],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert not (tmp_path / "ran").exists()


class Seen:
    """A process as the system shows it."""

    def __init__(self, pid: int, status: str) -> None:
        self.pid, self.state, self.seconds = pid, status, 0.0

    def status(self) -> str:
        return self.state

    def cpu_times(self) -> SimpleNamespace:
        return SimpleNamespace(user=self.seconds, system=0.0)


@pytest.mark.parametrize(
    ("state", "got", "charged"),
    [
        (psutil.STATUS_RUNNING, 0.1, 0.1),  # nine tenths of the time it waited for a processor
        (psutil.STATUS_RUNNING, 4.0, 1.0),  # of four threads: not more than the clock
        (psutil.STATUS_SLEEPING, 0.0, 1.0),  # it waited for something that may never come
    ],
)
def test_a_job_is_not_charged_for_the_processor_that_others_had(
    monkeypatch: pytest.MonkeyPatch, state: str, got: float, charged: float
) -> None:
    clock = [100.0]
    monkeypatch.setattr("phys_bench.environment.time.monotonic", lambda: clock[0])
    worker, child = Seen(7, state), Seen(8, psutil.STATUS_SLEEPING)
    used = Used(looked=clock[0])
    used.charge([worker, child], 7)
    before = used.seconds
    clock[0] += 1.0
    worker.seconds += got
    used.charge([worker, child], 7)
    assert used.seconds - before == pytest.approx(charged)
    assert used.clock == pytest.approx(1.0)
