"""Damaged files: what is opened is refused by name, or says what it said before, and nothing in it is imported.

A damage of the bytes of a sealed file may not pass: either the file is named, or all that it says is as it was. A value
that is spliced in before the seal is made again (``resealed``), and any damage of a file without one, can only be seen
by the schema: it is refused, or what is opened is something whole that can be used.
"""

from __future__ import annotations

import io
import json
import resource
import shutil
import signal
import sys
import traceback
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from phys_bench import api, store
from phys_bench.canonical import digest
from phys_bench.suite import load_suite
from phys_registry import PhysError
from phys_samplers import checkpoint, load, make
from phys_samplers.cli import program
from phys_samplers.cli.output import Failure
from phys_samplers.rl.log_files import read_log
from phys_samplers.schema import mapping
from phys_samplers.table import read
from phys_samplers.training import state

from . import damage

SHORT, LONG = 8, 110
"""Damaged files of each kind, in the default run and in the long one."""
PATIENCE = 10.0
"""CPU-seconds that opening a file may take."""
METRIC = "energy-distance"
Opened = tuple[Any, bool]
"""What a file says, and whether it is said that something is wrong with it."""


@contextmanager
def bounded() -> Iterator[None]:
    """Whatever goes on without end fails."""

    def stop(*_: object) -> None:
        raise TimeoutError(f"still not done after {PATIENCE:g} CPU-seconds")

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, PATIENCE)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


# What there is to damage. Each is a folder; ``targets`` are the files in it, ``open`` reads all that they say.


SMALL = make("sampler", "edm", steps=2, width=8, depth=1, batch_size=16)


def numbers(tensors: dict[str, torch.Tensor]) -> str:
    return digest(b"".join(t.contiguous().numpy().tobytes() for _, t in sorted(tensors.items())))


def open_model(folder: Path) -> Opened:
    model = load(folder / "model")
    try:  # other options may ask for any amount of work
        drawn = digest(model.draw(3, seed=0).samples.numpy().tobytes()) if model.recipe == SMALL else "?"
    except PhysError as error:
        drawn = str(error)
    return (repr(model.recipe), model.target_name, model.event_shape, numbers(model.tensors()), drawn), False


def open_agent(folder: Path) -> Opened:
    agent = load(folder / "agent")
    try:
        laws = digest(agent.law([0.0] * 4).weights.numpy().tobytes())
        place = agent.place()
    except PhysError as error:
        laws, place = str(error), (None, {})
    return (repr(agent.recipe), laws, place, agent.gamma, agent.curve, numbers(agent.tensors())), False


def open_laws(folder: Path) -> Opened:
    model = load(folder / "laws")
    try:
        drawn = digest(model.sample(3, seed=0).numpy().tobytes())
    except PhysError as error:
        drawn = str(error)
    return (repr(model.recipe), drawn, numbers(model.tensors())), False


WEIGHTS = {"weights": torch.arange(12.0).reshape(3, 4), "mean": torch.zeros(2)}


def training(folder: Path) -> state.TrainingState:
    return state.TrainingState(folder / "training", {"sampler": "edm", "steps": 10}, [state.Counter()])


def open_training(folder: Path) -> Opened:
    resumed = training(folder)
    found = resumed.load(torch.device("cpu"), WEIGHTS, mapping())
    assert found is not None
    return (numbers(found[0]), found[1], resumed.parts["part.0"].state_dict()["value"].item()), False


def open_run(folder: Path) -> Opened:
    """Everything that is made of a run but its pictures."""
    results = api.load(folder / "run")
    results.table("all")
    results.table("all", fmt="github")
    api.status(folder / "run")
    api.compare(results, results)
    results.frame.to_csv()
    results.costs.to_csv()
    cells = {cell.key: (cell.status, dict(cell.scores)) for cell in results.cells}
    return (cells, results.head.get("suite"), results.head.get("cells")), bool(results.damaged or results.notes)


def open_merged(folder: Path) -> Opened:
    merged = folder / "merged"
    shutil.rmtree(merged, ignore_errors=True)
    results = api.merge(folder / "run", folder / "other", out=merged)
    cells = {cell.key: (cell.status, dict(cell.scores)) for cell in results.cells}
    assert {cell.key for cell in api.load(merged).cells} == set(cells)
    return cells, any(
        "damaged" in note or "no record" in note for note in (*results.notes, *api.load(folder / "run").notes)
    )


