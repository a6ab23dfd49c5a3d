"""What sampling with a value network costs, and how much of it is matrix products.

The loop of Algorithm 1 (Yoon et al. 2025, arXiv:2502.13280), x' = αx − (s²α²/τ)∇V(αx) + αsε, with a network that was
never trained, on many samples: T noise draws, T − 1 value gradients and, in the last step, the energy's. Beside it the
bare matrix products of the same sizes, chunk by chunk into buffers in the cache, which no way of computing these
gradients can do without: they and the loop take turns. Times are CPU time of this process and medians over the rounds;
the share is the median of the rounds' own shares. 10⁵ samples, T = 10, width 128 should take 2.0 s or less.

    python benchmarks/throughput/value_gradient.py
    python benchmarks/throughput/value_gradient.py --widths 64 --activations relu --repeats 21
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable

import torch
from integrators import taking_turns
from tabulate import tabulate
from torch import Tensor

from phys_samplers.randomness import Streams, make_generator
from phys_samplers.target import Target
from phys_value_gradient.fields import CHUNK, ValueMLP, ValueNetwork

DIM, VARIANCE = 2, 0.5


def loop(net: ValueNetwork, steps: int, samples: int) -> Callable[[], Tensor]:
    """The sampling loop, on a standard normal energy."""
    generator = make_generator(0, "benchmark")

    @torch.no_grad()
    def sample() -> Tensor:
        x = torch.randn(1, samples, DIM, generator=generator).mul_(3.0)
        noise = torch.empty_like(x)
        for t in range(steps):
            gradient = x if t == steps - 1 else net.value_and_gradient(x, t + 1)[1]
            torch.randn(x.shape, generator=generator, out=noise)
            x = x.add(gradient, alpha=-VARIANCE).add_(noise, alpha=VARIANCE**0.5)
        return x

    return sample


def products(net: ValueNetwork, steps: int, samples: int) -> Callable[[], None]:
    """The matrix products of the loop's forward and backward passes, and nothing else."""
    width = net.head.shape[1]
    chunk = min(samples, CHUNK // width)
    weights = [weight.detach() for weight in net.weights]
    backward = [weight.mT.contiguous() for weight in reversed(weights)]
    hidden = torch.randn(2, 1, chunk, width, generator=make_generator(1, "benchmark"))
    points, result = torch.randn(1, chunk, DIM, generator=make_generator(2, "benchmark")), torch.empty(1, chunk, DIM)

    @torch.no_grad()
    def multiply() -> None:
        for _ in range(steps - 1):
            for start in range(0, samples, chunk):
                rows = min(chunk, samples - start)
                layer = points[:, :rows]
                for index, weight in enumerate((*weights, *backward)):
                    last = index == 2 * len(weights) - 1
                    layer = torch.bmm(layer, weight, out=(result if last else hidden[index % 2])[:, :rows])

    return multiply


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=100_000, help="rows (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=10, help="T (default: %(default)s)")
    parser.add_argument("--widths", type=int, nargs="+", default=[64, 128], help="hidden units (default: 64 128)")
    parser.add_argument("--depth", type=int, default=3, help="hidden layers (default: %(default)s)")
    parser.add_argument("--activations", nargs="+", default=["silu", "relu"], help="default: silu relu")
    parser.add_argument("--repeats", type=int, default=7, help="rounds; medians are shown (default: %(default)s)")
    options = parser.parse_args()
    torch.set_num_threads(1)

    rows = []
    target = Target(event_shape=(DIM,), name="benchmark")
    for width in options.widths:
        for activation in options.activations:
            spec = ValueMLP(width=width, depth=options.depth, activation=activation)
            net = spec.build_value(DIM, options.steps, streams=Streams([0], "benchmark"), target=target)
            runs = (loop(net, options.steps, options.samples), products(net, options.steps, options.samples))
            seconds = taking_turns(runs, options.repeats)
            share = statistics.median(b / a for a, b in zip(*seconds, strict=True))
            ours, bare = map(statistics.median, seconds)
            rows.append((width, activation, ours, bare, share))
    print(
        f"{options.samples} samples, T = {options.steps}, {options.depth} hidden layers, {DIM} dimensions, one thread,"
    )
    print(f"{options.repeats} rounds, CPU time, torch {torch.__version__}\n")
    print(
        tabulate(
            rows, ["width", "activation", "loop, s", "products, s", "share"], floatfmt=("", "", ".2f", ".2f", ".2f")
        )
    )


if __name__ == "__main__":
    main()
