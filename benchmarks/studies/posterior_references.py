r"""Reference draws, moments and evidences of the logistic posteriors, by importance sampling and checked by HMC.

Draws w_i of a multivariate Student t law q have weights u_i = p(w_i)/q(w_i); Z ≈ mean u, E f ≈ Σ u f / Σ u. The law q
starts at the Laplace approximation (the mode and the inverse of minus the Hessian there) and is moved to the weighted
mean and covariance a few times, which follows the skewness of these posteriors. Rows are then resampled by their
weights, and each is moved by Hamiltonian trajectories, which leave p invariant and forget the noise of the weights. An
independent run of Hamiltonian chains from scattered starts must give the same means.

Sources: T. Kloek and H. K. van Dijk (1978) for importance sampling of posteriors under Student t laws; A. Vehtari,
D. Simpson, A. Gelman, Y. Yao and J. Gabry, Pareto smoothed importance sampling (JMLR 25, 2024), and J. Zhang and
M. A. Stephens (2009) for the tail shape k̂ of the weights, below .7 where the estimates can be trusted.

python benchmarks/studies/posterior_references.py
"""

from __future__ import annotations

import argparse
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from phys_bench.data.references import FACTS, ROWS
from phys_bench.tasks.posteriors import TABLES, logistic_posterior
from phys_monte_carlo import hmc
from phys_samplers import __version__
from phys_samplers.chains.warmup import DualAveraging
from phys_samplers.diagnostics import ess, split_rhat
from phys_samplers.laws import LogisticRegression
from phys_samplers.randomness import make_generator

DEGREES = 20
"""Of freedom of the Student t law."""
ROUNDS, ROUND_SIZE = 6, 100_000
"""Adaptations of the law, and draws for each."""
CHUNK = 20_000
LEAPFROGS, JITTER = 4, 0.5
"""Steps of a trajectory, and the least share of the tuned step size that each chain draws for it: these posteriors are
so nearly normal that trajectories of one length might all come back to where they began."""


