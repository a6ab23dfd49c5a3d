"""Damaged files are found, named and never half-used."""

from __future__ import annotations

import json
import os
import random
import re
import socket
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from phys_bench import api, store
from phys_bench.store import RunFolder, seal, unseal
from phys_samplers.atomic import remove_leftovers, write_atomically
from phys_samplers.errors import ConfigurationError
from phys_samplers.schema import Malformed


@pytest.fixture
def finished(toy_suite: dict[str, Any], tmp_path: Path) -> tuple[dict[str, Any], Path]:
    suite = {**toy_suite, "tasks": ["toy-normal"], "samplers": ["toy-good"], "seeds": 2}
    api.run(suite, out=tmp_path / "run", executor="inline", progress=False, device="cpu")
    return suite, tmp_path / "run"


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


def edit(path: Path) -> None:
    data = json.loads(path.read_text())
    data["scores"]["toy-mean"] = 0.0
    path.write_text(json.dumps(data))


def rename(path: Path) -> None:
    other = next(p for p in path.parent.glob("*.json") if p != path)
    path.write_bytes(other.read_bytes())


def empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (truncate, "not whole JSON"),
        (edit, "a checksum that is not that of its content"),
        (rename, "a name that is not the hash of its identity"),
        (empty, "not whole JSON"),
    ],
)
def test_a_damaged_record_is_named_ignored_and_run_again(
    finished: tuple[dict[str, Any], Path], damage: Callable[[Path], None], reason: str
) -> None:
    suite, out = finished
    before = api.load(out)
    path = out / "records" / f"{before.records[0]['id']}.json"
    whole = before.records[0]
    damage(path)

    after = api.load(out)
    assert [r["id"] for r in after.records] == [before.records[1]["id"]]
    assert [d.file for d in after.damaged] == [f"records/{path.name}"]
    assert reason in after.damaged[0].reason
    assert path.name in after.table().replace("\n", "")
    assert api.status(out)["missing"] == 1

    planned = api.plan(suite, out=out, device="cpu")
    assert [p.state for p in planned.cells] == ["run", "kept"]
    assert "is damaged" in planned.cells[0].why
    again = api.run(suite, out=out, executor="inline", progress=False, device="cpu")
    assert again.records[0]["scores"] == whole["scores"]
    assert not api.load(out).damaged


def test_damaged_arrays_are_named_and_their_cell_run_again(finished: tuple[dict[str, Any], Path]) -> None:
    suite, out = finished
    first, second = api.load(out).records
    truncate(out / "arrays" / f"{first['id']}.safetensors")
    (out / "arrays" / f"{second['id']}.safetensors").unlink()
    found = api.load(out)
    assert {d.file for d in found.damaged} == {f"arrays/{r['id']}.safetensors" for r in (first, second)}
    assert len(found.records) == 2  # the scores are whole
    assert [p.state for p in api.plan(suite, out=out, device="cpu").cells] == ["run", "run"]
    api.run(suite, out=out, executor="inline", progress=False, device="cpu")
    assert not api.load(out).damaged


def test_a_damaged_floor_is_computed_again(finished: tuple[dict[str, Any], Path]) -> None:
    suite, out = finished
    (floor, *_) = (out / "floors").glob("*.json")
    whole = unseal(floor.read_bytes())
    truncate(floor)
    assert RunFolder(out).read_floor(floor.stem) is None
    api.run(suite, out=out, executor="inline", progress=False, device="cpu", seeds=3)
    assert unseal(floor.read_bytes()) == whole


def test_a_missing_run_file_costs_the_order_only(finished: tuple[dict[str, Any], Path]) -> None:
    _, out = finished
    before = {r["id"] for r in api.load(out).records}
    (out / "run.json").write_text("{")
    results = api.load(out)
    assert {r["id"] for r in results.records} == before
    assert any("run.json is damaged: it is not whole JSON" in note for note in results.notes)


def test_no_flipped_bit_of_the_run_file_goes_unnoticed(finished: tuple[dict[str, Any], Path]) -> None:
    _, out = finished
    folder, payload = RunFolder(out), (out / "run.json").read_bytes()
    whole = folder.read_head()
    assert whole is not None
    draw = random.Random(0)
    for _ in range(200):
        place, bit = draw.randrange(len(payload)), 1 << draw.randrange(8)
        (out / "run.json").write_bytes(payload[:place] + bytes([payload[place] ^ bit]) + payload[place + 1 :])
        assert folder.read_head() in (None, whole)  # a flip in the white space between values changes nothing
        assert folder.read_head() == whole or folder.head_damage().startswith("run.json is damaged: it")


