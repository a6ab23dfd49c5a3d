"""What the samplers of ``phys_match`` reach on nine and forty Gaussians and four particles, beside what learns nothing.

python benchmarks/studies/matching.py run --out matching.jsonl [--samplers idem nets] [--tasks gmm9] [--seeds 0 1 2]
python benchmarks/studies/matching.py report --out matching.jsonl

A job is a task, a sampler and a seed: a fit with that seed, then two draws of 4,000, scored each and averaged, since
the ESS of one draw is unstable where weights have a heavy tail. Mode TV counts draws within four standard deviations of
a centre; of exact draws it is .02 (nine modes) and .04 (forty). Times are processor seconds. Jobs that are in the file
are left out, so that a run that was stopped goes on. Options were chosen at seeds of at least 100.

The two baselines learn nothing: importance sampling from the interpolant's prior, and its walk without a drift, by
Langevin moves of the pilot's lengths at as many gradients as ``nets`` (64 steps) and at four times as many.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from phys_match.interpolant import piloted, walk
from phys_samplers import make
from phys_samplers.diagnostics import weight_diagnostics
from phys_samplers.metric import Scored
from phys_samplers.options import make_part
from phys_samplers.paths import UnitDensity, log_normal, spread
from phys_samplers.randomness import make_generator
from phys_samplers.target import Task

TASKS = ("gmm9", "gmm40", "dw4")
DRAWS, REPEATS = 4_000, 2
FACTS = ("ess", "log_z", "elbo")
SAMPLERS: dict[str, dict[str, Any]] = {
    "prior": {},
    "untrained-64": {},
    "untrained-256": {},
    "rdmc": {},
    "idem": {},
    "nets": {},
    "pinn": {},
    "lfis": {},
    "dikl": {},
    "fab": {},
}
PARTICLES: dict[str, dict[str, Any]] = {
    "idem": {"width": 64, "steps": 600, "learning_rate": 5e-3},
    "fab": {"steps": 150},
    "dikl": {"steps": 600},
}
"""Options on four particles, for some twenty seconds."""
BASELINES = ("prior", "untrained-64", "untrained-256")
FEWER = {"rdmc": (2_000, 1)}
"""Draws and repeats of what asks for ten thousand evaluations a draw."""
RESAMPLED = 0.9
"""Share of effective paths below which those of ``nets``, ``pinn`` and ``lfis`` are resampled, in one more draw."""


class Weighted(NamedTuple):
    """Samples (n, 2), their log weights (n,) or None, and evaluations of the density for each."""

    samples: Tensor
    log_weights: Tensor | None
    evaluations: float


class Still:
    """No drift."""

    def displacement(self, k: float, x: Tensor, steps: int) -> Tensor:
        """See ``Drift``."""
        return torch.zeros_like(x)

    def with_log_det(self, k: float, x: Tensor, steps: int) -> tuple[Tensor, Tensor]:
        """See ``Drift``."""
        return torch.zeros_like(x), torch.zeros_like(x[..., 0])


def histograms(task: Task, x: Tensor, seed: int) -> dict[str, float]:
    """TVD-E over the reference's range, and of particles TVD-D and both in fixed bins; 2,000 rows, as published."""
    rows = 2_000 if task.particles else len(x)
    generator = make_generator(seed, "reference")
    reference = task.sample(rows, generator=generator)
    scored = Scored(samples=x[:rows], target=task, generator=generator, reference=reference)
    names = ["tvd-e"] if task.particles is None else ["tvd-e", "tvd-d", "tvd-e[preset=fixed]", "tvd-d[preset=fixed]"]
    return {name: make_part("metric", name)(scored) for name in names}


def modes(task: Task, x: Tensor, weights: Tensor) -> dict[str, float]:
    """Modes with a fifth of their share, and the total variation distance of the shares."""
    law: Any = task.law
    centres, width = law.means.float(), float(law.variances.flatten()[0]) ** 0.5
    distance, nearest = torch.cdist(x.float(), centres).min(1)
    inside, count = distance < 4 * width, len(centres)
    shares = torch.zeros(count).index_add(0, nearest[inside], weights.float()[inside])
    return {
        "modes": int((shares > 0.2 / count).sum()),
        "tv": float(0.5 * ((shares - 1 / count).abs().sum() + 1 - shares.sum())),
    }


def scored(task: Task, drawn: Weighted, seed: int) -> dict[str, float]:
    """Scores with and without weights."""
    n, mixture = len(drawn.samples), task.particles is None
    scores = histograms(task, drawn.samples, seed)
    if mixture:
        scores |= modes(task, drawn.samples, torch.full((n,), 1 / n))
    if drawn.log_weights is not None:
        facts = weight_diagnostics(drawn.log_weights)
        if mixture:
            weighted = modes(task, drawn.samples, drawn.log_weights.double().softmax(0))
            scores |= {f"{name} weighted": value for name, value in weighted.items()}
        scores |= {name: facts[name] for name in FACTS if name in facts}
    return scores


