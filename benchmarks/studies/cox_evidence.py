r"""log Z of the Cox process of Finnish pines, by sequential Monte Carlo from its Laplace approximation or its prior.

Around the mode m, with K⁻¹ the precision of the prior, α e^{m_i} the expected counts there and δ = x − m,

    log p(x) = log p(m) − ½ δᵀ(K⁻¹ + diag(α e^m)) δ + r(δ),    r(δ) = −Σ_i α e^{m_i} (e^{δ_i} − 1 − δ_i − δ_i²/2).

Particles start from the Gaussian (β = 0) and follow the laws ∝ N · exp(β r) to the posterior (β = 1), moved by
Hamiltonian trajectories in coordinates that whiten the Gaussian. The mean of exp(Σ Δβ r) over particles estimates the
ratio of evidences without bias; particles are resampled when their weights differ. Independent runs tell the error.
The prior is another start, N = N(μ, K) with r the log-likelihood: farther away, but nothing of the mode enters.

Sources: R. Neal, Annealed importance sampling (Statistics and Computing 11, 2001); P. Del Moral, A. Doucet and
A. Jasra, Sequential Monte Carlo samplers (JRSS B 68, 2006).

python benchmarks/studies/cox_evidence.py --grid 40
"""

from __future__ import annotations

import argparse
import math
import statistics

import torch
from torch import Tensor

from phys_bench.tasks.posteriors import cox_process
from phys_monte_carlo import hmc
from phys_samplers.chains.warmup import DualAveraging
from phys_samplers.laws import LogGaussianCoxProcess
from phys_samplers.randomness import make_generator

LEAPFROGS = 4


class Laplace:
    """The expansion around the mode.

    Args:
        law: the posterior.

    Attributes:
        log_z: logarithm of the integral of the Gaussian.
        mode: m (D,).
        factor: of the Gaussian's covariance, lower triangular (D, D).
        power: β = (level/levels)^power.
    """

    power = 1

    def __init__(self, law: LogGaussianCoxProcess) -> None:
        law = law.double()
        mode = torch.full(law.event_shape, law.mean, dtype=torch.float64)
        for _ in range(30):
            precision = law.precision + torch.diag(law.area * mode.exp())
            mode = mode + torch.linalg.solve(precision, law.score(mode[None])[0])
        factor = torch.linalg.cholesky(torch.linalg.inv(law.precision + torch.diag(law.area * mode.exp())))
        gaussian = 0.5 * len(mode) * math.log(2.0 * math.pi) + float(factor.diagonal().log().sum())
        self.log_z = float(law.log_prob(mode[None])) + gaussian
        self.mode, self.factor = mode, factor
        self.expected = law.area * mode.exp()

    def remainder(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """r (B,) and its gradient (B, D) in the coordinates z with δ = factor z."""
        factor, expected = self.factor.to(z.dtype), self.expected.to(z.dtype)
        delta = z @ factor.T
        excess = delta.expm1() - delta
        return -(excess - 0.5 * delta.square()) @ expected, ((delta - delta.expm1()) * expected) @ factor


class Prior:
    """The prior, with the attributes of ``Laplace``.

    Args:
        law: the posterior.
    """

    power = 2
    log_z = 0.0

    def __init__(self, law: LogGaussianCoxProcess) -> None:
        law = law.double()
        self.mode = torch.full(law.event_shape, law.mean, dtype=torch.float64)
        self.factor = torch.linalg.cholesky(law.covariance)
        self.counts, self.area = law.counts, law.area

    def remainder(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """The log-likelihood (B,) and its gradient (B, D) in the coordinates z with x = μ + factor z."""
        factor, counts = self.factor.to(z.dtype), self.counts.to(z.dtype)
        x = self.mode.to(z.dtype) + z @ factor.T
        expected = self.area * x.exp()
        return x @ counts - expected.sum(1), (counts - expected) @ factor


def log_ratio(start: Laplace | Prior, *, particles: int, levels: int, moves: int, seed: int) -> tuple[float, float]:
    """log of the posterior's evidence over that of the start from one run, and the mean acceptance of its moves."""
    generator = make_generator(seed, "cox")
    kind = {"generator": generator, "dtype": torch.float32}
    z = torch.randn(particles, len(start.mode), **kind)
    r, _ = start.remainder(z)
    log_weights, total = torch.zeros(particles, dtype=torch.float64), 0.0
    tuner, accepted = DualAveraging.init(0.5, like=z), []
    for level in range(1, levels + 1):
        beta = (level / levels) ** start.power
        log_weights += (beta - ((level - 1) / levels) ** start.power) * r.double()
        weights = log_weights.softmax(0)
        if float(weights.square().sum()) * particles > 2.0:
            total += float(log_weights.logsumexp(0)) - math.log(particles)
            log_weights.zero_()
            z = z[torch.multinomial(weights, particles, replacement=True, generator=generator)]

        def density(at: Tensor, beta: float = beta) -> tuple[Tensor, Tensor]:
            value, gradient = start.remainder(at)
            return beta * value - 0.5 * at.square().sum(1), beta * gradient - at

        state = hmc.init(z, density)
        for _ in range(moves):
            size = tuner.log_step.exp() * (0.5 + 0.5 * torch.rand(particles, **kind))
            noise, log_uniform = torch.randn(z.shape, **kind), torch.rand(particles, **kind).log()
            state, info = hmc.step(
                state, density, step_size=size, steps=LEAPFROGS, noise=noise, log_uniform=log_uniform
            )
            tuner = tuner.update(info.acceptance.mean(), goal=0.7)
            accepted.append(float(info.acceptance.mean()))
        z = state.x
        r = start.remainder(z)[0]
    return total + float(log_weights.logsumexp(0)) - math.log(particles), statistics.fmean(accepted)


def main() -> None:
    """Estimate and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--grid", type=int, default=40, help="cells along a side (default: 40)")
    parser.add_argument("--start", choices=["laplace", "prior"], default="laplace", help="default: laplace")
    parser.add_argument("--runs", type=int, default=4, help="independent runs (default: 4)")
    parser.add_argument("--particles", type=int, default=256, help="of each run (default: 256)")
    parser.add_argument("--levels", type=int, default=80, help="steps of β (default: 80)")
    parser.add_argument("--moves", type=int, default=2, help="trajectories a level (default: 2)")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    law = cox_process(grid=arguments.grid).law
    start = Laplace(law) if arguments.start == "laplace" else Prior(law)
    print(f"{arguments.start}: log Z = {start.log_z:.4f}", flush=True)
    found = []
    for seed in range(arguments.runs):
        ratio, acceptance = log_ratio(
            start, particles=arguments.particles, levels=arguments.levels, moves=arguments.moves, seed=seed
        )
        found.append(start.log_z + ratio)
        print(f"run {seed}: log Z = {found[-1]:.4f}, acceptance {acceptance:.2f}", flush=True)
    error = statistics.stdev(found) / math.sqrt(len(found)) if len(found) > 1 else math.nan
    print(f"log Z = {statistics.fmean(found):.4f} ± {error:.4f} (standard error over {len(found)} runs)")


if __name__ == "__main__":
    main()
