"""A user's own rows and densities as tasks: splits, names of records, and runs of them."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from phys_bench import api
from phys_bench.execution import execute
from phys_bench.plan import LastFit, jobs_of
from phys_bench.resolve import Resolver
from phys_bench.store import RunFolder
from phys_bench.suite import Suite
from phys_bench.tasks.own import density, rows
from phys_samplers.cli.targets import find_target
from phys_samplers.errors import ConfigurationError, FileError
from phys_samplers.own_targets import own_spec

MINE = """
import torch
from beside import SCALE

def f(x):
    return -0.5 * (x / SCALE).square().sum(-1)

law = torch.distributions.Normal(torch.zeros(2), 3.0)
law = torch.distributions.Independent(law, 1)
nothing = "a text"
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    values = np.random.default_rng(0).normal([5, -3e6, 7], [2.0, 1e3, 0.0], size=(100, 3))
    np.savetxt(tmp_path / "mine.csv", values, delimiter=",", header="a,b,c", comments="", fmt="%.17g")
    (tmp_path / "mine.py").write_text(MINE)
    (tmp_path / "beside.py").write_text("SCALE = 2.0\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "beside", raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def suite(task: str, sampler: str = "training-rows", metric: str = "variance-ratio") -> dict[str, object]:
    return {"name": "own", "tasks": [task], "samplers": [sampler], "metrics": [metric], "seeds": 2, "eval_size": 20}


def ids(task: str) -> list[str]:
    return [cell.id for cell in Resolver(Suite.from_dict(suite(task)), "cpu").cells()]


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("rows.csv", "rows[file=rows.csv]"),
        ("data/A B.NPZ", "rows[file=data/A B.NPZ]"),
        ("mine.py:f", "density[file=mine.py,function=f]"),
        ("a/mine.py:f[dim=2,support=positive]", "density[dim=2,file=a/mine.py,function=f,support=positive]"),
        ("moons", None),
        ("rows[file=rows.csv]", None),
        ("mine.py", None),
    ],
)
def test_texts_of_ones_own(text: str, meant: str | None) -> None:
    found = own_spec(text)
    assert (None if found is None else str(found)) == meant


def test_rows_are_split_into_disjoint_parts_of_the_file(folder: Path) -> None:
    task = rows(file="mine.csv")
    parts = [task.train, task.validation, task.heldout]
    assert [len(part) for part in parts] == [70, 10, 20]
    values = np.loadtxt(folder / "mine.csv", delimiter=",", skiprows=1)
    x = torch.cat(parts).double().numpy()
    # Columns are scaled, so the order of the values of each says which row is which.
    assert np.array_equal(np.sort(np.argsort(np.argsort(x[:, 0]))), np.arange(100))
    order, back = np.argsort(values[:, 0]), np.argsort(x[:, 0])
    assert np.corrcoef(values[order, 1], x[back, 1])[0, 1] > 1 - 1e-9
    assert task.train.mean(0).abs().max() < 1e-5
    assert torch.allclose(task.train.std(0), torch.tensor([1.0, 1.0, 0.0]), atol=1e-5)
    assert task.eval_size == 20


def test_too_few_rows_are_refused(folder: Path) -> None:
    np.save(folder / "few.npy", np.zeros((19, 2)))
    with pytest.raises(FileError, match="has 19 rows; expected at least 20"):
        rows(file="few.npy")


def test_content_and_not_its_layout_names_the_records(folder: Path) -> None:
    before = ids("mine.csv")
    path = folder / "mine.csv"
    path.write_text("\n".join(line.replace(",", ", ") for line in path.read_text().splitlines()))
    assert ids("mine.csv") == before
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], "5" + lines[1], *lines[2:]]))
    assert not set(ids("mine.csv")) & set(before)


def test_statements_of_a_file_and_of_its_neighbours_name_the_records(folder: Path) -> None:
    before = ids("mine.py:f[dim=2]")
    (folder / "mine.py").write_text("# a remark\n" + MINE)
    assert ids("mine.py:f[dim=2]") == before
    (folder / "beside.py").write_text("SCALE = 3.0\n")
    assert not set(ids("mine.py:f[dim=2]")) & set(before)


