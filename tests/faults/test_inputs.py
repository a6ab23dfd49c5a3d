"""Bad inputs: each gives an error of the project that names the value and what was expected, and no traceback.

Where Python's own rules of a call are broken, its own TypeError does.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from click.testing import CliRunner

from phys_bench import api
from phys_registry import PhysError, parse_spec
from phys_samplers import Density, load, make
from phys_samplers.cli import program
from phys_samplers.rl.log_files import read_log
from phys_samplers.samples import Samples
from phys_samplers.training.logs import JsonLines

NAN, INF = float("nan"), float("inf")
Case = tuple[str, Callable[[Any], object], str]
"""What is wrong, the call, and what the message says."""


@pytest.fixture(scope="module")
def have(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What calls need."""
    recipe = make("sampler", "edm", steps=2, width=8, depth=1, batch_size=16)
    moons = make("task", "moons")
    model = recipe.fit(moons)
    folder = tmp_path_factory.mktemp("have")
    return SimpleNamespace(recipe=recipe, moons=moons, model=model, saved=model.save(folder / "model"), folder=folder)


def option(kind: str, name: str, **options: Any) -> Callable[[Any], object]:
    return lambda have: make(kind, name, **options)


def suite(**changes: Any) -> Callable[[Any], object]:
    data = {"name": "a", "tasks": ["moons"], "samplers": ["exact"], **changes}
    return lambda have: api.run(data, out=have.folder / "never")


SMALL = {"name": "a", "tasks": ["moons"], "samplers": ["exact"], "seeds": 1, "metrics": ["mean-error"]}


def text(spec: Any) -> Callable[[Any], object]:
    return lambda have: parse_spec(spec)


def density(function: Any) -> Callable[[Any], object]:
    def call(have: Any) -> object:
        recipe = make("sampler", "mala", warmup_steps=2, sampling_steps=4)
        return recipe.fit(Density(function, event_shape=(2,))).sample(4)

    return call


NAMES: list[Case] = [
    ("misspelt sampler", option("sampler", "belman"), "'belman'. Did you mean 'bellman'"),
    ("misspelt kind", option("samplr", "bellman"), "unknown kind 'samplr'. Did you mean 'sampler'"),
    ("number as kind", option(3, "bellman"), "unknown kind 3"),  # type: ignore[arg-type]
    ("no name", option("sampler", None), "no sampler None"),  # type: ignore[arg-type]
    ("module as name", option("sampler", "os:system"), "no sampler 'os:system'"),
    ("path as name", option("task", "../../etc/passwd"), "no task '../../etc/passwd'"),
    ("misspelt metric", option("metric", "w3"), "no metric 'w3'"),
    ("misspelt schedule", option("schedule", "edmm"), "no schedule 'edmm'. Did you mean 'edm'"),
    ("misspelt field", option("field", "mpl"), "no field 'mpl'. Did you mean 'mlp'"),
    ("misspelt integrator", option("integrator", "hen"), "'hen'. Did you mean 'heun'"),
    ("misspelt kernel", option("kernel", "gausian"), "'gausian'. Did you mean 'gaussian'"),
    ("misspelt option", option("sampler", "edm", widht=8), "no option 'widht'. Did you mean 'width'"),
    ("misspelt preset", option("sampler", "edm", preset="paperr"), "no preset 'paperr'. Did you mean 'paper'"),
    ("option of another task", option("task", "moons", n=3), "no option 'n'"),
]

