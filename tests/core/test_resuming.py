"""A fit that was killed goes on from its checkpoint and ends with the same bits."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from safetensors.torch import save_file
from torch import Tensor, nn

from phys_samplers import Samples, make
from phys_samplers.errors import CheckpointError, ConfigurationError
from phys_samplers.randomness import Streams, make_generator
from phys_samplers.training import Callback, TrainingPlan, state, train

ROWS = torch.randn(200, 2, generator=make_generator(3, "rows"))
TARGET = Samples(ROWS, name="rows")


class KilledError(Exception):
    pass


class KillAt(Callback):
    def __init__(self, step: int) -> None:
        self.step = step

    def logged(self, step: int, values: Mapping[str, Sequence[float]]) -> None:
        if step >= self.step:
            raise KilledError


@pytest.fixture(autouse=True)
def always_saved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state, "SAVE_EVERY", 0.0)


def recipe(**options: Any) -> Any:
    return make("sampler", "edm", **{"steps": 220, "validate_every": 75, "sampling_steps": 5, **options})


@pytest.mark.parametrize("at", [50, 75, 150, 220])
def test_a_killed_fit_ends_with_the_same_bits(tmp_path: Path, at: int) -> None:
    whole = recipe().fit(TARGET, seed=4)
    with pytest.raises(KilledError):
        recipe().fit(TARGET, seed=4, checkpoint=tmp_path, callbacks=[KillAt(at)])
    again = recipe().fit(TARGET, seed=4, checkpoint=tmp_path)
    for name, tensor in whole.tensors().items():
        assert torch.equal(tensor, again.tensors()[name]), name
    assert again.report.history == whole.report.history
    assert (again.report.steps, again.report.best_step) == (whole.report.steps, whole.report.best_step)


def test_stacked_seeds_and_patience_go_on_too(tmp_path: Path) -> None:
    stopping = recipe(steps=400, validate_every=25, patience=2, learning_rate=0.1)
    whole = stopping.fit_replicas(TARGET, seeds=[0, 1, 2])
    with pytest.raises(KilledError):
        stopping.fit_replicas(TARGET, seeds=[0, 1, 2], checkpoint=tmp_path, callbacks=[KillAt(100)])
    again = stopping.fit_replicas(TARGET, seeds=[0, 1, 2], checkpoint=tmp_path)
    for one, other in zip(whole, again, strict=True):
        assert one.report.steps == other.report.steps
        assert all(torch.equal(t, other.tensors()[name]) for name, t in one.tensors().items())


def test_a_finished_fit_is_not_trained_again(tmp_path: Path) -> None:
    first = recipe().fit(TARGET, checkpoint=tmp_path)
    again = recipe().fit(TARGET, checkpoint=tmp_path, callbacks=[KillAt(0)])
    assert all(torch.equal(t, again.tensors()[name]) for name, t in first.tensors().items())


def test_a_checkpoint_of_another_fit_is_refused(tmp_path: Path) -> None:
    recipe().fit(TARGET, seed=0, checkpoint=tmp_path)
    for changed, fit in (
        ("seeds", lambda: recipe().fit(TARGET, seed=1, checkpoint=tmp_path)),
        ("options", lambda: recipe(width=32).fit(TARGET, checkpoint=tmp_path)),
        ("rows", lambda: recipe().fit(Samples(2 * ROWS, name="rows"), checkpoint=tmp_path)),
    ):
        with pytest.raises(
            CheckpointError, match=rf"training of another fit \({changed} differ\); name another folder"
        ):
            fit()
    recipe(sampling_steps=9).fit(TARGET, seed=0, checkpoint=tmp_path)  # acts on draws only


def test_a_damaged_checkpoint_is_named(tmp_path: Path) -> None:
    recipe().fit(TARGET, checkpoint=tmp_path)
    (file,) = tmp_path.iterdir()
    payload = file.read_bytes()
    for damaged in (payload[: len(payload) // 2], b"", b"x" * 100):
        file.write_bytes(damaged)
        with pytest.raises(CheckpointError, match=r"is damaged .*remove it to train from the start"):
            recipe().fit(TARGET, checkpoint=tmp_path)
    save_file({"values": torch.zeros(1)}, file)
    with pytest.raises(CheckpointError, match="has format None"):
        recipe().fit(TARGET, checkpoint=tmp_path)


def test_what_is_not_known_to_resume_is_refused(tmp_path: Path) -> None:
    module = nn.Linear(1, 1, bias=False)
    with pytest.raises(ConfigurationError, match=r"does not say what changes while it trains \(Objective.state\)"):
        train(module, lambda: torch.zeros(1), TrainingPlan(steps=1), state=None, checkpoint=tmp_path)


def test_streams_go_on_from_where_they_were() -> None:
    streams = Streams([0, 1], "noise")
    streams.normal(3)
    kept = streams.state_dict()
    expected: Tensor = streams.normal(5)
    other = Streams([0, 1], "noise")
    other.load_state_dict(kept)
    assert torch.equal(other.normal(5), expected)


def without(name: str) -> Callable[[dict[str, Tensor], dict[str, Any]], None]:
    return lambda numbers, progress: [one.pop(name) for one in (numbers, progress) if name in one] and None


def other(name: str, value: Any) -> Callable[[dict[str, Tensor], dict[str, Any]], None]:
    def change(numbers: dict[str, Tensor], progress: dict[str, Any]) -> None:
        (numbers if isinstance(value, Tensor) else progress)[name] = value

    return change


def of_course(**changes: Any) -> Callable[[dict[str, Tensor], dict[str, Any]], None]:
    return lambda numbers, progress: progress["courses"][0].update(changes)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (without("step"), r"lacks 'progress\.step'"),
        (other("step", "x"), r"progress\.step is 'x'"),
        (other("step", 1.5), r"progress\.step is 1\.5"),
        (other("step", -5), r"progress\.step is -5"),
        (other("step", 10**12), r"progress\.step is 10+; expected an integer of at least 0"),
        (other("seconds", "x"), r"progress\.seconds is 'x'"),
        (other("courses", {}), r"progress\.courses is \{\}"),
        (other("courses", []), r"progress\.courses is \[\]; expected a list of 1"),
        (of_course(running="no"), r"progress\.courses\[0\]\.running is 'no'"),
        (of_course(stale="no"), r"progress\.courses\[0\]\.stale is 'no'"),
        (of_course(history=[[1]]), r"progress\.courses\[0\]\.history\[0\] is \[1\]"),
        (without("best"), "has no tensor 'best'"),
        (other("more", torch.zeros(3)), "has a tensor 'more'"),
        (other("values", torch.zeros(())), r"a tensor 'values' of torch\.float32 \(\); expected torch\.float32 \(1, "),
        (other("average", torch.zeros(7, 3)), "a tensor 'average'"),
        (without("adam.0.exp_avg"), r"has no tensor '0\.exp_avg'"),
        (other("adam.0.exp_avg", torch.zeros(())), r"a tensor '0\.exp_avg'"),
        (other("adam.0.exp_avg_sq", torch.zeros(7, 3)), r"a tensor '0\.exp_avg_sq'"),
        (other("adam.0.step", torch.zeros((), dtype=torch.int64)), r"a tensor '0\.step' of torch\.int64"),
        (other("adam.0.evil", torch.zeros(3)), r"has a tensor '0\.evil'"),
        (other("adam.x.step", torch.zeros(())), r"has a tensor 'x\.step'"),
        (other("adam.9.step", torch.zeros(())), r"has a tensor '9\.step'"),
    ],
)
def test_a_state_that_its_author_sealed_is_of_this_training_or_refused(
    tmp_path: Path, change: Callable[[dict[str, Tensor], dict[str, Any]], None], words: str
) -> None:
    """A fused step of Adam reads as many numbers as there are parameters, however many it was given."""
    with pytest.raises(KilledError):
        recipe().fit(TARGET, seed=4, checkpoint=tmp_path, callbacks=[KillAt(50)])
    file = tmp_path / state.FILE
    content = file.read_bytes()
    length = int.from_bytes(content[:8], "little")
    facts = json.loads(content[8 : 8 + length])["__metadata__"]
    numbers, progress = load_tensors(content), json.loads(facts["progress"])
    change(numbers, progress)
    facts["progress"] = json.dumps(progress)
    facts["sha256"] = state._digest(save_tensors(numbers, facts))
    file.write_bytes(save_tensors(numbers, facts))
    with pytest.raises(CheckpointError, match=rf"training\.safetensors .*{words}"):
        recipe().fit(TARGET, seed=4, checkpoint=tmp_path)
