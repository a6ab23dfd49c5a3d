r"""Laws given a class: conditional W2 over its floor, and what classifier-free guidance does to it.

``plane``: four classes, each of two Gaussians of standard deviation .5 on a circle of radius 2, where neighbours are of
other classes, 6,000 rows; the law given a class is known. ``digits``: the task's rows with the digit they show. For
every class W2 of as many draws given it as there are held-out rows of it (400 exact ones of the plane) to these; the
score is the mean over classes. The floor is W2 of as many other exact draws, or training rows, of the class. Next to it
what a fit without conditions scores when its draws are handed out as draws of a class, and the share of draws that the
exact law (the plane) or a classifier (digits) takes for the class asked for. One line of JSON a cell: a run goes on.

python benchmarks/studies/conditions.py run --out conditions.jsonl
python benchmarks/studies/conditions.py table --out conditions.jsonl
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tabulate import tabulate
from torch import Tensor

from phys_bench.tasks.classes import PLANE_CENTRES, PLANE_CLASSES, PLANE_WIDTH, digits_by_class, plane_given
from phys_bench.tasks.images import digits_classifier
from phys_samplers import Samples, make
from phys_samplers.laws import GaussianMixture
from phys_samplers.metrics.transport import transport_cost
from phys_samplers.target import Target

SAMPLERS = ("edm", "ddpm", "pfgmpp")
WEIGHTS = (-0.5, 0.5, 1.0, 3.0)


@dataclass(frozen=True)
class Problem:
    """Rows with classes, exact rows of each class to compare with and of its floor, and who tells classes."""

    target: Target
    plain: Target
    exact: list[Tensor]
    floor: list[Tensor]
    guess: Callable[[Tensor], Tensor]
    options: dict[str, Any]


def plane() -> Problem:
    """The task's law, without rows to stop early by."""
    rows = torch.cat([plane_given(k, 1_500, 0) for k in range(PLANE_CLASSES)])
    labels = torch.arange(PLANE_CLASSES).repeat_interleave(1_500)
    law = GaussianMixture(PLANE_CENTRES, [PLANE_WIDTH**2] * 8, [1 / 8] * 8)
    exact, floor = ([plane_given(k, 400, seed) for k in range(PLANE_CLASSES)] for seed in (1, 2))
    plain = Samples(rows)
    return Problem(Samples(rows, condition=labels), plain, exact, floor, lambda x: law.labels(x) % PLANE_CLASSES, {})


def digits() -> Problem:
    """The task's rows, with labels."""
    task = digits_by_class()
    train, heldout, conditions = task.train, task.heldout, task.conditions
    assert train is not None
    assert heldout is not None
    assert conditions is not None
    exact = [heldout[conditions.heldout == k] for k in range(10)]
    floor = [train[conditions.train == k][: len(exact[k])] for k in range(10)]
    classifier = digits_classifier()

    def guess(x: Tensor) -> Tensor:
        found: Tensor = classifier(x.double().flatten(1).unsqueeze(0))[0].argmax(1)
        return found

    target = Samples(train, condition=conditions.train)
    return Problem(target, Samples(train), exact, floor, guess, {"width": 128})


def score(parts: list[Tensor], exact: list[Tensor]) -> float:
    """The mean over classes of W2."""
    pairs = zip(parts, exact, strict=True)
    costs = [
        transport_cost(x.flatten(1).double(), y.flatten(1).double(), power=2, max_iterations=10**8, by="w2")
        for x, y in pairs
    ]
    return statistics.fmean(math.sqrt(cost) for cost in costs)


def run(path: Path, seeds: int, steps: int) -> None:
    """All cells that are not there yet."""
    kept = {json.loads(line)["key"] for line in path.read_text().splitlines()} if path.exists() else set()

    def keep(**line: Any) -> None:
        with path.open("a") as file:
            file.write(json.dumps(line) + "\n")
        print(line, flush=True)

    for name, make_problem in (("plane", plane), ("digits", digits)):
        problem = make_problem()
        if (key := f"{name} floor") not in kept:
            agreed = statistics.fmean(
                float((problem.guess(x) == k).double().mean()) for k, x in enumerate(problem.exact)
            )
            keep(key=key, task=name, method="exact", weight=0, w2=score(problem.floor, problem.exact), agreed=agreed)
        cells = [(s, problem.target, [0.0, *(WEIGHTS if s == "edm" else ())]) for s in SAMPLERS]
        cells.append(("edm", problem.plain, [math.nan]))
        for sampler, target, weights in cells:
            method = sampler if target is problem.target else f"{sampler}, without conditions"
            if f"{name} {method} {steps} {seeds - 1} {weights[-1]}" in kept:
                continue
            begin = time.process_time()
            recipe = make("sampler", sampler, steps=steps, **problem.options)
            models = recipe.fit_replicas(target, seeds=range(seeds))
            spent = time.process_time() - begin
            for seed, model in enumerate(models):
                for weight in weights:
                    parts = []
                    for k, rows in enumerate(problem.exact):
                        asked = {} if math.isnan(weight) else {"condition": k, "guidance_weight": weight}
                        parts.append(model.sample(len(rows), seed=100 * seed + k, **asked))
                    agreed = statistics.fmean(
                        float((problem.guess(x) == k).double().mean()) for k, x in enumerate(parts)
                    )
                    facts = {"task": name, "method": method, "weight": weight, "seed": seed, "fit": spent}
                    key = f"{name} {method} {steps} {seed} {weight}"
                    keep(key=key, **facts, w2=score(parts, problem.exact), agreed=agreed)


def table(path: Path) -> None:
    """Means and standard deviations over seeds."""
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for line in map(json.loads, path.read_text().splitlines()):
        groups.setdefault((line["task"], line["method"], str(line["weight"])), []).append(line)
    floors = {task: cells[0]["w2"] for (task, method, _), cells in groups.items() if method == "exact"}
    rows = []
    for (task, method, weight), cells in groups.items():
        values = [cell["w2"] for cell in cells]
        spread = statistics.stdev(values) if len(values) > 1 else 0.0
        mean = statistics.fmean(values)
        agreed = statistics.fmean(cell["agreed"] for cell in cells)
        rows.append([task, method, weight, len(cells), f"{mean:.3f} ± {spread:.3f}", mean / floors[task], agreed])
    print(
        tabulate(rows, headers=["task", "method", "w", "seeds", "W2 by class", "over floor", "agreed"], floatfmt=".3f")
    )


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("run", "table"))
    parser.add_argument("--out", type=Path, default=Path("conditions.jsonl"))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=1_000)
    arguments = parser.parse_args()
    if arguments.what == "table":
        table(arguments.out)
    else:
        run(arguments.out, arguments.seeds, arguments.steps)


if __name__ == "__main__":
    main()
