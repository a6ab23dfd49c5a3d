"""list, show, plugins and cite."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from phys_registry import Component
from phys_samplers.catalogue import registry

Run = Callable[..., Result]


def test_list_shows_every_component(run: Run) -> None:
    lines = run("list").output.splitlines()
    for component in registry.components():
        assert any(line.startswith(f"  {component.name} ") and component.summary in line for line in lines)
    heads = [line.split()[0] for line in lines if line and not line.startswith(" ")]
    assert heads == [kind for kind in registry.kinds() if registry.names(kind)]


@pytest.mark.parametrize("word", ["kernel", "kernels", "KERNEL"])
def test_list_one_kind(run: Run, word: str) -> None:
    found = json.loads(run("list", word, "--json").stdout)
    assert [row["name"] for row in found] == registry.names("kernel")
    assert {row["kind"] for row in found} == {"kernel"}


def test_list_fits_the_terminal(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    narrow = run("list").output
    assert max(map(len, narrow.splitlines())) <= 60
    monkeypatch.delenv("COLUMNS")
    wide = run("list").output
    assert narrow.split() == wide.split()


def test_unknown_kind(run: Run) -> None:
    assert "'sampler'" in run("list", "samplr", code=2).output


def test_show_sampler(run: Run) -> None:
    text = run("show", "sampler", "bellman").output
    about = registry.describe("sampler", "bellman")
    assert about.options is not None
    for option in about.options:
        assert any(line.split()[:1] == [option.name] and option.doc in line for line in text.splitlines())
    for word in (about.summary, about.reference, about.owner, "samples", *about.presets):
        assert word in text


def test_show_sampler_as_json(run: Run) -> None:
    assert json.loads(run("show", "sampler", "bellman", "--json").stdout) == json.loads(
        json.dumps(registry.describe("sampler", "bellman").to_dict())
    )


def test_show_task_variant(run: Run) -> None:
    facts = json.loads(run("show", "task", "normal[dim=3]", "--json").stdout)["task"]
    task = registry.make("task", "normal", dim=3)
    assert facts["dimension"] == 3
    assert facts["offers"] == sorted(task.capabilities)
    assert facts["splits"] == {
        "train": len(task.train),
        "validation": len(task.validation),
        "heldout": len(task.heldout),
    }
    assert tuple(facts["metrics"]) == task.metrics
    text = run("show", "tasks", "normal[dim=3]").output
    assert f"train {len(task.train):,}" in text
    assert ", ".join(task.metrics) in text


def test_show_what_cannot_be_imported(run: Run) -> None:
    registry.register(Component("sampler", "absent", "no_such_module:Absent", summary="cannot be imported"))
    try:
        output = run("show", "sampler", "absent", code=2).output
    finally:
        registry.unregister("sampler", "absent")
    assert "cannot be imported" in output
    assert "error: sampler 'absent'" in output


def test_plugins(run: Run, tmp_path: Path) -> None:
    (tmp_path / "cannot_load.py").write_text("import no_such_module_at_all\n")
    text = run("--plugin", "cannot_load.py", "plugins").output
    (row,) = [line for line in text.splitlines() if line.startswith("cannot_load ")]
    assert "failed" in row
    assert "no_such_module_at_all" in row
    found = {status["name"]: status for status in json.loads(run("plugins", "--json").stdout)}
    assert found["cannot_load"]["status"] == "failed"
    assert "Traceback" in found["cannot_load"]["traceback"]
    assert found["phys_samplers.declared"]["status"] == "loaded"
    assert "phys-samplers plugins" in run("list").output


def test_plugin_file_is_loaded_and_handed_on(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PHYS_SAMPLERS_PLUGIN_FILES", raising=False)
    file = tmp_path / "brings_a_task.py"
    file.write_text(
        "import os\nfrom phys_registry import Component, hookimpl\n"
        "def fail():\n    raise OSError(0, os.environ['PHYS_SAMPLERS_PLUGIN_FILES'], 'seen')\n"
        "@hookimpl\ndef phys_components():\n    yield Component('task', 'brought', fail, summary='from a file')\n"
    )
    assert "from a file" in run("--plugin", file, "list", "task").output
    assert run("--plugin", file, "show", "task", "brought", code=2).output == f"error: seen: {file}\n"
    registry.unregister("task", "brought")


def test_cite(run: Run) -> None:
    assert run("cite", "sampler/bellman").stdout.strip() == registry.get("sampler", "bellman").bibtex
    twice = run("cite", "bellman", "loss/field-matching", "bellman").stdout
    assert twice.count("@") == 1
    everything = run("cite", "--all").stdout
    keys = [line.partition("{")[2].rstrip(",") for line in everything.splitlines() if line.startswith("@")]
    assert len(keys) == len(set(keys)) > 3
    assert "has no BibTeX entry" in run("cite", "exact").output
    run("cite", code=2)
    run("cite", "--all", "bellman", code=2)
