r"""Is r = σ√D the right alignment of PFGM++ across D? Exact W2 on three tables, five seeds.

At equal σ the kernels of different D look alike where most of their mass is, r = σ√D from the rows, so that a grid of
levels found for one D serves all (PFGM++, Sec. 3; thesis, Ch. 2.4). *Aligned*: the same σ from .01 to 20 for every D.
*Radius kept*: the same radii, those of D = 128, so that σ is multiplied by √(128/D). Networks are the same, fitted once
for each D by the defaults (2,000 steps); only the grid of the draw differs.

One line of JSON a cell (task, D, grid, seed); a run that is stopped goes on.

python benchmarks/studies/alignment.py run --out alignment.jsonl
python benchmarks/studies/alignment.py table --out alignment.jsonl
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import time
from pathlib import Path
from typing import Any

import torch
from scipy.stats import t as student
from tabulate import tabulate
from torch import Tensor

from phys_samplers import Task, make
from phys_samplers.metric import Scored
from phys_samplers.randomness import make_generator

TASKS = ("wine", "breast-cancer", "diabetes")
DIMENSIONS = (8.0, 32.0, 128.0, 512.0, 4096.0)
GRIDS = ("aligned", "radius kept")


def w2(task: Task, samples: Tensor) -> float:
    """Exact W2 to the held-out rows."""
    generator = make_generator(0, "metric")
    scored = Scored(samples=samples, reference=task.heldout, target=task, generator=generator)
    return float(make("metric", "w2")(scored))


def records(path: Path) -> dict[tuple[str, float, str, int], dict[str, Any]]:
    """What is known, by cell."""
    if not path.exists():
        return {}
    found = [json.loads(line) for line in path.read_text().splitlines() if line.strip()]
    return {(one["task"], one["D"], one["grid"], one["seed"]): one for one in found}


def run(path: Path, seeds: list[int]) -> None:
    """Fit and score what is not there yet."""
    with path.open("a") as file:
        for name in TASKS:
            task: Task = make("task", name)
            assert task.heldout is not None
            for dimension in DIMENSIONS:
                known = records(path)
                missing = [s for s in seeds if any((name, dimension, grid, s) not in known for grid in GRIDS)]
                if not missing:
                    continue
                began = time.process_time()
                models = make("sampler", "pfgmpp", aux_dim=dimension, steps=2_000).fit_replicas(task, seeds=missing)
                fitted = (time.process_time() - began) / len(missing)
                for seed, model in zip(missing, models, strict=True):
                    for grid in GRIDS:
                        factor = 1.0 if grid == "aligned" else math.sqrt(128 / dimension)
                        schedule = make("schedule", "edm", sigma_min=0.01 * factor, sigma_max=20 * factor)
                        samples = model.sample(len(task.heldout), seed=seed, schedule=schedule)
                        row = {"task": name, "D": dimension, "grid": grid, "seed": seed, "w2": w2(task, samples)}
                        file.write(json.dumps({**row, "fit": fitted}) + "\n")
                        file.flush()
                print(f"{name}: D = {dimension:g}: {fitted:.0f} CPU-seconds a fit", flush=True)


def table(path: Path) -> list[list[str]]:
    """One row a task and grid: mean W2 with half the width of its 95 % t-interval, by D."""
    known, lines = records(path), []
    for name in TASKS:
        for grid in GRIDS:
            line = [name, grid]
            for dimension in DIMENSIONS:
                values = [one["w2"] for key, one in known.items() if key[:3] == (name, dimension, grid)]
                if len(values) < 2:
                    line.append("")
                    continue
                half = student.ppf(0.975, len(values) - 1) * statistics.stdev(values) / len(values) ** 0.5
                line.append(f"{statistics.fmean(values):.3g} ± {half:.2g}")
            lines.append(line)
    return lines


def main() -> None:
    """Measure, or print what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("run", "table"))
    parser.add_argument("--out", type=Path, required=True, help="file of JSON lines")
    parser.add_argument("--seeds", type=int, default=5, help="number of seeds (default: 5)")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.what == "run":
        run(arguments.out, list(range(arguments.seeds)))
        return
    print(tabulate(table(arguments.out), ["task", "grid", *(f"D = {d:g}" for d in DIMENSIONS)], disable_numparse=True))


if __name__ == "__main__":
    main()
