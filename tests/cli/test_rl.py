"""``rl``: an agent is trained, plays and is drawn; mistakes are named."""

from __future__ import annotations

import json
import shutil

import gymnasium
import numpy as np
import pytest
from click.testing import CliRunner

from phys_samplers import checkpoint
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


def test_an_evaluation_after_the_training_is_logged_too(tmp_path) -> None:
    """The last one comes when the log was ended already, unless the steps are a multiple of evaluate_every."""
    log = tmp_path / "log" / "lake.jsonl"
    words = [
        "train",
        "FrozenLake-v1",
        "--model",
        "dqn[width=8,depth=1]",
        "-o",
        str(tmp_path / "lake"),
        "--log",
        str(log),
    ]
    done = run(*words, *SHORT[:-4], "--set", "evaluate_every=120", "--set", "episodes=2")
    assert done.exit_code == 0, done.output
    assert [json.loads(line)["event"] for line in log.read_text().splitlines()].count("evaluated") == 2


def test_an_agent_is_saved_under_its_own_seed(tmp_path, monkeypatch) -> None:
    from phys_samplers.errors import TrainingDiverged
    from phys_samplers.rl.recipe import ReturnModel

    usual = ReturnModel.fit_replicas

    def second_diverges(self, *args, **kwargs):
        first, _, third = usual(self, *args, **kwargs)
        return [first, TrainingDiverged("lost"), third]

    monkeypatch.setattr(ReturnModel, "fit_replicas", second_diverges)
    words = ["train", "FrozenLake-v1", "--model", "dqn[width=8,depth=1]", "-o", str(tmp_path / "three"), "--seeds", "3"]
    done = run(*words, *SHORT)
    assert done.exit_code == 0, done.output
    assert sorted(path.name for path in (tmp_path / "three").iterdir()) == ["seed-0", "seed-2"]
    assert "training diverged at seed 1: there is no agent of that" in done.output


def test_what_cannot_be_written_is_refused_before_the_training() -> None:
    done = run("train", "FrozenLake-v1", "-o", "/proc/nowhere/lake", "--set", "steps=1000000")
    assert done.exit_code == 2
    assert "nothing can be written there" in done.output


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"environment": "CartPole-v1"}, "this agent knows 16 numbers of an observation, and the environment has 4"),
        ({"environment": "FrozenLake8x8-v1"}, "the environment has 64"),
        ({"returns": [-1e299, 1e299]}, "single precision"),
        ({"first_action": 77}, "raised"),
        (
            {"observations": [{"path": [], "kind": "integers", "shape": [], "counts": [8, 8], "starts": [0]}]},
            "has 2 counts and 1 starts; expected 1 of each",
        ),
    ],
)
@pytest.mark.parametrize("command", ["play", "watch"])
def test_an_agent_that_its_author_sealed_is_refused_in_one_sentence(agent, tmp_path, changes, named, command) -> None:
    folder = shutil.copytree(agent, tmp_path / "agent")
    facts = json.loads((folder / "model.json").read_text())
    facts["facts"] |= changes
    if "environment" in changes or "first_action" in changes:
        facts["facts"]["environment_options"] = (
            {"render_mode": "ansi"} if "Lake" in facts["facts"]["environment"] else {}
        )
    facts["seal"] = checkpoint._seal(facts)
    (folder / "model.json").write_text(json.dumps(facts))
    done = run(command, str(folder), *(("-o", str(tmp_path / "x.png")) if command == "watch" else ()))
    if command == "play" and "first_action" in changes:
        assert done.exit_code == 0  # play goes by the environment's own numbers
        return
    assert (done.exit_code, type(done.exception)) == (2, SystemExit), done.output
    assert named in done.output


N = 24
LOG = {"observation": np.zeros((N, 3), "f4"), "reward": np.ones(N), "terminal": np.arange(N) % 4 == 3}


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({name: column[:0] for name, column in LOG.items()}, "shape (0, 3)"),
        ({"terminal": np.zeros(N, bool), "truncated": np.ones(N, bool)}, "has no transition"),
        ({"observation": np.zeros((N, 0))}, "shape (24, 0)"),
        ({"observation": np.zeros((N, 3), np.longdouble)}, "expected numbers"),
        ({"observation": np.full(N, 10**12)}, "expected 0 to 9999"),
        ({"observation": -np.arange(N)}, "from -23 to 0"),
        ({"reward": np.zeros((N, 0))}, "shape (24, 0)"),
        ({"reward": np.zeros((N, 2, 2))}, "shape (24, 2, 2); expected rows, with at most 2 axes"),
        ({"terminal": np.zeros((N, 2), bool)}, "'terminal' of"),
        ({"terminal": np.full(N, np.nan)}, "no integers"),
        ({"action": np.full(N, 1e30)}, "no integers"),
        ({"action": np.zeros((N, 2), int)}, "expected one number a row"),
        ({"episode": np.full(N, np.nan)}, "no integers"),
        ({"weight": np.ones((N, 2))}, "expected one number a row"),
        ({"next_observation": np.zeros((N, 2))}, "next_observation of"),
    ],
)
def test_a_log_that_is_none_is_refused_in_one_sentence(tmp_path, changes, named) -> None:
    np.savez(tmp_path / "log.npz", **{**LOG, **changes})
    done = run("evaluate", "--data", str(tmp_path / "log.npz"))
    assert (done.exit_code, type(done.exception)) == (2, SystemExit), done.output
    assert named in done.output
    assert "log.npz" in done.output
