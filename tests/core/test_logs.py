"""Loggers are components that any training takes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from phys_samplers import Samples, make, names
from phys_samplers.cli.words import read_loggers
from phys_samplers.errors import MissingCapability
from phys_samplers.target import Target
from phys_samplers.training import Callback


@pytest.fixture
def rows(tmp_path: Path) -> Target:
    path = tmp_path / "rows.csv"
    path.write_text("a,b\n" + "\n".join(f"{i},{i * i % 7}" for i in range(40)))
    return Samples(path)


def test_json_lines_of_a_sampler(rows: Target, tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    recipe = make("sampler", "edm", steps=6, log_every=2) if "log_every" in vars(make("sampler", "edm")) else None
    recipe = recipe or make("sampler", "edm", steps=6)
    recipe.fit(rows, callbacks=read_loggers([str(path)]))
    events = [json.loads(line) for line in path.read_text().splitlines()]
    assert [events[0]["event"], events[-1]["event"]] == ["started", "finished"]
    assert events[0]["steps"] == 6
    losses = [event["loss"] for event in events if event["event"] == "logged" and "loss" in event]
    assert losses
    assert all(len(row) == 1 for row in losses)


def test_texts_name_loggers(tmp_path: Path) -> None:
    assert {"json-lines", "tensorboard", "wandb"} <= set(names("logger"))
    (log,) = read_loggers([f"json-lines[path={tmp_path / 'a.jsonl'}]"])
    assert isinstance(log, Callback)


def test_tensorboard_has_the_curves(rows: Target, tmp_path: Path) -> None:
    try:
        import tensorboard
    except ImportError:
        with pytest.raises(MissingCapability, match=r"pip install 'phys-samplers\[log\]'"):
            make("logger", "tensorboard", folder=str(tmp_path))
        pytest.skip("tensorboard is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    assert tensorboard
    make("sampler", "edm", steps=6).fit(rows, callbacks=[make("logger", "tensorboard", folder=str(tmp_path / "tb"))])
    found = EventAccumulator(str(tmp_path / "tb")).Reload()
    assert "loss/replica 0" in found.Tags()["scalars"]


def test_wandb_has_the_curves(rows: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        import wandb
    except ImportError:
        with pytest.raises(MissingCapability, match=r"pip install 'phys-samplers\[log\]'"):
            make("logger", "wandb")
        pytest.skip("wandb is not installed")
    monkeypatch.setenv("WANDB_SILENT", "true")
    sent: list[tuple[dict[str, float], int]] = []
    begin = wandb.init

    def init(**options: object) -> object:
        run = begin(**options)
        log = run.log
        monkeypatch.setattr(run, "log", lambda row, step: (sent.append((row, step)), log(row, step=step)))
        return run

    monkeypatch.setattr(wandb, "init", init)
    log = make("logger", "wandb", project="p", mode="offline", folder=str(tmp_path))
    make("sampler", "edm", steps=6).fit(rows, callbacks=[log])
    assert list(tmp_path.rglob("*.wandb"))
    assert any("loss/replica 0" in row for row, _ in sent)
