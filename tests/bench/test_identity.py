"""A cell's name depends on everything that decides its result, and on nothing else."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from phys_bench.canonical import canonical_text, digest, identify, plain
from phys_bench.cell import Cell
from phys_bench.closure import Closures
from phys_bench.environment import Fingerprints
from phys_bench.resolve import Resolver
from phys_bench.suite import Suite
from phys_registry import BadOption, Registry, UnknownComponent
from phys_samplers import catalogue
from phys_samplers.catalogue import KINDS
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


PLUGIN = """
from phys_registry import Component, hookimpl


def scale():
    import tools.inner

    return tools.inner.SCALE


@hookimpl
def phys_components():
    yield Component("sampler", "finger", "{name}:scale", summary="x")
"""


def print_of(folder: Path, files: dict[str, str]) -> dict[str, Any]:
    """The fingerprint of a plugin file in ``folder`` beside other files."""
    for name, text in files.items():
        (folder / name).parent.mkdir(exist_ok=True, parents=True)
        (folder / name).write_text(text)
    shutil.rmtree(folder / "__pycache__", ignore_errors=True)
    registry = Registry(kinds=KINDS, entry_point_group=None)
    registry.load_file(folder / "toy_fingerprint.py")
    return Fingerprints(registry).component("sampler", "finger")


@pytest.mark.parametrize(
    ("file", "text", "same"),
    [
        ("toy_fingerprint.py", PLUGIN.format(name="toy_fingerprint").replace("return", "return 2 *"), False),
        ("toy_fingerprint.py", "# said anew\n" + PLUGIN.format(name="toy_fingerprint") + "\n# and at the end\n", True),
        ("tools/inner.py", "from .deeper import SCALE", False),
        ("tools/inner.py", '"""A docstring."""\n\nfrom .deep import (\n    SCALE,  # of everything\n)\n', True),
        ("tools/deep.py", "SCALE = 4.0", False),
        ("tools/deep.py", 'SCALE = 3.0\n"""What it is."""', False),  # at the end it is a statement as any other
        ("tools/never.py", "SCALE = 5.0", True),
        ("inner.py", "SCALE = 5.0", True),
        ("tools/__init__.py", "import os", False),
    ],
)
def test_what_a_plugin_file_imports_is_part_of_its_fingerprint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, text: str, same: bool
) -> None:
    monkeypatch.delitem(sys.modules, "toy_fingerprint", raising=False)
    files = {
        "toy_fingerprint.py": PLUGIN.format(name="toy_fingerprint"),
        "tools/__init__.py": "",
        "tools/inner.py": "from .deep import SCALE",
        "tools/deep.py": "SCALE = 3.0",
        "tools/deeper.py": "SCALE = 3.0",
    }
    before = print_of(tmp_path / "one", files)
    sys.modules.pop("toy_fingerprint")
    after = print_of(tmp_path / "another", files | {file: text})
    assert (before["source"] == after["source"]) is same
    assert before == {**after, "source": before["source"]}


def closure_of(root: Path, module: str, files: dict[str, str]) -> str | None:
    """The closure of a module of the package ``toypack``, written to ``root``, whose components are named in it."""
    for name, text in {"__init__.py": "", **files}.items():
        (root / "toypack" / name).parent.mkdir(exist_ok=True, parents=True)
        (root / "toypack" / name).write_text(text)
    closures = Closures({"toypack": root / "toypack"}, lambda name: ["toypack.part"] if name == "a-part" else [])
    return closures.of_module(f"toypack.{module}")


@pytest.mark.parametrize(
    ("text", "follows"),
    [
        ("import toypack.part", True),
        ("from toypack import part", True),
        ("from . import part", True),
        ("from .part import value", True),
        ("def f():\n    from toypack.part import value", True),
        ("from toypack.late import value", True),
        ("from toypack.late import other", False),
        ("from importlib import import_module\nimport_module('toypack.part')", True),
        ("make_part('loss', 'a-part[x=1]' if 1 else 'b')", True),
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from .part import value", False),
        ("'toypack.part'", False),
        ("import json, torch", False),
    ],
)
def test_every_way_to_import_is_followed(tmp_path: Path, text: str, follows: bool) -> None:
    late = "HOME = {'value': 'toypack.part', 'other': 'toypack.other'}\ndef __getattr__(name):\n    return HOME[name]"
    files = {"user.py": text, "late/__init__.py": late, "other.py": "", "part.py": "value = 1"}
    before = closure_of(tmp_path / "one", "user", files)
    after = closure_of(tmp_path / "two", "user", files | {"part.py": "value = 2"})
    assert before is not None
    assert (before != after) is follows


def test_the_closures_of_built_ins_hold_what_they_run_and_little_else() -> None:
    """A file that a sampler runs is in its closure; the runner, the command line and other families are not."""
    closures = Fingerprints(catalogue.registry).closures
    for kind, module, held in (
        ("sampler/mala", "phys_langevin", "phys_samplers/chains/"),
        ("sampler/edm", "phys_diffusion", "phys_samplers/training/"),
        ("metric/w2", "phys_samplers", "phys_samplers/metrics/"),
        ("task/moons", "phys_bench", "phys_samplers/laws/mixture.py"),
    ):
        component = catalogue.registry.get(*kind.split("/"))
        files = closures.files(component.target_text.partition(":")[0])
        assert any(held in file for file in files), kind
        strange = [f for f in files if not f.startswith(("phys_samplers/", f"{module}/"))]
        strange += [f for f in files if f.startswith(("phys_samplers/cli/", "phys_samplers/judging/"))]
        strange += [f for f in files if f.startswith("phys_bench/") and "/tasks/" not in f and "__init__" not in f]
        assert not strange, kind


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
