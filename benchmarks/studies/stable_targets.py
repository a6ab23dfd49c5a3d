r"""Stable targets: what they do to the variance of targets, and to training (thesis, ch. 3).

``variance`` (App. B.1.1): the trace V(σ) of the covariance of the targets of ½ N(.1·1₆₄, 10⁻⁸ I) + ½ N(−.1·1₆₄, 10⁻⁸ I)
for n rows, with (n − 1) V_STF/V_DSM, of 64,000 targets.

``train``: W2 to held-out rows against training steps, with n = 1 (denoising score matching), the default of groups of
128 rows of the batch, and n = 1,024, five seeds as one stack, evaluated on the averaged weights at the end of trainings
of each length. One line of JSON a cell: a run that is stopped goes on.

python benchmarks/studies/stable_targets.py variance
python benchmarks/studies/stable_targets.py train --out stable.jsonl --seeds 5
python benchmarks/studies/stable_targets.py table --out stable.jsonl
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import statistics
import time
from pathlib import Path
from typing import Any

import torch
from scipy.stats import t as student
from tabulate import tabulate

from phys_samplers import make
from phys_samplers.denoisers.denoiser import DenoisingLoss
from phys_samplers.metric import Scored
from phys_samplers.randomness import make_generator

LEVELS = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 5.0, 20.0)
TASKS = {"mixture-2d": "w2", "digits": "w2", "abalone": "w2", "mushroom": "w2"}
LENGTHS = (125, 500, 1_000)
REFERENCES = (1, 64, 1_024)


def variance() -> None:
    """The toy."""
    rows = []
    for n, sigma in itertools.product((1, 64, 1_024), LEVELS):
        generator = make_generator(0, "stable", n, str(sigma))
        single = stable = 0.0
        batches = 1_000 if n < 1_024 else 63
        for _ in range(10 if n < 1_024 else 160):
            count = batches // 10 if n < 1_024 else 1
            size = max(n, 64)
            sign = torch.where(torch.rand(count, size, 1, generator=generator) < 0.5, 1.0, -1.0).double()
            data = 0.1 * sign + 1e-4 * torch.randn(count, size, 64, generator=generator, dtype=torch.float64)
            source = data if n == 1_024 else data[:, :64]
            x = source + sigma * torch.randn(source.shape, generator=generator, dtype=torch.float64)
            total = 1e-8 + sigma**2
            mean = 1e-8 / total * x + sigma**2 / total * 0.1 * torch.tanh(0.1 * x.sum(-1, keepdim=True) / total)
            level = torch.full(x.shape[:2], sigma, dtype=torch.float64)
            target = source if n == 1 else DenoisingLoss().posterior_mean(x, level, data)
            stable += float((target - mean).square().sum(-1).mean()) / sigma**4
            single += float((source - mean).square().sum(-1).mean()) / sigma**4
        count = 10 if n < 1_024 else 160
        rows.append([n, sigma, stable / count, "" if n == 1 else f"{(n - 1) * stable / single:.2f}"])
    print(tabulate(rows, headers=["n", "σ", "V", "(n − 1) V/V_DSM"], floatfmt=".3g"))


def train(path: Path, seeds: int) -> None:
    """All cells that are not there yet."""
    done = {json.loads(line)["key"] for line in path.read_text().splitlines()} if path.exists() else set()
    for task_name, steps, n in itertools.product(TASKS, LENGTHS, REFERENCES):
        key = f"{task_name} {steps} {n} {seeds}"
        if key in done:
            continue
        task = make("task", task_name)
        begin = time.process_time()
        recipe = make("sampler", "edm", steps=steps, loss=f"denoising[reference={n}]", batch_size=64)
        models = recipe.fit_replicas(task, seeds=list(range(seeds)))
        seconds = time.process_time() - begin
        reference = task.heldout[:500]
        values = []
        for seed, model in enumerate(models):
            x = model.sample(len(reference), seed=seed, sampling_steps=18)
            scored = Scored(samples=x, reference=reference, target=task, generator=make_generator(0))
            values.append(make("metric", TASKS[task_name])(scored))
        line = {"key": key, "task": task_name, "steps": steps, "n": n, "values": values, "seconds": seconds}
        with path.open("a") as file:
            file.write(json.dumps(line) + "\n")
        print(line, flush=True)


def table(path: Path) -> None:
    """Means, and paired differences from n = 1 with 95 % t-intervals."""
    cells: dict[tuple[Any, ...], dict[str, Any]] = {}
    for line in map(json.loads, path.read_text().splitlines()):
        cells[line["task"], line["steps"], line["n"]] = line
    rows = []
    for (task, steps, n), line in cells.items():
        single = cells.get((task, steps, 1))
        text = ""
        if n > 1 and single is not None:
            falls = [a - b for a, b in zip(single["values"], line["values"], strict=True)]
            half = student.ppf(0.975, len(falls) - 1) * statistics.stdev(falls) / math.sqrt(len(falls))
            text = f"{statistics.fmean(falls):+.3f} ± {half:.3f}"
        rows.append([task, steps, n, statistics.fmean(line["values"]), text, line["seconds"]])
    print(tabulate(rows, headers=["task", "steps", "n", "W2", "W2 of n = 1 minus it", "CPU s"], floatfmt=".3f"))
    for task, n in itertools.product(dict.fromkeys(task for task, *_ in cells), REFERENCES[1:]):
        wanted = statistics.fmean(cells[task, LENGTHS[-1], 1]["values"])
        curve = [(steps, statistics.fmean(cells[task, steps, n]["values"])) for steps in LENGTHS]
        for (short, high), (long, low) in itertools.pairwise(curve):
            if low <= wanted <= high:
                steps = short + (long - short) * (high - wanted) / (high - low)
                print(f"{task}: {n} rows reach W2 of one row's {LENGTHS[-1]} steps, {wanted:.3f}, in {steps:.0f}")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("variance", "train", "table"))
    parser.add_argument("--out", type=Path, default=Path("stable.jsonl"))
    parser.add_argument("--seeds", type=int, default=5)
    arguments = parser.parse_args()
    if arguments.what == "variance":
        variance()
    elif arguments.what == "train":
        train(arguments.out, arguments.seeds)
    else:
        table(arguments.out)


if __name__ == "__main__":
    main()