def baseline(task: Task, name: str) -> Callable[[int], Weighted]:
    """Draws of what learns nothing."""
    density = UnitDensity(task, spread(task))
    steps = 1 if name == "prior" else int(name.rpartition("-")[2])
    course = None if name == "prior" else piloted(density, 32, std=1.2).finer(steps // 32)

    def draw(seed: int) -> Weighted:
        generator = make_generator(seed, "baseline")
        start = torch.randn(1, DRAWS, density.dim, generator=generator)
        if course is None:
            x = 1.2 * start[0]
            log_weights = density.log_prob(x) - log_normal(x, 1.44)
            return Weighted(density.flat.embed(x * density.scale), log_weights, 1.0)
        noise = torch.randn(1, steps, DRAWS, density.dim, generator=generator)
        seen = walk(course, Still(), start, noise, diffusion=1.0)
        return Weighted(density.flat.embed(seen.states[0, -1] * density.scale), seen.log_weights[0], steps + 1.0)

    return draw


def job(task_name: str, name: str, options: dict[str, Any], seed: int) -> dict[str, Any]:
    """One row."""
    task: Task = make("task", task_name)
    count, repeats = FEWER.get(name, (DRAWS, REPEATS))
    began = time.process_time()
    if name in BASELINES:
        drawing = baseline(task, name)
    else:
        model = make("sampler", name, **options).fit(task, seed=seed)

        def drawing(seed: int) -> Weighted:
            found = model.draw(count, seed=seed)
            return Weighted(found.samples, found.log_weights, found.nfe)

    fitted = time.process_time()
    draws = [drawing(1_000 * seed + index) for index in range(repeats)]
    done = time.process_time()
    more = {}
    if name in ("nets", "pinn", "lfis") and task.particles is None:
        x = model.sample(count, seed=1_000 * seed + repeats, resample_below=RESAMPLED)
        more = {f"{key} resampled": value for key, value in modes(task, x, torch.full((count,), 1 / count)).items()}
    scores = [scored(task, each, seed) for each in draws]
    mean = {key: sum(one[key] for one in scores) / repeats for key in scores[0]}
    row = {"task": task_name, "sampler": name, "options": options, "seed": seed, "draws": count}
    facts = {"nfe": draws[0].evaluations, "fit": fitted - began, "draw": (done - fitted) / repeats}
    return {**row, **facts, **mean, **more}


def key_of(row: dict[str, Any]) -> tuple[str, str, str, int]:
    """What tells jobs apart."""
    return row["task"], row["sampler"], json.dumps(row["options"], sort_keys=True), row["seed"]


def read(path: Path) -> list[dict[str, Any]]:
    """Rows of the file."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


COLUMNS: dict[str, str] = {
    "ess": "ESS",
    "modes": "modes",
    "tv": "mode TV",
    "tv weighted": "weighted",
    "tv resampled": "resampled",
    "log_z": "log Z",
    "elbo": "ELBO",
    "tvd-e": "TVD-E",
    "tvd-d": "TVD-D",
    "tvd-e[preset=fixed]": "TVD-E fixed",
    "tvd-d[preset=fixed]": "TVD-D fixed",
    "fit": "fit",
    "draw": "4,000 draws",
}


def report(rows: list[dict[str, Any]]) -> str:
    """A table in Markdown, a line a sampler with its options: mean and standard deviation over the seeds it names."""
    groups: dict[tuple[str, int, str], list[dict[str, Any]]] = {}
    for row in sorted(rows, key=lambda row: row["seed"]):
        more = "".join(f" {name}={value}" for name, value in row["options"].items())
        place = row["task"], list(SAMPLERS).index(row["sampler"]), row["sampler"] + more
        groups.setdefault(place, []).append(row)
    used = [name for name in COLUMNS if any(name in row for row in rows)]
    lines = [f"| {' | '.join(['task', 'sampler', 'seeds', *(COLUMNS[name] for name in used)])} |"]
    lines += ["|" + "---|" * (len(used) + 3)]
    for (task, _, sampler), group in sorted(groups.items(), key=lambda item: item[0][:2]):
        cells = [
            _told([row[name] for row in group if name in row], 1 if name in ("fit", "draw") else 3) for name in used
        ]
        lines.append(f"| {' | '.join([task, sampler, ', '.join(str(row['seed']) for row in group), *cells])} |")
    return "\n".join(lines)


def _told(values: list[float], places: int) -> str:
    """Mean and standard deviation of what there is."""
    if not values:
        return "–"
    mean = statistics.fmean(values)
    return f"{mean:.{places}f}" + (f" ± {statistics.stdev(values):.{places}f}" if len(values) > 1 else "")


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("run", "report"))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--samplers", nargs="+", default=list(SAMPLERS), choices=list(SAMPLERS))
    parser.add_argument("--tasks", nargs="+", default=["gmm9", "gmm40"], choices=TASKS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    given = parser.parse_args()
    if given.what == "report":
        print(report(read(given.out)))
        return
    torch.set_num_threads(1)
    for seed in given.seeds:
        for name in given.samplers:
            for task in given.tasks:
                options = PARTICLES.get(name, {}) if task == "dw4" else SAMPLERS[name]
                row = {"task": task, "sampler": name, "options": options, "seed": seed}
                if key_of(row) in {key_of(done) for done in read(given.out)}:
                    continue
                found = job(task, name, options, seed)
                with given.out.open("a") as file:
                    file.write(json.dumps(found) + "\n")
                print(report([found]).splitlines()[-1], flush=True)


if __name__ == "__main__":
    main()
