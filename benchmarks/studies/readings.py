r"""How much of the paper's Bellman Diffusion is its recipe, and how much is what the recipe leaves open?

Li et al. 2024 (arXiv:2410.01796) state perceptrons, Adam, ε between .1 and 1, T = 300 and η = .1, and no more. Here
what is open is drawn at random, as often for DDPM, and judged by *validation* rows:

``search``: sixteen settings of either method (the plainest and fifteen drawn ones, without repeats), one seed, short
trainings on a table and a law of the plane; W1 to validation rows over that of training rows. The *best* has the
least sum of logarithms over both, where a run that diverges counts a hundredfold.

``score``: the plainest and the best setting of either method, and the presets, on held-out rows; five seeds that were
not searched with, full length, all tables and Figs. 1 to 3; on two tables also the ε and slices of the paper's Table 2.

``exact``: nothing is learned. Exact fields of a law close to a table (the Gaussian of its covariance; its training rows
blurred by .1 and .2, a mixture of as many Gaussians) and of the mixture, run through the same Euler steps, against
exact draws. What is wrong there is the step's doing; what is wrong beside it, learning's.

``table`` prints what the records hold. One line of JSON a cell; a run that is stopped goes on.

python benchmarks/studies/readings.py search --out readings.jsonl
python benchmarks/studies/readings.py score --out readings.jsonl [--tasks abalone telemonitoring]
python benchmarks/studies/readings.py exact --out readings.jsonl
python benchmarks/studies/readings.py table --out readings.jsonl
"""

from __future__ import annotations

import argparse
import functools
import json
import math
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from tabulate import tabulate
from torch import Tensor

from phys_bellman.exact import ExactFields
from phys_bellman.fields import BellmanDynamics
from phys_bellman.kernels import GaussianKernel, Kernel, SliceAverageKernel
from phys_bench.scoring import DIVERGED, FLOOR_DRAWS, reference_rows
from phys_samplers import make
from phys_samplers.integrators.base import uniform
from phys_samplers.integrators.driver import integrate
from phys_samplers.laws import GaussianMixture
from phys_samplers.metric import Scored, floor
from phys_samplers.options import make_part
from phys_samplers.randomness import make_generator
from phys_samplers.target import Target, Task

LAWS = ("spans", "mixture-2d", "moons")
TABLES = ("abalone", "telemonitoring", "mushroom", "parkinsons", "red-wine")
SEARCHED = ("abalone", "mixture-2d")
ABLATED = ("telemonitoring", "abalone")
"""Table 2 of the paper: ε and the number of slices n."""
METHODS = {"bellman": "bellman-fields", "ddpm": "ddpm"}
WIDTHS = {"bellman": (45, 90), "ddpm": (64, 128)}
"""Of a law and of a table: as many parameters in either method, to 1.5 %."""
TRIES, SEARCH_SEED, SHORT = 16, 1_000, 600
AT_MOST = 1_000
"""Samples that are scored; half of it in the search."""
WORST = 100.0
"""Floors that a run counts which diverges."""

COMMON: dict[str, list[Any]] = {
    "learning_rate": [1e-3, 4e-3],
    "averaging": [False, True],
    "input_gain": [1.0, 3.0],
    "clip_norm": [None, 1.0],
    "batch_size": [64, 256],
}
"""Averaging is a cosine decay of the rate with an average of the weights (.995); the first value is the plainest."""
AXES: dict[str, dict[str, list[Any]]] = {
    "bellman": {
        **COMMON,
        "standardise": ["none", "coordinates", "whiten"],
        "kernel": ["sliced", "gaussian"],
        "epsilon": [0.5, 1.0, 0.1, 0.01],
        "slices": [1, 3],
        "step": [(0.1, 300), (0.02, 1_500)],
    },
    "ddpm": {
        **COMMON,
        "standardise": ["coordinates", "none", "whiten"],
        "schedule": ["linear", "cosine"],
        "sampling_steps": [1_000, 300],
        "clip": [True, False],
    },
}
Setting = dict[str, Any]


