r"""What a path sampler's defaults reach on each density: effective draws, modes, log Z, bounds from both sides.

A row is one training, then two draws of 4,000 paths whose numbers are averaged, and 4,000 exact samples carried back
where the density has such. Results are written as lines of JSON; what is there already is not done again.

python benchmarks/studies/path_defaults.py --out paths.jsonl --tasks gmm9 gmm40 --seeds 0 1 2 3 4
python benchmarks/studies/path_defaults.py --out paths.jsonl --tasks funnel --seeds 100 --options '{"steps": 4000}'
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import torch
from tabulate import tabulate

from phys_samplers import make
from phys_samplers.errors import DivergenceError, TrainingDiverged
from phys_samplers.metric import Scored
from phys_samplers.options import make_part
from phys_samplers.randomness import make_generator

TASKS = [
    "gmm9", "gmm40", "funnel", "many-well-32", "ionosphere", "sonar", "german-credit", "brownian-motion", "cox-process",
    "dw4",
]  # fmt: skip
PATHS, DRAWS = 4_000, 2
FACTS = ("ess", "log_z", "log_z_std", "elbo")


def trial(sampler: str, task_name: str, seed: int, options: dict[str, Any]) -> dict[str, Any]:
    """One training with its draws; times are of the processor."""
    task = make("task", task_name)
    began = time.process_time()
    try:
        model = make("sampler", sampler, **options).fit(task, seed=seed)
        fitted = time.process_time()
        draws = [model.draw(PATHS, seed=1_000 * seed + index) for index in range(DRAWS)]
    except (TrainingDiverged, DivergenceError) as error:
        return {"error": str(error)}
    drawn = time.process_time()
    row: dict[str, Any] = {"fit": fitted - began, "draw": (drawn - fitted) / DRAWS}
    for key in FACTS:
        found = [draw.diagnostics[key] for draw in draws if key in draw.diagnostics]
        row[key] = statistics.fmean(found) if found else None
    if row["log_z"] is not None and task.log_z is not None:
        row["log_z_error"] = row["log_z"] - task.log_z
    if "sample" in task.capabilities:  # as all tasks with modes can
        exact = task.sample(PATHS, generator=make_generator(seed, "reference"))
        back = model.backward_diagnostics(exact)
        row["eubo"], row["ess_back"] = back.get("eubo"), back.get("ess")
    if task.modes is not None:
        given: dict[str, Any] = {"target": task, "reference": exact}
        for name, metric in (("mode-tv", "mode-tv"), ("weighted", "resampled[metric=mode-tv]")):
            row[name] = statistics.fmean(
                make_part("metric", metric)(
                    Scored(samples=draw.samples, draw=draw, generator=make_generator(seed, "metric"), **given)
                )
                for draw in draws
            )
    return row


def table(rows: list[dict[str, Any]]) -> str:
    """A line a training."""
    titles = ["sampler", "task", "seed", "options", *FACTS, "log_z_error", "eubo", "ess_back", "mode-tv", "weighted"]
    titles += ["fit", "draw"]
    lines = [[row.get(title) if title != "options" else json.dumps(row["options"]) for title in titles] for row in rows]
    return tabulate(lines, titles, tablefmt="github", floatfmt=".3f")


def main() -> None:
    """Run what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="JSON lines, kept")
    parser.add_argument("--samplers", nargs="+", default=["pis"], help="pis, dds, dis, cmcd, with options if wanted")
    parser.add_argument("--tasks", nargs="+", default=TASKS)
    parser.add_argument("--seeds", nargs="+", type=int, default=list(range(5)))
    parser.add_argument("--options", type=json.loads, default={}, help="of every sampler, as JSON")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = [json.loads(line) for line in arguments.out.read_text().splitlines()] if arguments.out.exists() else []
    done = {(row["sampler"], row["task"], row["seed"], json.dumps(row["options"])) for row in rows}
    for seed in arguments.seeds:
        for task in arguments.tasks:
            for sampler in arguments.samplers:
                if (sampler, task, seed, json.dumps(arguments.options)) in done:
                    continue
                head = {"sampler": sampler, "task": task, "seed": seed, "options": arguments.options}
                rows.append(head | trial(sampler, task, seed, arguments.options))
                with arguments.out.open("a") as file:
                    file.write(json.dumps(rows[-1]) + "\n")
                print(rows[-1], flush=True)
    print(table(rows))


if __name__ == "__main__":
    main()
