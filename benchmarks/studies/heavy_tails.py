r"""Does a mobility that grows reach heavy tails sooner? And has its diffusion a spectral gap where Langevin's has none?

``gap``: the least rate of relaxation λ > 0 of dx = (q′ + q ∂log p) dt + √(2q) dW on the line, reflected at ±R:
(q p f′)′ + λ p f = 0 by finite elements on a grid that is even in asinh x. Of t_ν with q = 1 + x²/ν it tends to
(ν − 1)/ν, the rate of x, if ν > 2, and to ν/4, where the continuous spectrum begins, if ν ≤ 2; of q = 1 it vanishes
like R⁻².

``run``: samples of Student-t laws and others from chains that start in N(0, I), warm-up and start counted, against
MALA, HMC and NUTS at the same number of gradients a sample. ``bellman-density`` has its one automatic choice of
everything; of the others each has four settings (below), of which the best in hindsight is taken for each law, on a
seed of its own. What is dear has the first seeds alone (``FEW``): proposals by Euler steps, NUTS in 50 dimensions and
on the Gaussian; so have parallel tempering and annealed sequential Monte Carlo, with one setting each, on some laws.
Scores are ``tail-quantiles`` against 200,000 exact draws. One line of JSON a cell: a run that is stopped goes on.

``table``: medians over seeds, with the least and greatest value, and ratios to the best other with t-intervals.

python benchmarks/studies/heavy_tails.py gap
python benchmarks/studies/heavy_tails.py run --out heavy-tails.jsonl --seeds 10
python benchmarks/studies/heavy_tails.py table --out heavy-tails.jsonl
"""

from __future__ import annotations

import argparse
import functools
import json
import math
import statistics
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy.linalg import eigh_tridiagonal
from scipy.stats import t as student
from tabulate import tabulate
from torch import Tensor

from phys_bench.tasks.heavy import horseshoe, robust_regression
from phys_samplers import make
from phys_samplers.laws import Funnel, GaussianMixture, StandardNormal, StudentT
from phys_samplers.metric import Scored
from phys_samplers.randomness import make_generator
from phys_samplers.target import Target

CHAINS, REFERENCE, TUNING_SEED = 20_000, 200_000, 1_000
OURS = "bellman-density"
RIVALS = ("mala", "hmc", "nuts")
UNFLAT = ("rank-one", "growing")
"""Kernels with proposals N(u + hb, 2hM), beside those that are chosen from."""
FEW = 1
TEMPERED = {
    "smc": {"temperatures": 39, "pilot": 128},
    "parallel-tempering": {
        "jitter": 0.0, "leapfrog_steps": 3, "samples_per_chain": 10, "sampling_steps": 100, "temperatures": 6,
        "warmup_steps": 40,
    },
}  # fmt: skip
"""As the suite ``heavy-tails`` has them: 160 gradients a sample."""
BESIDE = ("t1.5-radial-10", "t1.5-product-10", "t3-radial-10")


class Cell(NamedTuple):
    """A law at a budget of gradients."""

    law: str
    gradients: int


@functools.cache
def laws() -> dict[str, Any]:
    """By their names in the table."""
    found: dict[str, Any] = {}
    for dim in (10, 50):
        for nu in (1.5, 3.0):
            for radial in (True, False):
                found[f"t{nu:g}-{'radial' if radial else 'product'}-{dim}"] = StudentT(dim, nu, radial=radial)
    return {
        **found,
        "normal-10": StandardNormal(10),
        "cauchy-radial-10": StudentT(10, 1.0),
        "cauchy-product-10": StudentT(10, 1.0, radial=False),
        "skewed-t3-10": StudentT(10, 3.0, radial=False, skewness=2.0),
        "funnel-10": Funnel(),
        "horseshoe-21": horseshoe().law,
        "robust-3": robust_regression().law,
        "uneven-20": GaussianMixture(torch.zeros(1, 20), torch.logspace(-4, 4, 20).unsqueeze(0), [1.0]),
        "arcsine-10": Arcsine(10),
    }


