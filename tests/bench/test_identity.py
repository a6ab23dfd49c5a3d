"""A cell's name depends on everything that decides its result, and on nothing else."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from phys_bench.canonical import canonical_text, digest, identify, plain
from phys_bench.cell import Cell
from phys_bench.fingerprint import Fingerprints
from phys_bench.resolve import Resolver
from phys_bench.suite import Suite
from phys_registry import BadOption, Registry, UnknownComponent
from phys_samplers.errors import ConfigurationError


def cells_of(suite: dict[str, Any]) -> list[Cell]:
    return Resolver(Suite.from_dict(suite), "cpu").cells()


def by_label(cells: list[Cell]) -> dict[str, str]:
    return {cell.label: cell.id for cell in cells}


def test_texts_expand_to_cells_in_the_order_of_the_suite(toy_suite: dict[str, Any]) -> None:
    labels = [cell.label for cell in cells_of(toy_suite)]
    assert len(labels) == len(set(labels)) == 2 * 4 * 3
    assert labels[:4] == [
        "toy-normal / exact / seed 0",
        "toy-normal / exact / seed 1",
        "toy-normal / exact / seed 2",
        "toy-normal / toy-good[shift=0.0] / seed 0",
    ]
    assert len({cell.id for cell in cells_of(toy_suite)}) == len(labels)


def test_equal_suites_give_equal_ids_and_budgets_do_not_matter(toy_suite: dict[str, Any]) -> None:
    again = {**toy_suite, "budget": {"seconds": 3, "memory_mib": 900}, "summary": "other words"}
    assert by_label(cells_of(toy_suite)) == by_label(cells_of(again))


@pytest.mark.parametrize(
    "change",
    [
        {"eval_size": 32},
        {"metrics": ["toy-spread", "toy-mean"]},
        {"overrides": [{"sampler": "toy-good", "options": {"pause": 0.001}}]},
    ],
)
def test_what_decides_the_result_changes_the_id(toy_suite: dict[str, Any], change: dict[str, Any]) -> None:
    before, after = by_label(cells_of(toy_suite)), by_label(cells_of({**toy_suite, **change}))
    same = {label for label in before if before[label] == after[label]}
    touched = {label for label in before if "overrides" not in change or "toy-good" in label}
    assert same == set(before) - touched


def test_the_identity_holds_all_options_defaults_included(toy_suite: dict[str, Any]) -> None:
    good = next(cell for cell in cells_of(toy_suite) if "toy-good" in cell.label)
    assert good.identity["options"] == {"shift": 0.0, "pause": 0.0}
    assert good.identity["device"] == "cpu"
    assert good.identity["sampler_component"]["source"]


def test_an_override_reaches_its_cells_only(toy_suite: dict[str, Any]) -> None:
    rows = [
        {"task": "toy-wide", "seconds": 9},
        {"task": "toy-wide", "eval_size": 16},
        {"sampler": "exact", "seconds": 1},
    ]
    for cell in cells_of({**toy_suite, "budget": {"seconds": 5}, "overrides": rows}):
        wide, exact = "toy-wide" in cell.label, "exact" in cell.label
        assert cell.pair.budget.seconds == (1 if exact else 9 if wide else 5)
        assert cell.pair.task.eval_size == (16 if wide else 64)


def test_wrong_names_and_options_are_refused_before_anything_runs(toy_suite: dict[str, Any]) -> None:
    with pytest.raises(UnknownComponent, match="Did you mean 'toy-good'"):
        cells_of({**toy_suite, "samplers": ["toy-goood"]})
    with pytest.raises(BadOption, match=r"no option 'shfit'.*Did you mean 'shift'"):
        cells_of({**toy_suite, "samplers": ["toy-good[shfit=1.0]"]})
    with pytest.raises(UnknownComponent, match="toy-maen"):
        cells_of({**toy_suite, "metrics": ["toy-maen"]})
    with pytest.raises(ConfigurationError, match="expands to 2 components"):
        cells_of({**toy_suite, "metrics": ["w2[max_iterations=1,2]"]})


def test_pairs_that_do_not_fit_and_broken_samplers_are_refused_with_the_reason(toy_suite: dict[str, Any]) -> None:
    samplers = ["toy-samples", "toy-unimportable", "toy-good"]
    cells = cells_of({**toy_suite, "tasks": ["toy-density"], "samplers": samplers, "seeds": 1})
    needs, broken, good = [cell.pair.refusal for cell in cells]
    assert needs is not None
    assert (needs.status, needs.reason) == (
        "incompatible",
        "toy-samples needs samples, which task 'toy-density' does not offer (it offers log_prob, sample, score)",
    )
    assert broken is not None
    assert broken.status == "failed"
    assert "ImportError: the library it wraps is not there" in broken.reason
    assert "unimportable" in broken.traceback
    assert good is None


def test_a_plugin_files_text_is_part_of_its_fingerprint(tmp_path: Path, toys: Path) -> None:
    path = tmp_path / "toy_fingerprint.py"
    prints = []
    for text in ("def f(): return 1\n", "def f(): return 2\n"):
        path.write_text(
            "from phys_registry import Component, hookimpl\n" + text + "@hookimpl\ndef phys_components():\n"
            "    yield Component('sampler', 'finger', 'toy_fingerprint:f', summary='x')\n"
        )
        shutil.rmtree(tmp_path / "__pycache__", ignore_errors=True)
        registry = Registry(entry_point_group=None)
        registry.load_file(path)
        prints.append(Fingerprints(registry).component("sampler", "finger"))
    assert prints[0]["source"] != prints[1]["source"]
    assert prints[0] == {**prints[1], "source": prints[0]["source"]}


def test_canonical_text_ignores_order_and_identify_refuses_what_has_no_name() -> None:
    assert (
        canonical_text({"b": 1, "a": [1.5, None]})
        == canonical_text({"a": [1.5, None], "b": 1})
        == '{"a":[1.5,null],"b":1}'
    )
    assert digest({"a": 1}) != digest({"a": 2})
    assert identify({"x": (1, float("inf"))}, "option") == {"x": [1, {"float": "inf"}]}
    with pytest.raises(ConfigurationError, match="option x is a object"):
        identify(object(), "option x")
    assert plain({"a": float("nan"), "b": (1, {2})}) == {"a": None, "b": [1, [2]]}
