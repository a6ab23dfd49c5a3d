r"""Does the value gradient sampler survive every density with its default options?

Trains the default, with the units that the suite `energy` gives it (total and end variance, and networks of distances
for particles), on each density and seed, and draws from it. A row says whether training and draw stayed finite, how
far the standard deviations and log Z are off where they are known, the effective draws of the path weights and
CPU-seconds. Eight schools, the model of Rubin 1981 with its centred parametrisation (μ, log τ, θ_1..8), is
not a task of the benchmark: a second funnel, and one that users bring.

Each result is written at once, as a line of JSON; what is there already is not done again.

python benchmarks/studies/survival.py --out survival.jsonl
python benchmarks/studies/survival.py --out survival.jsonl --tasks funnel eight-schools --seeds 0 1 2
"""

from __future__ import annotations

import argparse
import json
import math
import time
from pathlib import Path
from typing import Any

import torch
from tabulate import tabulate
from torch import Tensor

from phys_samplers import make
from phys_samplers.errors import DivergenceError, TrainingDiverged
from phys_samplers.target import Density, Target

OPTIONS: dict[str, dict[str, Any]] = {
    "funnel": {},
    "eight-schools": {},
    "gmm9": {},
    "gmm40": {"total_variance": 600.0, "end_variance": 0.5},
    "many-well-32": {"total_variance": 4.0, "end_variance": 0.02},
    "dw4": {"value": "value-distances", "total_variance": 4.0, "end_variance": 0.005},
    "lj13": {"value": "value-inverse-distances", "total_variance": 1.0, "end_variance": 1e-3},
    "ionosphere": {"total_variance": 1.5, "end_variance": 0.01},
    "sonar": {"total_variance": 1.5, "end_variance": 0.01},
    "german-credit": {"total_variance": 1.5, "end_variance": 5e-3},
    "brownian-motion": {"total_variance": 4.0, "end_variance": 5e-3},
    "cox-process": {"total_variance": 2.0, "end_variance": 0.02},
}
DRAWS = 2_000
EFFECTS = (28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0)
ERRORS = (15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0)


def eight_schools() -> Target:
    """μ ~ N(0, 5²), τ half-Cauchy of scale 5 in log τ, θ_j ~ N(μ, τ²), y_j ~ N(θ_j, σ_j²)."""
    effects, errors = torch.tensor(EFFECTS), torch.tensor(ERRORS)

    def log_prob(x: Tensor) -> Tensor:
        mean, log_tau, schools = x[:, 0], x[:, 1], x[:, 2:]
        prior = -0.5 * (mean / 5).square() - (2 * log_tau - math.log(25.0)).exp().log1p() + log_tau
        spread = -0.5 * ((schools - mean.unsqueeze(1)) * (-log_tau).exp().unsqueeze(1)).square().sum(1) - 8 * log_tau
        return prior + spread - 0.5 * ((effects - schools) / errors).square().sum(1)

    return Density(log_prob, event_shape=(10,), name="eight-schools")


def trial(name: str, seed: int, options: dict[str, Any]) -> dict[str, Any]:
    """One training and draw."""
    target = eight_schools() if name == "eight-schools" else make("task", name)
    began = time.process_time()
    row: dict[str, Any] = {"task": name, "seed": seed, "options": options}
    try:
        model = make("sampler", "vgs", **OPTIONS[name] | options).fit(target, seed=seed)
        drawn = model.draw(DRAWS, seed=seed)
    except (TrainingDiverged, DivergenceError) as error:
        return row | {"finite": False, "error": str(error), "cpu": time.process_time() - began}
    facts = {key: float(drawn.diagnostics[key]) for key in ("log_z", "log_z_std", "elbo", "ess")}
    finite = bool(drawn.samples.isfinite().all()) and all(map(math.isfinite, facts.values()))
    spread = drawn.samples.flatten(1).std(0).mean()
    return row | facts | {"finite": finite, "spread": float(spread), "cpu": time.process_time() - began}


def table(rows: list[dict[str, Any]]) -> str:
    """One line a task: how many of the seeds were finite, and the range of the rest."""
    lines = []
    for name in OPTIONS:
        own = [row for row in rows if row["task"] == name]
        good = [row for row in own if row["finite"]]

        def span(key: str, good: list[dict[str, Any]] = good) -> str:
            numbers = [row[key] for row in good]
            return f"{min(numbers):.3g} to {max(numbers):.3g}" if numbers else ""

        if own:
            cpu = sum(row["cpu"] for row in own) / len(own)
            lines.append([name, f"{len(good)} of {len(own)}", span("log_z"), span("ess"), span("spread"), f"{cpu:.0f}"])
    return tabulate(lines, ["density", "finite", "log Z", "ESS", "mean std", "CPU-s"], disable_numparse=True)


def main() -> None:
    """Run what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="JSON lines, kept")
    parser.add_argument("--tasks", nargs="+", choices=OPTIONS, default=list(OPTIONS))
    parser.add_argument("--seeds", nargs="+", type=int, default=list(range(10)))
    parser.add_argument("--options", type=json.loads, default={}, help="of every sampler, as JSON")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = [json.loads(line) for line in arguments.out.read_text().splitlines()] if arguments.out.exists() else []
    done = {(row["task"], row["seed"]) for row in rows if row["options"] == arguments.options}
    for name, seed in [(name, seed) for seed in arguments.seeds for name in arguments.tasks]:
        if (name, seed) not in done:
            rows.append(trial(name, seed, arguments.options))
            with arguments.out.open("a") as file:
                file.write(json.dumps(rows[-1]) + "\n")
    print(table([row for row in rows if row["options"] == arguments.options]))


if __name__ == "__main__":
    main()
