r"""What discrete latents are worth: DisCo-Diff against plain EDM at no more parameters and equal evaluations.

``toy``: eight Gaussians of standard deviation .2 on a circle of radius 3, 1,000 rows each (thesis, App. B.2.2). W2 of
1,000 draws to 1,000 points with 125 in every mode. Most of it is the luck of how many draws fall into each mode, which
exact draws have too, so there is ``quota``: 10,000 draws say how many of 1,000 belong to each mode, and the first that
many of it are taken; and ``off``, the share of draws more than four standard deviations from every mode. Curvature of
the ODE's lines and the mean squared norm of ∇_x G, G = (x − D)/σ, are those of the thesis, by bands of the level σ in
units of standardised data. ``nfe``: W2 on shared tasks; ``more``: several latents, and PFGM++ with one. One line of
JSON a cell: a run that is stopped goes on.

python benchmarks/studies/disco.py toy --out disco.jsonl
python benchmarks/studies/disco.py nfe --out disco.jsonl
python benchmarks/studies/disco.py more --out disco.jsonl
python benchmarks/studies/disco.py table --out disco.jsonl
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from scipy.stats import t as student
from tabulate import tabulate
from torch import Tensor

from phys_electrostatic.pfgmpp import PFGMpp
from phys_samplers import Samples, make
from phys_samplers.denoisers.discrete import DiscreteLatents
from phys_samplers.denoisers.sampler import DenoiserModel
from phys_samplers.laws import GaussianMixture
from phys_samplers.metric import Scored
from phys_samplers.metrics.transport import transport_cost
from phys_samplers.options import Part, make_part
from phys_samplers.randomness import make_generator

WIDTH = 0.2
LAW = GaussianMixture(
    [[3 * math.cos(math.pi * k / 4), 3 * math.sin(math.pi * k / 4)] for k in range(8)], [WIDTH**2] * 8, [1 / 8] * 8
)
STEPS_OF_DRAWS = (3, 5, 9, 18)
MANY = 10
"""Times as many draws as are compared say how many belong to each mode."""
BANDS = ((1.0, 100.0), (0.1, 1.0), (0.0, 0.1))
TOY = {
    "edm": "edm[depth=4]",
    "disco": "disco[depth=3,encoder=mlp[width=40,depth=2]]",
    "disco, no usage term": "disco[depth=3,encoder=mlp[width=40,depth=2],usage_weight=0.0]",
}
TASKS = {
    "digits": ("edm[width=80]", "disco[codes=16,encoder=mlp[width=24,depth=1]]", 359),
    "mushroom": ("edm[width=80]", "disco[codes=16,encoder=mlp[width=24,depth=1]]", 500),
    "gmm9": ("edm[depth=4]", "disco[codes=9,depth=3,encoder=mlp[width=40,depth=2]]", 500),
}


def even(n: int, seed: int) -> Tensor:
    """n/8 exact draws of each mode."""
    noise = torch.randn(n, 2, generator=make_generator(seed, "even"))
    return LAW.means.repeat_interleave(n // 8, 0) + WIDTH * noise


def w2(x: Tensor, y: Tensor) -> float:
    """Exact W2."""
    return float(transport_cost(x.double(), y.double(), power=2, max_iterations=10**8, by="w2") ** 0.5)


def modes(x: Tensor) -> tuple[Tensor, float]:
    """The nearest mode of each point, and the share of points beyond four standard deviations of it."""
    near, label = torch.cdist(x, LAW.means).min(1)
    return label, float((near > 4 * WIDTH).double().mean())


def quota(many: Tensor, n: int) -> Tensor:
    """About n points, with the shares that the modes have among many."""
    label, _ = modes(many)
    counts = (torch.bincount(label, minlength=8) * (n / len(many))).round().long().tolist()
    return torch.cat([many[label == k][:count] for k, count in enumerate(counts)])


def scored(x: Tensor, n: int, seed: int) -> dict[str, float]:
    """The scores of many draws."""
    some = quota(x, n)
    return {"w2": w2(x[:n], even(n, seed)), "quota": w2(some, even(n, seed)), "off": modes(x)[1]}


def shape(model: DenoiserModel, n: int, seed: int, step: float = 1e-3) -> dict[str, list[float]]:
    """Mean curvature and mean squared norm of ∇G along the lines of n draws by 50 Heun steps, by bands of the level."""
    asked = model.drawn_for(n, seed)
    schedule = asked.recipe.schedule_part
    levels = [schedule.ratio(t) for t in schedule.grid(50, to_zero=False)]

    def slope(u: Tensor, level: float) -> Tensor:
        return (u - asked.denoise(u, level)) / level

    asked.module.double()
    u = asked.prior(n, make_generator(seed, "shape"), levels[0]).double()
    found: dict[str, list[list[float]]] = {"curvature": [[] for _ in BANDS], "norm": [[] for _ in BANDS]}
    for high, low in pairwise(levels):
        band = next(i for i, (least, most) in enumerate(BANDS) if least <= high < most)
        with torch.enable_grad():
            at = u.detach().requires_grad_()
            g = slope(at, high)
            rows = [torch.autograd.grad(g[:, i].sum(), at, retain_graph=i == 0)[0] for i in range(2)]
        found["norm"][band].append(float(torch.stack(rows).square().sum((0, 2)).mean()))
        g = g.detach()
        before = u - step * g
        then = slope(before, high - step)
        turn = (g / g.norm(dim=1, keepdim=True) - then / then.norm(dim=1, keepdim=True)).norm(dim=1)
        found["curvature"][band].append(float((turn / (step * g.norm(dim=1))).mean()))
        u = u + 0.5 * (low - high) * (g + slope(u + (low - high) * g, low))
    asked.module.float()
    return {name: [statistics.fmean(values) for values in bands] for name, bands in found.items()}


def kept(path: Path) -> set[str]:
    """The cells that are there."""
    return {json.loads(line)["key"] for line in path.read_text().splitlines()} if path.exists() else set()


def keep(path: Path, line: dict[str, Any]) -> None:
    """One more."""
    with path.open("a") as file:
        file.write(json.dumps(line) + "\n")
    print(line, flush=True)


def toy(path: Path, seeds: int, steps: int, n: int = 1_000) -> None:
    """The mixture of the thesis."""
    noise = torch.randn(8_000, 2, generator=make_generator(0, "rows"))
    rows = LAW.means.repeat(1_000, 1) + WIDTH * noise
    target = Samples(rows, validation_fraction=0.0)
    for seed in range(seeds):
        if (key := f"toy exact {seed}") not in kept(path):
            exact = LAW.sample(MANY * n, make_generator(seed, "exact"))
            keep(path, {"key": key, "method": "exact", "nfe": 0, "seed": seed, **scored(exact, n, seed)})
    for name, text in TOY.items():
        if f"toy {name} {steps} {seeds - 1} shape" in kept(path):
            continue
        begin = time.process_time()
        models = make_part("sampler", text).with_options(steps=steps).fit_replicas(target, seeds=range(seeds))
        spent, size = time.process_time() - begin, models[0].report.parameters
        for seed, model in enumerate(models):
            for count in STEPS_OF_DRAWS:
                key = f"toy {name} {steps} {seed} {count}"
                if key not in kept(path):
                    draw = model.draw(MANY * n, seed=seed, sampling_steps=count)
                    facts = {"method": name, "steps": steps, "seed": seed, "nfe": draw.nfe, "parameters": size}
                    keep(path, {"key": key, "fit": spent, **facts, **scored(draw.samples, n, seed)})
            used = 0.0
            if model.code is not None:
                used = float(model.code.prior.first[0].softmax(-1).gt(0.02).sum())
            keep(
                path,
                {"key": f"toy {name} {steps} {seed} shape", "method": name, "seed": seed, "steps": steps, "used": used}
                | shape(model, 500, seed),
            )


def nfe(path: Path, seeds: int, steps: int) -> None:
    """Shared tasks at 5 to 35 evaluations."""
    for name, (plain, latent, n) in TASKS.items():
        task = make("task", name)
        for text in (plain, latent):
            if f"nfe {name} {text} {steps} {seeds - 1} 18" in kept(path):
                continue
            begin = time.process_time()
            models = make_part("sampler", text).with_options(steps=steps).fit_replicas(task, seeds=range(seeds))
            spent = time.process_time() - begin
            score_draws(path, task, text, models, n, steps=steps, fit=spent)


def score_draws(path: Path, task: Any, method: str, models: list[Any], n: int, *, steps: int, fit: float) -> None:
    """A line for every seed and number of evaluations."""
    metric = make("metric", "w2")
    for seed, model in enumerate(models):
        for count in STEPS_OF_DRAWS:
            draw = model.draw(n, seed=seed, sampling_steps=count)
            seen = Scored(samples=draw.samples, reference=task.heldout[:n], target=task, generator=make_generator(0))
            facts = {"task": task.name, "method": method, "steps": steps, "seed": seed, "nfe": draw.nfe, "fit": fit}
            facts |= {"parameters": model.report.parameters, "w2": metric(seen)}
            if task.features is not None:
                facts["frechet"] = make("metric", "frechet")(seen)
            keep(path, {"key": f"nfe {task.name} {method} {steps} {seed} {count}", **facts})


@dataclass(frozen=True, kw_only=True)
class LatentPFGMpp(DiscreteLatents, PFGMpp):
    """PFGM++ with discrete latents; the mixin brings the base's defaults, so that the family's are said again."""

    loss: Part = "poisson-denoising"


def more(path: Path, seeds: int, steps: int) -> None:
    """Digits: four latents of eight codes beside EDM, and PFGM++ with a latent beside PFGM++."""
    task, (plain, latent, n) = make("task", "digits"), TASKS["digits"]
    one = make_part("sampler", latent)
    recipes = {
        "edm": make_part("sampler", plain),
        "disco, 4 latents of 8": one.with_options(latents=4, codes=8),
        "pfgmpp": make_part("sampler", plain.replace("edm", "pfgmpp")),
        "pfgmpp, a latent of 16": LatentPFGMpp(codes=16, encoder=one.encoder),
    }
    for name, recipe in recipes.items():
        begin = time.process_time()
        models = recipe.with_options(steps=steps).fit_replicas(task, seeds=range(seeds))
        score_draws(path, task, name, models, n, steps=steps, fit=time.process_time() - begin)


def table(path: Path) -> None:
    """Means over seeds, and paired differences and ratios to EDM with 95 % t-intervals."""
    lines = list(map(json.loads, path.read_text().splitlines()))
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for line in lines:
        if "nfe" in line:
            groups.setdefault((line.get("task", "toy"), line.get("steps"), line["nfe"], line["method"]), []).append(
                line
            )
    rows = []
    for (task, steps, count, method), cells in sorted(groups.items(), key=str):
        base = next((c for k, c in groups.items() if k[:3] == (task, steps, count) and k[3].startswith("edm")), cells)
        row: list[Any] = [task, steps, count, method, cells[0].get("parameters"), len(cells)]
        for score in ("w2", "quota", "off", "frechet"):
            values = [c[score] for c in cells if score in c]
            if not values:
                row += ["", ""]
                continue
            own = [a - b[score] for a, b in zip(values, base, strict=True)]
            half = student.ppf(0.975, max(1, len(own) - 1)) * (statistics.stdev(own) if len(own) > 1 else 0)
            half /= math.sqrt(len(own))
            ratio = statistics.fmean(values) / max(1e-12, statistics.fmean(b[score] for b in base))
            text = "" if base is cells else f"{statistics.fmean(own):+.3f} ± {half:.3f} (× {ratio:.2f})"
            row += [f"{statistics.fmean(values):.3f}", text]
        rows.append(row)
    heads = ["task", "steps", "NFE", "method", "parameters", "seeds"]
    print(tabulate(rows, headers=[*heads, *(h for s in ("w2", "quota", "off", "frechet") for h in (s, "− EDM"))]))
    shapes = [line for line in lines if "curvature" in line]
    means = []
    for method, steps in dict.fromkeys((s["method"], s["steps"]) for s in shapes):
        own_shapes = [s for s in shapes if (s["method"], s["steps"]) == (method, steps)]
        bands = [
            statistics.fmean(s[q][i] for s in own_shapes) for q in ("curvature", "norm") for i in range(len(BANDS))
        ]
        means.append([method, steps, statistics.fmean(s["used"] for s in own_shapes), *bands])
    names = [f"{q} {low:g}–{high:g}" for q in ("curvature", "|∇G|²") for low, high in BANDS]
    print(tabulate(means, headers=["method", "steps", "codes used", *names], floatfmt=".3g"))


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("toy", "nfe", "more", "table"))
    parser.add_argument("--out", type=Path, default=Path("disco.jsonl"))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=1_000)
    arguments = parser.parse_args()
    if arguments.what == "table":
        table(arguments.out)
    else:
        {"toy": toy, "nfe": nfe, "more": more}[arguments.what](arguments.out, arguments.seeds, arguments.steps)


if __name__ == "__main__":
    main()
