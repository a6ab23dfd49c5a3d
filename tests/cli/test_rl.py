"""``rl``: an agent is trained, plays and is drawn; mistakes are named."""

from __future__ import annotations

import json

import gymnasium
import numpy as np
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


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """600 steps on the lake at random, logged."""
    lake = gymnasium.make("FrozenLake-v1")
    generator = np.random.default_rng(0)
    rows = {name: [] for name in ("observation", "action", "reward", "terminal", "truncated", "next_observation")}
    state, _ = lake.reset(seed=0)
    for _ in range(600):
        action = int(generator.integers(4))
        following, reward, terminal, truncated, _ = lake.step(action)
        for name, value in zip(rows, (state, action, reward, terminal, truncated, following), strict=True):
            rows[name].append(value)
        state = lake.reset()[0] if terminal or truncated else following
    path = tmp_path_factory.mktemp("log") / "log.npz"
    np.savez(path, **{name: np.array(values) for name, values in rows.items()})
    return path


@pytest.mark.parametrize("policy", ["behaviour", "random", "agent"])
def test_policies_are_judged_from_a_log(agent, data, tmp_path, policy) -> None:
    out = tmp_path / "report.html"
    words = ["--policy", str(agent) if policy == "agent" else policy, "--gamma", ".9", "--set", "atoms=33"]
    done = run("evaluate", "--data", str(data), *words, "-o", str(out))
    assert done.exit_code == 0, done.output
    assert "worst tenth" in done.output
    text = out.read_text()
    assert text.count("<svg") == 1
    assert "http" not in text


def test_what_cannot_be_judged_is_named(data, tmp_path) -> None:
    done = run("evaluate", "--data", str(data), "--gamma", "a,b")
    assert done.exit_code != 0
    assert "a,b" in done.output
    np.savez(tmp_path / "bare.npz", observation=np.zeros(3), reward=np.zeros(3), terminal=np.ones(3, bool))
    done = run("evaluate", "--data", str(tmp_path / "bare.npz"), "--policy", "random")
    assert done.exit_code != 0
    assert "no column 'action'" in done.output