def open_lock(folder: Path) -> Opened:
    with store.RunFolder(folder / "run").owned():
        return "taken", False


def open_suite(folder: Path) -> Opened:
    return load_suite(folder / "given.toml").to_dict(), False


def open_rows(folder: Path) -> Opened:
    found = [read(folder / name)[0] for name in ("rows.csv", "rows.npy")]
    return [(tuple(rows.shape), digest(rows.numpy().tobytes())) for rows in found], False


def open_log(folder: Path) -> Opened:
    found = read_log(folder / "log.npz")
    return {name: (tuple(rows.shape), digest(rows.numpy().tobytes())) for name, rows in found.items()}, False


# Damage that its author seals.


def resealed_model(folder: Path, name: str, random: Random) -> None:
    place = folder / name / "model.json"
    data = json.loads(place.read_text())
    if random.random() < 0.3:
        file = place.with_name(data["tensors"]["file"])
        content = damage.tensors_damaged(file.read_bytes(), random)
        file.write_bytes(content)
        data["tensors"]["sha256"] = checkpoint.hashlib.sha256(content).hexdigest()
    else:
        data = damage.spliced(data, random)
    if isinstance(data, dict):
        data["seal"] = checkpoint._seal(data)
    place.write_text(json.dumps(data))


def resealed_training(folder: Path, name: str, random: Random) -> None:
    place = folder / name
    content = place.read_bytes()
    if random.random() < 0.5:
        content = damage.tensors_damaged(content, random)
    else:
        header = damage.header_of(content)
        facts = header["__metadata__"]
        inner = {key: json.loads(facts[key]) for key in ("identity", "progress")}
        facts |= {key: json.dumps(value) for key, value in damage.spliced(inner, random).items()}
        content = damage.with_header(content, header)
    try:
        header = damage.header_of(content)
        header["__metadata__"]["sha256"] = state._digest(content)
        content = damage.with_header(content, header)
    except Exception:  # it is not worth a seal
        pass
    place.write_bytes(content)


def resealed_record(folder: Path, name: str, random: Random) -> None:
    """The author also gives the record the name of its new identity, or drops what lists the old one."""
    place = folder / name
    data = json.loads(place.read_text())
    data.pop("checksum")
    data = damage.spliced(data, random)
    if "identity" in data and random.random() < 0.7:
        place.unlink()
        old, data["id"] = data.get("id"), digest(data["identity"])
        place = place.with_name(f"{data['id']}.json")
        head = (folder / "run" / "run.json").read_text()
        (folder / "run" / "run.json").write_bytes(sealed(json.loads(head.replace(str(old), data["id"]))))
    if random.random() < 0.3:
        (folder / "run" / "run.json").unlink()
    place.write_bytes(sealed(data))


def sealed(data: Any) -> bytes:
    return store.seal({key: value for key, value in data.items() if key != "checksum"})


def resealed_json(folder: Path, name: str, random: Random) -> None:
    place = folder / name
    data = json.loads(place.read_text())
    checked = data.pop("checksum", None) is not None
    data = damage.spliced(data, random)
    place.write_bytes(store.seal(data) if checked else json.dumps(data).encode())


TOML = [
    *("1", "-1", "0", "true", "1.5", "nan", "inf", '""', '"x"', "[]", "{}", "[1]", '["x"]', "[[[]]]", "1979-05-27"),
    *(f'"{damage.CANARY}:Thing"', '"../../x"', f"{2**63 - 1}", '"exact["', '"exact[a=0,1,2]"', '["\\u001b[2J"]'),
    *(
        f'["exact[{",".join(f"o{i}=0,1" for i in range(40))}]"]',
        f'"{"9" * 5_000}"',
        "[0, 0]",
        '[["exact"]]',
        "1_000_000",
    ),
]


def resealed_suite(folder: Path, name: str, random: Random) -> None:
    place = folder / name
    value = random.choice(TOML).encode()
    place.write_bytes(damage._in_place_of_a_value(place.read_bytes(), random, value))


CELLS = [b"", b"x", b"nan", b"inf", b"-inf", b"1e999", b"1_0", b"0x1", b'"', b"1,2", b"\x00", "٣".encode()]


