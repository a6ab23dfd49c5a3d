r"""Equations as generators: exact W2 on two tasks in the plane, over its floor, five seeds; and the mass of Yukawa.

Each equation of ``phys-samplers list pde`` is fitted by its defaults to ``moons`` and ``8gaussians`` (five seeds as one
stack), and 2,000 samples of each seed are held against 2,000 held-out rows, which the seed chooses. The floor is 2,000
other held-out rows against the same ones. PFGM++ with D = 1 and EDM stand beside them; D = 1 is Poisson's kernel.
``log mass`` is the logarithm of the mean weight of equations with births or deaths, 0 if they are right.

One line of JSON a cell (task, equation, seed); a run that is stopped goes on.

python benchmarks/studies/genphys.py run --out genphys.jsonl
python benchmarks/studies/genphys.py table --out genphys.jsonl
"""

from __future__ import annotations

import argparse
import json
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

TASKS = ("moons", "8gaussians")
N = 2_000
METHODS: dict[str, tuple[str, dict[str, Any]]] = {
    "diffusion": ("genphys", {"pde": "diffusion"}),
    "poisson": ("genphys", {"pde": "poisson"}),
    "screened-poisson": ("genphys", {"pde": "screened-poisson"}),
    "mixed-diffusion-poisson": ("genphys", {"pde": "mixed-diffusion-poisson"}),
    "pfgmpp, D = 1": ("pfgmpp", {"aux_dim": 1.0, "clip": True}),
    "edm": ("edm", {}),
    "helmholtz": ("genphys", {"pde": "helmholtz"}),
    "fractional-diffusion, 3/4": ("genphys", {"pde": "fractional-diffusion"}),
    "third order (fractional, 1/3)": ("genphys", {"pde": f"fractional-diffusion[beta={1 / 3!r}]"}),
    "dissipative-wave": ("genphys", {"pde": "dissipative-wave"}),
}


def w2(task: Task, samples: Tensor, seed: int) -> float:
    """Exact W2 to the held-out rows that the seed chooses."""
    generator = make_generator(seed, "metric")
    reference = split(task, seed)[0]
    return float(make("metric", "w2")(Scored(samples=samples, reference=reference, target=task, generator=generator)))


def split(task: Task, seed: int) -> tuple[Tensor, Tensor]:
    """``N`` held-out rows to be compared with, and as many others."""
    assert task.heldout is not None
    choice = torch.randperm(len(task.heldout), generator=make_generator(seed, "reference"))
    return task.heldout[choice[:N]], task.heldout[choice[N : 2 * N]]


def records(path: Path) -> dict[tuple[str, str, int], dict[str, Any]]:
    """What is known, by cell."""
    if not path.exists():
        return {}
    found = [json.loads(line) for line in path.read_text().splitlines() if line.strip()]
    return {(one["task"], one["method"], one["seed"]): one for one in found}


def run(path: Path, seeds: list[int], methods: list[str]) -> None:
    """Fit and score what is not there yet."""
    with path.open("a") as file:

        def keep(**record: Any) -> None:
            file.write(json.dumps(record) + "\n")
            file.flush()

        for method in ["floor", *methods]:
            for name in TASKS:
                known = records(path)
                missing = [seed for seed in seeds if (name, method, seed) not in known]
                if not missing:
                    continue
                task: Task = make("task", name)
                if method == "floor":
                    for seed in missing:
                        keep(task=name, method=method, seed=seed, w2=w2(task, split(task, seed)[1], seed))
                    continue
                sampler, options = METHODS[method]
                began = time.process_time()
                models = make("sampler", sampler, **options).fit_replicas(task, seeds=missing)
                fitted = (time.process_time() - began) / len(missing)
                for seed, model in zip(missing, models, strict=True):
                    if isinstance(model, Exception):
                        keep(task=name, method=method, seed=seed, w2=float("inf"), error=str(model))
                        continue
                    began = time.process_time()
                    draw = model.draw(N, seed=seed)
                    drawn = time.process_time() - began
                    facts = {key: draw.diagnostics[key] for key in ("ess", "log_mass") if key in draw.diagnostics}
                    score = w2(task, draw.samples, seed)
                    keep(task=name, method=method, seed=seed, w2=score, nfe=draw.nfe, fit=fitted, draw=drawn, **facts)
                print(f"{name}: {method}: {fitted:.0f} CPU-seconds a fit", flush=True)


def interval(values: list[float], digits: int = 2) -> str:
    """Mean with half the width of its 95 % t-interval."""
    if len(values) < 2:
        return f"{values[0]:.{digits}f}"
    half = student.ppf(0.975, len(values) - 1) * statistics.stdev(values) / len(values) ** 0.5
    return f"{statistics.fmean(values):.{digits}f} ± {half:.{digits}f}"


def ratio(scores: list[float], floors: list[float]) -> str:
    """Mean score over mean floor of the same seeds, with half the width of its 95 % t-interval (delta method)."""
    mean, floor = statistics.fmean(scores), statistics.fmean(floors)
    if len(scores) < 2:
        return f"{mean / floor:.2f}"
    off = [(score - mean / floor * under) / floor for score, under in zip(scores, floors, strict=True)]
    half = student.ppf(0.975, len(off) - 1) * statistics.stdev(off) / len(off) ** 0.5
    return f"{mean / floor:.2f} ± {half:.2f}"


def table(path: Path) -> list[list[str]]:
    """One row a method: W2 over the floor of the same seeds (and their number), by task, cost, and the weights."""
    known = records(path)
    lines = []
    for method in METHODS:
        cells = {name: [one for key, one in known.items() if key[:2] == (name, method)] for name in TASKS}
        if not any(cells.values()):
            continue
        line = [method]
        for name, found in cells.items():
            floors = [known[name, "floor", one["seed"]]["w2"] for one in found]
            line.append(ratio([one["w2"] for one in found], floors) + f" ({len(found)})" if found else "")
        every = [one for found in cells.values() for one in found]
        line.append(f"{statistics.fmean(one['fit'] for one in every):.0f}")
        for key, digits in (("ess", 2), ("log_mass", 3)):
            line.append(interval([one[key] for one in every], digits) if key in every[0] else "")
        lines.append(line)
    return lines


def main() -> None:
    """Measure, or print what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("run", "table"))
    parser.add_argument("--out", type=Path, required=True, help="file of JSON lines")
    parser.add_argument("--seeds", type=int, default=5, help="number of seeds (default: 5)")
    parser.add_argument("--methods", nargs="+", choices=list(METHODS), default=list(METHODS), help="default: all")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.what == "run":
        run(arguments.out, list(range(arguments.seeds)), arguments.methods)
        return
    known = records(arguments.out)
    floors = [f"{n} {statistics.fmean(o['w2'] for k, o in known.items() if k[:2] == (n, 'floor')):.4f}" for n in TASKS]
    print(f"W2 over its floor at n = {N:,}; mean floors: {', '.join(floors)}\n")
    headers = ["equation", *TASKS, "CPU-s a fit", "ESS a sample", "log mass"]
    print(tabulate(table(arguments.out), headers, disable_numparse=True))


if __name__ == "__main__":
    main()
