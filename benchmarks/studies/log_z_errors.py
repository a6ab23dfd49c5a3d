r"""How often 1.96 stated errors of a sampler's log Z cover the truth, on two densities with log Z = 0.

A normal law in three dimensions, N(0, I), and a mixture of .3 N(−3, ½² I) and .7 N(3, ½² I) in two. Starts, and the
reference, are N(0, 25 I), as by default. Parallel tempering has 50 ladders of 10 rungs, 100 steps of warm-up and 100
kept; ``smc`` and ``ais`` draw 600 samples by their defaults.

OMP_NUM_THREADS=1 python benchmarks/studies/log_z_errors.py
OMP_NUM_THREADS=1 python benchmarks/studies/log_z_errors.py --sampler smc
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable

import torch
from torch import Tensor

from phys_samplers import Density, make


def normal(x: Tensor, mean: float = 0.0, std: float = 1.0) -> Tensor:
    """log N(x; mean, std² I) (B,)."""
    return (-0.5 * ((x - mean) / std).square() - math.log(std * math.sqrt(2 * math.pi))).sum(1)


def two(x: Tensor) -> Tensor:
    """Of unequal weights, twelve deviations apart in each coordinate."""
    return torch.logaddexp(math.log(0.3) + normal(x, -3.0, 0.5), math.log(0.7) + normal(x, 3.0, 0.5))


TEMPERING = "parallel-tempering"
DENSITIES: dict[str, tuple[Callable[[Tensor], Tensor], int]] = {"normal": (normal, 3), "two": (two, 2)}


def main() -> None:
    """A line per density: seeds covered, mean error, spread of estimates, root mean square of stated errors."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=40)
    parser.add_argument("--sampler", default=TEMPERING)
    given = parser.parse_args()
    torch.set_num_threads(1)
    for name, (log_prob, dim) in DENSITIES.items():
        began = time.process_time()
        options, n = ({"warmup_steps": 100, "sampling_steps": 200}, 50) if given.sampler == TEMPERING else ({}, 600)
        model = make("sampler", given.sampler, **options).fit(Density(log_prob, (dim,), name=name))
        facts = [model.draw(n, seed=seed).diagnostics for seed in range(given.seeds)]
        found, stated = (torch.tensor([fact[key] for fact in facts]) for key in ("log_z", "log_z_std"))
        covered = int((found.abs() < 1.96 * stated).sum())
        print(
            f"{name}: {covered} of {given.seeds} covered; error {found.mean():+.4f}, spread {found.std():.4f},"
            f" stated {stated.square().mean().sqrt():.4f}; {time.process_time() - began:.0f} s of processor time",
            flush=True,
        )


if __name__ == "__main__":
    main()