def resealed_rows(folder: Path, name: str, random: Random) -> None:
    place = folder / name
    if place.suffix == ".csv":
        lines = place.read_bytes().split(b"\n")
        at = random.randrange(len(lines))
        cells = lines[at].split(b",")
        cells[random.randrange(len(cells))] = random.choice(CELLS)
        lines[at] = b",".join(cells)
        place.write_bytes(b"\n".join(lines))
        return
    place.write_bytes(array(random))


def array(random: Random) -> bytes:
    """Some array that is no table of numbers, or an odd one."""
    stream = io.BytesIO()
    kinds: list[Callable[[], Any]] = [
        lambda: np.zeros((0, 2)),
        lambda: np.zeros(()),
        lambda: np.zeros((3, 2), complex),
        lambda: np.array(["a", "b"]),
        lambda: np.array([object()], dtype=object),
        lambda: np.zeros(3, [("a", "f8"), ("b", "i4")]),
        lambda: np.zeros((3, 2), ">f4"),
        lambda: np.full((3, 2), np.nan),
        lambda: np.zeros((2, 2, 2, 2), "u1"),
        lambda: np.zeros(3, "M8[s]"),
        lambda: np.zeros((3, 2), "f2", order="F"),
        lambda: np.zeros(3, "u8") + np.uint64(2**64 - 1),
    ]
    np.save(stream, random.choice(kinds)(), allow_pickle=True)
    return stream.getvalue()


