"""Jobs through executors of futures: the same records as here, limits kept there, and what is lost costs itself."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil
import pytest

from phys_bench import api
from phys_bench.events import encode
from phys_bench.remote import FuturePool, do, engine
from phys_bench.suite import Budget
from phys_samplers.errors import ConfigurationError, MissingCapability

SUITE = {"name": "toy", "tasks": ["toy-normal"], "samplers": ["toy-good"], "seeds": 1}
LARGER = {"name": "toy", "tasks": ["toy-normal"], "samplers": ["toy-good", "toy-stacked"], "seeds": 2}
JOB = {"kind": "floors", "task": "t", "metrics": ["w2"], "eval_size": 10}
FLOOR = encode({"event": "floor", "metric": "w2", "mean": 1.0, "std": 0.1, "source": "exact", "values": [1.0]}).decode()
DONE = encode({"event": "ended", "how": "done", "reason": "", "tail": ""}).decode()


class Scripted:
    """An executor whose jobs are over at once, with what was said before."""

    def __init__(self, result: Any) -> None:
        self._result = result

    def submit(self, function: Callable[..., Any], /, *arguments: Any) -> Future[Any]:
        future: Future[Any] = Future()
        if isinstance(self._result, Exception):
            future.set_exception(self._result)
        else:
            future.set_result(self._result)
        return future


def heard(result: Any) -> list[dict[str, Any]]:
    """What a runner hears of a job."""
    pool = FuturePool(Scripted(result), 2, {}, copied=True, closing=ExitStack())
    pool.take(dict(JOB), Budget(seconds=1.0))
    events: list[dict[str, Any]] = []
    pool.step(lambda job, event: events.append(event))
    assert pool.busy == 0
    return events


def scores(results: api.Results) -> list[Any]:
    return sorted(
        (r["identity"]["task"], r["identity"]["sampler"], r["identity"]["seed"], r["status"], str(r["scores"]))
        for r in results.records
    )


def test_events_are_passed_on_in_order() -> None:
    floor, ended = heard([FLOOR, DONE])
    assert (floor["event"], floor["mean"], ended["how"]) == ("floor", 1.0, "done")


@pytest.mark.parametrize(
    "said",
    [
        [],
        None,
        [b"x"],
        ["x"],
        [FLOOR],
        [FLOOR, '{"event": "ended", "how": "well", "reason": "", "tail": ""}'],
        [FLOOR.replace('"w2"', '"other"'), DONE],
        [DONE, DONE],
    ],
    ids=["empty", "none", "bytes", "no-json", "no-end", "other-end", "other-metric", "two-ends"],
)
def test_what_no_worker_says_is_refused_and_costs_the_job(said: Any) -> None:
    (ended,) = heard(said)
    assert ended["how"] == "died"
    assert "refused" in ended["reason"]


def test_a_job_that_the_engine_lost_is_one_to_try_again() -> None:
    (ended,) = heard(OSError("the machine is gone"))
    assert (ended["how"], ended["reason"]) == ("outside", "Scripted lost it: the machine is gone")


def test_a_job_is_done_in_a_process_of_its_own(tmp_path: Path) -> None:
    job = {"kind": "floors", "task": "mixture-2d", "content": "", "metrics": ["mean-error"], "eval_size": 50}
    given = {"job": job, "seconds": 60.0, "memory_mib": 4096, "variables": {}, "copied": True, "folder": str(tmp_path)}
    floor, ended = map(json.loads, do(json.dumps(given)))
    assert (floor["event"], floor["metric"], ended["how"]) == ("floor", "mean-error", "done")
    assert floor["mean"] > 0


@pytest.mark.slow
def test_an_object_that_submits_runs_a_suite(toys: Path, tmp_path: Path) -> None:
    here = api.run(SUITE, out=tmp_path / "here", executor="inline", device="cpu", progress=False)
    with ThreadPoolExecutor(2) as threads:
        there = api.run(SUITE, out=tmp_path / "there", executor=threads, device="cpu", progress=False)
    assert scores(there) == scores(here)
    assert {r["status"] for r in there.records} == {"ok"}
    head = json.loads((tmp_path / "there" / "run.json").read_bytes())
    assert head["executor"] == "ThreadPoolExecutor"
    assert len(list((tmp_path / "there" / "arrays").iterdir())) == len(there.records)


@pytest.mark.parametrize("wrong", ["cluster", "dusk:tcp://x", 3, None])
def test_another_executor_is_refused_before_anything_is_written(wrong: Any, toys: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="executor is"):
        api.run(SUITE, out=tmp_path / "run", executor=wrong, device="cpu", progress=False)
    assert not (tmp_path / "run").exists()


def test_a_parameter_of_slurm_that_is_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="'partition' of executor 'slurm'"):
        engine("slurm:partition", 1, tmp_path)


def test_a_scheduler_that_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    pytest.importorskip("submitit")
    if shutil.which("srun"):
        pytest.skip("there is Slurm here")
    with pytest.raises(ConfigurationError, match="executor 'slurm' cannot be had"):
        engine("slurm", 1, tmp_path)


@pytest.mark.parametrize(("name", "package"), [("dask", "dask"), ("slurm", "submitit")])
def test_an_engine_that_is_not_installed_is_named(
    name: str, package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, package, None)
    with pytest.raises(MissingCapability, match=r"phys-samplers\[cluster\]"):
        engine(name, 1, tmp_path)


@pytest.mark.slow
def test_limits_are_kept_there(toys: Path, tmp_path: Path) -> None:
    suite = {**SUITE, "samplers": ["toy-bad[how=hang]", "toy-bad[how=exit]"], "budget": {"seconds": 2.0}}
    with ThreadPoolExecutor(2) as threads:
        results = api.run(suite, out=tmp_path, executor=threads, device="cpu", progress=False)
    found = {r["identity"]["sampler"]: (r["status"], r["reason"], r["hit_limit"]) for r in results.records}
    assert found["toy-bad[how=hang]"] == ("timeout", "stopped at the limit of 2 s", "seconds")
    assert found["toy-bad[how=exit]"] == ("failed", "its worker process ended with exit code 7", None)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_dask_gives_the_same_records_and_outlives_a_killed_worker(toys: Path, tmp_path: Path) -> None:
    distributed = pytest.importorskip("distributed")
    here = api.run(LARGER, out=tmp_path / "here", executor="inline", device="cpu", progress=False)
    there = api.run(LARGER, out=tmp_path / "there", executor="dask", workers=2, device="cpu", progress=False)
    assert scores(there) == scores(here)
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
    ):
        (first, *_) = client.run(os.getpid).values()
        killer = Killer(client.get_executor(pure=False), first)
        again = api.run(LARGER, out=tmp_path / "killed", executor=killer, workers=2, device="cpu", progress=False)
    lost = [r for r in again.records if r["status"] != "ok"]
    assert killer.killed
    assert len(lost) <= 1
    assert all(r["hit_limit"] == "outside" for r in lost)
    whole = api.run(LARGER, out=tmp_path / "killed", executor="inline", device="cpu", progress=False)
    assert scores(whole) == scores(here)


class Killer:
    """An executor that kills a process when it is given its second job."""

    def __init__(self, executor: Any, victim: int) -> None:
        self._executor, self._victim, self._count, self.killed = executor, victim, 0, False

    def submit(self, function: Callable[..., Any], /, *arguments: Any) -> Any:
        self._count += 1
        future = self._executor.submit(function, *arguments)
        if self._count == 2:
            psutil.Process(self._victim).send_signal(signal.SIGKILL)
            self.killed = True
        return future


@pytest.mark.slow
def test_submitit_gives_the_same_records(toys: Path, tmp_path: Path) -> None:
    submitit = pytest.importorskip("submitit")
    here = api.run(LARGER, out=tmp_path / "here", executor="inline", device="cpu", progress=False)
    executor = submitit.LocalExecutor(folder=tmp_path / "jobs")
    executor.update_parameters(timeout_min=5)
    there = api.run(LARGER, out=tmp_path / "there", executor=executor, workers=2, device="cpu", progress=False)
    assert scores(there) == scores(here)


def test_a_process_that_ends_by_itself_says_so() -> None:
    with pytest.raises(RuntimeError, match="its process ended with 1"):
        do("{}")
