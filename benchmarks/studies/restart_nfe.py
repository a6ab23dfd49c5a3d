r"""Does Restart dominate ODE and SDE solvers at equal numbers of evaluations?

One trained denoiser for each task and seed, drawn from by each way down; W2 of 1,000 samples to 1,000 held-out rows.
The intervals of Restart are chosen for each number of evaluations, among those below, by W2 of 1,000 samples to the
task's *validation* rows on two seeds of their own (1,000 and 1,001, trained apart), as a user would; the others have no
option to choose, but for the churn of EDM, which is chosen likewise. One line of JSON a cell: a run that is stopped
goes on.

python benchmarks/studies/restart_nfe.py run --out restart-nfe.jsonl --seeds 5
python benchmarks/studies/restart_nfe.py table --out restart-nfe.jsonl
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

from scipy.stats import t as student
from tabulate import tabulate

from phys_samplers import make
from phys_samplers.metric import Scored
from phys_samplers.randomness import make_generator
from phys_samplers.sampler import Model
from phys_samplers.target import Task

TASKS = ("mixture-2d", "moons")
BUDGETS = (15, 35)
TUNING = (1_000, 1_001)
ROWS = 1_000


def ways(budget: int) -> dict[str, list[dict[str, Any]]]:
    """What is tried of each method at a budget of evaluations, the same for all up to one."""
    heun = (budget + 1) // 2
    intervals = ((0.1, 0.3), (0.28, 0.6))
    restarts = []
    for (low, high), repeats, levels in itertools.product(intervals, (1, 2, 4), (2, 3)):
        back = 2 * repeats * (levels - 1)
        if budget - back >= 9:
            text = f"restart[restart_min={low},restart_max={high},restart_steps={levels},repeats={repeats}]"
            restarts.append({"integrator": text, "sampling_steps": (budget - back + 1) // 2})
    churned = [{"integrator": f"edm-heun[churn={c}]", "sampling_steps": heun} for c in (0.05, 0.2, 0.41)]
    return {
        "Heun, ODE": [{"integrator": "edm-heun", "sampling_steps": heun}],
        "DPM-Solver++, ODE": [{"integrator": "dpmpp-2m", "sampling_steps": budget}],
        "ancestral, SDE": [{"integrator": "ddim[eta=1]", "sampling_steps": budget}],
        "EDM with churn, SDE": churned,
        "Restart": restarts,
    }


def score(model: Model, task: Task, rows: Any, options: dict[str, Any], seed: int) -> tuple[float, float]:
    """W2 and evaluations."""
    draw = model.draw(ROWS, seed=seed, **options)
    scored = Scored(samples=draw.samples, reference=rows, target=task, generator=make_generator(0))
    return make("metric", "w2")(scored), draw.nfe


def run(path: Path, seeds: int, steps: int) -> None:
    """All cells that are not there yet."""
    done = (
        {json.loads(line)["key"]: json.loads(line) for line in path.read_text().splitlines()} if path.exists() else {}
    )
    for name in TASKS:
        task = make("task", name)
        assert task.validation is not None
        assert task.heldout is not None
        all_seeds = [*range(seeds), *TUNING]
        begin = time.process_time()
        fits = make("sampler", "edm", steps=steps).fit_replicas(task, seeds=all_seeds)
        models = dict(zip(all_seeds, fits, strict=True))
        print(name, "trained in", time.process_time() - begin, flush=True)
        for budget, (method, tried) in ((b, item) for b in BUDGETS for item in ways(b).items()):
            key = f"{name} {budget} {method} {seeds} {steps}"
            if key in done:
                continue
            best = tried[0]
            if len(tried) > 1:
                rows = task.validation[:ROWS]
                costs = [
                    statistics.fmean(score(models[s], task, rows, options, s)[0] for s in TUNING) for options in tried
                ]
                best = tried[costs.index(min(costs))]
            values = [score(models[seed], task, task.heldout[:ROWS], best, seed) for seed in range(seeds)]
            line = {"key": key, "task": name, "budget": budget, "method": method, "chosen": best}
            line |= {"values": [v for v, _ in values], "nfe": values[0][1]}
            with path.open("a") as file:
                file.write(json.dumps(line) + "\n")
            print(line, flush=True)


def table(path: Path) -> None:
    """Means, and paired differences from Restart with 95 % t-intervals."""
    lines = list(map(json.loads, path.read_text().splitlines()))
    own = {(x["task"], x["budget"]): x["values"] for x in lines if x["method"] == "Restart"}
    rows = []
    for x in lines:
        falls = [a - b for a, b in zip(x["values"], own[x["task"], x["budget"]], strict=True)]
        half = student.ppf(0.975, len(falls) - 1) * statistics.stdev(falls) / math.sqrt(len(falls))
        text = "" if x["method"] == "Restart" else f"{statistics.fmean(falls):+.3f} ± {half:.3f}"
        chosen = x["chosen"]["integrator"] if "[" in x["chosen"]["integrator"] else ""
        rows.append([x["task"], x["nfe"], x["method"], statistics.fmean(x["values"]), text, chosen])
    print(tabulate(rows, headers=["task", "NFE", "method", "W2", "minus Restart", "chosen"], floatfmt=".3f"))


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("run", "table"))
    parser.add_argument("--out", type=Path, default=Path("restart-nfe.jsonl"))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=1_000)
    arguments = parser.parse_args()
    if arguments.what == "run":
        run(arguments.out, arguments.seeds, arguments.steps)
    else:
        table(arguments.out)


if __name__ == "__main__":
    main()