def test_writers_on_one_disk_do_not_meet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two containers may give the same number to their processes."""
    names = set()
    real = os.replace
    monkeypatch.setattr("os.replace", lambda a, b: (names.add(Path(a).name), real(a, b))[1])
    for _ in range(3):
        write_atomically(tmp_path / "file", b"x")
    assert len(names) == 3
    fresh, old, own = (tmp_path / f".{name}.part" for name in ("a.other-host-7-abc", "b.other-host-7-abc", "c.gone"))
    for path in (fresh, old, own):
        path.write_bytes(b"half")
    os.utime(old, (0, 0))
    remove_leftovers(tmp_path)
    assert fresh.exists()
    assert not old.exists()


def test_one_run_owns_a_folder(toy_suite: dict[str, Any], tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.prepare()
    with (
        folder.owned(),
        pytest.raises(ConfigurationError, match=r"in use by process \d+ on .* since .*remove .*run.lock"),
    ):
        api.run(toy_suite, out=tmp_path, executor="inline", progress=False, seeds=1)
    lock = tmp_path / "run.lock"
    assert not lock.exists()
    here = {"host": socket.gethostname(), "process": 2**22 + 1, "since": "then", "born": 0.0}
    lock.write_text(json.dumps(here))  # left by a run that was killed on this machine
    with folder.owned():
        assert json.loads(lock.read_text())["process"] == os.getpid()
    lock.write_text(json.dumps({**here, "host": "elsewhere"}))
    with pytest.raises(ConfigurationError, match="process 4194305 on elsewhere since then"), folder.owned():
        pass


def try_to_own(folder: RunFolder, go: int, tried: int, over: int) -> None:
    """In a fork: at a sign, try to own a folder; say whether it is ours, and keep it until it is over."""
    os.read(go, 1)
    try:
        with folder.owned():
            os.write(tried, b"1")
            os.read(over, 1)
    except ConfigurationError:
        os.write(tried, b"0")
    except BaseException:
        os.write(tried, b"?")


STALE = json.dumps({"host": socket.gethostname(), "process": 2**22 + 1, "since": "then", "born": 0.0})


def test_a_lock_that_was_just_taken_over_is_not_taken_over_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another run finds the same lock left behind, and owns the folder, between our look at it and what we do then."""
    folder, usual, looked = RunFolder(tmp_path), store._holder, []
    (tmp_path / "run.lock").write_text(STALE)
    with ExitStack() as other:

        def look(lock: Path) -> str:
            found = usual(lock)
            looked.append(found)
            if len(looked) == 1:
                other.enter_context(folder.owned())
            return found

        monkeypatch.setattr(store, "_holder", look)
        with pytest.raises(ConfigurationError, match="in use by process"), folder.owned():
            pass
        assert looked[0] == ""
        assert json.loads((tmp_path / "run.lock").read_text())["process"] == os.getpid()


@pytest.mark.slow
def test_of_several_runs_one_takes_over_the_lock_of_a_killed_one(tmp_path: Path) -> None:
    """At the same moment, many times: a lock that one of them has just taken is none to take over."""
    folder, racers = RunFolder(tmp_path), 4
    for _ in range(200):
        (tmp_path / "run.lock").write_text(STALE)
        pipes = [os.pipe() for _ in range(3)]
        go, tried, over = pipes
        children = []
        for _ in range(racers):
            if (child := os.fork()) == 0:
                try:
                    try_to_own(folder, go[0], tried[1], over[0])
                finally:
                    os._exit(0)
            children.append(child)
        os.write(go[1], b"x" * racers)
        answers = b"".join(os.read(tried[0], 1) for _ in range(racers))
        os.write(over[1], b"x" * racers)
        for child in children:
            os.waitpid(child, 0)
        for end in (end for pipe in pipes for end in pipe):
            os.close(end)
        assert sorted(answers) == sorted(b"0001")
        assert not (tmp_path / "run.lock").exists()


def test_records_of_other_code_do_not_enter_the_table(finished: tuple[dict[str, Any], Path]) -> None:
    suite, out = finished
    api.run({**suite, "eval_size": 32}, out=out, executor="inline", progress=False, device="cpu")
    assert len(api.load(out).records) == 2
    assert {r["identity"]["eval_size"] for r in api.load(out).records} == {32}
    assert api.status(out)["stale"] == 2


def test_a_seal_shows_any_change_of_a_byte_of_the_content() -> None:
    payload = seal({"a": 1.5, "b": ["x"]})
    assert unseal(payload) == {"a": 1.5, "b": ["x"]}
    for old, new in ((b"1.5", b"1.6"), (b'"x"', b'"y"'), (b'"a"', b'"c"'), (b"1.5", b"NaN")):
        with pytest.raises(Malformed):
            unseal(payload.replace(old, new))
    with pytest.raises(Malformed, match="no checksum"):
        unseal(b"{}")
    with pytest.raises(ValueError, match="JSON compliant"):
        seal({"a": float("nan")})


def test_a_failed_write_leaves_the_old_file_and_leftovers_of_the_dead_are_cleared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old")

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        write_atomically(path, b"new")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
    assert path.read_bytes() == b"old"
    host = re.sub(r"[^A-Za-z0-9]", "_", socket.gethostname())[:40]
    (tmp_path / f".file.{host}-{2**22 + 1}-ab.part").touch()  # beyond the largest process number of Linux
    (tmp_path / f".file.{host}-{os.getpid()}-ab.part").touch()
    remove_leftovers(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == [f".file.{host}-{os.getpid()}-ab.part", "file"]
