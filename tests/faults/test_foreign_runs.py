"""Run folders whose author sealed what they say: numbers, names and directions cost nobody else's table or report."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from phys_bench import api, store
from phys_bench.canonical import digest
from phys_bench.report import write_report
from phys_samplers.catalogue import registry
from phys_samplers.cli import program
from phys_samplers.errors import ConfigurationError

TOYS = Path(__file__).parents[1] / "bench" / "toy_plugin.py"
EVIL = "<script>1</script> \x1b[2J [l](javascript:alert(3)) $\\frac{$"
Change = Callable[[dict[str, Any]], object]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole") / "run"
    suite = {"name": "toy", "tasks": ["toy-normal"], "samplers": ["exact", "toy-good", "toy-bad"], "seeds": 3}
    api.run(suite, out=folder, executor="inline", device="cpu", progress=False, plugins=[TOYS])
    return folder


def sealed_again(path: Path, change: Change) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(path.read_text())
    data.pop("checksum")
    change(data)
    path.write_bytes(store.seal(data))
    return data


def changed(whole: Path, folder: Path, change: Change, *, head: bool = False) -> Path:
    """A copy in which ``run.json``, or every record of one sampler, says something else."""
    shutil.copytree(whole, folder)
    if head:
        sealed_again(folder / "run.json", change)
        return folder
    for path in list((folder / "records").iterdir()):
        before = json.loads(path.read_text())
        if before["identity"]["sampler"] != "toy-good":
            continue
        after = sealed_again(path, change)
        after["id"] = digest(after["identity"])
        path.unlink()
        path.with_name(f"{after['id']}.json").write_bytes(store.seal(after))
        arrays = folder / "arrays" / f"{before['id']}.safetensors"
        if arrays.exists():
            arrays.rename(arrays.with_stem(after["id"]))
        text = json.dumps(sealed_again(folder / "run.json", dict))
        (folder / "run.json").write_bytes(store.seal(json.loads(text.replace(before["id"], after["id"]))))
    return folder


def scores(value: float) -> Change:
    def change(record: dict[str, Any]) -> None:
        record["scores"] = dict.fromkeys(record["scores"], value * (1 + record["identity"]["seed"]))

    return change


def costs(value: float) -> Change:
    names = ("fit_seconds", "sample_seconds", "nfe", "cpu_seconds", "peak_memory_mib", "parameters")
    return lambda record: record["costs"].update(dict.fromkeys(names, value))


def floors(mean: float, std: float) -> Change:
    return lambda record: [floor.update(mean=mean, std=std) for floor in record["floors"].values()]


def named(record: dict[str, Any]) -> None:
    record["identity"].update(task=EVIL, sampler=EVIL, device=EVIL)
    record.update(reason=EVIL, score_errors={EVIL: EVIL}, history=[{"step": s, EVIL: s} for s in (1, 2)])


def papers(head: dict[str, Any]) -> None:
    row = {"task": "toy-normal", "metric": "toy-mean", "source": EVIL, "note": EVIL}
    numbers = {"value": 9e299, "unit": 9e299, "tolerance": 9e299, "comparable": True}
    head["suite"].update(
        summary=EVIL,
        published=[{**row, **numbers, "sampler": "toy-good"}, {**row, "sampler": EVIL, "value": 1.0}],
        claims=[{**row, "better": "toy-good", "worse": "exact"}],
    )
    head.update(started=EVIL, environment={EVIL: EVIL})


def test_a_name_of_a_file_is_no_markup(whole: Path, tmp_path: Path) -> None:
    shutil.copytree(whole, tmp_path / "run")
    (tmp_path / "run" / "run.json").unlink()
    for name in ("`<script>1<", "[x](javascript:1)", b"\xff".decode("utf-8", "surrogateescape"), ".hidden", "\x1b[2J"):
        (tmp_path / "run" / "records" / f"{name}.json").touch()
    results = api.load(tmp_path / "run")
    assert (len(results.damaged), len(results.cells)) == (5, 9)
    page = write_report(tmp_path / "run").read_text()
    for text in (page, (tmp_path / "run" / "report.md").read_text(), results.table(fmt="github")):
        assert "<script>1" not in text
        assert "\x1b" not in text
        assert text is page or "](javascript" not in text
    assert CliRunner().invoke(program, ["bench", "status", str(tmp_path / "run"), "--json"]).exit_code == 0


LONG = [scores(1e200), scores(-1e160), scores(1e76), costs(1e120), floors(1e160, 1e160), floors(5e-324, 5e-324)]


@pytest.mark.parametrize(
    ("change", "head"),
    [
        *((one, False) for one in (scores(2e299), scores(5e-324), costs(9e299), costs(5e-324), floors(9e299, 9e299))),
        (named, False),
        (papers, True),
        *(pytest.param(one, False, marks=pytest.mark.slow) for one in LONG),
    ],
)
def test_what_a_record_says_costs_no_report(whole: Path, tmp_path: Path, change: Change, head: bool) -> None:
    folder = changed(whole, tmp_path / "run", change, head=head)
    results = api.load(folder)
    assert results.damaged == ()
    assert len(results.cells) == 9
    assert results.table("all")
    honest = {cell.seed: dict(cell.scores) for cell in api.load(whole).select("toy-normal", "exact")}
    assert {cell.seed: dict(cell.scores) for cell in results.select("toy-normal", "exact")} == honest
    api.compare(api.load(whole), results)
    page = write_report(folder).read_text()
    for text in (page, (folder / "report.md").read_text(), results.table("all"), results.table("all", fmt="github")):
        assert "\x1b" not in text
        assert "<script>1" not in text or text == results.table("all")  # a terminal shows words
    assert 'href="javascript' not in page
    assert "](javascript" not in (folder / "report.md").read_text()


@pytest.mark.parametrize(
    ("key", "value"), [("reason", [1]), ("note", {"a": 1}), ("comparable", "no"), ("source", 3), ("value", math.pi)]
)
def test_what_a_paper_says_is_of_its_type(whole: Path, tmp_path: Path, key: str, value: object) -> None:
    row = {"task": "toy-normal", "metric": "toy-mean", "sampler": "toy-good", "value": 1.0, "source": "s", key: value}
    folder = changed(whole, tmp_path / "run", lambda head: head["suite"].update(published=[row]), head=True)
    results = api.load(folder)
    assert write_report(folder).is_file()
    assert any(f"published[0].{key}" in note for note in results.notes) == (key != "value")


def test_runs_that_mean_another_thing_by_better_are_not_put_together(whole: Path, tmp_path: Path) -> None:
    """A stranger's folder, named first, would turn the ranks of everybody's samplers round."""
    turned = changed(whole, tmp_path / "run", lambda head: head["best"].update({"toy-mean": "high"}), head=True)
    other = changed(
        whole,
        tmp_path / "other",
        lambda record: (record["identity"].update(sampler="mine"), record["best"].update({"toy-mean": "high"})),
    )
    words = r"the best value of metric 'toy-mean' is '(low|high)' in 'toy' and"
    for pair in ((whole, turned), (turned, whole), (whole, other), (other, whole)):
        with pytest.raises(ConfigurationError, match=words):
            api.merge(*pair, on_conflict="first")
        with pytest.raises(ConfigurationError, match=words):
            api.compare(api.load(pair[0]), api.load(pair[1]))


def run(sampler: str, plugin: Path, out: Path) -> Any:
    words = ["--plugin", TOYS, "--plugin", plugin, "bench", "run", "quick", "--tasks", "toy-normal", "--samplers"]
    words += [sampler, "--seeds", "2", "--executor", "inline", "-q", "--out", out]
    return CliRunner().invoke(program, list(map(str, words)), prog_name="phys-samplers")


PLUGIN = """
from phys_registry import Component, hookimpl

@hookimpl
def phys_components():
    yield Component("sampler", "{name}", "{target}", summary="for tests")
"""


@pytest.mark.parametrize(
    ("target", "source"),
    [("no_such_module_anywhere:Thing", ""), ("loud_module:Thing", "raise ValueError('x' * 3_000_000)")],
    ids=["absent", "loud"],
)
def test_a_sampler_that_cannot_be_made_keeps_its_cells(
    tmp_path: Path, target: str, source: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "loud_module.py").write_text(source)
    name = "absent-" + target.partition(":")[0].replace("_", "-")
    plugin = tmp_path / f"plugin_{target.partition(':')[0]}.py"
    plugin.write_text(PLUGIN.format(name=name, target=target))
    request.addfinalizer(lambda: registry.unregister("sampler", name))
    result = run(name, plugin, tmp_path / "run")
    assert result.exit_code == 1, result.output
    assert "no cell of this run has a score" in result.output
    results = api.load(tmp_path / "run")
    assert results.damaged == ()
    assert [cell.status for cell in results.select("toy-normal", name)] == ["failed", "failed"]
    assert run(name, plugin, tmp_path / "run").exit_code == 1