def settings(method: str) -> list[Setting]:
    """The plainest setting, then drawn ones; ε of the raw units where rows are not standardised."""
    axes, generator = AXES[method], make_generator(0, "readings", method)
    found = [{name: values[0] for name, values in axes.items()}]
    while len(found) < TRIES:
        drawn = {
            name: values[int(torch.randint(len(values), (), generator=generator))] for name, values in axes.items()
        }
        if drawn not in found:
            found.append(drawn)
    return found


def recipe(method: str, setting: Setting, task: str, **options: Any) -> Any:
    """The sampler of a setting, of the size that ``task`` has."""
    given = dict(setting)
    averaging, gain = given.pop("averaging"), given.pop("input_gain")
    given |= {"decay": "cosine", "ema_decay": 0.995} if averaging else {"decay": "constant", "ema_decay": 0.0}
    given |= {"field": {"name": "mlp", "input_gain": gain}, "width": WIDTHS[method][task in TABLES]}
    if method == "bellman":
        given["step_size"], given["sampling_steps"] = given.pop("step")
        slices, epsilon, kernel = given.pop("slices"), given.pop("epsilon"), given.pop("kernel")
        extra = {"slices": slices} if kernel == "sliced" else {"normalised": True}
        given |= {"kernel": {"name": kernel, "epsilon": epsilon, **extra}, "normalise": False}
        given["loss"] = {"name": "sliced-field-matching", "slices": slices}
    else:
        given["loss"] = "denoising[levels=schedule,stable_target=false]"
    return make("sampler", METHODS[method], **given, **options)


@functools.cache
def task_of(name: str) -> Task:
    """A task of the benchmark."""
    task: Task = make("task", name)
    return task


def w1(task: Target, samples: Tensor, reference: Tensor) -> float:
    """W1 of equally many samples and reference rows."""
    generator = make_generator(0, "w1")
    return float(make("metric", "w1")(Scored(samples=samples, reference=reference, target=task, generator=generator)))


def judged(task: Task, seed: int) -> tuple[Tensor, float]:
    """Held-out rows that samples of ``seed`` are scored against, and what training rows or exact draws score."""
    rows = reference_rows(task, task.name, min(AT_MOST, task.eval_size), seed)
    metric = make_part("metric", "w1")
    found = floor(metric, task, n=len(rows), reference=rows, repeats=FLOOR_DRAWS, seed=seed)
    assert found is not None
    return rows, statistics.fmean(found.values)