OPTIONS: list[Case] = [
    *(
        (f"steps={value!r:.20}", option("sampler", "edm", steps=value), words)
        for value, words in [
            ("many", "steps='many' (str); expected int"),
            (-1, "steps is -1; expected an integer of at least 1"),
            (0, "steps is 0; expected an integer of at least 1"),
            (1.5, "steps=1.5 (float); expected int"),
            (NAN, "steps=nan (float); expected int"),
            (None, "steps=None (NoneType); expected int"),
            ([3], "steps=[3] (list); expected int"),
            ({}, "steps={} (dict); expected int"),
            ("9" * 9_000, "..."),
        ]
    ),
    *(
        (f"learning_rate={value!r}", option("sampler", "edm", learning_rate=value), "learning_rate")
        for value in (-1.0, 0.0, NAN, INF, "fast", None, (0.1,), torch.tensor([0.1, 0.2]))
    ),
    *(
        (f"{name}={value!r}", option("sampler", "edm", **{name: value}), name)
        for name, values in {
            "batch_size": (0, 1, -5, "all", 2.5),
            "width": (0, -1, "wide", 1.5),
            "depth": (-2, "deep"),
            "standardise": ("yes", 1, None),
            "ema_decay": (-0.1, 1.5, NAN, "slow"),
            "sampling_steps": (0, -3, "few", NAN),
            "integrator": (3, "heunn", ["heun"]),
            "schedule": (3, "edmm"),
        }.items()
        for value in values
    ),
    *((f"dim={value!r}", option("task", "normal", dim=value), "dim") for value in (0, -1, "two", 1.5, None, NAN)),
    (
        "projections=0",
        option("metric", "sliced-w2", projections=0),
        "projections is 0; expected an integer of at least",
    ),
    (
        "a kernel as integrator",
        lambda have: make("sampler", "edm", integrator=make("kernel", "gaussian")),
        "integrator is",
    ),
    ("hmc steps", option("sampler", "hmc", sampling_steps=-1), "sampling_steps is -1"),
    ("smc particles", option("sampler", "smc", prior_std=-1.0), "prior_std is -1.0"),
    ("vgs option", option("sampler", "vgs", steps=-1), "steps is -1"),
    ("return model atoms", option("return_model", "c51", atoms=1), "atoms"),
]

TEXTS: list[Case] = [
    ("empty", text(""), "expected a name"),
    ("open", text("a[b=1"), "this '[' is not closed"),
    ("closed twice", text("a[b=1]]"), "expected the end"),
    ("no key", text("a[=1]"), "expected key=value"),
    ("no value", text("a[b=]"), "expected a value"),
    ("key twice", text("a[b=1,b=2]"), "'b' is given twice"),
    ("capital", text("A b"), "expected a name"),
    ("module", text("os:system"), "expected '[' or the end"),
    ("quotation mark", text("a[b='x]"), "this quotation mark is not closed"),
    ("half of a surrogate pair", text('a[b="\\ud800"]'), "half of a surrogate pair"),
    ("escape", text('a[b="\\x"]'), "not a JSON string"),
    ("null character", text("a\0"), "expected '[' or the end"),
    ("2^40", text(f"a[{','.join(f'o{i}=0,1' for i in range(40))}]"), "stands for 1,099,511,627,776 components"),
    ("deep", text("a[b=" + "[" * 100_000), "more than 20 lists"),
    ("digits", text("a[b=" + "9" * 5_000 + "]"), "an integer of 5,000 digits"),
    ("preset as number", text("a[preset=3]"), "a preset is a name"),
    ("inner values", text("a[b=c[d=1,2]]"), "has several values"),
]

DATA: list[Case] = [
    ("no rows", lambda have: Samples(torch.zeros(0, 2)), "shape (0, 2); expected at least 4 rows"),
    ("scalar", lambda have: Samples(torch.zeros(())), "shape ()"),
    ("not finite", lambda have: Samples(torch.full((4, 2), NAN)), "hold NaN or infinite values"),
    ("complex", lambda have: Samples(torch.zeros(4, 2, dtype=torch.complex64)), "complex64"),
    ("integers", lambda have: Samples(torch.zeros(4, 2, dtype=torch.long)), "int64"),
    ("a path", lambda have: Samples("rows.csv"), "rows.csv does not exist"),  # type: ignore[arg-type]
    ("nothing", lambda have: Samples(None), "rows are NoneType; expected a tensor"),  # type: ignore[arg-type]
    ("share", lambda have: Samples(torch.zeros(9, 2), validation_fraction=1.5), "validation_fraction is 1.5"),
    *(
        (
            f"event_shape={shape!r}",
            lambda have, shape=shape: Density(lambda x: x.sum(-1), event_shape=shape),
            "event_shape is",
        )
        for shape in ((-2,), (0,), "2", (2.5,), (), 2, (True,))
    ),
    ("no function", lambda have: Density(None, event_shape=(2,)), "log_prob is None; expected a function"),  # type: ignore[arg-type]
    ("number", lambda have: Density(3, event_shape=(2,)), "log_prob is 3; expected a function"),  # type: ignore[arg-type]
    ("no shape", lambda have: Density(lambda x: x.sum(-1)), "event_shape is missing"),
    ("a vector", density(lambda x: x), "shape"),
    ("nan everywhere", density(lambda x: x.sum(-1) * NAN), "is nan at all of 4 points"),
    ("integers from a density", density(lambda x: torch.zeros(len(x), dtype=torch.long)), "has no gradient"),
    ("text from a density", density(lambda x: "0"), "str"),
    ("a density that raises", density(lambda x: 1 / 0), "ZeroDivisionError"),
]

