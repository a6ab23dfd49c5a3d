r"""Chains here and of blackjax on the same densities: effective draws a gradient of NUTS, gradients a CPU-second.

``draws``: 16 chains with 1,000 steps of warm-up and 1,000 kept, diagonal masses, started from N(0, I); effective draws
and R̂ are rank-normalised and computed by one code for both. blackjax adapts by its window adaptation to an acceptance
of .8, its default, ours by its own warm-up to its own default.

``speed``: 1,000 steps of MALA, 200 of HMC with 5 leapfrogs, for as many chains of each, all that ``draw`` does
included, blackjax compiled beforehand without diagnostics; in one process on one thread, in alternation. The ratio of
each pair is of CPU time, and its median is printed with the least and the largest.

python -m pip install --target FOLDER blackjax
OMP_NUM_THREADS=1 PYTHONPATH=FOLDER python benchmarks/studies/blackjax_reference.py draws
OMP_NUM_THREADS=1 PYTHONPATH=FOLDER taskset -c 0 python benchmarks/studies/blackjax_reference.py speed
"""

from __future__ import annotations

import argparse
import math
import os
import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")

import blackjax
import jax
import jax.numpy as jnp
import numpy as np
import torch
from torch import Tensor

from phys_samplers import Density, make
from phys_samplers.diagnostics import ess, split_rhat
from phys_samplers.laws import LogisticRegression, StandardNormal
from phys_samplers.target import Target

EFFECTS = (28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0)
ERRORS = (15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0)
"""Of eight schools (Rubin 1981)."""


class Pair(NamedTuple):
    """One density twice: for us, and as a function of one point for jax."""

    ours: Target
    theirs: Callable[[Any], Any]


def schools(*, centred: bool) -> Pair:
    """μ ~ N(0, 5²), τ half Cauchy(5) as log τ, eight effects: themselves (centred), or in units of τ around μ."""
    y, s = torch.tensor(EFFECTS), torch.tensor(ERRORS)

    def ours(z: Tensor) -> Tensor:
        mu, log_tau, rest = z[:, :1], z[:, 1:2], z[:, 2:]
        tau = log_tau.exp()
        theta = rest if centred else mu + tau * rest
        unit = (rest - mu) / tau if centred else rest
        prior = -0.5 * (mu / 5).square() - (tau / 5).square().log1p() + (1 - 8 * centred) * log_tau
        return prior[:, 0] - 0.5 * unit.square().sum(1) - 0.5 * ((y - theta) / s).square().sum(1)

    def theirs(z: Any) -> Any:
        mu, log_tau, rest = z[0], z[1], z[2:]
        tau = jnp.exp(log_tau)
        theta = rest if centred else mu + tau * rest
        unit = (rest - mu) / tau if centred else rest
        prior = -0.5 * (mu / 5) ** 2 - jnp.log1p((tau / 5) ** 2) + (1 - 8 * centred) * log_tau
        errors = (jnp.array(EFFECTS) - theta) / jnp.array(ERRORS)
        return prior - 0.5 * jnp.sum(unit**2) - 0.5 * jnp.sum(errors**2)

    return Pair(Density(ours, (10,)), theirs)


def gaussian(dim: int, low: float, high: float) -> Pair:
    """N(0, diag) with deviations evenly spread in their logarithms."""
    s = torch.logspace(math.log10(low), math.log10(high), dim)
    t = jnp.array(s.numpy())
    return Pair(Density(lambda z: -0.5 * (z / s).square().sum(1), (dim,)), lambda z: -0.5 * jnp.sum((z / t) ** 2))


def normal() -> Pair:
    """N(0, I) in 50 dimensions as a law of the library, which knows its score."""
    return Pair(Target(event_shape=(50,), law=StandardNormal(50)), lambda z: -0.5 * jnp.sum(z**2))


def rosenbrock() -> Pair:
    """exp(−(1 − x)²/20 − 2.5 (y − x²)²)."""
    return Pair(
        Density(lambda z: -0.05 * (1 - z[:, 0]).square() - 2.5 * (z[:, 1] - z[:, 0].square()).square(), (2,)),
        lambda z: -0.05 * (1 - z[0]) ** 2 - 2.5 * (z[1] - z[0] ** 2) ** 2,
    )


def logistic(rows: int, dim: int) -> Pair:
    """Logistic regression on drawn features, weights N(0, 1)."""
    drawn = np.random.default_rng(0)
    a = np.concatenate([np.ones((rows, 1)), drawn.normal(size=(rows, dim - 1))], 1).astype(np.float32)
    y = drawn.random(rows) < 1 / (1 + np.exp(-a @ np.linspace(-1, 1, dim)))
    signed = jnp.array(a * (2.0 * y - 1.0)[:, None], dtype=jnp.float32)
    law = LogisticRegression(torch.tensor(a), torch.tensor(y))
    return Pair(
        Target(event_shape=(dim,), law=law), lambda z: jnp.sum(jax.nn.log_sigmoid(signed @ z)) - 0.5 * jnp.sum(z**2)
    )


def nine() -> Pair:
    """GMM-9."""
    task = make("task", "gmm9")
    m = jnp.array(task.law.means.numpy())
    return Pair(task, lambda z: jax.scipy.special.logsumexp(-0.5 * jnp.sum((z - m) ** 2, 1) / 0.3))


DRAWS: dict[str, Callable[[], Pair]] = {
    "eight schools": lambda: schools(centred=False),
    "eight schools, centred": lambda: schools(centred=True),
    "D = 100": lambda: gaussian(100, 0.01, 100.0),
    "Rosenbrock": rosenbrock,
    "logistic, 200 x 10": lambda: logistic(200, 10),
    "logistic, 1,000 x 25": lambda: logistic(1_000, 25),
}
SPEED: dict[str, Callable[[], Pair]] = {
    "Gaussian, D = 50": lambda: gaussian(50, 1.0, 1.0),
    "Gaussian, D = 50, its score by hand": normal,
    "GMM-9": nine,
    "logistic, 1,000 x 25 (as German credit)": lambda: logistic(1_000, 25),
}
CHAINS, STEPS = 16, 1_000


