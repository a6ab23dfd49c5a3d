"""From a task or a file of rows to a model, and from a model to a file of samples."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from click.testing import Result
from safetensors.torch import load_file

from phys_samplers import load, make

Run = Callable[..., Result]
SMALL = ("--set", "steps=20", "--set", "width=8", "--set", "sampling_steps=10")


def test_fit_and_sample_give_what_python_gives(run: Run, tmp_path: Path) -> None:
    text = run("fit", "bellman[depth=2]", "--task", "moons", "--seed", 3, "-o", "m", *SMALL, "--device", "cpu").output
    assert "phys-samplers sample m -n 1000" in text
    recipe = make("sampler", "bellman", depth=2, steps=20, width=8, sampling_steps=10)
    model = load(tmp_path / "m")
    assert model.recipe == recipe
    assert model.report is not None
    assert f"{model.report.parameters:,}" in text
    expected = recipe.fit(make("task", "moons"), seed=3).draw(5, seed=4, sampling_steps=12)

    words = ("sample", "m", "-n", 5, "--seed", 4, "--set", "sampling_steps=12", "--device", "cpu")
    said = run(*words, "-o", "x.npy").output
    assert f"{expected.nfe:,.6g}" in said
    assert torch.equal(torch.from_numpy(np.load("x.npy")), expected.samples)
    run(*words, "-o", "x.safetensors")
    assert torch.equal(load_file("x.safetensors")["samples"], expected.samples)
    run(*words, "-o", "x.csv")
    table = np.loadtxt("x.csv", delimiter=",", skiprows=1, dtype=np.float32)
    assert Path("x.csv").read_text().startswith("x0,x1\n")
    assert np.array_equal(table, expected.samples.numpy())


def test_models_that_ask_their_target(run: Run) -> None:
    assert "--task moons" in run("fit", "exact", "--task", "moons", "-o", "m").output
    assert "add --task moons" in run("sample", "m", "-n", 5, "-o", "x.npy", code=2).output
    run("sample", "m", "-n", 5, "-o", "x.npy", "--task", "moons")
    assert np.load("x.npy").shape == (5, 2)


@pytest.mark.parametrize("suffix", ["csv", "npy"])
def test_fit_to_rows(run: Run, suffix: str) -> None:
    rows = np.random.default_rng(0).normal(size=(50, 3))
    if suffix == "csv":
        np.savetxt("rows.csv", rows, delimiter=",", header="a,b,c", comments="")
    else:
        np.save("rows.npy", rows)
    run("fit", "bellman", "--data", f"rows.{suffix}", "-o", "m", *SMALL)
    model = load("m")
    assert (model.target_name, model.event_shape) == ("rows", (3,))


@pytest.mark.parametrize(
    ("name", "content", "parts"),
    [
        ("r.csv", "a,b\n1,2\n3,oops\n", ["line 3", "column 2", "(b)", "'oops'"]),
        ("r.csv", "1,2\n3,\n", ["line 2", "column 2", "empty"]),
        ("r.csv", "1,2\n3\n", ["line 2", "column 2", "missing"]),
        ("r.csv", "a,b\n", ["no rows"]),
        ("r.csv", b"\xff\xfe\x00", ["not a text file"]),
        ("r.csv", "1,2\n3,nan\n5,6\n7,8\n", ["line 2", "'nan'"]),
        ("r.csv", "1,2\n", ["at least 4 rows"]),
        ("r.txt", "1,2\n", [".csv", ".npy"]),
        ("r.npy", b"not an array", ["not a plain .npy"]),
        ("r.npy", np.array([{"a": 1}] * 4, dtype=object), ["not a plain .npy"]),
        ("r.npy", np.array(["a", "b", "c", "d"]), ["real numbers"]),
        ("r.npy", np.float64(3.0), ["one number"]),
    ],
)
def test_bad_rows(run: Run, name: str, content: str | bytes | np.ndarray, parts: list[str]) -> None:
    if isinstance(content, str):
        Path(name).write_text(content)
    elif isinstance(content, bytes):
        Path(name).write_bytes(content)
    else:
        np.save(name, content, allow_pickle=True)
    output = run("fit", "bellman", "--data", name, "-o", "m", *SMALL, code=2).output
    assert output.startswith("error: ")
    assert all(part in output for part in parts), output
    assert not Path("m").exists()


def test_names_and_types_of_a_table_come_back(run: Run) -> None:
    generator = np.random.default_rng(0)
    table = pd.DataFrame({"count": generator.integers(0, 9, 60), "height": generator.normal(1e8, 1, 60)})
    table.to_csv("my.csv", index=False)
    assert "-o samples.csv" in run("fit", "bellman", "--task", "my.csv", "-o", "m", *SMALL).output
    run("sample", "m", "-n", 30, "-o", "s.csv")
    drawn = pd.read_csv("s.csv")
    assert list(drawn) == ["count", "height"]
    assert drawn["count"].dtype == np.int64
    assert drawn["height"].nunique() > 20


def test_a_density_in_a_file_is_a_task_too(run: Run) -> None:
    Path("mine.py").write_text("def log_density(x):\n    return -0.5 * x.square().sum(-1)\n")
    words = ("--task", "mine.py:log_density", "--dim", 2)
    run("fit", "mala[sampling_steps=250]", *words, "-o", "c")
    run("sample", "c", *words, "-n", 10, "-o", "x.npy")
    assert np.load("x.npy").shape == (10, 2)
    assert "--dim" in run("fit", "mala", *words[:2], "-o", "d", code=2).output
    assert "is not a file" in run("fit", "edm", "--task", "no.csv", "-o", "d", code=2).output


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["bellman[depth=1,2]", "--task", "moons"], "2 components"),
        (["bellman", "--task", "moons", "--set", "steps"], "--set 'steps'"),
        (["bellman", "--task", "moons", "--set", "steps=1,2"], "several values"),
        (["bellman", "--task", "moons", "--set", "steps=1", "--set", "steps=2"], "twice"),
        (["bellman", "--task", "moons", "--set", "stepz=1"], "'steps'"),
        (["bellman", "--task", "moonz"], "'moons'"),
        (["mala", "--data", "rows.csv"], "log_prob"),
        (["bellman"], "--task"),
        (["bellman", "--task", "moons", "--data", "rows.csv"], "--task"),
        (["bellman", "--task", "moons", "--seed", "-1"], "--seed"),
    ],
)
def test_bad_fits(run: Run, words: list[str], part: str) -> None:
    Path("rows.csv").write_text("1,2\n3,4\n5,6\n7,8\n")
    assert part in run("fit", *words, "-o", "m", code=2).output
    assert not Path("m").exists()


def test_a_fit_goes_on_from_its_checkpoint(run: Run) -> None:
    words = ("--task", "moons", *SMALL, "--checkpoint", "state")
    run("fit", "edm", *words, "-o", "first")
    state = next(Path("state").iterdir())
    before = state.read_bytes()
    run("fit", "edm", *words, "-o", "second")
    assert state.read_bytes() == before  # nothing was trained again
    first, second = (load(folder).tensors() for folder in ("first", "second"))
    assert all(torch.equal(tensor, second[name]) for name, tensor in first.items())
    assert "(seeds differ)" in run("fit", "edm", *words, "--seed", 1, "-o", "third", code=2).output
    text = run("fit", "mala", *words[:2], "-o", "third", "--checkpoint", "state", code=2).output
    assert "trains nothing that could go on" in " ".join(text.split())


def test_models_and_other_files_are_not_overwritten(run: Run) -> None:
    words = ("fit", "exact", "--task", "moons", "-o")
    run(*words, "m")
    assert "--overwrite" in run(*words, "m", code=2).output
    run(*words, "m", "--overwrite")
    Path("other").mkdir()
    Path("other/letter.txt").write_text("dear")
    assert "other files" in run(*words, "other", code=2).output
    assert "is a file" in run(*words, "other/letter.txt", code=2).output


def test_bad_samples(run: Run) -> None:
    run("fit", "exact", "--task", "moons", "-o", "m")
    words = ("sample", "m", "--task", "moons", "-n")
    assert ".safetensors" in run(*words, 5, "-o", "x.pkl", code=2).output
    assert "does not exist" in run(*words, 5, "-o", "nowhere/x.npy", code=2).output
    assert "bogus" in run(*words, 5, "-o", "x.npy", "--set", "bogus=1", code=2).output
    run(*words, 0, "-o", "x.npy", code=2)
    Path("m/model.json").write_text("{")
    assert "not whole JSON" in run(*words, 5, "-o", "x.npy", code=2).output