def test_what_a_python_file_may_hold(folder: Path) -> None:
    plain = density(file="mine.py", function="f", dim=2)
    assert plain.capabilities == {"log_prob", "score"}
    assert plain.metrics[0] == "ksd"
    law = density(file="mine.py", function="law")
    assert law.capabilities >= {"samples", "sample", "log_prob", "log_z"}
    assert law.heldout is not None
    assert float(law.heldout.std()) == pytest.approx(3.0, rel=0.02)  # 20,000 numbers: 4 standard errors
    with pytest.raises(ConfigurationError, match="say with --dim"):
        density(file="mine.py", function="f")
    with pytest.raises(ConfigurationError, match="is a str; expected a log-density"):
        density(file="mine.py", function="nothing")
    with pytest.raises(FileError, match="has no 'g'; it has"):
        density(file="mine.py", function="g")


def test_rows_given_by_code_keep_their_units(folder: Path) -> None:
    code = "import torch\nfrom phys_samplers import Samples\nours = Samples(torch.arange(200.0).reshape(100, 2))\n"
    (folder / "given.py").write_text(code)
    task = density(file="given.py", function="ours")
    parts = torch.cat([task.train, task.validation, task.heldout])
    assert [len(part) for part in (task.train, task.validation, task.heldout)] == [70, 10, 20]
    assert torch.equal(parts.flatten().sort().values, torch.arange(200.0))


def test_commands_and_suites_mean_the_same(folder: Path) -> None:
    x = torch.randn(5, 2, generator=torch.Generator().manual_seed(0))
    values = [
        find_target("mine.py:f[dim=2]"),
        find_target("mine.py:f", 2),
        density(file="mine.py", function="f", dim=2),
    ]
    assert all(torch.equal(target.log_prob(x), values[0].log_prob(x)) for target in values)
    with pytest.raises(ConfigurationError, match="has no option size"):
        find_target("mine.py:f[size=2]")


def test_a_suite_from_a_file_runs_no_code(folder: Path) -> None:
    (folder / "own.toml").write_text('name = "own"\ntasks = ["mine.py:f[dim=2]"]\nsamplers = ["mala"]\n')
    with pytest.raises(FileError, match="names code to run, density"):
        api.load_suite(folder / "own.toml")
    (folder / "own.toml").write_text('name = "own"\ntasks = ["mine.csv"]\nsamplers = ["training-rows"]\n')
    assert api.load_suite(folder / "own.toml").tasks == ("rows[file=mine.csv]",)


def test_runs_resume_until_the_file_changes(folder: Path) -> None:
    first = api.run(suite("mine.csv"), executor="inline", progress=False)
    assert [cell.status for cell in first.cells] == ["ok", "ok"]
    assert first.cells[0].floors["variance-ratio"].mean == pytest.approx(1.0, abs=0.5)
    assert not api.plan(suite("mine.csv")).todo
    path = folder / "mine.csv"
    path.write_text(path.read_text() + "1,2,3\n")
    assert len(api.plan(suite("mine.csv")).todo) == 2


def test_workers_find_the_files(folder: Path) -> None:
    results = api.run(
        suite("mine.py:f[dim=2]", "mala[sampling_steps=20,warmup_steps=5]", "ksd"), workers=1, progress=False
    )
    assert [(cell.status, cell.reason) for cell in results.cells] == [("ok", "")] * 2
    assert all(np.isfinite(cell.scores["ksd"]) for cell in results.cells)


def test_a_file_that_changed_meanwhile_costs_the_cell_and_is_tried_again(folder: Path) -> None:
    plan = api.plan(suite("mine.csv"))
    (folder / "runs" / "own" / "arrays").mkdir(parents=True)
    jobs = [job for job in jobs_of(plan, RunFolder(Path("runs/own"))) if job["kind"] == "cells"]
    path, events = folder / "mine.csv", []
    path.write_text(path.read_text() + "1,2,3\n")
    execute(jobs[0], events.append, LastFit())
    (event,) = events
    assert "has changed since the run was planned" in event["outcome"]["reason"]
    assert event["outcome"]["hit_limit"] == "outside"