CALLS: list[Case] = [
    *(
        (f"fit({value!r:.20})", lambda have, value=value: have.recipe.fit(value), "as its target; expected a task")
        for value in (None, "moons", torch.zeros(9, 2), 3, [[1.0, 2.0]])
    ),
    *(
        (f"fit(seed={value!r})", lambda have, value=value: have.recipe.fit(have.moons, seed=value), "seed is")
        for value in (-1, "0", 0.5, None, True)
    ),
    *(
        (f"fit(device={value!r})", lambda have, value=value: have.recipe.fit(have.moons, device=value), "device is")
        for value in ("banana", 1.5, None, "cpu:7x", "cuda:99")
    ),
    *(
        (f"{name}={value!r}", lambda have, one={name: value}: have.recipe.with_options(**one).fit(have.moons), name)
        for name, value in (("loss", "l2"), ("loss", 5), ("field", "transformer"), ("field", 5))
    ),
    ("fit of a density", lambda have: have.recipe.fit(Density(lambda x: x.sum(-1), event_shape=(2,))), "needs samples"),
    ("fit(callbacks=[3])", lambda have: have.recipe.fit(have.moons, callbacks=[3]), "callbacks"),
    ("no seeds", lambda have: have.recipe.fit_replicas(have.moons, seeds=[]), "seeds is empty"),
    *(
        (f"sample({value!r})", lambda have, value=value: have.model.sample(value), "n is")
        for value in (0, -3, 2.5, "10", None, True, 2**62)
    ),
    *(
        (f"sample(seed={value!r})", lambda have, value=value: have.model.sample(3, seed=value), "seed is")
        for value in (-1, "a", 1.5, None)
    ),
    ("misspelt draw option", lambda have: have.model.sample(3, sampling_stepps=3), "no option 'sampling_stepps'"),
    ("fit option at a draw", lambda have: have.model.sample(3, steps=3), "cannot change after fitting"),
    ("sampling_steps=0", lambda have: have.model.sample(3, sampling_steps=0), "sampling_steps is 0"),
    ("start of another shape", lambda have: have.model.sample(3, start=torch.zeros(3, 5)), "start has shape (3, 5)"),
    ("start not finite", lambda have: have.model.sample(3, start=torch.full((3, 2), NAN)), "expected finite"),
    ("start as a list", lambda have: have.model.sample(3, start=[1, 2]), "start is [1, 2]; expected a tensor"),
    ("load of nothing", lambda have: load(have.folder / "absent"), "absent/model.json does not exist"),
    ("load of a file", lambda have: load("/etc/passwd"), "does not exist; expected a folder"),
    ("load with a null character", lambda have: load("a\0b"), "null character"),
    ("load of a long name", lambda have: load("x" * 5_000), "cannot be read (File name too long)"),
    ("load of None", lambda have: load(None), "the folder of a checkpoint is None; expected a path"),  # type: ignore[arg-type]
    ("load of a number", lambda have: load(3), "is 3; expected a path"),  # type: ignore[arg-type]
    ("save to None", lambda have: have.model.save(None), "the folder of a checkpoint is None; expected a path"),
    ("log to None", lambda have: JsonLines(None), "the log's file is None; expected a path"),  # type: ignore[arg-type]
    ("log of episodes", lambda have: read_log(2.5), "the file of a log is 2.5; expected a path"),  # type: ignore[arg-type]
    ("load to a device", lambda have: load(have.saved, device="banana"), "device is 'banana'"),
    ("save to a file", lambda have: have.model.save("/etc/passwd"), "is a file; expected a folder"),
    ("save with a null character", lambda have: have.model.save("a\0b"), "null character"),
    ("with_options", lambda have: have.recipe.with_options(widht=3), "no option 'widht'"),
]

