"""Reference records: what ships of a run, and what may stand beside another."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from phys_bench import api
from phys_bench.reference_runs import make_reference, read_reference, shipped, task_key, with_reference, write_reference
from phys_bench.results import Results
from phys_bench.store import seal
from phys_samplers.errors import ConfigurationError, FileError


def ran(folder: Path, *samplers: str) -> Results:
    tasks = ["toy-normal", "toy-wide[scale=2.0]"]
    suite = {"name": "toy", "tasks": tasks, "samplers": ["exact", *samplers], "seeds": 3}
    api.run(suite, out=folder, executor="inline", progress=False)
    return api.load(folder)


@pytest.fixture(scope="module")
def run(toys: Path, tmp_path_factory: pytest.TempPathFactory) -> Results:
    return ran(tmp_path_factory.mktemp("reference") / "run", "toy-good[shift=0.5,1.0]")


@pytest.fixture(scope="module")
def mine(toys: Path, tmp_path_factory: pytest.TempPathFactory) -> Results:
    return ran(tmp_path_factory.mktemp("reference") / "mine", "toy-good[shift=0.0]")


@pytest.fixture
def edited(run: Results, tmp_path: Path) -> Callable[[Callable[[dict[str, Any]], Any]], Path]:
    """A reference with something changed, as if other code had made it."""

    def edit(change: Callable[[dict[str, Any]], Any]) -> Path:
        data = json.loads(make_reference(run))
        del data["checksum"]
        change(data)
        path = tmp_path / "edited.json"
        path.write_bytes(seal(data))
        return path

    return edit


def test_a_sampler_is_ranked_beside_the_reference(run: Results, mine: Results, tmp_path: Path) -> None:
    path = write_reference(run, tmp_path / "toy.json")
    beside = with_reference(mine, path)
    assert beside.samplers == ["exact", "toy-good[shift=0.0]", "toy-good[shift=0.5]", "toy-good[shift=1.0]"]
    task = mine.tasks[0]
    for sampler in run.samplers[1:]:
        expected = run.scores(task, sampler, run.primary(task))
        assert beside.scores(task, sampler, run.primary(task)) == pytest.approx(expected, rel=1e-6)
    assert beside.scores(task, "exact", "toy-mean") == mine.scores(task, "exact", "toy-mean")
    assert beside.floor(task, "toy-mean") == mine.floor(task, "toy-mean")
    assert "toy-good[shift=0.5]" in beside.table()
    assert "seconds and memory are those of its machine" in beside.notes[-1]
    assert path.stat().st_size < 20_000


def test_a_changed_sampler_is_left_out(mine: Results, edited: Any) -> None:
    path = edited(lambda data: data["code"]["sampler/toy-good"].update(source="0" * 32))
    beside = with_reference(mine, path)
    assert beside.samplers == mine.samplers
    assert any("the code of sampler/toy-good has changed" in note for note in beside.notes)

    def lose(data: dict[str, Any]) -> None:
        data["code"]["sampler/gone"] = {"target": "a:b", "source": "1"}
        for row in data["cells"]:
            row["code"] = ["sampler/gone"]

    path = edited(lose)
    assert with_reference(mine, path).samplers == mine.samplers


def test_a_changed_task_is_left_out_and_where_none_is_left_it_refuses(mine: Results, edited: Any) -> None:
    first, second = mine.tasks
    beside = with_reference(mine, edited(lambda data: data["tasks"][first].update(key="0" * 32)))
    assert beside.tasks == [second]
    assert f"{first} is left out: the code of its task has changed." in beside.notes
    path = edited(lambda data: [task.update(key="0" * 32) for task in data["tasks"].values()])
    with pytest.raises(ConfigurationError, match=r"has changed since; make it anew with: make reference"):
        with_reference(mine, path)
    path = edited(lambda data: data.update(tasks={}, cells=[]))
    with pytest.raises(ConfigurationError, match="have no task in common"):
        with_reference(mine, path)


def test_another_version_of_torch_may_stand_beside_it(run: Results, mine: Results, tmp_path: Path) -> None:
    data = json.loads(make_reference(run))
    assert data["environment"]["versions"]["torch"]
    identity = dict(run.records[0]["identity"])
    assert task_key({**identity, "torch": "0.0"}) == task_key(identity)
    assert task_key({**identity, "library": "0"}) != task_key(identity)
    assert task_key({**identity, "eval_size": 3}) != task_key(identity)


def test_a_run_that_is_not_whole_makes_none(run: Results, tmp_path: Path) -> None:
    shutil.copytree(run.folder, tmp_path / "run")
    (tmp_path / "run" / "records" / f"{run.cells[0].id}.json").unlink()
    with pytest.raises(ConfigurationError, match=r"has 17 of 18 cells; a reference is of a whole run"):
        make_reference(api.load(tmp_path / "run"))


def test_what_is_missing_or_damaged_is_named(mine: Results, tmp_path: Path, edited: Any) -> None:
    with pytest.raises(ConfigurationError, match="there is no reference of suite 'toy'"):
        with_reference(mine)
    path = edited(lambda data: None)
    path.write_bytes(path.read_bytes().replace(b"toy-mean", b"toy-mode", 1))
    with pytest.raises(FileError, match=r"edited\.json"):
        read_reference(path)


@pytest.mark.parametrize("name", shipped())
def test_shipped_references_can_be_read(name: str) -> None:
    data = read_reference(name)
    assert data["suite"] == name
    assert data["environment"]["versions"]