@dataclass(frozen=True)
class StudentT:
    """A multivariate Student t law with ``DEGREES`` degrees of freedom.

    Args:
        mean: (D,).
        factor: lower triangular (D, D); the scale matrix is its product with its transpose.
    """

    mean: Tensor
    factor: Tensor

    def sample(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """``n`` draws (n, D) and their log-densities (n,)."""
        dim = len(self.mean)
        kind: dict[str, Any] = {"generator": generator, "dtype": self.mean.dtype}
        chi_square = torch.randn(n, DEGREES, **kind).square().sum(1, keepdim=True)
        t = torch.randn(n, dim, **kind) * (DEGREES / chi_square).sqrt()
        peak = math.lgamma((DEGREES + dim) / 2) - math.lgamma(DEGREES / 2) - dim / 2 * math.log(DEGREES * math.pi)
        peak -= float(self.factor.diagonal().log().sum())
        return self.mean + t @ self.factor.T, peak - (DEGREES + dim) / 2 * (t.square().sum(1) / DEGREES).log1p()


@dataclass(frozen=True)
class Weighted:
    """Rows (n, D) with log-weights (n,)."""

    rows: Tensor
    log_weights: Tensor

    @property
    def weights(self) -> Tensor:
        """Normalised weights (n,)."""
        return self.log_weights.softmax(0)

    @property
    def effective(self) -> float:
        """1/Σ w²."""
        return float(1.0 / self.weights.square().sum())

    def log_z(self) -> tuple[float, float]:
        """The estimate and its standard error."""
        n = len(self.rows)
        value = float(self.log_weights.logsumexp(0)) - math.log(n)
        return value, math.sqrt(max(1.0 / self.effective - 1.0 / n, 0.0))

    def moments(self) -> tuple[Tensor, Tensor, Tensor]:
        """Mean (D,), its standard errors (D,) and the covariance (D, D)."""
        w = self.weights
        mean = w @ self.rows
        centred = self.rows - mean
        error = (w[:, None] * centred).square().sum(0).sqrt()
        return mean, error, (centred.T * w) @ centred


def laplace(law: LogisticRegression) -> StudentT:
    """At the mode, which Newton's method finds, with the inverse of the Hessian of −log p as scale matrix."""
    signed = law.signed
    mode = torch.zeros(signed.shape[1], dtype=signed.dtype)
    identity = torch.eye(len(mode), dtype=signed.dtype)
    for _ in range(50):
        p = (-(signed @ mode)).sigmoid()
        hessian = (signed.T * (p * (1 - p))) @ signed + identity / law.prior_std**2
        mode = mode + torch.linalg.solve(hessian, law.score(mode[None])[0])
    return StudentT(mode, torch.linalg.cholesky(torch.linalg.inv(hessian)))


def weigh(law: LogisticRegression, proposal: StudentT, n: int, generator: torch.Generator) -> Weighted:
    """``n`` weighted draws."""
    draws = [proposal.sample(CHUNK, generator) for _ in range(-(-n // CHUNK))]
    log_weights = [law.log_prob(x) - log_density for x, log_density in draws]
    return Weighted(torch.cat([x for x, _ in draws])[:n], torch.cat(log_weights)[:n])


def adapted(law: LogisticRegression, generator: torch.Generator, rounds: int = ROUNDS, n: int = ROUND_SIZE) -> StudentT:
    """The proposal moved from the Laplace approximation to the weighted moments, ``rounds`` times."""
    proposal = laplace(law)
    for _ in range(rounds):
        mean, _, covariance = weigh(law, proposal, n, generator).moments()
        proposal = StudentT(mean, torch.linalg.cholesky(covariance))
    return proposal


def pareto_shape(log_weights: Tensor) -> float:
    """k̂ of a generalised Pareto law fitted to the largest 3√n weights (Zhang and Stephens 2009)."""
    count = min(len(log_weights) // 5, int(3 * math.sqrt(len(log_weights))))
    top = (log_weights.double() - log_weights.max()).exp().topk(count + 1).values.flip(0)
    x = top[1:] - top[0]
    m = 30 + int(math.sqrt(count))
    grid = torch.arange(1, m + 1, dtype=x.dtype)
    quartile = x[int(count / 4 + 0.5) - 1]
    theta = 1 / x[-1] + (1 - (m / (grid - 0.5)).sqrt()) / (3 * quartile)
    shape = torch.log1p(-theta[:, None] * x).mean(1)
    profile = count * ((-theta / shape).log() - shape - 1)
    mean = (profile.softmax(0) * theta).sum()
    k = float(torch.log1p(-mean * x).mean())
    return (count * k + 5.0) / (count + 10.0)  # the authors' weak prior at ½


class Whitened:
    """The posterior in coordinates z with w = mean + factor z, where it is nearly a standard normal law."""

    def __init__(self, law: LogisticRegression, proposal: StudentT) -> None:
        self.law, self.mean, self.factor = law, proposal.mean, proposal.factor

    def rows(self, z: Tensor) -> Tensor:
        """Weights w (B, D) at ``z`` (B, D)."""
        return self.mean + z @ self.factor.T

    def coordinates(self, rows: Tensor) -> Tensor:
        """The inverse of ``rows``."""
        return torch.linalg.solve_triangular(self.factor, (rows - self.mean).T, upper=False).T

    def __call__(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """log p (B,), up to a constant, and its gradient (B, D) in z."""
        value, score = self.law.log_prob_and_score(self.rows(z))
        return value, score @ self.factor


def chains(
    density: Whitened, z: Tensor, steps: int, generator: torch.Generator, *, warm_up: int = 0, step_size: float = 0.5
) -> tuple[Tensor, Tensor]:
    """Hamiltonian chains from ``z`` (C, D): the visited z (steps, C, D), and the mean acceptance."""
    state, tuner, visited, accepted = hmc.init(z, density), DualAveraging.init(step_size, like=z), [], []
    for index in range(warm_up + steps):
        if warm_up:
            step_size = float((tuner.log_step if index < warm_up else tuner.log_average).exp())
        noise = torch.randn(z.shape, generator=generator, dtype=z.dtype)
        log_uniform = torch.rand(len(z), generator=generator, dtype=z.dtype).log()
        share = JITTER + (1 - JITTER) * torch.rand(len(z), generator=generator, dtype=z.dtype)
        state, info = hmc.step(
            state, density, step_size=step_size * share, steps=LEAPFROGS, noise=noise, log_uniform=log_uniform
        )
        if index < warm_up:
            tuner = tuner.update(info.acceptance.mean(), goal=0.8)
        else:
            visited.append(state.x)
            accepted.append(info.acceptance.mean())
    return torch.stack(visited), torch.stack(accepted).mean()


def reference(name: str, *, draws: int, rows: int, seed: int) -> tuple[Tensor, dict[str, Any]]:
    """Rows (rows, D) of the posterior of ``name``, and all that is known of it."""
    law = logistic_posterior(name)
    proposal = adapted(law, make_generator(seed, name, "adapt"))
    weighted = weigh(law, proposal, draws, make_generator(seed, name, "draw"))
    log_z, log_z_error = weighted.log_z()
    mean, error, covariance = weighted.moments()
    std = covariance.diagonal().sqrt()
    chosen = torch.multinomial(weighted.weights, rows, generator=make_generator(seed, name, "resample"))
    density = Whitened(law, proposal)
    moved, accepted = chains(
        density, density.coordinates(weighted.rows[chosen]), 30, make_generator(seed, name, "move")
    )
    scattered = 2.0 * torch.randn(64, len(mean), generator=make_generator(seed, name, "start"), dtype=mean.dtype)
    visited, _ = chains(density, scattered, 1500, make_generator(seed, name, "check"), warm_up=300)
    w = density.rows(visited.flatten(0, 1)).unflatten(0, visited.shape[:2])
    effective = ess(w)
    gap = (w.mean((0, 1)) - mean) / (std.square() / effective + error.square()).sqrt()
    facts = {
        "log_z": log_z,
        "log_z_error": log_z_error,
        "mean": mean.tolist(),
        "mean_error": error.tolist(),
        "std": std.tolist(),
        "diagnostics": {
            "draws": draws,
            "effective_draws": weighted.effective,
            "largest_weight": float(weighted.weights.max()),
            "pareto_k": pareto_shape(weighted.log_weights),
            "row_acceptance": float(accepted),
            "hmc_chains": len(scattered),
            "hmc_steps": len(visited),
            "hmc_rhat_max": float(split_rhat(w, rank_normalised=True).max()),
            "hmc_effective_min": float(effective.min()),
            "hmc_mean_gap_max": float(gap.abs().max()),
        },
        "seed": seed,
    }
    return density.rows(moved[-1]).float().contiguous(), facts


def main() -> None:
    """Make the references and write them beside the benchmark's data."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=1_000_000, help="importance draws (default: 1,000,000)")
    parser.add_argument("--rows", type=int, default=4_000, help="reference rows a task (default: 4,000)")
    parser.add_argument("--seed", type=int, default=0, help="of everything (default: 0)")
    parser.add_argument("--folder", type=Path, default=ROWS.parent, help="where the files go")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    rows, facts = {}, {}
    for name in TABLES:
        rows[name], facts[name] = reference(name, draws=arguments.draws, rows=arguments.rows, seed=arguments.seed)
        print(f"{name}: log Z = {facts[name]['log_z']:.4f}; {facts[name]['diagnostics']}", flush=True)
    (arguments.folder / ROWS.name).write_bytes(save(rows))
    versions = {"phys_samplers": __version__, "torch": torch.__version__.partition("+")[0]}
    (arguments.folder / FACTS.name).write_text(json.dumps({"versions": versions, "tasks": facts}, indent=1) + "\n")


if __name__ == "__main__":
    main()