BENCH: list[Case] = [
    ("misspelt suite", lambda have: api.run("quik"), "no suite 'quik'. Did you mean 'quick'"),
    ("no suite", lambda have: api.run(None), "suite is None; expected a name"),  # type: ignore[arg-type]
    ("number as suite", lambda have: api.run(5), "suite is 5; expected a name"),  # type: ignore[arg-type]
    ("null character in suite", lambda have: api.run("a\0"), "null character"),
    ("empty suite", lambda have: api.run({}), "the key 'name' is missing"),
    ("key", suite(sampler=["exact"]), "no key 'sampler'. Did you mean 'samplers'"),
    ("no tasks", suite(tasks=[]), "tasks is []"),
    ("text as tasks", suite(tasks="moons"), "tasks is 'moons'; expected a list"),
    ("numbers as tasks", suite(tasks=[1]), "tasks is [1]"),
    ("name", suite(name="../a"), "name is '../a'"),
    ("number as name", suite(name=7), "name is 7"),
    ("misspelt task", suite(tasks=["moonz"]), "'moonz'. Did you mean 'moons'"),
    ("misspelt sampler", suite(samplers=["exakt"]), "'exakt'. Did you mean 'exact'"),
    ("text of a sampler", suite(samplers=["exact["]), "samplers: cannot read the component text"),
    ("option of a sampler", suite(samplers=["edm[stepz=3]"]), "no option 'stepz'"),
    ("misspelt metric", suite(metrics=["w3"]), "no metric 'w3'"),
    ("metrics as text", suite(metrics="w2"), "metrics is 'w2'"),
    *(
        (f"seeds={value!r:.20}", suite(seeds=value), "seeds is")
        for value in (-1, 0, [1, 1], [2**63], 10**9, 10**600, "3", [-1], [True], 1.5, [], {})
    ),
    *((f"eval_size={value!r}", suite(eval_size=value), "eval_size is") for value in (1, -1, "all", 2.5, True)),
    *(
        (f"budget={value!r}", suite(budget=value), "budget")
        for value in (
            {"seconds": -1},
            {"seconds": NAN},
            {"second": 1},
            {"seconds": "1"},
            {"memory_mib": 0},
            3,
            [1],
            False,
        )
    ),
    *(
        (f"overrides={value!r}", suite(overrides=value), "overrides")
        for value in (3, [3], [{"tasks": "x"}], [{"sampler": 3}], [{"options": [1]}], [{"skip": 1}])
    ),
    ("wide option", suite(overrides=[{"options": {"steps": 2**64}}]), "expected an integer of at most 64 bits"),
    ("option that is no value", suite(overrides=[{"options": {"steps": object()}}]), "overrides[0].options.steps is"),
    ("published", suite(published=[{"task": "moons"}]), "'sampler' is missing"),
    ("executor", lambda have: api.run(SMALL, executor="threads"), "executor is 'threads'"),
    ("workers", lambda have: api.run(SMALL, workers=0), "workers is 0"),
    ("workers as text", lambda have: api.run(SMALL, workers="two"), "workers is 'two'"),  # type: ignore[arg-type]
    ("device", lambda have: api.run(SMALL, device="banana"), "device is 'banana'"),
    ("out is a file", lambda have: api.run(SMALL, out="/etc/passwd"), "/etc/passwd is a file"),
    ("no run", lambda have: api.load(have.folder / "absent"), "is not a run folder"),
    ("file as run", lambda have: api.load("/etc/passwd"), "is a file"),
    ("nothing to merge", lambda have: api.merge(), "there is nothing to merge"),
    ("on_conflict", lambda have: api.merge(api.Results(), on_conflict="mine"), "on_conflict is 'mine'"),
    ("None as run", lambda have: api.load(None), "the folder of a run is None; expected a path"),  # type: ignore[arg-type]
    ("number as out", lambda have: api.run(SMALL, out=3), "the folder of a run is 3; expected a path"),  # type: ignore[arg-type]
    ("metric of a comparison", lambda have: api.compare(api.Results(), api.Results(), "nope"), "metric 'nope'"),
    ("metric of a table", lambda have: api.Results().table("nope"), "no metric 'nope'"),
    ("format of a table", lambda have: api.Results().table(fmt="latex"), "fmt is 'latex'"),  # type: ignore[arg-type]
]

