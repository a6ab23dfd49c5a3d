"""Ranks, groups and what a run says of itself, against cases that can be counted by hand."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from phys_bench.cells import Cell, Cells, Floor
from phys_bench.findings import headline, power
from phys_bench.results import Results, compare
from phys_bench.statistics import groups, normalised_ranks, stand, told_apart
from phys_bench.summary import leaderboard


def test_ranks_do_not_depend_on_the_size_of_a_field_and_tasks_count_once() -> None:
    fields = {
        "many": {name: {0: float(i)} for i, name in enumerate("abcde")},
        "few": {name: dict.fromkeys(range(9), float(i)) for i, name in enumerate("ae")},
        "alone": {"b": {0: 3.0}},
    }
    found = normalised_ranks(fields)
    assert {name: rank.mean for name, rank in found.items()} == {"a": 0.0, "b": 0.25, "c": 0.5, "d": 0.75, "e": 1.0}
    assert "f" not in normalised_ranks({"t": {"f": {0: 1.0}}})


def test_a_failure_is_last_and_its_task_counts_once() -> None:
    fields = {
        "long": {
            "a": {s: math.inf for s in range(20)},
            "b": dict.fromkeys(range(20), 1.0),
            "c": dict.fromkeys(range(20), 2.0),
        },
        "short": {"a": {0: 1.0}, "b": {0: 2.0}, "c": {0: 3.0}},
    }
    found = normalised_ranks(fields)
    assert (found["a"].mean, found["b"].mean, found["c"].mean) == (0.5, 0.25, 0.75)
    both = normalised_ranks({"t": {"a": {0: math.inf}, "b": {0: math.inf}, "c": {0: 1.0}}})
    assert (both["a"].mean, both["b"].mean) == (1.0, 1.0)


def test_the_interval_of_a_rank_is_over_seeds() -> None:
    rows = {"a": [1.0] * 11 + [2.0], "b": [2.0] * 11 + [1.0]}
    found = normalised_ranks({"t": {name: dict(enumerate(values)) for name, values in rows.items()}})
    assert (found["a"].mean, found["a"].count) == (pytest.approx(1 / 12), 12)
    assert found["a"].low == 0.0  # 1/12 − 2.201 · 1/12, cut at the first place
    assert found["a"].high == pytest.approx((1 + 2.20099) / 12, abs=1e-4)


def test_groups_share_a_letter_exactly_where_a_pair_is_not_told_apart() -> None:
    generator = np.random.default_rng(0)
    names = list("abcdefg")
    for share in (0.0, 0.2, 0.5, 0.9, 1.0):
        apart = {pair for pair in itertools.combinations(names, 2) if generator.random() < share}
        marks = groups(names, apart)
        for first, second in itertools.combinations(names, 2):
            assert bool(set(marks[first].split()) & set(marks[second].split())) == ((first, second) not in apart)
    assert groups(names, set()) == dict.fromkeys(names, "a")


def test_equal_samplers_are_seldom_told_apart_and_distant_ones_always() -> None:
    """400 runs of four equal samplers on two tasks, five seeds: a pair apart in at most 5 % (standard error 1.1 %)."""
    draws = np.random.default_rng(0).normal(size=(400, 2, 4, 5))
    alarms = 0
    for run in draws:
        fields = {
            str(t): {str(s): dict(enumerate(row.tolist())) for s, row in enumerate(task)} for t, task in enumerate(run)
        }
        alarms += bool(told_apart(fields))
    assert alarms / 400 <= 0.05 + 3 * 0.011
    far = {"t": {"a": dict(enumerate([1.0, 1.1, 0.9, 1.0])), "b": dict(enumerate([9.0, 9.2, 8.9, 9.1]))}}
    assert told_apart(far) == {("a", "b")}
    assert told_apart({"t": {name: {s: v for s, v in row.items() if s < 2} for name, row in far["t"].items()}}) == set()


def test_places_odds_and_oracles() -> None:
    fields = {"t": {"a": dict(enumerate([1.0, 1.1, 0.9])), "b": dict(enumerate([1.0, 5.2, 4.9]))}}
    rows = stand(fields, {"a": 1, "exact": 1, "b": 1, "none": 0}, ["exact"])
    assert [(row.sampler, row.place) for row in rows] == [("exact", None), ("a", 1), ("b", 2), ("none", None)]
    # of nine pairs, b beats a at (1.0, 1.1), and is equal at (1.0, 1.0)
    assert rows[2].odds == pytest.approx(1.5 / 9)


def cell(sampler: str, seed: int, w2: float | None, *, task: str = "t", **fields: object) -> Cell:
    facts: dict[str, object] = {"floors": {"w2": Floor(1.0, 0.1)}, "best": {"w2": "low"}, "primary": "w2"}
    facts |= {"scores": {} if w2 is None else {"w2": w2}, "costs": {"nfe": 10.0, "cpu_seconds": 1.0}, **fields}
    return Cell(id=f"{task}{sampler}{seed}", task=task, sampler=sampler, seed=seed, component=sampler, **facts)  # type: ignore[arg-type]


def run(**scores: list[float | None]) -> Cells:
    exact = [1.0, 1.1, 0.9, 1.0]
    rows = [cell("exact", seed, value) for seed, value in enumerate(exact)]
    for name, values in scores.items():
        for seed, value in enumerate(values):
            status = {"status": "diverged", "reason": "NaN"} if value is None else {}
            cost = {"nfe": 100.0 if name == "dear" else 10.0, "cpu_seconds": 1.0 if name == "dear" else 2.0}
            rows.append(cell(name, seed, value, costs=cost, **status))
    return Cells(rows)


def test_the_first_sentence_says_who_is_at_the_floor_who_is_cheapest_and_what_failed() -> None:
    found = run(
        dear=[1.05, 1.0, 0.95, 1.0], cheap=[0.95, 1.1, 1.0, 1.0], far=[3.0, 3.1, 3.2, 2.9], lost=[1.0, None, 1.0, 1.0]
    )
    assert found.like_exact("t") == ["dear", "cheap"]
    assert headline(found) == [
        "At the floor, not told from exact samples by 4 seeds: dear and cheap on t.",
        "Cheapest of these: cheap (10 evaluations a sample); dear (1 CPU seconds a cell).",
        "Without a score: lost diverged on t (1 of 4 seeds).",
    ]
    assert headline(run(far=[3.0, 3.1, 3.2, 2.9]))[0] == "No sampler is at the floor on any task; far ranks first."


def test_a_comparison_calls_what_neither_run_could_try_incompatible_and_not_failed() -> None:
    def table(status: str) -> Results:
        return Results(
            cells=[cell("a", 0, 1.0), cell("odd", 0, None, status=status), cell("odd", 1, None, status=status)]
        )

    for status, verdict in (("incompatible", "incompatible"), ("diverged", "failed in both")):
        found = compare(table(status), table(status), "primary").set_index("sampler").verdict
        assert found["odd"] == verdict


def test_one_letter_for_all_says_what_to_do() -> None:
    alike, apart = run(a=[1.0, 1.1, 0.9, 1.0], b=[0.9, 1.0, 1.1, 1.0]), run(a=[1.0] * 4, b=[9.0, 9.1, 9.2, 9.1])
    said = [" ".join(leaderboard(cells).remarks) for cells in (alike, apart)]
    assert ["take more seeds, or fewer samplers" in words for words in said] == [True, False]


def test_a_sampler_with_a_failed_seed_or_a_mean_off_the_floor_is_not_like_exact_samples() -> None:
    # so wide a spread tells nothing apart, yet a mean of 1.5 floors is not the floor's
    assert run(wide=[0.2, 2.0, 3.0, 0.8], other=[1.0] * 4).like_exact("t") == ["other"]
    # within two standard deviations of the floor, but always worse than exact samples at the same seed
    assert run(near=[1.15, 1.25, 1.05, 1.15], other=[1.0] * 4).like_exact("t") == ["other"]


def test_too_few_seeds_are_said() -> None:
    rows = [cell("exact", 0, 1.0), cell("a", 0, 1.0), cell("b", 0, 2.0)]
    assert headline(Cells(rows))[0] == "With 1 seed nothing can be told apart: run at least 3."
    assert power(Cells(rows), "t") == ""
    assert all(not row.group for row in Cells(rows).standings)


def test_the_least_visible_difference_is_that_of_the_paired_spread() -> None:
    """Differences (1, 2, 3): (4.3027 + 1.0607) · 1 / √3, Student's quantiles of two degrees of freedom."""
    rows = [cell("exact", seed, 1.0) for seed in range(3)] + [cell("a", seed, 2.0 + seed) for seed in range(3)]
    assert "a difference from exact samples of 3.10, 3.1 of the floor" in power(Cells(rows), "t")
