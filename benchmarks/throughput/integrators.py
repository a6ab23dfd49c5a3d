"""Throughput of the Euler-Maruyama integrator against a loop written by hand.

The equation is dx = -x dt + sqrt(2) dW. Both sides draw their noise into one buffer from an explicit generator and
build no graph. The two take turns, so that a busy machine slows both alike; the ratio is the median over rounds of
(time by hand / time of the library), which should stay at 0.95 or above. Operators are counted as well: a step of the
library may call no more of them than a step by hand.

    python benchmarks/throughput/integrators.py
    python benchmarks/throughput/integrators.py --device cuda --batch 65536
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Callable, Sequence

import torch
from tabulate import tabulate
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

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


def taking_turns(
    runs: Sequence[Callable[[], object]], repeats: int, clock: Callable[[], float] = time.process_time
) -> list[list[float]]:
    """Seconds of each run in each of ``repeats`` rounds, in which they take turns at going first."""
    seconds: list[list[float]] = [[] for _ in runs]
    for repeat in range(-2, repeats):  # two rounds to warm up
        for index in range(len(runs)) if repeat % 2 else reversed(range(len(runs))):
            begin = clock()
            runs[index]()
            if repeat >= 0:
                seconds[index].append(clock() - begin)
    return seconds


class _Counter(TorchDispatchMode):
    calls = 0

    def __torch_dispatch__(self, operator, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        self.calls += 1
        return operator(*args, **(kwargs or {}))


def operators(run: Callable[[], object]) -> int:
    """How many operators of torch a run calls: what an overhead is made of, the same on every machine."""
    with _Counter() as counter:
        run()
    return counter.calls


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=4096, help="particles (default: %(default)s)")
    parser.add_argument("--dim", type=int, default=2, help="coordinates of a particle (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=200, help="integration steps (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=101, help="rounds (default: %(default)s)")
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
    runs: tuple[Callable[[], Tensor], ...] = (
        lambda: by_hand(start, 1.0 / options.steps, options.steps, generator),
        lambda: integrate(dynamics, start, integrator=integrator, grid=grid, generator=generator).x,
    )

    def wall() -> float:
        torch.cuda.synchronize()
        return time.perf_counter()

    seconds = taking_turns(runs, options.repeats, wall if device.type == "cuda" else time.process_time)
    medians = [statistics.median(values) for values in seconds]
    rows = [
        (name, 1e3 * median, 1e6 * median / options.steps, operators(run) / options.steps)
        for name, median, run in zip(("by hand", "integrate"), medians, runs, strict=True)
    ]
    print(f"Euler-Maruyama, batch {options.batch}, D={options.dim}, {options.steps} steps, {options.repeats} rounds")
    print(f"torch {torch.__version__}, device {device}, {torch.get_num_threads()} thread(s), CPU time\n")
    heads = ["loop", "ms (median)", "µs a step", "operators a step"]
    print(tabulate(rows, headers=heads, floatfmt=("", ".2f", ".1f", ".2f")))
    ratios = sorted(a / b for a, b in zip(*seconds, strict=True))
    quarter = len(ratios) // 4
    print(
        f"\nratio by hand / integrate: {statistics.median(ratios):.3f}, "
        f"half of the rounds within [{ratios[quarter]:.3f}, {ratios[-1 - quarter]:.3f}]"
    )


if __name__ == "__main__":
    main()
