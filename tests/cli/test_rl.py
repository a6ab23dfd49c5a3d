"""``rl``: an agent is trained, plays and is drawn; mistakes are named."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from phys_samplers.cli.program import program

SHORT = ["--set", "steps=160", "--set", "learning_starts=100", "--set", "evaluate_every=80", "--set", "episodes=2"]


def run(*words: str):
    return CliRunner().invoke(program, ["rl", *words])


@pytest.fixture(scope="module")
def agent(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rl") / "lake"
    log = folder.parent / "lake.jsonl"
    small = "bellman[width=16,depth=1]"
    done = run("train", "FrozenLake-v1", "--model", small, "-o", str(folder), "--log", str(log), *SHORT)
    assert done.exit_code == 0, done.output
    assert "rl watch" in done.output
    events = [json.loads(line)["event"] for line in log.read_text().splitlines()]
    assert events.count("evaluated") == 2
    return folder


def test_it_plays(agent) -> None:
    done = run("play", str(agent), "--episodes", "3")
    assert done.exit_code == 0, done.output
    assert "mean return" in done.output


@pytest.mark.parametrize("name", ["lake.png", "lake.gif"])
def test_it_is_drawn(agent, tmp_path, name) -> None:
    pytest.importorskip("pygame")
    done = run("watch", str(agent), "-o", str(tmp_path / name), "--steps", "3")
    assert done.exit_code == 0, done.output
    head = (tmp_path / name).read_bytes()[:6]
    assert head == (b"GIF89a" if name.endswith("gif") else b"\x89PNG\r\n")


def test_several_seeds_go_into_subfolders(tmp_path) -> None:
    done = run(
        "train", "FrozenLake-v1", "--model", "dqn[width=8,depth=1]", "-o", str(tmp_path / "two"), "--seeds", "2", *SHORT
    )
    assert done.exit_code == 0, done.output
    assert sorted(path.name for path in (tmp_path / "two").iterdir()) == ["seed-0", "seed-1"]


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["train", "FrozenLak-v1", "-o", "new"], "FrozenLak-v1"),
        (["train", "FrozenLake-v1", "-o", "new", "--set", "gama=0.9"], "gama"),
        (["train", "FrozenLake-v1", "-o", "new", "--model", "belman"], "bellman"),
        (["play", "."], "model.json"),
    ],
)
def test_mistakes_are_named(tmp_path, monkeypatch, words, named) -> None:
    monkeypatch.chdir(tmp_path)
    done = run(*words)
    assert done.exit_code != 0
    assert named in done.output
    assert not (tmp_path / "new").exists()


def test_pictures_of_other_formats_are_refused(agent, tmp_path) -> None:
    done = run("watch", str(agent), "-o", str(tmp_path / "lake.bmp"))
    assert done.exit_code != 0
    assert ".gif" in done.output