TABLES = {"names": NAMES, "options": OPTIONS, "texts": TEXTS, "data": DATA, "calls": CALLS, "bench": BENCH}


@pytest.mark.parametrize("which", TABLES)
def test_calls_name_what_is_wrong(which: str, have: Any, count: Callable[..., None]) -> None:
    problems = []
    for what, call, words in TABLES[which]:
        try:
            problems.append(f"{what}: accepted, {str(call(have))[:100]}")
        except PhysError as error:
            said = str(error)
            if words not in said or len(said) > 6_000:
                problems.append(f"{what}: {type(error).__name__}: {said[:300]}")
        except Exception as error:
            problems.append(f"{what}: raw {type(error).__name__}: {str(error)[:200]}")
        count("bad inputs: calls")
    assert problems == [], "\n".join(problems)


def test_rules_of_calls_are_pythons() -> None:
    with pytest.raises(TypeError):
        make("sampler")  # type: ignore[call-arg]


COMMANDS = [
    ("lst", "no command 'lst'"),
    ("list samplrs", "samplrs"),
    ("show sampler belman", "'bellman'"),
    ("show samplr bellman", "samplr"),
    ("show sampler 'bellman['", "cannot read the component text"),
    ("show sampler edm,mala", "cannot read the component text"),
    ("cite nobody", "no component 'nobody'"),
    ("cite", "give component names, or --all"),
    ("fit edm -o x", "give either --task TASK or --data FILE"),
    ("fit edm --task moons --data rows.csv -o x", "rows.csv"),
    ("fit edm --task moonz -o x", "'moons'"),
    ("fit edmm --task moons -o x", "'edmm'"),
    ("fit edm --task moons --set steps=many -o x", "steps='many' (str); expected int"),
    ("fit edm --task moons --set steps -o x", "is not key=value"),
    ("fit edm --task moons --set steps=1 --set steps=2 -o x", "is given twice"),
    ("fit edm --task moons --set steps=1,2 -o x", "gives several values"),
    ("fit edm --task moons --set 'steps=[' -o x", "is not key=value"),
    ("fit edm --task moons --seed -1 -o x", "-1"),
    ("fit edm --task moons --seed x -o x", "x"),
    ("fit edm --task moons --device banana -o x", "banana"),
    ("fit edm --task 'normal[dim=0]' -o x", "dim is 0"),
    ("fit edm --task moons -o rows.txt", "is a file; expected a folder"),
    ("fit edm --task moons -o .", "holds other files"),
    ("fit exact --task moons -o x --checkpoint state", "--checkpoint is given"),
    ("fit edm --data absent.csv -o x", "absent.csv"),
    ("fit edm --data rows.txt -o x", "convert it"),
    ("fit edm --data words.csv -o x", "is not a number"),
    ("fit edm --data empty.csv -o x", "no rows of numbers"),
    ("fit edm --data ragged.csv -o x", "is not a number"),
    ("fit edm --data semicolons.csv -o x", "separate the columns by commas"),
    (
        "fit edm --data two.csv -o x",
        "the rows of two.csv have dtype torch.float32 and shape (2, 2); expected",
    ),
    ("fit edm --data no.npy -o x", "is not a plain .npy array"),
    ("sample absent -n 3 -o x.npy", "absent"),
    ("sample . -n 3 -o x.npy", "model.json does not exist"),
    ("sample MODEL -n 0 -o x.npy", "0"),
    ("sample MODEL -n ten -o x.npy", "'ten' is not a whole number; expected digits alone"),
    ("sample MODEL -n 1e3 -o x.npy", "'1e3' is not a whole number; expected digits alone"),
    ("sample MODEL -n 3 -o x.png", "suffix '.png'"),
    ("sample MODEL -n 3 -o absent/x.npy", "folder that does not exist"),
    ("sample MODEL -n 3 -o x.npy --set steps=3", "cannot change after fitting"),
    ("sample MODEL -n 3 -o x.npy --set stepz=3", "no option 'stepz'"),
    ("sample MODEL -n 3 -o x.npy --task gmm9", "was fitted to 'moons'"),
    ("sample MODEL -n 4611686018427387904 -o x.npy", "numbers in all"),
    ("bench run quik", "no suite 'quik'"),
    ("bench run absent.toml", "no suite 'absent.toml'"),
    ("bench run words.toml", "words.toml is not TOML"),
    ("bench run quick --seeds x", "neither a number of seeds"),
    ("bench run quick --seeds 0", "seeds is 0"),
    ("bench run quick --seeds 999999999", "at most 100,000 seeds"),
    (f"bench run quick --seeds {'9' * 5000}", "999... has 5,000 digits"),
    (f"judge gmm9 -n {'9' * 5000}", "999... is not a whole number"),
    ("bench run quick --workers 0", "0"),
    ("bench run quick --executor threads", "threads"),
    ("bench run quick --tasks moonz --dry-run", "'moons'"),
    ("bench run quick --samplers 'exact[' --dry-run", "cannot read the component text"),
    ("bench run quick --samplers exact --tasks moons --metric nope", "--metric is 'nope'"),
    ("bench run quick --out rows.txt", "is a file"),
    ("bench report absent", "absent"),
    ("bench report .", "is not a run folder"),
    ("bench status", "there is no run in runs"),
    ("bench status rows.txt", "rows.txt"),
    ("bench compare . .", "is not a run folder"),
    ("bench merge . -o x", "is not a run folder"),
    ("bench merge . . -o x --on-conflict mine", "mine"),
    ("bench export . --parquet", "not a run folder"),
    ("judge moonz", "'moons'"),
    ("judge absent.py:f", "is not a file"),
    ("judge rows.txt:f", "cannot read the component text"),
    ("judge moons -n 3", "3"),
    ("judge moons --scale -1", "-1"),
    ("judge moons -o x.png", "suffix '.png'"),
    ("rl train Nowhere-v0 -o x", "Nowhere"),
    ("rl train CartPole-v1 --model c52 -o x", "'c51'"),
    ("rl train CartPole-v1 --set stepz=3 -o x", "stepz"),
    ("rl train CartPole-v1 --set steps=many -o x", "steps"),
    ("rl train CartPole-v1 --seeds 0 -o x", "0"),
    ("rl play .", "model.json does not exist"),
    ("rl play MODEL", "not an agent"),
    ("rl watch MODEL -o x.gif", "not an agent"),
    ("rl evaluate --data absent.npz", "absent.npz"),
    ("rl evaluate --data rows.txt", "cannot be read as .npz"),
    ("rl evaluate --data rows.txt --gamma x", "--gamma is 'x'"),
    ("rl evaluate --data rows.txt --policy .", "model.json does not exist"),
    ("check nobody", "'nobody'"),
    ("new-plugin 'no name'", "no name"),
    ("--plugin absent.py list", "absent.py"),
    ("--plugin rows.txt list", "rows.txt"),
    ("completion csh", "csh"),
    ("--nope", "--nope"),
]
FILES = {
    "rows.txt": "1,2\n3,4\n",
    "words.csv": "a,b\n1,x\n",
    "empty.csv": "",
    "semicolons.csv": "a;b\n1;2\n3;4\n",
    "two.csv": "1,2\n3,4\n",
    "ragged.csv": "1,2\n3\n",
    "no.npy": "1,2\n",
    "words.toml": "name = \n",
}


def test_commands_name_what_is_wrong(
    have: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: Callable[..., None]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, content in FILES.items():
        (tmp_path / name).write_text(content)
    problems = []
    for line, words in COMMANDS:
        result = CliRunner().invoke(
            program, shlex.split(line.replace("MODEL", str(have.saved))), prog_name="phys-samplers"
        )
        said = result.stderr.rstrip().splitlines() or [""]
        raw = result.exception is not None and not isinstance(result.exception, SystemExit)
        if raw or result.exit_code == 0 or "Traceback" in result.output or words not in result.stderr:
            problems.append(f"{line}: {result.exit_code}, {result.exception!r:.200}: {result.output[-300:]}")
        elif not any(one.lower().startswith("error: ") for one in said):
            problems.append(f"{line}: no line of error: {result.stderr[-300:]}")
        left = sorted(path.name for path in tmp_path.iterdir() if path.name not in FILES)
        if left:
            problems.append(f"{line}: left {left}")
        count("bad inputs: commands")
    assert problems == [], "\n".join(problems)
