"""Files that somebody else wrote decide no import and start no work; what is wrong is named by file and field."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from phys_registry.errors import SpecError
from phys_registry.spec import parse_spec
from phys_samplers import checkpoint, load, make
from phys_samplers.errors import CheckpointError, ConfigurationError
from phys_samplers.rl.environment import check_named


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    return make("sampler", "exact").fit(make("task", "moons")).save(tmp_path / "model")


def reseal(folder: Path, **change: Any) -> None:
    data = json.loads((folder / "model.json").read_text())
    data |= change
    data["seal"] = checkpoint._seal(data)
    (folder / "model.json").write_text(json.dumps(data))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"kind": "task", "sampler": "moons"}, "kind is 'task'; expected one of sampler, return_model"),
        ({"sampler": "os:system"}, "sampler is 'os:system'"),
        ({"event_shape": ["2"]}, r"event_shape\[0\] is '2'"),
        ({"options": [1]}, "options is"),
        ({"report": 7}, "report is 7"),
    ],
)
def test_a_resealed_checkpoint_names_its_field(saved: Path, change: dict[str, Any], words: str) -> None:
    reseal(saved, **change)
    with pytest.raises(CheckpointError, match=words):
        load(saved, target=make("task", "moons"))


@pytest.mark.parametrize(
    "content",
    ["[" * 100_000, '{"a": ' + "9" * 5_000 + "}", '{"a": 1, "a": 2}', '{"a": NaN}', '{"a": "\\ud800"}', b"\xff"],
    ids=["deep", "digits", "twice", "nan", "surrogate", "bytes"],
)
def test_what_is_no_strict_json_is_refused(saved: Path, content: str | bytes) -> None:
    (saved / "model.json").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(CheckpointError, match=r"model\.json"):
        load(saved)


@pytest.mark.parametrize("make_file", [os.mkfifo, lambda path: os.symlink("/dev/zero", path)], ids=["pipe", "zero"])
def test_no_pipe_and_no_device_is_read(saved: Path, make_file: Callable[[Path], None]) -> None:
    (saved / "model.json").unlink()
    make_file(saved / "model.json")
    with pytest.raises(CheckpointError, match="no ordinary file"):
        load(saved)


@pytest.mark.parametrize("name", ["this:X-v0", "Unknown-v7"])
def test_a_file_names_registered_environments_only(name: str) -> None:
    with pytest.raises(ConfigurationError, match="not registered here"):
        check_named(name, {})
    check_named("CartPole-v1", {"render_mode": "rgb_array"})
    with pytest.raises(ConfigurationError, match="single words"):
        check_named("CartPole-v1", {"file": "../secret"})


@pytest.mark.parametrize("text", ["a[b=" + "[" * 100_000, "a[b=" + "9" * 5_000 + "]"], ids=["deep", "digits"])
def test_component_texts_are_bounded(text: str) -> None:
    with pytest.raises(SpecError):
        parse_spec(text)
