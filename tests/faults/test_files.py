"""Files that somebody else wrote decide no import and start no work; what is wrong is named by file and field."""

from __future__ import annotations

import hashlib
import io
import json
import os
import struct
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from phys_bench.suite import load_suite
from phys_registry.errors import SpecError
from phys_registry.spec import parse_spec
from phys_samplers import checkpoint, load, make
from phys_samplers.errors import CheckpointError, ConfigurationError, FileError
from phys_samplers.reading import read_bytes, read_npy, read_npz, unpacked
from phys_samplers.rl.environment import check_named
from phys_samplers.schema import Malformed


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


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64, torch.int32])
def test_numbers_of_another_type_are_not_taken(tmp_path: Path, dtype: torch.dtype) -> None:
    saved = make("sampler", "edm", steps=1, width=8).fit(make("task", "moons")).save(tmp_path / "model")
    facts = json.loads((saved / "model.json").read_text())["tensors"]
    file = saved / facts["file"]
    tensors = {name: tensor.to(dtype) for name, tensor in load_tensors(file.read_bytes()).items()}
    file.write_bytes(save_tensors(tensors))
    reseal(saved, tensors={**facts, "sha256": hashlib.sha256(file.read_bytes()).hexdigest()})
    with pytest.raises(CheckpointError, match=f"tensor '.*' holds {dtype}; expected torch.float32"):
        load(saved)


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


def npy(array: Any) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=True)
    return stream.getvalue()


def header(words: str, rest: bytes = b"\0" * 64) -> bytes:
    """An ``.npy`` file with any header."""
    told = words.encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(told)) + told + rest


NPY = {
    "more rows than there are": header("{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000, 2)}"),
    "fewer": header("{'descr': '<f8', 'fortran_order': False, 'shape': (1, 2)}"),
    "negative": header("{'descr': '<f8', 'fortran_order': False, 'shape': (-2, -4)}"),
    "true": header("{'descr': '<f8', 'fortran_order': False, 'shape': (True, 8)}", b""),
    "digits": header("{'descr': '<f8', 'fortran_order': False, 'shape': (" + "9" * 5_000 + ",)}"),
    "deep": header("(" * 9_000),
    "objects": npy(np.array([{"a": 1}], dtype=object)),
    "nothing": header("{'descr': '|V0', 'fortran_order': False, 'shape': (1000000000000,)}", b""),
    "version": b"\x93NUMPY\x07\x00" + b"\0" * 100,
    "truncated": npy(np.zeros((10, 2)))[:-8],
    "empty": b"",
    "text": b"1,2\n3,4\n",
    "pickle": b"\x80\x04\x95\x11\x00\x00\x00\x00\x00\x00\x00\x8c\x02os\x94\x8c\x06system\x94\x93\x94.",
}


@pytest.mark.parametrize("content", NPY.values(), ids=NPY)
def test_no_array_but_one_of_numbers_is_read(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "rows.npy"
    path.write_bytes(content)
    with pytest.raises(FileError, match=r"rows\.npy is not a plain \.npy array of numbers: "):
        read_npy(path)


def archive(members: list[tuple[str, bytes]], packed: int = zipfile.ZIP_DEFLATED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", packed) as file:
        for name, content in members:
            file.writestr(name, content)
    return stream.getvalue()


def told(content: bytes, size: int) -> bytes:
    """An archive of one member whose unpacked size is said to be another one."""
    central = content.rindex(b"PK\x01\x02")
    changed = bytearray(content)
    changed[central + 24 : central + 28] = changed[22:26] = struct.pack("<I", size)
    return bytes(changed)


ROWS = npy(np.zeros((4, 2)))
NPZ = {
    "no archive": ROWS,
    "truncated": archive([("reward.npy", ROWS)])[:-30],
    "text": archive([("reward.txt", b"1,2")]),
    "objects": archive([("reward.npy", npy(np.array([{}], dtype=object)))]),
    "many": archive([(f"{i}.npy", b"") for i in range(1_001)]),
    "huge": told(archive([("reward.npy", ROWS)]), 2**32 - 2),
    "unpacks to more than said": told(archive([("reward.npy", ROWS + b"\0" * 10**6)]), len(ROWS)),
    "unbounded": archive([("reward.npy", ROWS)], zipfile.ZIP_LZMA),
}


@pytest.mark.parametrize("content", NPZ.values(), ids=NPZ)
def test_archives_are_bounded(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "log.npz"
    path.write_bytes(content)
    with pytest.raises(FileError, match=r"log\.npz cannot be read as \.npz"):
        read_npz(path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_members_and_sizes_of_archives() -> None:
    with pytest.raises(Malformed, match="two files of one name"):
        list(unpacked(archive([("a", b"1"), ("a", b"2")]), 100))
    with pytest.raises(Malformed, match="it unpacks to 101 bytes in 1 files; expected at most 100"):
        list(unpacked(archive([("a", bytes(101))]), 100))
    assert list(unpacked(archive([("a", b"1"), ("b/", b""), ("b/c", b"2")]), 100)) == [("a", b"1"), ("b/c", b"2")]


SUITE = 'name = "s"\ntasks = ["moons"]\nsamplers = ["exact"]\n'
SUITES = {
    "deep": (f"{SUITE}budget = {'[' * 100_000}", "is not TOML: it is nested too deeply"),
    "digits": (f"{SUITE}seeds = {'9' * 5_000}", "is not TOML: .*limit"),
    "twice": (f"{SUITE}name = 't'", "is not TOML: Cannot overwrite a value"),
    "dots": (f"{SUITE}{'a.' * 100_000}a = 1", "is not TOML: a line has more than 1,000 dots"),
    "bytes": (b'name = "\xff"', "is not TOML: .*codec"),
    "large": (f"{SUITE}#{' ' * 2**20}", r"has 1,048,\d+ bytes; expected at most 1,048,576"),
    "wide": (f"{SUITE}[[overrides]]\noptions = {{ steps = {2**62 * 2} }}", r"overrides\[0\]\.options\.steps is 922"),
    "type": (f"{SUITE}seeds = 0x{'f' * 4_000}", "seeds is an integer of 16,000 bits; expected at most 100,000 seeds"),
    "kind": (f"{SUITE}budget = false", r"budget is False; expected a table, \[budget\]"),
}


@pytest.mark.parametrize(("content", "words"), SUITES.values(), ids=SUITES)
def test_suites_are_bounded(tmp_path: Path, content: str | bytes, words: str) -> None:
    path = tmp_path / "s.toml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ConfigurationError, match=rf"s\.toml:? {words}"):
        load_suite(path)


@pytest.mark.parametrize("make_file", [os.mkfifo, lambda path: os.symlink("/dev/zero", path), os.mkdir])
@pytest.mark.parametrize("read", [load_suite, read_npy, read_npz])
def test_data_and_suites_are_ordinary_files(
    tmp_path: Path, make_file: Callable[[Path], None], read: Callable[[Path], Any]
) -> None:
    path = tmp_path / "given.toml"
    make_file(path)
    with pytest.raises(FileError, match=r"given\.toml is no ordinary file|given\.toml cannot be read"):
        read(path)


def test_reading_takes_as_much_memory_as_the_file_has(tmp_path: Path) -> None:
    (tmp_path / "small").write_bytes(b"x" * 1_000)
    tracemalloc.start()
    try:
        assert read_bytes(tmp_path / "small", 2**34) == b"x" * 1_000
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()
