r"""Heavy tails known through rows: what samplers that learn make of them, and what other coordinates would.

Laws in ten dimensions: Student-t laws with ν = 3 and 1.5; *returns*, days of ten assets under one stochastic
volatility; *claims*, positive, with power tails of index 1.5 to 3 and a common factor. 8,000 rows to train on, 2,000 to
validate, fresh draws to score against by ``tail-quantiles``; five seeds at once.

Samplers: EDM, DDPM (at as many evaluations, and at 300), PFGM++ with few augmented dimensions, ``bellman``, and it with
a constant mobility in place of the kernel, which makes its corrector Langevin's; 77 to 79 evaluations a sample.

Coordinates: ``std``, the library's standardisation, whose scale has no limit where there is no variance; ``asinh``, the
sampler of that name around it, in whose coordinates a diffusion whose mobility grows like 1 + u² is one of constant
mobility: growing mobility for any sampler of rows.

python benchmarks/studies/heavy_rows.py run --out heavy-rows.jsonl
python benchmarks/studies/heavy_rows.py table --out heavy-rows.jsonl
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from scipy.stats import t as student
from tabulate import tabulate
from torch import Tensor

from phys_samplers import make
from phys_samplers.laws import StudentT
from phys_samplers.metric import Scored
from phys_samplers.options import make_part
from phys_samplers.randomness import make_generator
from phys_samplers.target import Target

DIM, TRAIN, VALIDATION, SAMPLES, REFERENCE = 10, 8_000, 2_000, 10_000, 200_000
STEPS = 2_000
BASELINE = "edm, std"
RUNS: dict[str, tuple[str, dict[str, Any], str]] = {
    BASELINE: ("edm", {}, "std"),
    "edm, asinh": ("edm", {}, "asinh"),
    "ddpm, std": ("ddpm", {"sampling_steps": 79}, "std"),
    "ddpm, asinh": ("ddpm", {"sampling_steps": 79}, "asinh"),
    "pfgmpp D = 4, std": ("pfgmpp", {"aux_dim": 4.0}, "std"),
    "pfgmpp D = 1.5, std": ("pfgmpp", {"aux_dim": 1.5}, "std"),
    "bellman, std": ("bellman", {}, "std"),
    "bellman, asinh": ("bellman", {}, "asinh"),
    "Langevin corrector, std": ("bellman", {"kernel": "constant"}, "std"),
    "Langevin corrector, asinh": ("bellman", {"kernel": "constant"}, "asinh"),
}
LONGER = {"ddpm": 300}
"""Evaluations at which a sampler is drawn once more."""


class Returns:
    """x = e^{h/2} (b f + .7 e) with log-variance h ~ N(0, 1), one factor f, and e of t₄."""

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """(n, 10)."""
        volatility = torch.randn(n, 1, generator=generator).mul(0.5).exp()
        loadings = torch.linspace(0.3, 1.2, DIM)
        own = StudentT(DIM, 4.0, radial=False).sample(n, generator)
        return volatility * (loadings * torch.randn(n, 1, generator=generator) + 0.7 * own)


class Claims:
    """x_i = (1 − Φ(z_i))^{−1/a_i} − 1, Lomax laws with indices 1.5 to 3, z of correlation .4: positive."""

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """(n, 10)."""
        common = torch.randn(n, 1, generator=generator, dtype=torch.float64)
        own = torch.randn(n, DIM, generator=generator, dtype=torch.float64)
        z = math.sqrt(0.4) * common + math.sqrt(0.6) * own
        index = torch.linspace(1.5, 3.0, DIM, dtype=torch.float64)
        return ((-torch.special.log_ndtr(-z) / index).exp() - 1).float()


LAWS: dict[str, Any] = {
    "t3": StudentT(DIM, 3.0),
    "t1.5": StudentT(DIM, 1.5),
    "returns": Returns(),
    "claims": Claims(),
}


def rows_of(name: str, n: int, what: str) -> Tensor:
    """Exact draws; the same for every sampler."""
    draws: Tensor = LAWS[name].sample(n, make_generator(0, "heavy rows", name, what))
    return draws


def tail_error(samples: Tensor, reference: Tensor) -> float:
    """``tail-quantiles``."""
    target = Target(event_shape=(DIM,))
    scored = Scored(samples=samples, reference=reference, target=target, generator=make_generator(0))
    return float(make("metric", "tail-quantiles")(scored))


def run(path: Path, seeds: int, names: list[str], only: list[str] | None = None) -> None:
    """All that is not there yet."""
    done = records(path)
    for name in names:
        reference = rows_of(name, REFERENCE, "reference")
        train, validation = rows_of(name, TRAIN, "train"), rows_of(name, VALIDATION, "validation")
        for label, (sampler, options, how) in {"exact": ("", {}, ""), "training rows": ("", {}, ""), **RUNS}.items():
            if (name, label, seeds - 1) in done or (only and label in RUNS and label not in only):
                continue
            begin = time.process_time()
            found: list[tuple[str, int, float | None, float]] = []
            if not sampler:
                for seed in range(seeds):
                    draws = train if label != "exact" else rows_of(name, SAMPLES, f"exact {seed}")
                    found.append((label, seed, tail_error(draws, reference), 0))
            else:
                target = Target(event_shape=(DIM,), name=name, train=train, validation=validation)
                recipe: dict[str, Any] = {"name": sampler, "steps": STEPS, **options}
                recipe = recipe if how == "std" else {"name": how, "sampler": recipe}
                models = make_part("sampler", recipe).fit_replicas(target, seeds=list(range(seeds)))
                for again, more in (
                    ("", {}),
                    *[(f", {n} evaluations", {"sampling_steps": n}) for n in longer(sampler)],
                ):
                    for seed, model in enumerate(models):
                        value, cost = None, math.nan
                        try:
                            draw = model.draw(SAMPLES, seed=seed, **more)
                            value, cost = tail_error(draw.samples, reference), draw.nfe
                        except ArithmeticError as failure:
                            print(name, label, seed, type(failure).__name__, flush=True)
                        found.append((label + again, seed, value, cost))
            seconds = (time.process_time() - begin) / len(found)
            with path.open("a") as file:
                for text, seed, value, cost in found:
                    record = {"key": [name, text, seed], "score": value, "nfe": cost, "seconds": seconds}
                    file.write(json.dumps(record) + "\n")
            print(name, label, [value and round(value, 2) for _, _, value, _ in found], round(seconds, 1), flush=True)


def longer(sampler: str) -> list[int]:
    """Further numbers of evaluations."""
    return [LONGER[sampler]] if sampler in LONGER else []


def records(path: Path) -> dict[tuple[Any, ...], dict[str, Any]]:
    """What is there, by (law, run, seed)."""
    lines = path.read_text().splitlines() if path.exists() else []
    return {tuple(line["key"]): line for line in map(json.loads, lines)}


def table_rows(found: dict[tuple[Any, ...], dict[str, Any]]) -> Iterator[list[str]]:
    """Mean with its 95 % t-interval over seeds for every run and law, and the evaluations a sample."""
    names = list(dict.fromkeys(key[0] for key in found))
    for label in dict.fromkeys(key[1] for key in found):
        nfe = next(record["nfe"] for key, record in found.items() if key[1] == label)
        row = [label, f"{nfe:g}" if nfe else ""]
        for name in names:
            values = [record["score"] for key, record in found.items() if key[:2] == (name, label)]
            finite = [value for value in values if value is not None]
            if len(finite) < len(values) or len(finite) < 2:
                row.append(f"{len(values) - len(finite)} of {len(values)} diverge" if values else "")
                continue
            half = student.ppf(0.975, len(finite) - 1) * statistics.stdev(finite) / len(finite) ** 0.5
            row.append(f"{statistics.mean(finite):.2f} ± {half:.2f}")
        yield row


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("run", "table"))
    parser.add_argument("--out", type=Path, default=Path("heavy-rows.jsonl"))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--laws", nargs="*", default=list(LAWS))
    parser.add_argument("--only", nargs="*", help="these samplers alone, by their names in the table")
    arguments = parser.parse_args()
    if arguments.what == "run":
        run(arguments.out, arguments.seeds, arguments.laws, arguments.only)
    else:
        found = records(arguments.out)
        print(tabulate(list(table_rows(found)), ["", "evaluations", *dict.fromkeys(k[0] for k in found)], "github"))
        print(f"{sum(record['seconds'] for record in found.values()):.0f} CPU-seconds")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