def validated(task: Task) -> tuple[Tensor, float]:
    """Validation rows, and what as many training rows score."""
    assert task.validation is not None
    assert task.train is not None
    rows = task.validation[: AT_MOST // 2]
    chosen = torch.randperm(len(task.train), generator=make_generator(0, "floor"))[: len(rows)]
    return rows, w1(task, task.train[chosen], rows)


def fit_and_score(
    sampler: Any, task: Task, seeds: Sequence[int], judge: Callable[[Task, int], tuple[Tensor, float]]
) -> list[dict[str, Any]]:
    """A record for each seed: W1 and its floor, or None where training or drawing diverged; times are of all."""
    begin = time.process_time()
    models = sampler.fit_replicas(task, seeds=list(seeds))
    records = []
    for seed, model in zip(seeds, models, strict=True):
        rows, least = judge(task, seed)
        value, reason = None, ""
        try:
            if isinstance(model, Exception):
                raise model
            value = w1(task, model.sample(len(rows), seed=seed), rows)
        except DIVERGED as failure:
            reason = type(failure).__name__
        records.append({"w1": value, "floor": least, "reason": reason})
    seconds = (time.process_time() - begin) / len(seeds)
    return [{**record, "seconds": seconds} for record in records]


class Records:
    """Lines of a file by their keys."""

    def __init__(self, path: Path) -> None:
        self.path = path
        lines = path.read_text().splitlines() if path.exists() else []
        self.found = {tuple(line["key"]): line for line in map(json.loads, lines)}

    def once(self, keys: list[tuple[Any, ...]], compute: Callable[[], list[dict[str, Any]]]) -> None:
        """Compute and write what is not there."""
        if all(key in self.found for key in keys):
            return
        for key, record in zip(keys, compute(), strict=True):
            self.found[key] = {"key": key, **record}
            with self.path.open("a") as file:
                file.write(json.dumps(self.found[key]) + "\n")
            print(*key, {k: v for k, v in record.items() if k in ("w1", "floor", "seconds")}, flush=True)

    def ratio(self, *key: Any) -> float:
        """W1 over its floor; ``WORST`` at most and where it diverged."""
        record = self.found[key]
        return WORST if record["w1"] is None else min(WORST, record["w1"] / record["floor"])

    def ranked(self, method: str) -> list[int]:
        """Settings of a method by what validation says, the best first."""
        totals = {
            index: sum(math.log(self.ratio("search", method, index, task)) for task in SEARCHED)
            for index in range(TRIES)
            if all(("search", method, index, task) in self.found for task in SEARCHED)
        }
        return sorted(totals, key=lambda index: totals[index])


def search(records: Records) -> None:
    """All settings on both."""
    for index in range(TRIES):
        for method in METHODS:
            setting = settings(method)[index]
            for name in SEARCHED:
                records.once(
                    [("search", method, index, name)],
                    lambda m=method, s=setting, t=name: [
                        {**record, "setting": s}
                        for record in fit_and_score(
                            recipe(m, s, t, steps=SHORT), task_of(t), [SEARCH_SEED], lambda task, _: validated(task)
                        )
                    ],
                )


def readings(records: Records, task: str) -> Iterator[tuple[str, Any]]:
    """What is scored on held-out rows, by name."""
    for method in METHODS:
        ranked = records.ranked(method)
        if len(ranked) < TRIES:
            raise SystemExit("the search is not finished; run it first")
        yield f"{method} plainest", recipe(method, settings(method)[0], task)
        best = settings(method)[ranked[0]]
        yield f"{method} best ({ranked[0]})", recipe(method, best, task)
        if method == "bellman" and task in ABLATED:
            for epsilon, slices in ((1.0, 1), (0.5, 1), (0.1, 1), (0.01, 1), (0.5, 3)):
                varied = {**best, "kernel": "sliced", "epsilon": epsilon, "slices": slices}
                if varied != best:
                    yield f"bellman best ({ranked[0]}), ε = {epsilon:g}, n = {slices}", recipe(method, varied, task)
    if task in LAWS:
        plain = settings("bellman")[0]
        yield (
            "bellman plainest, full kernel, ε = .1",
            recipe("bellman", {**plain, "kernel": "gaussian", "epsilon": 0.1}, task),
        )
    yield "preset paper", make("sampler", "bellman-fields", preset="paper", width=WIDTHS["bellman"][task in TABLES])


def score(records: Records, seeds: int, tasks: Sequence[str], only: Sequence[str]) -> None:
    """Held-out rows."""
    for task in tasks:
        for name, sampler in readings(records, task):
            if only and name not in only:
                continue
            keys = [("score", name, task, seed) for seed in range(seeds)]
            records.once(keys, lambda s=sampler, t=task: fit_and_score(s, task_of(t), range(seeds), judged))


def exact_laws(name: str) -> dict[str, GaussianMixture]:
    """Laws whose fields are known: the task's own, or such as are close to a table."""
    task = task_of(name)
    if name not in TABLES:
        return {"itself": task.law}
    assert task.train is not None
    rows = task.train.double()
    chosen = rows[torch.randperm(len(rows), generator=make_generator(0, "kernel density"))[:AT_MOST]]
    # Along the axes of the covariance: start, kernel and distance know no direction.
    variances, axes = torch.linalg.eigh(rows.T.cov())
    normal = GaussianMixture(rows.mean(0, keepdim=True) @ axes, variances.unsqueeze(0), [1.0])
    blurred = {
        f"rows blurred by {width:g}": GaussianMixture(chosen, [width**2] * len(chosen), [1 / len(chosen)] * len(chosen))
        for width in (0.1, 0.2)
    }
    return {"normal": normal, **blurred}


def exact(records: Records, seeds: int, tasks: Sequence[str]) -> None:
    """The paper's steps, and five times finer ones, along exact fields of the sliced and of the full kernel.

    Spans have no score and the moons no closed form. Finer steps not of blurred rows, whose fields are sums over a
    thousand Gaussians.
    """
    for task in (task for task in tasks if task not in ("spans", "moons")):
        for law_name, law in exact_laws(task).items():
            kernels: dict[str, Kernel] = {"sliced": SliceAverageKernel(epsilon=0.5)}
            if task in LAWS:
                kernels["full"] = GaussianKernel(epsilon=0.1, normalised=True)
            for kernel_name, kernel in kernels.items():
                for step, count in ((0.1, 300), (0.02, 1_500))[: 1 if "rows" in law_name else 2]:
                    key = f"{law_name}, {kernel_name}, η = {step:g}, T = {count}"
                    keys = [("exact", key, task, seed) for seed in range(seeds)]
                    records.once(
                        keys,
                        lambda law=law, kernel=kernel, step=step, count=count: [
                            follow(law, kernel, step, count, seed) for seed in range(seeds)
                        ],
                    )


def follow(law: GaussianMixture, kernel: Kernel, step: float, count: int, seed: int) -> dict[str, Any]:
    """W1 of the end of T steps of η along the exact fields of ``law`` to exact draws, with that of other draws."""
    begin, n = time.process_time(), AT_MOST // 2
    law = law.float()
    target = Target(event_shape=law.event_shape, law=law)
    drawn, others, points = (law.sample(m, make_generator(seed, what)) for m, what in ((n, "a"), (n, "b"), (n, "c")))
    closed = isinstance(kernel, GaussianKernel)
    fields = ExactFields(target, kernel, None if closed else points)
    dynamics = BellmanDynamics(fields, law.event_shape[0], duration=step * count)
    generator = make_generator(seed, "sample")
    value = None
    try:
        solution = integrate(
            dynamics,
            dynamics.prior(n, generator),
            integrator=make_part("integrator", "euler-maruyama"),
            grid=uniform(*dynamics.times, count),
            generator=generator,
        )
        value = w1(target, solution.x, drawn)
    except DIVERGED:
        pass
    return {"w1": value, "floor": w1(target, others, drawn), "seconds": time.process_time() - begin}


def summary(values: list[float]) -> str:
    """Median with the range, and how many diverged or are a hundred floors away."""
    finite = [value for value in values if value < WORST]
    lost = len(values) - len(finite)
    text = f"{statistics.median(finite):.2f} ({min(finite):.2f}–{max(finite):.2f})" if finite else ""
    return ", ".join(part for part in (text, f"{lost} of {len(values)} diverge" if lost else "") if part)


def tables(records: Records) -> Iterator[str]:
    """Everything there is, as tables: W1 over its floor."""
    for method in METHODS:
        rows = [
            [index, *(f"{records.ratio('search', method, index, task):.2f}" for task in SEARCHED)]
            + [str(value) for value in settings(method)[index].values()]
            for index in records.ranked(method)
        ]
        yield tabulate(rows, [method, *SEARCHED, *AXES[method]], tablefmt="github")
    for kind in ("score", "exact"):
        keys = [key for key in records.found if key[0] == kind]
        tasks = list(dict.fromkeys(key[2] for key in keys))
        rows = [
            [name] + [summary([records.ratio(*key) for key in keys if key[1:3] == (name, task)]) for task in tasks]
            for name in dict.fromkeys(key[1] for key in keys)
        ]
        yield tabulate(rows, [kind, *tasks], tablefmt="github")
    yield f"{sum(record['seconds'] for record in records.found.values()):.0f} CPU-seconds"


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("search", "score", "exact", "table"))
    parser.add_argument("--out", type=Path, default=Path("readings.jsonl"))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--tasks", nargs="*", default=[*LAWS, *TABLES])
    parser.add_argument("--only", nargs="*", help="score these alone, by their names in the table")
    arguments = parser.parse_args()
    records = Records(arguments.out)
    if arguments.what == "search":
        search(records)
    elif arguments.what == "score":
        score(records, arguments.seeds, arguments.tasks, arguments.only)
    elif arguments.what == "exact":
        exact(records, arguments.seeds, arguments.tasks)
    else:
        print("\n\n".join(tables(records)))


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
