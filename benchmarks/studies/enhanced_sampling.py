"""Metadynamics and coupled replicas beside parallel tempering and MALA, at equal evaluations of the energy.

Two wells in one coordinate, 12 kT apart, a normal coordinate beside it. All chains start at the bottom of one well, or
spread over both by N(0, I). What is scored: the share of the other well against that of a quadrature, .687. 800
evaluations for each of 400 samples.

python benchmarks/studies/enhanced_sampling.py --seeds 5
"""

from __future__ import annotations

import argparse
import math
import statistics
import time

import torch
from tabulate import tabulate
from torch import Tensor

from phys_samplers import Density
from phys_samplers.options import make_part
from phys_samplers.randomness import make_generator

N = 400
SAMPLERS = {
    "metadynamics": "metadynamics[bounds=[-1.8,1.8],sampling_steps=800,warmup_steps=500]",
    "metadynamics, no bias factor": "metadynamics[bounds=[-1.8,1.8],bias_factor=null,sampling_steps=800]",
    "metadynamics of the other coordinate": "metadynamics[variable=1,bounds=[-4.0,4.0],sampling_steps=800]",
    "coupled replicas": "coupled-replicas[sampling_steps=800]",
    "parallel tempering": (
        "parallel-tempering[jitter=0.0,sampling_steps=61,temperatures=5,warmup_steps=30,prior_std=1.5]"
    ),
    "MALA": "mala[sampling_steps=800]",
}


def well(x: Tensor) -> Tensor:
    """log p of points (B, 2)."""
    return -12 * (x[:, 0].square() - 1).square() + 0.4 * x[:, 0] - 0.5 * x[:, 1].square()


def right() -> float:
    """The share of the right well."""
    s = torch.linspace(-2.5, 2.5, 20_001, dtype=torch.float64)
    return float(well(torch.stack((s, torch.zeros_like(s)), 1)).softmax(0)[s > 0].sum())


def main() -> None:
    """All samplers from both starts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    seeds = range(parser.parse_args().seeds)
    target, truth, rows = Density(well, (2,), name="two wells"), right(), []
    for name, spec in SAMPLERS.items():
        model = make_part("sampler", spec).fit(target)
        row: list[str] = [name]
        for spread in (0.0, 1.0):
            errors, effective, begin, nfe = [], [], time.process_time(), 0.0
            for seed in seeds:
                start = torch.randn(N, 2, generator=make_generator(seed, "start")) * spread
                draw = model.draw(N, seed=seed, start=start + torch.tensor([0.0 if spread else -1.0, 0.0]))
                errors.append(float((draw.samples[:, 0] > 0).double().mean()) - truth)
                effective.append(draw.diagnostics.get("weight_ess", math.nan))
                nfe = draw.nfe
            seconds = (time.process_time() - begin) / len(seeds)
            row += [f"{statistics.fmean(errors):+.3f} ± {statistics.stdev(errors):.3f}"]
            row += [f"{statistics.fmean(effective):.2f}", f"{nfe:.0f}", f"{seconds:.1f}"]
        rows.append(row)
        print(row, flush=True)
    names = ("error of the share", "weights' ESS", "evaluations", "CPU s")
    print(
        tabulate(rows, headers=["sampler", *(f"{what}, {start}" for start in ("one well", "both") for what in names)])
    )


if __name__ == "__main__":
    main()