class Arcsine(torch.nn.Module):
    """Of D independent numbers in (0, 1) with density 1/(π√(x(1 − x))), the logits y: p(y) = 1/(2π cosh(y/2)).

    Bounded support as samplers see it, after ``Density(support=...)``.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.event_shape = (dim,)

    def log_prob(self, y: Tensor) -> Tensor:
        """(B,)."""
        return -(torch.logaddexp(y / 2, -y / 2) + math.log(math.pi)).sum(1)

    def score(self, y: Tensor) -> Tensor:
        """(B, D)."""
        return -torch.tanh(y / 2) / 2

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """(n, D), from x = sin²(πu/2), of which 1 − x is cos²(πu/2)."""
        return -2 * torch.rand(n, *self.event_shape, generator=generator).mul(math.pi / 2).tan().log()


CELLS = [
    *(Cell(f"t1.5-{kind}-{dim}", 160) for dim in (10, 50) for kind in ("radial", "product")),
    *(Cell(f"t3-{kind}-{dim}", budget) for dim in (10, 50) for kind in ("radial", "product") for budget in (40, 160)),
    *(Cell(law, 160) for law in ("normal-10", "cauchy-radial-10", "cauchy-product-10", "skewed-t3-10")),
    *(Cell(law, 160) for law in ("funnel-10", "horseshoe-21", "robust-3", "uneven-20", "arcsine-10")),
]


def settings(gradients: int) -> dict[str, list[dict[str, Any]]]:
    """What is tried for each sampler at a budget; NUTS finds its number of trajectories by ``nuts_steps``."""
    steps = gradients - 1
    ours = {"sampling_steps": steps, "warmup_steps": gradients // 4}
    return {
        OURS: [ours],
        **{f"{OURS}[kernel={kernel}]": [{**ours, "kernel": kernel}] for kernel in UNFLAT},
        "mala": [
            {"sampling_steps": steps, "warmup_steps": int(share * gradients), "target_acceptance": rate}
            for share in (0.25, 0.5)
            for rate in (0.35, 0.574)
        ],
        "hmc": [
            {"sampling_steps": steps // length, "warmup_steps": steps // length // 4, "leapfrog_steps": length}
            for length in (2, 5, 10, 20)
            if steps // length >= 2
        ],
        "nuts": [{"target_acceptance": rate, "warmup_share": share} for share in (0.25, 0.5) for rate in (0.65, 0.85)],
        **{name: [dict(options)] for name, options in TEMPERED.items()},
    }


def wanted(cell: Cell, name: str, seed: int) -> bool:
    """Whether a sampler runs on a law at a seed."""
    if name in TEMPERED:
        return seed < FEW and cell.gradients == 160 and cell.law in BESIDE
    if "[" in name:
        return seed < FEW and cell.law.startswith("t1.5")
    return seed < FEW or name != "nuts" or not cell.law.endswith(("-50", "normal-10"))


def nuts_steps(target: Target, options: dict[str, Any], gradients: int) -> dict[str, Any]:
    """Options with the number of trajectories that costs most nearly ``gradients`` a sample, by runs of 500 chains."""
    share = options["warmup_share"]
    kept = {"target_acceptance": options["target_acceptance"], "prior_std": 1.0}
    best: tuple[float, dict[str, Any]] = (math.inf, {})
    for steps in range(2, gradients):
        tried = {**kept, "sampling_steps": steps, "warmup_steps": max(1, int(share * steps))}
        cost = make("sampler", "nuts", **tried).fit(target).draw(500, seed=TUNING_SEED).nfe
        best = min(best, (abs(cost - gradients), tried), key=lambda pair: pair[0])
        if cost > gradients:
            break
    return best[1]


def score(cell: Cell, name: str, options: dict[str, Any], seed: int, n: int) -> dict[str, Any]:
    """One draw, scored."""
    law = laws()[cell.law]
    target = Target(event_shape=law.event_shape, law=law, name=cell.law)
    recipe = make("sampler", name.partition("[")[0], **{**options, "prior_std": 1.0})
    begin = time.process_time()
    draw = recipe.fit(target).draw(n, seed=seed)
    seconds = time.process_time() - begin
    value = make("metric", "tail-quantiles")(
        Scored(samples=draw.samples, reference=reference(cell.law), target=target, generator=make_generator(seed))
    )
    facts = {k: draw.diagnostics.get(k) for k in ("kernel", "growth", "acceptance", "step_size", "ess_min")}
    facts["ess_per_gradient"] = (facts["ess_min"] or 0.0) / draw.diagnostics.get("recorded_chains", 1) / draw.nfe
    return {"score": value, "nfe": draw.nfe, "seconds": seconds, "options": options, **facts}


_REFERENCES: dict[str, torch.Tensor] = {}


def reference(name: str) -> torch.Tensor:
    """Exact draws; of one law at a time."""
    if name not in _REFERENCES:
        _REFERENCES.clear()
        size = REFERENCE // 4 if name.startswith("horseshoe") else REFERENCE  # whose draws cost 200 µs each
        _REFERENCES[name] = laws()[name].sample(size, make_generator(0, "reference", name))
    return _REFERENCES[name]


def floor(name: str, seed: int, n: int) -> float:
    """The score of exact draws."""
    law = laws()[name]
    target = Target(event_shape=law.event_shape, law=law, name=name)
    samples = law.sample(n, make_generator(seed, "floor", name))
    scored = Scored(samples=samples, reference=reference(name), target=target, generator=make_generator(seed))
    return make("metric", "tail-quantiles")(scored)


def records(path: Path) -> dict[tuple[Any, ...], dict[str, Any]]:
    """What is there, by (law, gradients, sampler, seed, n)."""
    if not path.exists():
        return {}
    lines = [json.loads(line) for line in path.read_text().splitlines() if line.strip()]
    return {tuple(line["key"]): line for line in lines}


def run(path: Path, seeds: int, n: int, cells: list[Cell]) -> None:
    """All cells that are not there yet; seeds outermost, so that early numbers are of all cells."""
    done = records(path)

    def once(key: tuple[Any, ...], compute: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        if key not in done:
            done[key] = {"key": key, **compute()}
            with path.open("a") as file:
                file.write(json.dumps(done[key]) + "\n")
            print(key, {k: v for k, v in done[key].items() if k in ("score", "nfe", "seconds", "options")}, flush=True)
        return done[key]

    for seed in range(seeds):
        for cell in cells:
            once((*cell, "floor", seed, n), lambda cell=cell, seed=seed: {"score": floor(cell.law, seed, n)})
            for name, tried in settings(cell.gradients).items():
                if not wanted(cell, name, seed):
                    continue
                options = tried[0] if len(tried) == 1 else chosen(cell, name, tried, once, n // 4)
                once(
                    (*cell, name, seed, n),
                    lambda cell=cell, name=name, options=options, seed=seed: score(cell, name, options, seed, n),
                )


def chosen(
    cell: Cell, name: str, tried: list[dict[str, Any]], once: Callable[..., dict[str, Any]], n: int
) -> dict[str, Any]:
    """The options of the setting with the least score on a seed that is not scored."""
    law = laws()[cell.law]
    target = Target(event_shape=law.event_shape, law=law, name=cell.law)

    def attempt(options: dict[str, Any]) -> dict[str, Any]:
        if name == "nuts":
            options = nuts_steps(target, options, cell.gradients)
        return score(cell, name, options, TUNING_SEED, n)

    found = [once((*cell, name, f"setting-{i}", n), lambda o=o: attempt(o)) for i, o in enumerate(tried)]
    return min(found, key=lambda record: record["score"])["options"]


def spectral_gap(nu: float, growth: float, radius: float, points: int = 20_000) -> float:
    """λ of t_ν with q = 1 + growth · x² on [−R, R]; see the module.

    Args:
        nu: ν.
        growth: c; 0 for Langevin dynamics.
        radius: R.
        points: of the grid.
    """
    x = np.sinh(np.linspace(-math.asinh(radius), math.asinh(radius), points))
    middle, width = (x[1:] + x[:-1]) / 2, np.diff(x)
    density = (1 + middle**2 / nu) ** (-(nu + 1) / 2)
    stiffness = (1 + growth * middle**2) * density / width
    mass = np.zeros(points)
    mass[1:] += density * width / 2
    mass[:-1] += density * width / 2
    diagonal = np.zeros(points)
    diagonal[1:] += stiffness
    diagonal[:-1] += stiffness
    root = np.sqrt(mass)
    values = eigh_tridiagonal(
        diagonal / mass, -stiffness / (root[1:] * root[:-1]), eigvals_only=True, select="i", select_range=(0, 1)
    )
    return float(values[1])


def gap_table() -> str:
    """Gaps of growing and constant mobility in growing boxes."""
    rows = []
    for radius in (1e1, 1e2, 1e3, 1e4, 1e5, 1e6):
        row: list[Any] = [f"{radius:g}"]
        for nu in (3.0, 1.5):
            row += [spectral_gap(nu, 1 / nu, radius), spectral_gap(nu, 0.0, radius)]
        rows.append(row)
    heads = ["R", "t3 growing", "t3 Langevin", "t1.5 growing", "t1.5 Langevin"]
    return tabulate(rows, heads, floatfmt=".3g")


def mean_ratio(pairs: Iterable[tuple[float, float]]) -> str:
    """Geometric mean of ratios, with its 95 % t-interval."""
    logs = [math.log(ours / other) for ours, other in pairs]
    middle, half = statistics.mean(logs), math.nan
    if len(logs) > 1:
        half = student.ppf(0.975, len(logs) - 1) * statistics.stdev(logs) / len(logs) ** 0.5
    return f"{math.exp(middle):.2f} [{math.exp(middle - half):.2f}, {math.exp(middle + half):.2f}]"


def price(path: Path, n: int) -> str:
    """Effective samples per gradient on the Gaussian, over those of MALA."""
    found, pairs = records(path), []
    for seed in range(100):
        ours, mala = (found.get(("normal-10", 160, name, seed, n)) for name in (OURS, "mala"))
        if ours and mala:
            pairs.append((ours["ess_per_gradient"], mala["ess_per_gradient"]))
    return mean_ratio(pairs) + f" of {len(pairs)} seeds" if pairs else "not measured"


def rows_of(path: Path, n: int) -> Iterator[list[Any]]:
    """Lines of the table."""
    found = records(path)
    for cell in dict.fromkeys(Cell(*key[:2]) for key in found):
        series = {
            name: [found[key]["score"] for seed in range(100) if (key := (*cell, name, seed, n)) in found]
            for name in ("floor", *settings(cell.gradients))
        }
        if not all(series[name] for name in ("floor", OURS, *RIVALS)):
            continue
        rivals = {name: statistics.median(series[name]) for name in RIVALS}
        best = min(rivals, key=lambda name: rivals[name])
        ratio = f"{mean_ratio(zip(series[OURS], series[best], strict=False))} of {best}"
        texts = [f"{statistics.median(v):.2f} ({min(v):.2f}–{max(v):.2f})" if v else "" for v in series.values()]
        yield [cell.law, cell.gradients, len(series[OURS]), *texts, ratio]


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("gap", "run", "table"))
    parser.add_argument("--out", type=Path, default=Path("heavy-tails.jsonl"))
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--chains", type=int, default=CHAINS)
    parser.add_argument("--laws", nargs="*", help="only these")
    parser.add_argument("--gradients", nargs="*", type=int, default=[40, 160], help="only these budgets")
    arguments = parser.parse_args()
    if arguments.what == "gap":
        print(gap_table())
    elif arguments.what == "run":
        cells = [cell for cell in CELLS if not arguments.laws or cell.law in arguments.laws]
        cells = [cell for cell in cells if cell.gradients in arguments.gradients]
        run(arguments.out, arguments.seeds, arguments.chains, cells)
    else:
        heads = ["law", "gradients", "seeds", "exact", "ours", *UNFLAT, *RIVALS, *TEMPERED, "ratio to the best rival"]
        print(tabulate(list(rows_of(arguments.out, arguments.chains)), heads, tablefmt="github"))
        print("ESS per gradient on the Gaussian over MALA's:", price(arguments.out, arguments.chains))


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
