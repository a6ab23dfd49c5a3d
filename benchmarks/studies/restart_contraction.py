r"""Restart: what the noise contracts, what the way back adds, and what both cost (thesis Sec. 5.4.1, App. B.3.2).

Data: 2,000 points of .3 N(a, I) + .7 N(−a, I), a = (3, 3, 3, 3), projected to 20 dimensions by a normal matrix, each
coordinate of unit variance. A perceptron of four layers of 64 units learns the denoiser. ODE, SDE and Restart run on
[1, 1.5]; outside of it everything is the same first-order ODE (DDIM): ``--above`` steps from 80 to 1.5, ten from 1 on.
The thesis does not say how many; with ten there is little left to contract, with one there is much.

    p_0  of the sampler from the prior;   q_0  of the same, started at 1.5 from data with noise;   p  the data
    contracted error W1(p_0, q_0),   additional error W1(q_0, p),   total error W1(p_0, p)

between 1,000 points each (of the 2,000), by exact matching, means of three draws. ``floor`` is W1 between two
independent q_0 without restarts. Seeds are of data, network and noise alike. One line of JSON a cell: a run that is
stopped goes on.

python benchmarks/studies/restart_contraction.py run --out restart.jsonl --seeds 5
python benchmarks/studies/restart_contraction.py table --out restart.jsonl
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from scipy.stats import norm
from scipy.stats import t as student
from tabulate import tabulate
from torch import Tensor

from phys_samplers import Samples, make
from phys_samplers.denoisers.sampler import DenoiserModel
from phys_samplers.integrators import DDIM, EDMHeun, Restart, integrate, power
from phys_samplers.metrics.transport import transport_cost
from phys_samplers.randomness import make_generator

LOW, HIGH, TOP, POINTS, SCORED, DIM = 1.0, 1.5, 80.0, 2_000, 1_000, 20
BELOW, DRAWS = 10, 3
"""Steps of the ODE below the interval; draws that errors are means of."""


def data(seed: int) -> Tensor:
    """The rows (2000, 20)."""
    generator = make_generator(seed, "restart-data")
    sign = torch.where(torch.rand(POINTS, 1, generator=generator) < 0.3, 1.0, -1.0)
    rows = 3.0 * sign + torch.randn(POINTS, 4, generator=generator)
    rows = rows @ torch.randn(4, DIM, generator=generator)
    return rows / rows.std(0)


def settings() -> list[dict[str, Any]]:
    """Those of the thesis, thinned: Restart by K with three steps back; SDE by β and steps; ODE."""
    restart = [{"method": "restart", "repeats": k, "levels": 4} for k in (0, 1, 2, 5, 10)]
    sde = [{"method": "sde", "beta": b, "steps": n} for n in (20, 80) for b in (1.0, 4.0)]
    return [*restart, *sde, {"method": "ode", "steps": 80}]


def through(model: DenoiserModel, x: Tensor, how: dict[str, Any], generator: torch.Generator) -> tuple[Tensor, int]:
    """From HIGH to LOW, and what it cost."""
    dynamics = model.dynamics(model.recipe, DDIM())
    if how["method"] == "sde":
        # dx = (1 + β)(x − D)/σ dσ backwards with noise √(2βσ): β = 1 is the reverse SDE, 0 the ODE
        grid = power(HIGH, LOW, how["steps"], 7.0)
        for high, low in pairwise(grid):
            step = high - low
            x = x - (1 + how["beta"]) * dynamics.drift(x, high) * step
            x = x + math.sqrt(2 * how["beta"] * high * step) * torch.randn(x.shape, generator=generator)
        return x, how["steps"]
    steps = how.get("steps", how.get("levels", 2) - 1)
    first = integrate(dynamics, x, integrator=EDMHeun(), grid=power(HIGH, LOW, steps, 7.0))
    x, cost = first.x, first.nfe
    if how.get("repeats"):
        # a main step that moves nothing, with the restarts after it
        scheme = Restart(
            restart_min=LOW, restart_max=HIGH, restart_steps=how["levels"], repeats=how["repeats"], main="ddim"
        )
        tiny = (LOW * (1 + 1e-7), LOW)
        again = integrate(dynamics, x, integrator=scheme, grid=tiny, generator=generator)
        x, cost = again.x, cost + again.nfe - 1
    return x, cost


def cell(model: DenoiserModel, rows: Tensor, how: dict[str, Any], seed: int, above: int) -> dict[str, Any]:
    """The three errors of one setting, means over draws."""
    dynamics = model.dynamics(model.recipe, DDIM())
    upper, lower = power(TOP, HIGH, above, 7.0), (*power(LOW, 0.01, BELOW - 1, 7.0), 0.0)
    begin = time.process_time()

    def run(label: str, true_start: bool, how: dict[str, Any]) -> tuple[Tensor, int]:
        generator = make_generator(seed, "restart", label)
        if true_start:
            x, cost = rows + HIGH * torch.randn(rows.shape, generator=generator), 0
        else:
            x = TOP * torch.randn(rows.shape, generator=generator)
            x, cost = integrate(dynamics, x, integrator=DDIM(), grid=upper).x, above
        x, inner = through(model, x, how, generator)
        return integrate(dynamics, x, integrator=DDIM(), grid=lower).x, cost + inner + BELOW

    def w1(a: Tensor, b: Tensor) -> float:
        return transport_cost(a[:SCORED].double(), b[:SCORED].double(), power=1, max_iterations=1_000_000, by="w1")

    found: list[tuple[float, ...]] = []
    for draw in range(DRAWS):
        p0, nfe = run(f"p{draw}", False, how)
        q0, _ = run(f"q{draw}", True, how)
        found.append((w1(p0, q0), w1(q0, rows), w1(p0, rows)))
    means = (statistics.fmean(column) for column in zip(*found, strict=True))
    result = {"nfe": nfe, **dict(zip(("contracted", "additional", "total"), means, strict=True))}
    if how == settings()[0]:
        result["floor"] = w1(q0, run("other", True, how)[0])
    return {**result, "seconds": time.process_time() - begin}


def bound(rows: Tensor, repeats: int) -> float:
    """The factor (1 − λ)^K of Theorem 4 (A.11), λ = 2Q(B/2√(t_max² − t_min²)), B the diameter of the support."""
    diameter = 2 * float((rows.norm(dim=1).max()) + HIGH * math.sqrt(DIM))
    log_rate = math.log(2) + norm.logsf(diameter / (2 * math.sqrt(HIGH**2 - LOW**2)))
    return math.exp(repeats * math.log1p(-math.exp(log_rate)))


def records(path: Path) -> dict[str, dict[str, Any]]:
    """What is there, by key."""
    if not path.exists():
        return {}
    return {line["key"]: line for line in map(json.loads, filter(str.strip, path.read_text().splitlines()))}


def run(path: Path, seeds: int, steps: int, above: int) -> None:
    """All cells that are not there yet."""
    done = records(path)
    for seed in range(seeds):
        rows, model = data(seed), None
        for how in settings():
            key = json.dumps([how, seed, steps, above], sort_keys=True)
            if key in done:
                continue
            if model is None:
                recipe = make("sampler", "edm", steps=steps, width=64, depth=4, standardise="none")
                model = recipe.fit(Samples(rows), seed=seed)
            assert isinstance(model, DenoiserModel)
            line = {"key": key, "how": how, "seed": seed, "above": above, **cell(model, rows, how, seed, above)}
            line["bound"] = bound(rows, how.get("repeats", 0))
            with path.open("a") as file:
                file.write(json.dumps(line) + "\n")
            print(line, flush=True)


def interval(values: list[float]) -> str:
    """Mean with a 95 % t-interval."""
    mean = statistics.fmean(values)
    if len(values) < 2:
        return f"{mean:.3f}"
    half = student.ppf(0.975, len(values) - 1) * statistics.stdev(values) / math.sqrt(len(values))
    return f"{mean:.3f} ± {half:.3f}"


def table(path: Path) -> None:
    """Errors of every setting, and the paired fall of the contracted error with K."""
    lines = list(records(path).values())
    cells: dict[str, list[dict[str, Any]]] = {}
    for line in lines:
        cells.setdefault(json.dumps([line["above"], line["how"]]), []).append(line)
    rows = [
        [
            name,
            group[0]["nfe"],
            len(group),
            *(interval([line[k] for line in group]) for k in ("contracted", "additional", "total")),
            f"{group[0]['bound']:.6f}",
        ]
        for name, group in cells.items()
    ]
    print(tabulate(rows, headers=["setting", "NFE", "seeds", "contracted", "additional", "total", "(1 − λ)^K"]))
    print("floor:", interval([line["floor"] for line in lines if "floor" in line]))
    for above in sorted({line["above"] for line in lines}):
        by = {(x["how"].get("repeats"), x["seed"]): x["contracted"] for x in lines if x["above"] == above}
        for repeats in sorted({k for k, _ in by if k}):
            falls = [by[0, s] - value for (k, s), value in by.items() if k == repeats and (0, s) in by]
            print(f"{above} steps above: contracted error of K = 0 minus K = {repeats}: {interval(falls)}")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("run", "table"))
    parser.add_argument("--out", type=Path, default=Path("restart.jsonl"))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=2_000)
    parser.add_argument("--above", type=int, default=1)
    arguments = parser.parse_args()
    if arguments.what == "run":
        run(arguments.out, arguments.seeds, arguments.steps, arguments.above)
    else:
        table(arguments.out)


if __name__ == "__main__":
    main()