def draws(names: list[str], seed: int, steps: int) -> None:
    """A line per density: effective draws a gradient (least coordinate, mean), R̂, gradients a draw, of each."""
    for name in names or DRAWS:
        pair = DRAWS[name]()
        began = time.process_time()
        recipe = make(
            "sampler", "nuts", sampling_steps=2 * steps, warmup_steps=steps, samples_per_chain=steps, prior_std=1.0
        )
        draw = recipe.fit(pair.ours).draw(CHAINS * steps, seed=seed)
        ours = draw.samples.view(steps, CHAINS, -1).flip(0), float(draw.diagnostics["leapfrog_steps"])
        seconds = time.process_time() - began
        theirs = blackjax_nuts(pair.theirs, pair.ours.dim, seed, steps)
        rows = []
        for x, gradients in (ours, theirs):
            worth = ess(x, rank_normalised=True) / (CHAINS * steps * gradients)
            rhat = float(split_rhat(x, rank_normalised=True).max())
            rows.append((float(worth.min()), float(worth.mean()), rhat, gradients))
        (a, b), told = rows, " | ".join(f"{m:.4f} {n:.4f} R̂ {r:.3f} {g:.1f}" for m, n, r, g in rows)
        print(f"{name}: least {a[0] / b[0]:.2f}, mean {a[1] / b[1]:.2f} | {told} | {seconds:.0f} s", flush=True)


def blackjax_nuts(log_prob: Callable[[Any], Any], dim: int, seed: int, steps: int) -> tuple[Tensor, float]:
    """States (steps, chains, D) and gradients a draw."""

    def one(key: Any) -> Any:
        first, second, third = jax.random.split(key, 3)
        warm_up = blackjax.window_adaptation(blackjax.nuts, log_prob, is_mass_matrix_diagonal=True)
        (state, found), _ = warm_up.run(second, jax.random.normal(first, (dim,)), num_steps=steps)
        kernel = blackjax.nuts(log_prob, **found).step

        def body(state: Any, key: Any) -> Any:
            state, info = kernel(key, state)
            return state, (state.position, info.num_integration_steps)

        return jax.lax.scan(body, state, jax.random.split(third, steps))[1]

    x, leaves = jax.jit(jax.vmap(one))(jax.random.split(jax.random.key(seed), CHAINS))
    return torch.tensor(np.asarray(x)).transpose(0, 1), float(np.asarray(leaves).mean())


def speed(names: list[str], chains: list[int], pairs: int) -> None:
    """A line per density, method and number of chains: ratios of gradients a CPU-second, ours over blackjax's."""
    for name in names or SPEED:
        pair = SPEED[name]()
        for method, steps, leapfrogs in (("mala", 1_000, 1), ("hmc", 200, 5)):
            for n in chains:
                theirs = blackjax_run(pair.theirs, pair.ours.dim, method, leapfrogs, n, steps)
                options: dict[str, Any] = {"sampling_steps": steps, "step_size": 0.05, "warmup_steps": 0}
                if method == "hmc":
                    options |= {"leapfrog_steps": leapfrogs, "jitter": 0.0}
                model = make("sampler", method, prior_std=1.0, **options).fit(pair.ours)
                ours = lambda model=model, n=n: model.draw(n, seed=0)  # noqa: E731 - one of two that are timed alike
                times = [(cpu(ours), cpu(theirs)) for _ in range(pairs + 1)][1:]
                ratios = sorted(b / a for a, b in times)
                rate = n * steps * leapfrogs / min(a for a, _ in times)
                told = f"{statistics.median(ratios):.2f} [{ratios[0]:.2f}, {ratios[-1]:.2f}]"
                print(f"{name}, {method}, {n} chains: {told}; ours {rate / 1e6:.2f} million gradients a s", flush=True)


def blackjax_run(
    log_prob: Callable[[Any], Any], dim: int, method: str, leapfrogs: int, chains: int, steps: int
) -> Callable[[], None]:
    """Steps of all chains, compiled."""
    if method == "mala":
        kernel = blackjax.mala(log_prob, step_size=0.05)
    else:
        kernel = blackjax.hmc(
            log_prob, step_size=0.05, inverse_mass_matrix=jnp.ones(dim), num_integration_steps=leapfrogs
        )

    def one(key: Any) -> Any:
        first, second = jax.random.split(key)
        state = kernel.init(jax.random.normal(first, (dim,)))
        return jax.lax.scan(lambda s, k: (kernel.step(k, s)[0], None), state, jax.random.split(second, steps))[0]

    run = jax.jit(jax.vmap(one))
    keys = jax.random.split(jax.random.key(0), chains)
    run(keys).position.block_until_ready()
    return lambda: run(keys).position.block_until_ready()


def cpu(run: Callable[[], object]) -> float:
    """Seconds of processor time."""
    began = time.process_time()
    run()
    return time.process_time() - began


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=["draws", "speed"])
    parser.add_argument("names", nargs="*", help="of densities; all if none")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=STEPS, help="of warm-up, and as many kept, for draws")
    parser.add_argument("--chains", type=int, nargs="+", default=[100, 1_000])
    parser.add_argument("--pairs", type=int, default=5)
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.what == "draws":
        draws(given.names, given.seed, given.steps)
    else:
        speed(given.names, given.chains, given.pairs)


if __name__ == "__main__":
    main()
