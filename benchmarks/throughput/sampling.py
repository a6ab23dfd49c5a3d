"""What the sampling loop costs beside the network: ``integrate`` against the bare forward passes that it makes.

The network is the default perceptron with random weights. The inputs of the denoiser are recorded in one run of the
loop; then whole runs and bare passes over those inputs take turns. Times are CPU time of this process, which suffers
less from a busy machine than the clock does, and medians over the rounds; the ratio is the median of the rounds' own
ratios. It should stay at 1.10 or below.

    python benchmarks/throughput/sampling.py
    python benchmarks/throughput/sampling.py --dims 2 --repeats 101
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable

import torch
from integrators import taking_turns
from tabulate import tabulate
from torch import Tensor

from phys_samplers.denoisers.sampler import DenoiserModel, DenoiserSampler
from phys_samplers.integrators import Integrator, integrate
from phys_samplers.options import make_part
from phys_samplers.randomness import Streams, make_generator
from phys_samplers.standardise import Standardiser

SCHEMES = ("ddim", "edm-heun", "dpmpp-2m", "euler")


def model_of(dim: int, device: torch.device | str = "cpu") -> DenoiserModel:
    """A model of the default recipe that was never trained."""
    recipe = DenoiserSampler()
    module = recipe.denoiser(dim, Streams([0], "benchmark")).requires_grad_(False).to(device)
    plain = Standardiser(torch.zeros(dim, device=device), torch.ones(dim, device=device))
    return recipe.model(module, plain, torch.zeros(2, dim, device=device), (dim,))


def pair(
    model: DenoiserModel, integrator: Integrator, steps: int, batch: int
) -> tuple[int, Callable[[], object], Callable[[], object]]:
    """The number of evaluations; a run that samples; a run of the same forward passes, bare."""
    recipe, schedule = model.recipe, model.recipe.schedule_part
    dynamics = model.dynamics(recipe, integrator)
    by_denoising = integrator.equation == "denoising"
    times = schedule.grid(steps, to_zero=by_denoising)
    grid = tuple(map(schedule.ratio, times)) if by_denoising else times
    generator = make_generator(0, "benchmark", device=model.device)
    start = dynamics.prior(batch, generator)

    def sample() -> object:
        return integrate(dynamics, start, integrator=integrator, grid=grid, generator=generator)

    inputs: list[tuple[Tensor, Tensor]] = []
    hook = model.module.register_forward_pre_hook(lambda module, given: inputs.append(given))
    sample()
    hook.remove()

    @torch.no_grad()
    def bare() -> None:
        for x, level in inputs:
            model.module(x, level)

    return len(inputs), sample, bare


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=1024, help="particles (default: %(default)s)")
    parser.add_argument("--dims", type=int, nargs="+", default=[2, 64], help="coordinates (default: 2 64)")
    parser.add_argument("--steps", type=int, default=40, help="integration steps (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=31, help="rounds; medians are shown (default: %(default)s)")
    options = parser.parse_args()
    torch.set_num_threads(1)

    rows = []
    for dim in options.dims:
        model = model_of(dim)
        for name in SCHEMES:
            nfe, sample, bare = pair(model, make_part("integrator", name), options.steps, options.batch)
            seconds = taking_turns((sample, bare), options.repeats)
            ratio = statistics.median(a / b for a, b in zip(*seconds, strict=True))
            ours, network = map(statistics.median, seconds)
            rows.append((name, dim, nfe, 1e3 * ours, 1e3 * network, 1e6 * network * (ratio - 1) / nfe, ratio))
    print(
        f"batch {options.batch}, {options.steps} steps, {options.repeats} rounds, CPU time, torch {torch.__version__}\n"
    )
    headers = ["integrator", "D", "NFE", "integrate, ms", "network, ms", "loop, µs an evaluation", "ratio"]
    print(tabulate(rows, headers, floatfmt=("", "", "", ".1f", ".1f", ".1f", ".3f")))


if __name__ == "__main__":
    main()
