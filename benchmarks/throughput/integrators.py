"""Throughput of the Euler-Maruyama integrator against a loop written by hand.

The equation is dx = -x dt + sqrt(2) dW. Both sides draw their noise into one buffer from an explicit generator and
build no graph. Repeats are interleaved, so that a busy machine slows both alike; the table shows medians and the
ratio (time by hand / time of the library), which should stay at 0.95 or above.

    python benchmarks/throughput/integrators.py
    python benchmarks/throughput/integrators.py --device cuda --batch 65536
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Callable

import torch
from tabulate import tabulate
from torch import Tensor

from phys_samplers.dynamics import Dynamics
from phys_samplers.integrators import EulerMaruyama, integrate, uniform
from phys_samplers.randomness import make_generator


class OrnsteinUhlenbeck(Dynamics):
    """dx = -x dt + sqrt(2) dW, whose stationary law is standard normal."""

    noise = "additive"

    def __init__(self, dim: int, device: torch.device) -> None:
        """Equation in ``dim`` coordinates."""
        self.event_shape = (dim,)
        self._diffusion = torch.tensor(math.sqrt(2.0), device=device)

    def drift(self, x: Tensor, t: float) -> Tensor:
        """The restoring force."""
        return -x

    def diffusion(self, x: Tensor, t: float) -> Tensor:
        """Constant noise."""
        return self._diffusion

    def prior(self, n: int, generator: torch.Generator) -> Tensor:
        """Standard normal start."""
        return torch.randn(n, *self.event_shape, generator=generator, device=generator.device)


@torch.no_grad()
def by_hand(x: Tensor, step: float, steps: int, generator: torch.Generator) -> Tensor:
    """The loop that one writes without a library: fused updates, a noise buffer that is allocated once."""
    noise = torch.empty_like(x)
    scale = math.sqrt(2.0 * step)
    for _ in range(steps):
        torch.randn(x.shape, generator=generator, out=noise)
        x = torch.add(x, -x, alpha=step).add_(noise, alpha=scale)
    return x


def measure(
    runs: dict[str, Callable[[], Tensor]], repeats: int, synchronise: Callable[[], None]
) -> dict[str, list[float]]:
    """Seconds of every repeat of every run, the runs taking turns (and turns at going first)."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for repeat in range(-2, repeats):  # two rounds to warm up
        for name in sorted(runs, reverse=repeat % 2 == 0):
            synchronise()
            begin = time.perf_counter()
            runs[name]()
            synchronise()
            if repeat >= 0:
                seconds[name].append(time.perf_counter() - begin)
    return seconds


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=4096, help="particles (default: %(default)s)")
    parser.add_argument("--dim", type=int, default=2, help="coordinates of a particle (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=200, help="integration steps (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=101, help="interleaved repeats (default: %(default)s)")
    parser.add_argument("--device", default="cpu", help="torch device (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads of torch (default: %(default)s)")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    device = torch.device(options.device)

    dynamics = OrnsteinUhlenbeck(options.dim, device)
    generator = make_generator(0, "benchmark", device=device)
    start = dynamics.prior(options.batch, generator)
    grid = uniform(0.0, 1.0, options.steps)
    integrator = EulerMaruyama()
    runs: dict[str, Callable[[], Tensor]] = {
        "by hand": lambda: by_hand(start, 1.0 / options.steps, options.steps, generator),
        "integrate": lambda: integrate(dynamics, start, integrator=integrator, grid=grid, generator=generator).x,
    }
    seconds = measure(runs, options.repeats, torch.cuda.synchronize if device.type == "cuda" else lambda: None)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    rows = [
        (name, 1e3 * median, 1e6 * median / options.steps, options.batch * options.steps / median)
        for name, median in medians.items()
    ]
    print(f"Euler-Maruyama, batch {options.batch}, D={options.dim}, {options.steps} steps, {options.repeats} repeats")
    print(f"torch {torch.__version__}, device {device}, {torch.get_num_threads()} thread(s)\n")
    print(
        tabulate(
            rows, headers=["loop", "ms (median)", "µs a step", "particle steps/s"], floatfmt=("", ".2f", ".1f", ".3g")
        )
    )
    paired = statistics.median(a / b for a, b in zip(seconds["by hand"], seconds["integrate"], strict=True))
    print(
        f"\nratio by hand / integrate: {medians['by hand'] / medians['integrate']:.3f} of medians, {paired:.3f} paired"
    )


if __name__ == "__main__":
    main()
