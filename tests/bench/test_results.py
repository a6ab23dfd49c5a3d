"""Tables, comparison and merging, from records made by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from phys_bench import api
from phys_bench.canonical import digest
from phys_bench.results import Results
from phys_samplers.errors import ConfigurationError


def record(task: str, sampler: str, seed: int, score: float | None, **facts: Any) -> dict[str, Any]:
    identity = {"task": task, "sampler": sampler, "seed": seed, "component": sampler.partition("[")[0], "library": "l"}
    identity |= {"device": "cpu", **facts.pop("identity", {})}
    costs = {"fit_seconds": 1.0, "sample_seconds": 0.5, "cpu_seconds": 1.5, "peak_memory_mib": 500.0, "nfe": 10.0}
    return {
        "id": digest(identity),
        "format": 1,
        "identity": identity,
        "status": "ok" if score is not None else "failed",
        "reason": "" if score is not None else "fitting: ValueError: no luck",
        "primary": "w2",
        "best": {"w2": "low", "ratio": "one"},
        "scores": {"w2": score, "ratio": 1.2} if score is not None else {},
        "score_errors": {},
        "floors": {"w2": {"mean": 0.1, "std": 0.01, "source": "exact"}},
        "costs": {**costs, "parameters": 9, "training_steps": 5} if score is not None else {},
        "arrays": None,
        **facts,
    }


def run_of(shift: float = 0.0, **facts: Any) -> Results:
    rows = [("exact", 0.1), ("bellman[kernel=gaussian]", 0.2), ("langevin", 0.3)]
    return Results(
        [
            record(task, sampler, seed, score + 0.01 * seed + (shift if sampler == "langevin" else 0.0), **facts)
            for task in ("moons", "gmm9")
            for sampler, score in rows
            for seed in range(3)
        ]
    )


def test_the_table_shows_scores_beside_their_floors_ranks_costs_and_failures() -> None:
    results = run_of()
    broken = [record("moons", "mala", seed, None) for seed in range(3)]
    text = Results([*results.records, *broken]).table()
    assert "0.100 ± 0.0100" in text  # the floor
    assert "0.310 ± 0.0100 3.10×" in text
    assert "[0.285, 0.335]" in text  # 4.303 · 0.01 / √3 about the mean
    assert "Cells without scores: 3 of 21" in text
    assert "moons / mala / seeds 0, 1, 2: failed: fitting: ValueError: no luck" in text
    assert "peak [MiB]" in text
    assert max(map(len, text.splitlines())) <= 100


def test_many_tasks_fit_a_terminal_of_100_columns_and_github_gets_one_table() -> None:
    rows = [
        record(f"a-task-with-a-name-{t}", f"bellman[kernel=gaussian,option={s},another=value]", seed, 0.123456 + seed)
        for t in range(7)
        for s in range(2)
        for seed in range(2)
    ]
    results = Results(rows)
    assert max(map(len, results.table().splitlines())) <= 100
    assert results.table().count("\nfloor") > 2
    github = results.table(fmt="github")
    assert github.count("| floor") == 1
    assert "`bellman[kernel=gaussian,option=0,another=value]`" in github


def test_metrics_are_chosen_by_name() -> None:
    results = run_of()
    assert "ratio →1" in results.table("all")
    assert "w2 ↓" not in results.table("ratio")
    with pytest.raises(ConfigurationError, match=r"no metric 'w3'.*It has w2, ratio"):
        results.table("w3")
    with pytest.raises(ConfigurationError, match="fmt is 'html'"):
        results.table(fmt="html")  # type: ignore[arg-type]
    assert Results([]).table() == "no cells"


def test_ranks_are_normalised_leave_out_the_oracle_and_put_failures_last() -> None:
    rows = [*run_of().records, *(record("moons", "mala", seed, None) for seed in range(3))]
    rows += [record("gmm9", "mala", seed, None, status="incompatible") for seed in range(3)]
    assert Results(rows).mean_ranks() == {
        "bellman[kernel=gaussian]": 0.0, "langevin": 0.75, "mala": 1.0, "exact": None,
    }  # fmt: skip


def test_compare_pairs_by_seed_and_says_which_way() -> None:
    frame = api.compare(run_of(), run_of(shift=-0.05)).set_index(["task", "sampler", "metric"])
    better = frame.loc["moons", "langevin", "w2"]
    # The seeds' own spread is 0.01, but it is shared: the interval of the difference has no width.
    assert better.verdict == "better"
    assert (better.difference, better.low, better.high, better.pairs) == pytest.approx((-0.05, -0.05, -0.05, 3))
    assert frame.loc["moons", "exact", "w2"].verdict == "equal"
    assert api.compare(run_of(shift=-0.05), run_of()).set_index(["task", "sampler", "metric"]).loc[
        "gmm9", "langevin", "w2"
    ].verdict == "worse"  # fmt: skip


def test_merge_unites_and_detects_conflicts() -> None:
    first = run_of()
    other = Results([record("spans", "exact", 0, 0.3)])
    merged = api.merge(first, other, first)
    assert len(merged.records) == len(merged.cells) == 19
    assert merged.tasks == ["moons", "gmm9", "spans"]

    changed = run_of(shift=1.0)  # equal identities, other scores
    reasons = {c.reason for c in api.find_conflicts([first, changed])}
    assert reasons == {f"the same identity gave w2 {a} and {b}" for a, b in ((0.3, 1.3), (0.31, 1.31), (0.32, 1.32))}
    with pytest.raises(ConfigurationError, match="6 cells differ between the runs: moons / langevin / seed 0"):
        api.merge(first, changed)
    assert api.merge(first, changed, on_conflict="last").scores("moons", "langevin", "w2")[0] == pytest.approx(1.3)
    kept = api.merge(first, changed, on_conflict="first")
    assert kept.scores("moons", "langevin", "w2")[0] == pytest.approx(0.3)
    assert "6 cells differed" in kept.table()

    alone, stacked = (
        Results([record("spans", "edm", 0, score, costs={"stacked_seeds": seeds})])
        for seeds, score in ((1, 0.3), (3, 0.31))
    )
    (conflict,) = api.find_conflicts([alone, stacked])
    assert conflict.reason == (
        "fits of 1 and of 3 seeds at once, which may round differently at odd sizes, gave w2 0.3 and 0.31"
    )

    other_code = run_of(identity={"library": "m"})
    reasons = {c.reason for c in api.find_conflicts([first, other_code])}
    assert reasons == {"the identities differ in library"}
    with pytest.raises(ConfigurationError, match="on_conflict is 'maybe'"):
        api.merge(first, on_conflict="maybe")


def test_merge_writes_a_run_folder_that_loads(toy_suite: dict[str, Any], tmp_path: Path) -> None:
    for part, seeds in (("a", [0, 1]), ("b", [2])):
        suite = {**toy_suite, "tasks": ["toy-normal"], "samplers": ["toy-good", "exact"]}
        api.run(suite, out=tmp_path / part, seeds=seeds, executor="inline", progress=False, device="cpu")
    union = api.merge(tmp_path / "a", tmp_path / "b", out=tmp_path / "c")
    assert [(r["identity"]["sampler"], r["identity"]["seed"]) for r in union.records] == [
        (sampler, seed) for sampler in ("toy-good", "exact") for seed in range(3)
    ]
    assert not union.damaged
    assert api.status(tmp_path / "c")["counts"] == {"ok": 6}
    with pytest.raises(ConfigurationError, match="holds a run already"):
        api.merge(tmp_path / "a", out=tmp_path / "c")
