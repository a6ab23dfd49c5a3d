r"""Does a small D make PFGM++ more robust? The claims of its paper, tried at this scale.

Xu et al. 2023 (arXiv:2302.04265, Sec. 5 and App. C.3) disturb the sampling of models that differ in D alone, and find
that image quality falls more slowly the smaller D is, diffusion (D → ∞) being most fragile. Two disturbances:

noise         x ← x + α σ z after every step that ends at the level σ = r/√D > 0. The paper prints N(0, r/√D I); a
              standard deviation of σ is meant, since a variance of σ would drown the last levels.
quantisation  weights of the hidden layers (not the first and the last, as in the paper) rounded to b bits, uniformly
              between their least and greatest value, after training.

A score is divided by that of the same model undisturbed: robustness is a small ratio. Networks, seeds, training and
sampling are the same for all D; intervals are over seeds.

python benchmarks/studies/robustness.py --task gmm9
python benchmarks/studies/robustness.py --task digits --seeds 3
"""

from __future__ import annotations

import argparse
import copy
import statistics
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from scipy.stats import t as student
from tabulate import tabulate
from torch import Tensor

from phys_samplers import Task, make
from phys_samplers.denoisers.sampler import DenoiserModel
from phys_samplers.dynamics import Dynamics
from phys_samplers.integrators import BrownianIncrement, EDMHeun
from phys_samplers.metric import Scored
from phys_samplers.randomness import make_generator

DIMENSIONS = (8.0, 64.0, 2048.0, None)
STRENGTHS = (0.0, 0.1, 0.2)
BITS = (8, 7, 6, 5)


@dataclass(frozen=True, kw_only=True)
class Disturbed(EDMHeun):
    """EDM's Heun steps, each followed by noise of ``strength`` times the level it ends at."""

    name: ClassVar[str] = "disturbed"

    strength: float = 0.0

    def step(self, dynamics: Dynamics, x: Tensor, t: float, dt: float, noise: BrownianIncrement) -> Tensor:
        """One step; see ``Integrator.step``."""
        x = super().step(dynamics, x, t, dt, noise)
        return x.add_(noise.normal(), alpha=self.strength * max(t + dt, 0.0)) if self.strength else x


def quantised(model: DenoiserModel, bits: int) -> DenoiserModel:
    """The model with the weights of its hidden layers rounded to 2^bits values each."""
    model = copy.copy(model)
    model.module = copy.deepcopy(model.module)
    named = model.module.named_parameters()
    weights = [parameter for name, parameter in named if name.endswith("weight")]
    for weight in weights[1:-1]:
        low, high = weight.aminmax()
        step = (high - low) / (2**bits - 1)
        weight.copy_(((weight - low) / step).round_().mul_(step).add_(low))
    return model


def scores(models: list[DenoiserModel], task: Task, metric: Any, n: int, **options: Any) -> list[float]:
    """The score of each seed's model against held-out rows, with common random numbers."""
    assert task.heldout is not None
    found = []
    for seed, model in enumerate(models):
        choice = torch.randperm(len(task.heldout), generator=make_generator(seed, "reference"))[:n]
        samples = model.sample(n, seed=seed, **options)
        found.append(
            metric(
                Scored(
                    samples=samples,
                    reference=task.heldout[choice],
                    target=task,
                    generator=make_generator(seed, "metric"),
                )
            )
        )
    return found


def fitted(task: Task, aux_dim: float | None, seeds: list[int], options: dict[str, Any]) -> list[DenoiserModel]:
    """One model a seed."""
    models = []
    for result in make("sampler", "pfgmpp", aux_dim=aux_dim, **options).fit_replicas(task, seeds=seeds):
        if isinstance(result, Exception):
            raise result
        models.append(result)
    return models


def interval(values: list[float]) -> str:
    """Mean with half the width of its 95 % t-interval."""
    if len(values) < 2:
        return f"{values[0]:.2f}"
    half = student.ppf(0.975, len(values) - 1) * statistics.stdev(values) / len(values) ** 0.5
    return f"{statistics.fmean(values):.2f} ± {half:.2f}"


def verdict(ratios: dict[float | None, list[float]], what: str) -> str:
    """Whether the least D degrades less than diffusion, paired by seed."""
    low, limit = ratios[DIMENSIONS[0]], ratios[None]
    gain = [b - a for a, b in zip(low, limit, strict=True)]
    wins = sum(g > 0 for g in gain)
    held = wins == len(gain)
    lost = wins == 0
    words = "as claimed" if held else "the opposite of the claim" if lost else "undecided"
    return f"{what}: D = {DIMENSIONS[0]:g} degrades less than diffusion in {wins} of {len(gain)} seeds ({words})"


def main() -> None:
    """Measure and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", default="gmm9", help="task with held-out rows (default: gmm9)")
    parser.add_argument("--metric", help="score (default: frechet for images, else sliced-w2)")
    parser.add_argument("--seeds", type=int, default=5, help="number of seeds (default: 5)")
    parser.add_argument(
        "--samples", type=int, default=5000, help="samples scored (default: 5000, or all held-out rows)"
    )
    parser.add_argument("--steps", type=int, default=4000, help="training steps (default: 4000)")
    parser.add_argument("--width", type=int, help="units of each hidden layer (default: 64)")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_grad_enabled(True)

    task: Task = make("task", arguments.task)
    assert task.heldout is not None
    n = min(arguments.samples, len(task.heldout))
    name = arguments.metric or ("frechet" if task.features else "sliced-w2")
    metric = make("metric", name)
    options: dict[str, Any] = {"steps": arguments.steps, "width": arguments.width}
    if len(task.event_shape) > 1:
        options |= {"standardise": "common"}
    rows: list[list[str]] = []
    table: dict[str, dict[float | None, list[float]]] = {}
    for aux_dim in DIMENSIONS:
        models = fitted(task, aux_dim, list(range(arguments.seeds)), options)
        with torch.no_grad():
            clean = scores(models, task, metric, n, integrator=Disturbed())
            row = ["∞" if aux_dim is None else f"{aux_dim:g}", interval(clean)]
            cases = {
                f"α = {a}": scores(models, task, metric, n, integrator=Disturbed(strength=a)) for a in STRENGTHS[1:]
            }
            for bits in BITS:
                coarse = [quantised(model, bits) for model in models]
                cases[f"{bits} bits"] = scores(coarse, task, metric, n, integrator=Disturbed())
        for case, values in cases.items():
            ratios = [value / base for value, base in zip(values, clean, strict=True)]
            table.setdefault(case, {})[aux_dim] = ratios
            row.append(interval(ratios))
        rows.append(row)
        print(f"D = {row[0]} done", flush=True)
    parameters = models[0].report.parameters if models[0].report else 0
    print(
        f"\npfgmpp on {task.name}: {name} at n = {n}, and its ratio to the undisturbed score; {arguments.seeds} seeds,"
    )
    print(f"{parameters} parameters, {arguments.steps} steps, 79 evaluations a sample; mean ± 95 % interval\n")
    print(tabulate(rows, ["D", name, *table], stralign="right", disable_numparse=True))
    print()
    for case, ratios in table.items():
        print(verdict(ratios, case))


if __name__ == "__main__":
    main()
