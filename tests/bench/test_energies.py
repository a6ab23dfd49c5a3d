"""What is asked of a target's energy is counted, and what comes with a draw is scored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from phys_bench import api
from phys_bench.report import write_report
from phys_bench.scoring import reference_rows
from phys_registry import Component
from phys_samplers.catalogue import make, registry
from phys_samplers.target import Task

N = 50
SUITE: dict[str, Any] = {"name": "energies", "tasks": ["gmm9"], "seeds": 2, "eval_size": N, "metrics": ["mode-tv"]}

MIXED = "mala[prior_std=1.0,sampling_steps=200,warmup_steps=50]"
"""Chains that forget their start on a normal law."""


def run(samplers: list[str], out: Path, **changes: Any) -> api.Results:
    suite = {**SUITE, "samplers": samplers, **changes}
    return api.run(suite, out=out, executor="inline", progress=False, device="cpu")


def asked(results: api.Results, sampler: str) -> set[tuple[float, float]]:
    """Gradients and further values of the energy per sample, of each seed."""
    costs = [cell.costs for cell in results.select(sampler=sampler)]
    return {(cost["energy_gradients"], cost["energy_densities"]) for cost in costs}


def test_gradients_of_chains_are_counted_exactly_and_those_of_data_are_none(tmp_path: Path) -> None:
    few = "mala[ascent_steps=0,samples_per_chain=4,sampling_steps=40,warmup_steps=5]"
    names = [
        "langevin[ascent_steps=0,sampling_steps=30]",
        "mala[ascent_steps=0,sampling_steps=30,warmup_steps=5]",
        few,
        "baoab[ascent_steps=0,sampling_steps=30]",
    ]
    overrides = [{"sampler": "edm", "options": {"steps": 10, "width": 8, "sampling_steps": 3}}]
    results = run([*names, "edm"], tmp_path, overrides=overrides)
    assert asked(results, names[0]) == {(30.0, 1.0)}  # that samples have density at all is asked at the end
    assert asked(results, names[1]) == {(31.0, 0.0)}  # the start, then every step
    assert asked(results, few) == {(41 * 13 / N, 0.0)}  # 13 chains give 50 samples, four each
    assert asked(results, names[3]) == {(31.0, 1.0)}
    assert asked(results, "edm") == {(0.0, 0.0)}
    assert "∇E" in results.table()
    assert "∇E" not in run(["edm"], tmp_path / "data", overrides=overrides).table()


def test_training_counts_once_for_every_sampler_that_shares_it(tmp_path: Path) -> None:
    registry.load_file(Path(__file__).with_name("toy_trained.py"))
    names = ["toy-asking", "toy-asking[shift=1.0]", "toy-asking[fit_pause=0.01]"]
    results = run(names, tmp_path)
    shared = [{cell.shared_fit for cell in results.select(sampler=name)} for name in names]
    assert shared == [{False}, {True}, {False}]
    for name in names:
        assert asked(results, name) == {(100 / N + 1, 30 / N)}


def test_a_sampler_without_an_estimate_has_no_score_and_says_why(tmp_path: Path) -> None:
    metrics = ["ess-per-gradient", "ess", "ess-per-second", "log-z-error"]
    results = run([MIXED], tmp_path, tasks=["normal"], metrics=metrics)
    for record in results.records:
        assert record["status"] == "ok"
        found, costs = record["scores"], record["costs"]
        assert found["ess"] == pytest.approx(record["diagnostics"]["ess"])
        assert found["ess-per-gradient"] == pytest.approx(found["ess"] / 201)
        seconds = costs["fit_seconds"] + costs["sample_seconds"]
        assert found["ess-per-second"] == pytest.approx(found["ess"] * N / seconds)
        assert found["log-z-error"] is None
        assert "needs an estimate of log Z, which this sampler does not give" in record["score_errors"]["log-z-error"]
        assert not any(record["floors"].values())
    page = write_report(tmp_path).read_text(encoding="utf-8")
    assert "log-z-error needs an estimate of log Z" in page
    assert f"leave the metric out for it: {MIXED} on normal<" in page


@pytest.fixture
def density() -> Task:
    """A task with a density alone: nothing to compare samples with."""
    law = make("task", "normal").law

    class Bare:
        event_shape = (2,)
        log_z = 0.0
        log_prob = staticmethod(law.log_prob)

    return Task(event_shape=(2,), name="bare", law=Bare(), metrics=("ess", "w2"), eval_size=N)


def test_a_task_without_any_reference_is_scored_by_what_comes_with_draws(
    density: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert reference_rows(density, "bare", 5, 0).shape == (0, 2)
    monkeypatch.setattr("phys_bench.tasks.laws.bare", lambda: density, raising=False)
    registry.register(Component("task", "toy-bare", "phys_bench.tasks.laws:bare", summary="a density alone"))
    results = run([MIXED], tmp_path, tasks=["toy-bare"], metrics=["ess", "w2"])
    for record in results.records:
        assert record["status"] == "ok"
        assert record["scores"]["ess"] > 0
        assert record["score_errors"] == {
            "w2": "task 'toy-bare' has neither held-out rows nor an exact sampler to compare with"
        }
    page = write_report(tmp_path).read_text(encoding="utf-8")
    assert "no picture" in page
    silent = run(
        [MIXED, "langevin[sampling_steps=8]"], tmp_path / "silent", tasks=["toy-bare"], metrics=["log-z-error"]
    )
    assert {(record["status"], record["scores"]["log-z-error"]) for record in silent.records} == {("ok", None)}
    assert set(silent.mean_ranks().values()) == {None}
    refused = run(["mala"], tmp_path / "refused", tasks=["toy-bare"], metrics=["w2", "ess"])
    assert {record["status"] for record in refused.records} == {"incompatible"}
    assert "so w2, which ranks, cannot be scored" in refused.records[0]["reason"]


def test_more_samples_than_held_out_rows_meet_exact_draws() -> None:
    task = make("task", "gmm9")
    assert task.heldout is not None
    many = reference_rows(task, "gmm9", len(task.heldout) + 1, 0)
    assert len(many) == len(task.heldout) + 1
    kept = {tuple(row) for row in task.heldout.tolist()}
    assert sum(tuple(row) in kept for row in many.tolist()) == 0
    assert all(tuple(row) in kept for row in reference_rows(task, "gmm9", 20, 0).tolist())
