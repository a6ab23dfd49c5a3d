"""What a paper reports beside a run: rows of a suite, verdicts by rule, and how they are shown."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from phys_bench import api
from phys_bench.canonical import digest
from phys_bench.findings import CLAIM_RULE, NUMBER_RULE
from phys_bench.published import Claim, Published
from phys_bench.report import write_report
from phys_bench.resolve import Resolver
from phys_bench.results import Results
from phys_bench.store import FORMAT, seal
from phys_bench.suite import Suite, list_suites, load_suite
from phys_registry import SpecError
from phys_samplers.errors import ConfigurationError

ROW: dict[str, Any] = {"task": "normal", "sampler": "exact", "metric": "w2", "value": 0.5, "source": "Table 1"}
CLAIM: dict[str, Any] = {"task": "normal", "metric": "w2", "better": "exact", "worse": "mala", "source": "Table 1"}
SUITE: dict[str, Any] = {"name": "mine", "tasks": ["normal"], "samplers": ["exact", "mala"], "metrics": ["w2"]}
BEST = {"low": "low", "high": "high", "zero": "zero", "half": "half", "one": "one"}
"""Metrics of the made-up results are named after the way they point."""

Scores = Sequence[float | str | None]


def record(sampler: str, seed: int, score: float | str | None) -> dict[str, Any]:
    """A finished cell with every metric at ``score`` (None: it could not be computed), or one with that status."""
    status = score if isinstance(score, str) else "ok"
    identity = {"task": "t", "sampler": sampler, "seed": seed, "component": sampler, "library": "l", "device": "cpu"}
    identity |= {"options": {}}
    return {
        "format": FORMAT, "id": digest(identity), "identity": identity, "status": status, "reason": "",
        "traceback": "", "primary": "low", "best": BEST, "score_errors": {}, "costs": {}, "diagnostics": {},
        "scores": {name: score for name in BEST} if status == "ok" else {},
        "floors": {name: {"mean": 0.1, "std": 0.01, "source": "exact"} for name in BEST},
        "history": [], "arrays": None, "environment": {},
    }  # fmt: skip


def results(seeds: int = 3, published: Sequence[Any] = (), claims: Sequence[Any] = (), **scores: Scores) -> Results:
    """A run of one task; missing seeds of a sampler have no record."""
    suite = {"name": "s", "seeds": list(range(seeds))}
    suite |= {"published": [asdict(row) for row in published], "claims": [asdict(row) for row in claims]}
    rows = [record(name, seed, score) for name, values in scores.items() for seed, score in enumerate(values)]
    return Results(rows, {"suite": suite})


def verdict(values: Scores, paper: float, metric: str = "low", seeds: int = 3, **facts: Any) -> str:
    row = Published(task="t", sampler="a", metric=metric, value=paper, source="Table 1", **facts)
    (found,) = results(seeds, [row], a=values).published()
    return found.words


def claim(better: Scores, worse: Scores, metric: str = "low", seeds: int = 3) -> tuple[str, int, int]:
    row = Claim(task="t", metric=metric, better="a", worse="b", source="Table 1")
    (found,) = results(seeds, claims=[row], a=better, b=worse).claims()
    return found.verdict, found.wins, found.pairs


# Rows of a suite


def test_rows_survive_the_round_trip_through_a_file_and_a_mapping(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text(
        'name = "own"\ntasks = ["normal"]\nsamplers = ["bellman-fields[preset=paper,epsilon=1.0,0.5]", "exact"]\n'
        'metrics = ["w1", "mmd2"]\n'
        '[[published]]\ntask = "normal"\nsampler = "bellman-fields[epsilon=0.5,preset=paper]"\nmetric = "mmd2"\n'
        'value = 5\nunit = 1e-3\ntolerance = 0.1\nsource = "Table 1"\ncomparable = false\nreason = "unknown kernel"\n'
        '[[claims]]\ntask = "normal"\nmetric = "w1"\nbetter = "exact"\n'
        'worse = "bellman-fields[preset=paper,epsilon=1.0]"\n'
        'source = "Table 2"\nnote = "n"\n'
    )
    suite = load_suite(path)
    label = "bellman-fields[preset=paper,epsilon=0.5]"  # the row's text in another order
    assert suite.published == (
        Published(task="normal", sampler=label, metric="mmd2", value=5.0, unit=1e-3, tolerance=0.1, source="Table 1",
                  comparable=False, reason="unknown kernel"),
    )  # fmt: skip
    assert suite.claims[0].worse == "bellman-fields[preset=paper,epsilon=1.0]"
    assert Suite.from_dict(suite.to_dict()) == suite
    assert Suite.from_dict(json.loads(json.dumps(suite.to_dict()))) == suite


@pytest.mark.parametrize(
    ("key", "change", "message"),
    [
        ("published", {"valeu": 1}, r"no key 'valeu' in \[published\[0\]\].*Did you mean 'value'"),
        ("published", {"task": "norml"}, r"published\[0\].task is 'norml', .*not have.*Did you mean 'normal'"),
        ("published", {"sampler": "ula"}, r"published\[0\].sampler is 'ula', .*not have.*expected exact, mala"),
        ("published", {"sampler": "mala[steps=1,2]"}, r"'mala\[steps=1,2\]' stands for 2 components"),
        ("published", {"metric": "w1"}, r"published\[0\].metric is 'w1', .*not have.*expected w2"),
        ("published", {"value": "0.5"}, r"published\[0\].value is '0.5'; expected a finite number"),
        ("published", {"value": float("nan")}, r"published\[0\].value is nan"),
        ("published", {"unit": 0}, r"published\[0\].unit is 0; expected a positive number"),
        ("published", {"tolerance": -1}, r"published\[0\].tolerance is -1; expected a number of at least 0"),
        ("published", {"source": " "}, r"published\[0\].source is ' '"),
        ("published", {"comparable": "no"}, r"published\[0\].comparable is 'no'; expected true or false"),
        ("published", {"comparable": False}, r"published\[0\].reason is '' where comparable is false"),
        ("published", {"reason": "why"}, r"published\[0\].reason is 'why' where comparable is true"),
        ("claims", {"best": "exact"}, r"no key 'best' in \[claims\[0\]\]"),
        ("claims", {"worse": "exact"}, r"claims\[0\].worse is 'exact', as 'better' is"),
        ("claims", {"better": "ddpm"}, r"claims\[0\].better is 'ddpm'"),
        ("claims", {"metric": 1}, r"claims\[0\].metric is 1; expected a string"),
    ],
)
def test_a_wrong_row_names_the_key_and_what_is_allowed(key: str, change: dict[str, Any], message: str) -> None:
    good = ROW if key == "published" else CLAIM
    assert Suite.from_dict({**SUITE, key: [good]})
    with pytest.raises(ConfigurationError, match=message):
        Suite.from_dict({**SUITE, key: [{**good, **change}]})


def test_a_row_needs_its_keys_and_the_suite_its_metrics() -> None:
    for key, good in (("published", ROW), ("claims", CLAIM)):
        with pytest.raises(ConfigurationError, match=r"the key 'source' is missing in \[" + key):
            Suite.from_dict({**SUITE, key: [{name: value for name, value in good.items() if name != "source"}]})
        with pytest.raises(ConfigurationError, match=r"none: name them in the suite, metrics = "):
            Suite.from_dict({**{name: value for name, value in SUITE.items() if name != "metrics"}, key: [good]})
        with pytest.raises(ConfigurationError, match=f"{key} is"):
            Suite.from_dict({**SUITE, key: "Table 1"})
    with pytest.raises(SpecError):
        Suite.from_dict({**SUITE, "published": [{**ROW, "sampler": "exact["}]})
    by_task = [{"task": "normal", "metrics": ["w1"]}]
    with pytest.raises(ConfigurationError, match="expected w1"):
        Suite.from_dict({**SUITE, "overrides": by_task, "published": [ROW]})


def test_rows_are_no_part_of_any_identity() -> None:
    with_rows = {**SUITE, "published": [ROW], "claims": [CLAIM]}
    corrected = {**SUITE, "published": [{**ROW, "value": 0.6, "note": "corrected"}]}
    ids = [[cell.id for cell in Resolver(Suite.from_dict(s), "cpu").cells()] for s in (SUITE, with_rows, corrected)]
    assert ids[0] == ids[1] == ids[2]


def test_a_selection_drops_the_rows_of_what_it_leaves_out() -> None:
    suite = Suite.from_dict({**SUITE, "published": [ROW], "claims": [CLAIM]})
    assert suite.select(seeds=2).published
    assert suite.select(samplers=["exact"]).published
    assert not suite.select(samplers=["exact"]).claims
    assert not suite.select(tasks=["moons"]).published
    left = suite.select(samplers=["mala"])
    assert Suite.from_dict(left.to_dict()) == left


# Verdicts


@pytest.mark.parametrize(
    ("values", "paper", "metric", "expected"),
    [
        ([0.9, 1.0, 1.1], 1.05, "low", "reproduced"),
        ([1.0, 1.0, 1.0], 1.0, "low", "reproduced"),  # a tie, with an interval of no width
        ([0.9, 1.0, 1.1], 2.0, "low", "better"),
        ([0.9, 1.0, 1.1], 0.5, "low", "worse"),
        ([0.9, 1.0, 1.1], 2.0, "high", "worse"),
        ([0.9, 1.0, 1.1], 0.5, "high", "better"),
        ([-0.1, 0.0, 0.1], -0.5, "zero", "better"),
        ([0.4, 0.5, 0.6], -0.1, "zero", "worse"),
        ([0.70, 0.72, 0.74], 0.45, "half", "worse"),
        ([0.48, 0.50, 0.52], 0.75, "half", "better"),
        ([0.5, 0.5, 0.5], 1.2, "one", "worse"),
        ([0.95, 1.0, 1.05], 1.2, "one", "better"),
        ([0.25, 0.25, 0.25], 0.75, "half", "equal"),  # as far from the exact value, on its other side
    ],
)
def test_a_number_is_reproduced_better_or_worse(values: Scores, paper: float, metric: str, expected: str) -> None:
    assert verdict(values, paper, metric) == expected


def test_units_tolerance_and_a_single_seed() -> None:
    assert verdict([1.0e-3, 1.1e-3, 1.2e-3], 1.1, unit=1e-3) == "reproduced"
    assert verdict([1.0e-3, 1.1e-3, 1.2e-3], 1.5, unit=1e-3) == "better"
    assert verdict([1.0e-3, 1.1e-3, 1.2e-3], 1.5, unit=1e-3, tolerance=0.41) == "reproduced"
    assert verdict([1.0e-3, 1.1e-3, 1.2e-3], 1.5, unit=1e-3, tolerance=0.39) == "better"
    assert verdict([1.0], 2.0, seeds=1) == "undecided"
    assert verdict([1.0], 1.1, seeds=1, tolerance=0.2) == "reproduced"


def test_seeds_without_a_score_are_counted_and_the_row_is_not_judged() -> None:
    why = {"comparable": False, "reason": "unknown units"}
    assert verdict(["diverged", 1.0, 1.0], 1.0) == "1 of 3 diverged"
    assert verdict(["diverged"] * 3, 1.0) == "3 of 3 diverged"
    assert verdict(["diverged", "timeout", 1.0], 1.0) == "1 of 3 diverged, 1 of 3 timeout"
    assert verdict([1.0, 1.0], 1.0) == "1 of 3 not run"
    assert verdict([1.0, None, 1.0], 1.0) == "1 of 3 no score"
    assert verdict([], 1.0) == verdict([], 1.0, **why) == "not run"
    assert verdict([1.0, 1.0, 1.0], 1.0, **why) == "not comparable"
    assert verdict([1.0, "diverged", 1.0], 1.0, **why) == "not comparable; 1 of 3 diverged"
    row = Published(task="t", sampler="a", metric="low", value=1.0, source="Table 1", comparable=False, reason="r")
    (found,) = results(3, [row], a=[1.0, "diverged", 3.0]).published()
    assert found.printed == "1"
    assert found.estimate is not None
    assert (found.estimate.mean, found.paper, found.verdict, found.distance) == (2.0, 1.0, "not comparable", "20×")


@pytest.mark.parametrize(
    ("better", "worse", "metric", "expected"),
    [
        ([1.0, 1.1, 1.2], [2.0, 2.1, 2.3], "low", ("holds", 3, 3)),
        ([1.0, 1.1, 1.2], [2.0, 2.1, 2.3], "high", ("does not hold", 0, 3)),
        ([1.0, 1.1, 1.2], [1.2, 1.0, 1.2], "low", ("undecided", 1, 3)),
        ([1.0, 1.0, 1.0], [1.0, 1.0, 1.0], "low", ("does not hold", 0, 3)),  # a tie is not better
        ([0.1, -0.1, 0.1], [0.3, 0.4, -0.5], "zero", ("holds", 3, 3)),
        ([0.45, 0.55, 0.5], [0.8, 0.2, 0.8], "half", ("holds", 3, 3)),
        ([0.5, 1.5, 0.4], [0.9, 1.1, 1.0], "one", ("does not hold", 0, 3)),
        ([1.0, 1.0, 1.0], ["diverged", 2.0, 3.0], "low", ("holds", 3, 3)),
        ([1.0, 4.0, 1.0], ["diverged", 2.0, 3.0], "low", ("undecided", 2, 3)),
        (["diverged"] * 3, [1.0, 2.0, 3.0], "low", ("does not hold", 0, 3)),
        (["diverged"] * 3, ["timeout"] * 3, "low", ("undecided", 0, 0)),
        ([1.0, 1.0], [2.0, 2.0], "low", ("undecided", 2, 2)),  # one of three seeds has no record
        ([1.0, None, 1.0, 1.0], [2.0, 0.5, 2.0, 2.0], "low", ("holds", 3, 3)),
        ([1.0, 1.0, 1.0], [], "low", ("not run", 0, 0)),
        (["incompatible"] * 3, [1.0, 1.0, 1.0], "low", ("not run", 0, 0)),
    ],
)
def test_a_claim_is_tested_on_paired_seeds(
    better: Scores, worse: Scores, metric: str, expected: tuple[str, int, int]
) -> None:
    assert claim(better, worse, metric) == expected


def test_the_difference_points_where_the_claim_does_and_is_missing_where_a_seed_has_no_number() -> None:
    row = Claim(task="t", metric="high", better="a", worse="b", source="Table 1")
    assert [found.trouble for found in results(2, claims=[row], a=[3.0, 4.0]).claims()] == [("", "")]
    (found,) = results(2, claims=[row], a=[3.0, 4.0], b=[1.0, 1.0]).claims()
    assert found.difference is not None
    assert found.difference.mean == pytest.approx(2.5)
    assert found.trouble == ("", "")
    (found,) = results(2, claims=[row], a=[3.0, 4.0], b=["diverged", 1.0]).claims()
    assert found.difference is None
    assert found.trouble == ("", "1 of 2 diverged")


def test_the_false_alarms_that_the_rule_of_claims_names() -> None:
    """500 tables of four claims of equal samplers, five seeds: wrong verdicts in at most 5 % of them (± .97 %)."""
    draws = np.random.default_rng(0).normal(size=(500, 5, 5))
    rows = [Claim(task="t", metric="low", better="a", worse=other, source="Table 1") for other in "bcde"]
    wrong = 0
    for table in draws.tolist():
        found = results(5, claims=rows, **dict(zip("abcde", table, strict=True))).claims()
        wrong += any(one.verdict != "undecided" for one in found)
    assert wrong / 500 <= 0.05 + 3 * 0.0097
    assert wrong > 0
    assert "5 %" in CLAIM_RULE


# How they are shown


def many() -> Results:
    sampler = "bellman-fields[preset=paper,loss=sliced-field-matching[slices=2],kernel=sliced[slices=2]]"
    rows = [
        Published(task="t", sampler=s, metric="low", value=v, source="Table 1", **why)
        for s, v, why in (
            ("a", 1.05, {}),
            (sampler, 0.763, {"comparable": False, "reason": "neither columns nor preparation are given " * 3}),
            ("b", 1.0, {"note": "printed | twice <b>"}),
            ("c", 1.0, {}),
        )
    ]
    pairs = [
        Claim(task="t", metric="low", better=x, worse=y, source="Sec. 6.2") for x, y in (("a", sampler), ("b", "a"))
    ]
    found = {"a": [0.9, 1.0, 1.1], sampler: [2.0, 2.1, "diverged"], "b": ["diverged"] * 3}
    return results(3, rows, pairs, **found)


def test_the_terminal_gets_both_tables_within_100_columns() -> None:
    text = many().table()
    assert max(map(len, text.splitlines())) <= 100
    for expected in (
        "Published and measured", "reproduced", "not comparable;", "3 of 3 diverged", "not run",
        "[1] neither columns", "[2] printed", "Claims, tested", "holds", "does not hold", "3 of 3",
    ):  # fmt: skip
        assert expected in text, expected
    assert "paper" not in results(a=[1.0]).table()
    github = many().table(fmt="github")
    assert "### Published and measured" in github
    assert "not comparable; 1 of 3 diverged [1]" in github


def test_the_page_and_markdown_have_the_section_with_its_rules(tmp_path: Path) -> None:
    run = many()
    (tmp_path / "records").mkdir()
    for row in run.records:
        (tmp_path / "records" / f"{row['id']}.json").write_bytes(seal(row))
    cells = [{**{k: r["identity"][k] for k in ("task", "sampler", "seed")}, "id": r["id"]} for r in run.records]
    (tmp_path / "run.json").write_bytes(seal({**run.head, "cells": cells}))
    page = write_report(tmp_path)
    html, markdown = page.read_text(encoding="utf-8"), page.with_suffix(".md").read_text(encoding="utf-8")
    assert '<section id="published">' in html
    assert 'href="#published"' in html
    assert '<span class="verdict good">reproduced</span>' in html
    assert '<span class="verdict bad">not comparable; 1 of 3 diverged [1]</span>' in html
    assert '<span class="verdict bad">3 of 3 diverged [2]</span>' in html
    assert "printed | twice &lt;b&gt;" in html
    assert "<b>" not in markdown
    for text in (html, markdown):
        for expected in (NUMBER_RULE, CLAIM_RULE, "Paper and measurement", "not run", "does not hold", "0.763"):
            assert expected in text, expected

    (tmp_path / "run.json").write_bytes(seal({"suite": {"name": "s"}, "cells": cells}))
    assert "Paper and measurement" not in write_report(tmp_path).read_text(encoding="utf-8")


def test_a_run_keeps_what_the_paper_says_of_the_parts_that_are_run_apart(
    toy_suite: dict[str, Any], tmp_path: Path
) -> None:
    task, (first, second) = "toy-normal", ("exact", "toy-good[shift=0.0]")
    rows = [
        {"task": task, "sampler": s, "metric": "toy-mean", "value": 9.0, "source": "Table 1"} for s in (first, second)
    ]
    suite = {**toy_suite, "tasks": [task], "samplers": [first, second], "metrics": ["toy-mean"], "published": rows}
    how: dict[str, Any] = {"out": tmp_path, "executor": "inline", "progress": False, "device": "cpu"}
    part = api.run(suite, samplers=[first], seeds=3, **how)
    assert [(found.row.sampler, found.words) for found in part.published()] == [(first, "better")]
    assert [found.words for found in api.load(tmp_path).published()] == ["better", "not run"]
    rows[0]["value"] = 0.0  # corrected: another verdict of the same records
    whole = api.run(suite, seeds=3, **how)
    assert [found.words for found in whole.published()] == ["worse", "better"]
    assert len(list((tmp_path / "records").iterdir())) == 6
    assert [found.words for found in api.load(tmp_path).published()] == ["worse", "better"]


# What is shipped


@pytest.mark.parametrize("suite", list_suites(), ids=lambda suite: suite.name)
def test_every_shipped_suite_names_existing_components_and_options(suite: Suite) -> None:
    from phys_bench.resolve import make, one_spec
    from phys_bench.suite import expand
    from phys_samplers import catalogue

    assert suite.summary
    assert [spec.name for spec in expand(suite.tasks) if spec.name not in catalogue.names("task")] == []
    tasks = [catalogue.registry.get("task", spec.name) for spec in expand(suite.tasks)]
    (kind,) = {task.traits["contestants"] for task in tasks}
    for spec in expand(suite.samplers):
        make(kind, spec)  # raises on an unknown name, preset, option or part
    for text in suite.metrics or ():
        make("metric", one_spec(text, "metric"))
