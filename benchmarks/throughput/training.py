"""Steps per second of training a denoiser, and the share of each part: one process, one thread, CPU time.

python benchmarks/throughput/training.py --sampler bellman --dim 10 --width 128 --batch 256
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from tabulate import tabulate

from phys_samplers import make
from phys_samplers.randomness import Streams, make_generator
from phys_samplers.samples import Samples


def milliseconds(work: Callable[[], object], calls: int) -> float:
    """CPU time of one call, in thousandths of a second."""
    began = time.process_time()
    for _ in range(calls):
        work()
    return 1e3 * (time.process_time() - began) / calls


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sampler", default="bellman", help="sampler that trains a denoiser (default: bellman)")
    parser.add_argument("--dim", type=int, default=10, help="coordinates of the data (default: 10)")
    parser.add_argument("--width", type=int, default=128, help="units of each hidden layer (default: 128)")
    parser.add_argument("--batch", type=int, default=256, help="rows a step (default: 256)")
    parser.add_argument("--steps", type=int, default=600, help="steps of each measurement (default: 600)")
    parser.add_argument("--repeats", type=int, default=3, help="interleaved repeats; medians are shown (default: 3)")
    options = parser.parse_args()
    torch.set_num_threads(1)

    rows = torch.randn(10_000, options.dim, generator=make_generator(0, "rows"))
    target = Samples(rows, validation_fraction=0.0)
    recipe = make("sampler", options.sampler, width=options.width, batch_size=options.batch, steps=options.steps)
    problem = recipe.problem(target, rows, recipe.standardiser(rows), streams=Streams([0], "weights"))
    batches, noise = Streams([0], "batches"), Streams([0], "noise")
    batch = rows[batches.integers(len(rows), options.batch)]
    noised, sigma = batch, torch.ones(1, options.batch)

    def forward() -> torch.Tensor:
        return problem.module(noised, sigma)

    def backward() -> None:
        forward().square().sum().backward()

    def targets() -> torch.Tensor:
        return problem.loss.posterior_mean(noised[:, :128], sigma[:, :128], batch[:, :128])

    parts: dict[str, Callable[[], object]] = {
        "rows drawn": lambda: rows[batches.integers(len(rows), options.batch)],
        "noise and levels": lambda: problem.loss.perturb(batch, problem.loss.sample_sigma(noise, options.batch), noise),
        "stable targets": lambda: [targets() for _ in range(-(-options.batch // 128))],
        "network, forwards": forward,
        "network, backwards": backward,
    }
    recipe.with_options(steps=50).fit(target)
    found: dict[str, list[float]] = {name: [] for name in (*parts, "step")}
    for _ in range(options.repeats):
        for name, work in parts.items():
            found[name].append(milliseconds(work, 200))
        began = time.process_time()
        recipe.fit(target)
        found["step"].append(1e3 * (time.process_time() - began) / options.steps)
    median = {name: statistics.median(values) for name, values in found.items()}
    median["network, backwards"] -= median["network, forwards"]
    whole = median.pop("step")
    median["optimiser, average, clipping, rest"] = whole - sum(median.values())
    size = f"D = {options.dim}, width {options.width}, {options.batch} rows a step"
    print(f"{options.sampler}, {size}, one thread\n")
    table = [(name, value, f"{value / whole:.0%}") for name, value in median.items()]
    print(tabulate([*table, ("a step", whole, "100%")], ["", "ms (CPU)", "share"], floatfmt=".2f"))
    print(f"\n{1e3 / whole:.0f} steps a second")


if __name__ == "__main__":
    main()
