"""How much faster R seeds train stacked than one after the other: one process, one thread, one run.

python benchmarks/throughput/replicas.py --replicas 10 --steps 300
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch
from tabulate import tabulate

from phys_samplers import make


def seconds(recipe, task, seeds) -> float:
    """CPU seconds of one training of all ``seeds`` at once."""
    began = time.process_time()
    for result in recipe.fit_replicas(task, seeds=seeds):
        if isinstance(result, Exception):
            raise result
    return time.process_time() - began


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sampler", default="bellman", help="registered sampler that trains (default: bellman)")
    parser.add_argument("--task", default="mixture-2d", help="task with samples (default: mixture-2d)")
    parser.add_argument("--replicas", type=int, default=10, help="number of seeds (default: 10)")
    parser.add_argument("--steps", type=int, default=300, help="training steps of each run (default: 300)")
    parser.add_argument("--repeats", type=int, default=3, help="interleaved repeats; medians are shown (default: 3)")
    options = parser.parse_args()

    torch.set_num_threads(1)
    recipe = make("sampler", options.sampler, steps=options.steps)
    task = make("task", options.task)
    seeds = list(range(options.replicas))
    seconds(recipe.with_options(steps=20), task, seeds)
    stacked, single = [], []
    for _ in range(options.repeats):
        stacked.append(seconds(recipe, task, seeds))
        single.append(sum(seconds(recipe, task, [seed]) for seed in seeds))
    together, apart = statistics.median(stacked), statistics.median(single)
    rows = [
        (f"{options.replicas} runs, one after the other", apart, 1e3 * apart / options.steps / options.replicas, 1.0),
        (
            f"{options.replicas} seeds stacked",
            together,
            1e3 * together / options.steps / options.replicas,
            apart / together,
        ),
    ]
    print(f"{options.sampler} on {options.task}, {options.steps} steps, batch {recipe.batch_size}, one thread\n")
    print(tabulate(rows, ["", "CPU seconds", "ms per step and seed", "times faster"], floatfmt=".2f"))


if __name__ == "__main__":
    main()
