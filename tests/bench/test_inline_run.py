"""Runs in this process: what is recorded, kept, retried and refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from phys_bench import api
from phys_bench.store import RunFolder
from phys_registry import hookimpl
from phys_samplers import catalogue
from phys_samplers.errors import ConfigurationError


def run(suite: dict[str, Any], out: Path, **options: Any) -> api.Results:
    return api.run(suite, out=out, **{"executor": "inline", "progress": False, "device": "cpu", **options})


def scores(results: api.Results) -> dict[tuple[str, str, int], Any]:
    return {
        (r["identity"]["task"], r["identity"]["sampler"], r["identity"]["seed"]): (r["status"], r["scores"])
        for r in results.records
    }


def test_every_cell_has_a_record_with_scores_floors_costs_and_arrays(toy_suite: dict[str, Any], tmp_path: Path) -> None:
    results = run(toy_suite, tmp_path)
    assert len(results.records) == 24
    record = next(r for r in results.records if r["identity"]["sampler"] == "toy-stacked")
    assert record["status"] == "ok"
    assert record["primary"] == "toy-mean"
    assert set(record["scores"]) == {"toy-mean", "toy-spread"}
    assert set(record["floors"]["toy-mean"]) == {"mean", "std", "source"}
    costs = record["costs"]
    assert (costs["nfe"], costs["training_steps"], costs["parameters"], costs["stacked_seeds"]) == (7.0, 10, 3, 3)
    assert costs["peak_memory_mib"] > 50
    assert record["diagnostics"] == {"ess": None}
    assert record["history"] == [{"step": 10, "loss": 0.5}]
    assert record["environment"]["threads"] == 1
    assert record["started"] <= record["finished"]

    from safetensors.numpy import load_file

    arrays = load_file(tmp_path / "arrays" / f"{record['id']}.safetensors")
    assert {name: array.shape for name, array in arrays.items()} == {
        "samples": (64, 2), "reference": (64, 2), "grid": (1600, 2), "s": (1600,), "g": (1600, 2)
    }  # fmt: skip
    head = json.loads((tmp_path / "run.json").read_text())
    assert head["suite"]["samplers"] == results.samplers
    assert len(head["cells"]) == 24


def test_samplers_share_seeds_and_reference_rows(toy_suite: dict[str, Any], tmp_path: Path) -> None:
    """Equal recipes under two labels draw the same numbers, so their scores are equal to the last bit."""
    results = run({**toy_suite, "samplers": ["toy-good", "toy-good[pause=0.0]"]}, tmp_path)
    for task in results.tasks:
        assert results.scores(task, "toy-good", "toy-mean") == results.scores(task, "toy-good[pause=0.0]", "toy-mean")
    spread = set(results.scores("toy-normal", "toy-good", "toy-mean").values())
    assert len(spread) == 3


def test_a_run_repeats_itself_and_a_stacked_fit_equals_single_ones(toy_suite: dict[str, Any], tmp_path: Path) -> None:
    first, second = run(toy_suite, tmp_path / "a"), run(toy_suite, tmp_path / "b")
    assert scores(first) == scores(second)
    single: dict[Any, Any] = {}
    for seed in range(3):
        single |= scores(run({**toy_suite, "samplers": ["toy-stacked"]}, tmp_path / f"one{seed}", seeds=[seed]))
    assert single == {key: value for key, value in scores(first).items() if key[1] == "toy-stacked"}


def test_what_exists_is_not_run_again(toy_suite: dict[str, Any], tmp_path: Path) -> None:
    run(toy_suite, tmp_path, samplers=["toy-good"])
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "records").iterdir()}
    planned = api.plan(toy_suite, samplers=["toy-good", "exact"], out=tmp_path, device="cpu")
    assert [p.state for p in planned.cells].count("kept") == len(before) == 6
    assert "12 cells: 6 exist, 0 cannot be run, 6 to run on cpu" in planned.table()
    results = run(toy_suite, tmp_path, samplers=["exact"])
    after = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "records").iterdir()}
    assert before.items() < after.items()
    assert results.samplers == ["exact"]
    assert api.load(tmp_path).samplers == ["toy-good", "exact"]


def test_a_dry_run_writes_nothing(
    toy_suite: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = run(toy_suite, tmp_path / "run", dry_run=True)
    assert not (tmp_path / "run").exists()
    assert not results.records
    assert "24 to run" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("sampler", "status", "reason"),
    [
        ("toy-bad[how=raise]", "failed", "fitting: ValueError: no luck today"),
        ("toy-bad[how=memory-error]", "failed", "fitting: MemoryError"),
        ("toy-bad[how=sys-exit]", "failed", "it called sys.exit(3)"),
        ("toy-bad[how=nan]", "diverged", "sampling: FloatingPointError: 1 of 64 samples are not finite"),
        ("toy-bad[how=shape]", "failed", "sampling: ValueError: the samples have shape (64, 3); expected (64, 2)"),
        ("toy-unimportable", "failed", "ImportError: the library it wraps is not there"),
    ],
)
def test_a_misbehaving_sampler_costs_its_own_cells_only(
    toy_suite: dict[str, Any], tmp_path: Path, sampler: str, status: str, reason: str
) -> None:
    results = run({**toy_suite, "tasks": ["toy-normal"], "samplers": [sampler, "toy-good"], "seeds": 2}, tmp_path)
    bad, good = results.select(sampler=sampler), results.select(sampler="toy-good")
    assert [cell.status for cell in bad] == [status] * 2
    assert all(reason in cell.reason for cell in bad)
    assert [cell.status for cell in good] == ["ok"] * 2
    assert reason.split(": ")[-1][:30] in " ".join(results.table().split())


def test_a_seed_that_diverges_leaves_its_neighbours_alone(toy_suite: dict[str, Any], tmp_path: Path) -> None:
    results = run({**toy_suite, "samplers": ["toy-stacked[bad=diverge]"]}, tmp_path)
    for task in results.tasks:
        assert [cell.status for cell in results.select(task)] == ["ok", "diverged", "ok"]
        assert "not finite at step 7" in results.select(task)[1].reason


def test_a_stacked_job_that_raises_is_retried_seed_by_seed(toy_suite: dict[str, Any], tmp_path: Path) -> None:
    results = run({**toy_suite, "samplers": ["toy-stacked[bad=raise]", "toy-stacked"]}, tmp_path)
    for task in results.tasks:
        guilty = results.select(task, "toy-stacked[bad=raise]")
        assert [cell.status for cell in guilty] == ["ok", "failed", "ok"]
        innocent = results.scores(task, "toy-stacked", "toy-mean")
        assert {0: innocent[0], 2: innocent[2]} == results.scores(task, "toy-stacked[bad=raise]", "toy-mean")
    log = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert sum(row["event"] == "retried one by one" for row in log) == 2


def test_a_resumed_stack_is_fitted_with_all_its_seeds_again(toy_suite: dict[str, Any], tmp_path: Path) -> None:
    """A stacked network of two seeds need not round as one of three does; the resumed run repeats the unbroken one."""
    suite = {**toy_suite, "tasks": ["toy-normal"], "samplers": ["toy-stacked"]}
    whole = run(suite, tmp_path)
    lost = tmp_path / "records" / f"{whole.records[1]['id']}.json"
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "records").iterdir() if path != lost}
    lost.unlink()
    again = run(suite, tmp_path)
    assert again.records[1]["costs"]["stacked_seeds"] == 3
    assert scores(again) == scores(whole)
    assert {path: path.stat().st_mtime_ns for path in kept} == kept


def test_failures_are_kept_unless_asked_or_a_limit_was_raised(toy_suite: dict[str, Any], tmp_path: Path) -> None:
    suite = {**toy_suite, "tasks": ["toy-normal"], "samplers": ["toy-bad[how=raise]"], "seeds": 1}
    run(suite, tmp_path)
    assert [p.state for p in api.plan(suite, out=tmp_path, device="cpu").cells] == ["kept"]
    assert [p.state for p in api.plan(suite, out=tmp_path, device="cpu", retry_failed=True).cells] == ["run"]

    folder = RunFolder(tmp_path)
    (record,) = folder.scan().records.values()
    folder.write_record(
        {**record, "status": "timeout", "hit_limit": "seconds", "budget": {"seconds": 5, "memory_mib": 1}}
    )
    for seconds, state in ((5, "kept"), (6, "run")):
        planned = api.plan({**suite, "budget": {"seconds": seconds}}, out=tmp_path, device="cpu")
        assert [p.state for p in planned.cells] == [state]


def test_a_metric_that_fails_costs_its_own_score_unless_it_ranks(toy_suite: dict[str, Any], tmp_path: Path) -> None:
    suite = {**toy_suite, "tasks": ["toy-normal"], "samplers": ["toy-good"], "seeds": 1}
    (record,) = run({**suite, "metrics": ["toy-mean", "toy-broken", "nll"]}, tmp_path / "a").records
    assert record["status"] == "ok"
    assert record["scores"]["toy-broken"] is None
    assert record["score_errors"]["toy-broken"] == "RuntimeError: this metric is broken"
    assert "log_prob" in record["score_errors"]["nll"]
    assert "toy-broken" not in record["floors"]
    (record,) = run({**suite, "metrics": ["toy-broken", "toy-mean"]}, tmp_path / "b").records
    assert (record["status"], record["scores"]["toy-broken"]) == ("failed", None)
    assert record["scores"]["toy-mean"] is not None


def test_an_incompatible_pair_is_a_row_with_its_reason(toy_suite: dict[str, Any], tmp_path: Path) -> None:
    results = run(
        {**toy_suite, "tasks": ["toy-density", "toy-normal"], "samplers": ["toy-samples"], "seeds": 1}, tmp_path
    )
    assert [r["status"] for r in results.records] == ["incompatible", "ok"]
    assert "toy-samples needs samples" in results.records[0]["reason"]
    assert "incompatible" in results.table()


def test_hooks_hear_of_the_run(toy_suite: dict[str, Any], tmp_path: Path) -> None:
    heard: list[Any] = []

    class Listener:
        @hookimpl
        def phys_run_started(self, run: Any) -> None:
            heard.append(("started", run["suite"]["name"]))

        @hookimpl
        def phys_step_logged(self, cell: Any, step: int, values: Any) -> None:
            heard.append(("step", cell["seed"], step, values["loss"]))

        @hookimpl
        def phys_cell_finished(self, record: Any) -> None:
            heard.append(("cell", record["status"]))

        @hookimpl
        def phys_run_finished(self, run: Any) -> None:
            heard.append(("finished", run["outcome"], run["counts"]))

    listener = Listener()
    catalogue.registry.subscribe(listener)
    try:
        run({**toy_suite, "tasks": ["toy-normal"], "samplers": ["toy-stacked"], "seeds": 2}, tmp_path)
    finally:
        catalogue.registry.unsubscribe(listener)
    steps = [("step", 0, 10, 0.5), ("step", 1, 10, 0.5)]
    assert heard == [("started", "toy"), *steps, ("cell", "ok"), ("cell", "ok"), ("finished", "finished", {"ok": 2})]


def test_a_folder_of_another_suite_and_bad_arguments_are_refused(toy_suite: dict[str, Any], tmp_path: Path) -> None:
    run({**toy_suite, "samplers": ["exact"], "seeds": 1}, tmp_path)
    with pytest.raises(ConfigurationError, match="holds a run of suite 'toy'"):
        run({**toy_suite, "name": "other"}, tmp_path)
    for options, message in (
        ({"executor": "threads"}, "executor is 'threads'"),
        ({"workers": 0, "executor": "process"}, "workers is 0"),
        ({"device": "tpu"}, "device is 'tpu'"),
        ({"seeds": -1}, "seeds is -1"),
        ({"samplers": []}, "samplers is"),
    ):
        with pytest.raises(ConfigurationError, match=message):
            run(toy_suite, tmp_path, **options)
    with pytest.raises(ConfigurationError, match="is not a run folder"):
        api.load(tmp_path / "nothing")


def test_components_of_this_process_run_inline_or_not_at_all(toy_suite: dict[str, Any], tmp_path: Path) -> None:
    from toy_plugin import Good  # type: ignore[import-not-found]

    catalogue.register("sampler", "toy-local", summary="x")(Good)
    try:
        suite = {**toy_suite, "tasks": ["toy-normal"], "samplers": ["toy-local"], "seeds": 1}
        with pytest.raises(ConfigurationError, match="sampler/toy-local is registered in this process only"):
            run(suite, tmp_path, executor="process")
        results = run(suite, tmp_path, executor="auto")
        assert results.head["executor"] == "inline"
        assert [r["status"] for r in results.records] == ["ok"]
    finally:
        catalogue.registry.unregister("sampler", "toy-local")


def test_frames_hold_every_score_and_cost(toy_suite: dict[str, Any], tmp_path: Path) -> None:
    results = run({**toy_suite, "samplers": ["exact", "toy-bad[how=raise]"], "seeds": 2}, tmp_path)
    frame = results.frame
    assert isinstance(frame, pd.DataFrame)
    assert len(frame) == 2 * 2 * 2 * 2
    assert frame[frame.status == "ok"].score.notna().all()
    assert frame[frame.status == "failed"].score.isna().all()
    ratio = frame[(frame.status == "ok") & frame.primary]
    assert (ratio.ratio == ratio.score / ratio.floor).all()
    assert {"fit_seconds", "peak_memory_mib"} <= set(results.costs.columns)


def test_lines_count_every_cell_that_gets_a_record(
    toy_suite: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    suite = {**toy_suite, "tasks": ["toy-density", "toy-normal"], "samplers": ["toy-samples"], "seeds": 1}
    run(suite, tmp_path, progress=None)
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("[")]
    assert lines[0].startswith("[1/2] toy-density / toy-samples / seed 0: incompatible: toy-samples needs samples")
    assert lines[1].startswith("[2/2] toy-normal / toy-samples / seed 0: toy-mean 0.")
    assert "(floor 0." in lines[1]


def test_a_sampler_whose_inner_one_trains_seed_by_seed_runs_with_several_seeds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("phys_bench.execution.STEP_INTERVAL", 0.0)  # every logged step is reported
    inner = "bellman[steps=60,width=8,sampling_steps=4]"
    suite = {
        "name": "nested",
        "tasks": ["normal"],
        "samplers": [f"latent[sampler={inner},steps=60,width=8,latent_dim=1]"],
        "seeds": 2,
        "metrics": ["variance-ratio"],
        "eval_size": 40,
    }
    results = run(suite, tmp_path)
    assert list(results.frame.status) == ["ok", "ok"]
    assert [r["costs"]["stacked_seeds"] for r in results.records] == [2, 2], "nobody was tried again by itself"


def test_a_sampler_sees_nothing_that_scores_it_and_what_it_writes_is_lost(toys: Path, tmp_path: Path) -> None:
    """Overwriting the rows it is given once made the held-out ones equal to its samples."""
    suite = {"name": "toy", "tasks": ["toy-normal"], "samplers": ["toy-cheating", "exact"], "seeds": 2}
    results = api.run(suite, out=tmp_path, executor="inline", device="cpu", progress=False)
    cheats, exact = results.records[:2], results.records[2:]
    for record in cheats:
        assert record["history"] == [{"heldout": False, "sample": False}]
        assert record["scores"]["toy-mean"] > 3
    for record in exact:
        assert record["scores"]["toy-spread"] == pytest.approx(1, abs=0.3)