def resealed_log(folder: Path, name: str, random: Random) -> None:
    with zipfile.ZipFile(folder / name) as file:
        members = {one: file.read(one) for one in file.namelist()}
    one = random.choice(list(members))
    way = random.randrange(3)
    if way == 0:
        members[one] = array(random)
    elif way == 1:
        members[random.choice(("../x.npy", "x.npy", "/etc/x.npy", "reward.txt", "b\x00.npy"))] = members.pop(one)
    else:
        members[one] = random.choice(damage.RAW)(members[one], random)
    with zipfile.ZipFile(folder / name, "w", random.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as file:
        for member, content in members.items():
            file.writestr(member, content)


@dataclass(frozen=True)
class Subject:
    """Files of one kind.

    Args:
        targets: patterns of the files that are damaged.
        open: reads them.
        reseal: damages one so that no seal tells.
        sealed: whether there is a seal.
        swaps: whether another file of the folder may stand in the place of one.
        commands: of the command line, that read them; ``{}`` is the folder.
    """

    targets: tuple[str, ...]
    open: Callable[[Path], Opened]
    reseal: Callable[[Path, str, Random], None]
    sealed: bool = True
    swaps: bool = True
    commands: tuple[str, ...] = ()


SUBJECTS = {
    "sampler": Subject(
        ("model/*",),
        open_model,
        lambda f, n, r: resealed_model(f, "model", r),
        commands=("sample {}/model -n 3 -o {}/x.npy",),
    ),
    "return model": Subject(("laws/*",), open_laws, lambda f, n, r: resealed_model(f, "laws", r)),
    "agent": Subject(
        ("agent/*",),
        open_agent,
        lambda f, n, r: resealed_model(f, "agent", r),
        commands=("rl play {}/agent --episodes 1", "rl watch {}/agent -o {}/x.svg"),
    ),
    "training state": Subject(("training/*",), open_training, resealed_training, swaps=False),
    "record": Subject(
        ("run/records/*.json",),
        open_run,
        resealed_record,
        commands=("bench report {}/run --markdown", "bench compare {}/run {}/other", "bench export {}/run --csv"),
    ),
    "run.json": Subject(
        ("run/run.json",), open_run, resealed_json, commands=("bench report {}/run --markdown", "bench status {}/run")
    ),
    "arrays and floors": Subject(("run/arrays/*", "run/floors/*.json"), open_run, lambda f, n, r: None),
    "merged folder": Subject(
        ("run/records/*.json", "run/run.json"),
        open_merged,
        lambda f, n, r: (resealed_record if "records" in n else resealed_json)(f, n, r),
        commands=("bench merge {}/run {}/other -o {}/new --no-report",),
    ),
    "lock": Subject(("run/run.lock",), open_lock, resealed_json, sealed=False),
    "suite": Subject(("given.toml",), open_suite, resealed_suite, False, True, ("bench run {}/given.toml --dry-run",)),
    "rows": Subject(
        ("rows.csv", "rows.npy"),
        open_rows,
        resealed_rows,
        sealed=False,
        commands=("fit edm --data {}/rows.csv --set steps=1 --set width=8 -o {}/fitted",),
    ),
    "log of transitions": Subject(
        ("log.npz",), open_log, resealed_log, False, True, ("rl evaluate --data {}/log.npz --policy {}/agent",)
    ),
}


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One whole file of each kind."""
    folder = tmp_path_factory.mktemp("pristine")
    SMALL.fit(make("task", "moons")).save(folder / "model")
    make("return_model", "law-solve", atoms=11).fit(make("task", "frozen-lake")).save(folder / "laws")
    small = {"steps": 60, "learning_starts": 20, "evaluate_every": 60, "episodes": 1}
    model = make("return_model", "bellman", width=8, depth=1, atoms=11)
    model.train("CartPole-v1", seed=0, **small).save(folder / "agent")
    progress = {"step": 5, "history": [{"step": 0, "loss": 1.0}], "best": None}
    training(folder).save(WEIGHTS, progress)
    suite = {
        "name": "small",
        "tasks": ["moons"],
        "samplers": ["exact"],
        "metrics": ["energy-distance"],
        "eval_size": 20,
    }
    for name, seeds in (("run", [0, 1]), ("other", [1, 2])):
        settings: dict[str, Any] = {"executor": "inline", "device": "cpu", "progress": False}
        api.run({**suite, "seeds": seeds}, out=folder / name, **settings)
    lock = {"host": "elsewhere", "process": 1, "since": "then", "born": 0.0}
    (folder / "run" / "run.lock").write_text(json.dumps(lock))
    (folder / "given.toml").write_text(SUITE)
    rows = np.random.default_rng(0).normal(size=(12, 2))
    (folder / "rows.csv").write_text("a,b\n" + "\n".join(f"{x},{y}" for x, y in rows))
    np.save(folder / "rows.npy", rows)
    ends = np.arange(12) % 4 == 3
    np.savez_compressed(
        folder / "log.npz", observation=rows, reward=rows[:, 0], terminal=ends, action=np.arange(12) % 2
    )
    return folder


SUITE = """name = "given"
summary = "a suite"
tasks = ["moons"]
samplers = ["exact", "mala[steps=3]"]
seeds = [0, 1]
metrics = ["energy-distance"]
eval_size = 20
[budget]
seconds = 30
memory_mib = 2000
[[overrides]]
sampler = "mala"
options = { steps = 4 }
[[published]]
task = "moons"
sampler = "exact"
metric = "energy-distance"
value = 0.5
source = "a table"
tolerance = 0.25
[[claims]]
task = "moons"
metric = "energy-distance"
better = "exact"
worse = "mala[steps=3]"
source = "a text"
"""


@pytest.fixture
def canary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A module that can be imported from here, and must not be."""
    (tmp_path / f"{damage.CANARY}.py").write_text("class Thing: ...\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield
    assert damage.CANARY not in sys.modules


def damaged(pristine: Path, folder: Path, subject: Subject, number: int, seed: str) -> tuple[str, str]:
    """A copy with one file damaged: which one, and how."""
    random = Random(seed)
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(pristine, folder)
    files = sorted(path for pattern in subject.targets for path in folder.glob(pattern))
    file = random.choice(files)
    name = file.relative_to(folder).as_posix()
    if number % 2:
        subject.reseal(folder, name, random)
        return name, "resealed"
    if subject.swaps and number % 12 == 6:
        others = [path for path in folder.rglob("*") if path.is_file() and path != file]
        file.write_bytes(random.choice(sorted(others)).read_bytes())
        return name, "swapped"
    how = damage.RAW[(number // 2) % len(damage.RAW)]
    file.write_bytes(how(file.read_bytes(), random))
    return name, how.__name__


def check_damaged(pristine: Path, tmp_path: Path, kind: str, numbers: range, count: Callable[..., None]) -> None:
    subject, folder = SUBJECTS[kind], tmp_path / "copy"
    shutil.copytree(pristine, folder)
    whole = "in use" if kind == "lock" else subject.open(folder)[0]
    problems = []
    for number in numbers:
        name, how = damaged(pristine, folder, subject, number, f"{kind} {number}")
        try:
            with bounded():
                said, complained = subject.open(folder)
        except (PhysError, Failure) as error:
            words, outcome = str(error), "refused"
            named = Path(name).parts[0].split(".")[0] in words
            problem = "" if named and len(words) < 3_000 and "Traceback" not in words else f"it says {words}"
        except Exception as error:
            last = traceback.extract_tb(error.__traceback__)[-1]
            problem, outcome = f"{type(error).__name__} at {last.filename}:{last.lineno}: {error}", "fault"
        else:
            free = how == "resealed" or not subject.sealed
            outcome = "opened" if free else "named" if complained else "as it was"
            problem = "" if free else difference(kind, whole, said, complained)
        problems += [f"{kind} {number}: {how} {name}: {problem}"] if problem else []
        count(f"damaged: {outcome} ({how if how in ('resealed', 'swapped') else 'bytes'})")
    assert problems == [], "\n".join(problems)


def difference(kind: str, whole: Any, said: Any, complained: bool) -> str:
    """Whatever is still said must be what was said, and what is not must be missed aloud."""
    if said == whole:
        return ""
    if kind not in RUNS:
        return f"it says {said}"
    first, now = (whole, said) if kind == "merged folder" else (whole[0], said[0])
    return "" if complained and now.items() <= first.items() else f"it says {now}"


RUNS = ("record", "run.json", "arrays and floors", "merged folder")


@pytest.mark.usefixtures("canary")
@pytest.mark.parametrize("kind", SUBJECTS)
def test_damaged_files(pristine: Path, tmp_path: Path, kind: str, count: Callable[..., None]) -> None:
    check_damaged(pristine, tmp_path, kind, range(SHORT), count)


@pytest.mark.slow
@pytest.mark.usefixtures("canary")
@pytest.mark.parametrize("kind", SUBJECTS)
def test_many_damaged_files(pristine: Path, tmp_path: Path, kind: str, count: Callable[..., None]) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    check_damaged(pristine, tmp_path, kind, range(SHORT, SHORT + LONG), count)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2**20, "a damaged file took a gigabyte"


def check_commands(pristine: Path, tmp_path: Path, kind: str, numbers: range, count: Callable[..., None]) -> None:
    subject, folder = SUBJECTS[kind], tmp_path / "copy"
    problems = []
    for number in numbers:
        name, how = damaged(pristine, folder, subject, number, f"{kind} {number}")
        words = subject.commands[number // 2 % len(subject.commands)].replace("{}", str(folder)).split()
        with bounded():
            result = CliRunner().invoke(program, words, prog_name="phys-samplers")
        said = result.stderr.rstrip().splitlines() or [""]
        defect = result.exception is not None and not isinstance(result.exception, SystemExit)
        if (
            defect
            or "Traceback" in result.output
            or (result.exit_code and not any(line.lower().startswith("error: ") for line in said))
        ):
            problems.append(f"{' '.join(words[:2])}, {kind} {number}: {how} {name}: {result.exception!r}: {said[-1]}")
        count(f"damaged, by a command: exit code {result.exit_code}")
    assert problems == [], "\n".join(problems)


WITH_COMMANDS = [kind for kind, subject in SUBJECTS.items() if subject.commands]


@pytest.mark.usefixtures("canary")
@pytest.mark.parametrize("kind", WITH_COMMANDS)
def test_commands_on_damaged_files(pristine: Path, tmp_path: Path, kind: str, count: Callable[..., None]) -> None:
    check_commands(pristine, tmp_path, kind, range(1_000, 1_002), count)


@pytest.mark.slow
@pytest.mark.usefixtures("canary")
@pytest.mark.parametrize("kind", WITH_COMMANDS)
def test_commands_on_many_damaged_files(pristine: Path, tmp_path: Path, kind: str, count: Callable[..., None]) -> None:
    check_commands(pristine, tmp_path, kind, range(1_002, 1_030), count)


def test_merging_copies_nothing_through_a_link_and_says_what_was_missing(pristine: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(pristine, folder)
    secret = tmp_path / "secret"
    secret.write_text("mine")
    linked, gone = sorted((folder / "run" / "arrays").iterdir())
    linked.unlink()
    linked.symlink_to(secret)
    gone.unlink()
    merged = api.merge(folder / "run", out=tmp_path / "merged")
    assert list((tmp_path / "merged" / "arrays").iterdir()) == []
    assert sum("is damaged" in note and "arrays" in note for note in merged.notes) >= 2
