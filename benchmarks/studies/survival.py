r"""Does the value gradient sampler survive every density with its default options?

Trains the default, with a schedule that particles find and networks of distances for particles, on each density and
seed, and draws from it. A row says whether training and draw stayed finite, how far the standard deviations and log Z
are off where they are known, the effective draws of the path weights and CPU-seconds. Eight schools, the model of Rubin
1981 with its centred parametrisation (μ, log τ, θ_1..8), is not a task of the benchmark: a second funnel, and one that
users bring; non-centred (η_j = (θ_j − μ)/τ for θ_j), it is almost normal. The funnel's rows have TVD-E and Δstd too, by
the metrics and with the draws of `paper-vgs-table1`.

The seeds of a density train as one stack, which takes a third of the time. Results are written as lines of JSON; what
is there already is not done again.

python benchmarks/studies/survival.py --out survival.jsonl
python benchmarks/studies/survival.py --out survival.jsonl --tasks funnel eight-schools --seeds 0 1 2
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tabulate import tabulate
from torch import Tensor

from phys_samplers import make
from phys_samplers.errors import DivergenceError, TrainingDiverged
from phys_samplers.metric import Scored
from phys_samplers.options import make_part
from phys_samplers.randomness import make_generator
from phys_samplers.sampler import Model
from phys_samplers.target import Density, Target

FOUND = {"total_variance": None, "end_variance": None}
OPTIONS: dict[str, dict[str, Any]] = {
    "funnel": {},
    "eight-schools": {},
    "eight-schools-non-centred": {},
    "gmm9": {},
    "gmm40": {},
    "many-well-32": {},
    "dw4": {"value": "value-distances"},
    "lj13": {"value": "value-inverse-distances"},
    "ionosphere": {},
    "sonar": {},
    "german-credit": {},
    "brownian-motion": {},
    "cox-process": {},
}
DRAWS, FUNNEL_DRAWS = 2_000, 1_000
EFFECTS = (28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0)
ERRORS = (15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0)


def eight_schools(*, centred: bool) -> Target:
    """μ ~ N(0, 5²), τ half-Cauchy of scale 5 in log τ, θ_j ~ N(μ, τ²), y_j ~ N(θ_j, σ_j²); normalised but for y."""
    effects, errors = torch.tensor(EFFECTS), torch.tensor(ERRORS)

    def log_prob(x: Tensor) -> Tensor:
        mean, log_tau, rest = x[:, :1], x[:, 1], x[:, 2:]
        tau = log_tau.exp().unsqueeze(1)
        prior = -0.5 * (mean[:, 0] / 5).square() - (2 * log_tau - math.log(25.0)).exp().log1p() + log_tau
        standard, schools = ((rest - mean) / tau, rest) if centred else (rest, mean + tau * rest)
        prior = prior - 0.5 * standard.square().sum(1) - (8 * log_tau if centred else 0.0)
        return prior - 0.5 * ((effects - schools) / errors).square().sum(1)

    return Density(log_prob, event_shape=(10,), name="eight-schools")


def target_of(name: str) -> Target:
    """The density of a row."""
    return eight_schools(centred=name == "eight-schools") if name.startswith("eight-schools") else make("task", name)


def trials(name: str, seeds: Sequence[int], options: dict[str, Any]) -> list[dict[str, Any]]:
    """Trainings of several seeds in one stack, and their draws."""
    target, began = target_of(name), time.process_time()
    models = make("sampler", "vgs", **FOUND | OPTIONS[name] | options).fit_replicas(target, seeds=seeds)
    row = {"task": name, "options": options, "stacked": len(seeds)}
    share = (time.process_time() - began) / len(seeds)
    return [row | {"seed": seed} | drawn(model, target, seed, share) for seed, model in zip(seeds, models, strict=True)]


def drawn(model: Model | Exception, target: Target, seed: int, spent: float) -> dict[str, Any]:
    """What a model's draw says, with ``spent`` CPU-seconds before it."""
    began = time.process_time()
    try:
        if isinstance(model, Exception):
            raise model
        draw = model.draw(DRAWS, seed=seed)
    except (TrainingDiverged, DivergenceError) as error:
        return {"finite": False, "error": str(error), "cpu": spent + time.process_time() - began}
    # What is not finite is not among the diagnostics: one path where there is no density leaves no lower bound.
    facts = {
        key: float(value) for key, value in draw.diagnostics.items() if key in ("log_z", "log_z_std", "elbo", "ess")
    }
    finite = bool(draw.samples.isfinite().all()) and {"log_z", "ess"} <= facts.keys()
    facts["spread"] = float(draw.samples.flatten(1).std(0).mean())
    if target.name == "funnel":
        generator = make_generator(seed, "reference")
        reference = target.sample(FUNNEL_DRAWS, generator=generator)
        scored = Scored(samples=draw.samples[:FUNNEL_DRAWS], target=target, generator=generator, reference=reference)
        facts |= {metric: make_part("metric", metric)(scored) for metric in ("tvd-e", "delta-std")}
    return facts | {"finite": finite, "cpu": spent + time.process_time() - began}


def table(rows: list[dict[str, Any]]) -> str:
    """One line a task: how many of the seeds were finite, and the range of the rest."""
    lines = []
    for name in OPTIONS:
        own = [row for row in rows if row["task"] == name]
        good = [row for row in own if row["finite"]]

        def span(key: str, good: list[dict[str, Any]] = good) -> str:
            numbers = [row[key] for row in good if key in row]
            return f"{min(numbers):.3g} to {max(numbers):.3g}" if numbers else ""

        if own:
            cpu = sum(row["cpu"] for row in own) / len(own)
            spans = [span(key) for key in ("log_z", "ess", "spread", "tvd-e", "delta-std")]
            lines.append([name, f"{len(good)} of {len(own)}", *spans, f"{cpu:.0f}"])
    titles = ["density", "finite", "log Z", "ESS", "mean std", "TVD-E", "Δstd", "CPU-s a seed"]
    return tabulate(lines, titles, disable_numparse=True)


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
    for name in arguments.tasks:
        missing = [seed for seed in arguments.seeds if (name, seed) not in done]
        found = trials(name, missing, arguments.options) if missing else []
        rows += found
        with arguments.out.open("a") as file:
            file.writelines(json.dumps(row) + "\n" for row in found)
    print(table([row for row in rows if row["options"] == arguments.options]))


if __name__ == "__main__":
    main()
