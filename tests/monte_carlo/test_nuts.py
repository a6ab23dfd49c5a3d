"""The No-U-Turn Sampler: the law it leaves invariant, where trajectories end, what a draw tells.

Statistical checks are at 4 standard errors of independent chains: a false alarm in 16,000 for each number checked.
"""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from phys_monte_carlo import NUTS, hmc, nuts
from phys_samplers import Density
from phys_samplers.density import LogDensity
from phys_samplers.errors import ConfigurationError, DivergenceError
from phys_samplers.laws import DoubleWell, Funnel, GaussianMixture
from phys_samplers.randomness import make_generator
from phys_samplers.target import Target

N = 10_000
LAW = GaussianMixture([[-1.0, 0.0], [1.5, 0.5]], [0.3, 0.8], [0.4, 0.6])
FACTOR = torch.tensor([[1.2, 0.0], [0.5, 0.7]], dtype=torch.float64)


def mixture(x: Tensor) -> tuple[Tensor, Tensor]:
    return LAW.log_prob(x), LAW.score(x)


def flattened(x: Tensor) -> tuple[Tensor, Tensor]:
    """The same trajectories with half the energies: what a kernel with wrong weights would ask for."""
    return 0.5 * LAW.log_prob(x), LAW.score(x)


def worst(density: LogDensity, factor: Tensor) -> float:
    """Largest gap of nine expectations between exact draws and where three steps lead from others, in errors."""
    start, exact = (LAW.sample(N, make_generator(0, label)).double() for label in ("start", "exact"))
    generator, state = make_generator(1, "steps"), hmc.init(start, density)
    for _ in range(3):
        momentum = torch.randn(start.shape, generator=generator, dtype=start.dtype)
        state, _ = nuts.step(
            state, density, step_size=0.9, factor=factor, momentum=momentum, generator=generator, max_depth=4
        )

    def features(x: Tensor) -> Tensor:
        near = ((x.unsqueeze(1) - torch.tensor([[-1.0, 0.0], [1.5, 0.5], [0.3, 0.3]])).square().sum(2) < 0.2).double()
        return torch.cat([x, x.square(), x.prod(1, keepdim=True), LAW.log_prob(x).unsqueeze(1), near], 1)

    here, there = features(state.x), features(exact)
    return float(((here.mean(0) - there.mean(0)) / ((here.var(0) + there.var(0)) / N).sqrt()).abs().max())


@pytest.mark.parametrize("factor", [torch.ones(2, dtype=torch.float64), FACTOR])
def test_exact_draws_stay_exact_under_steps_so_large_that_weights_matter(factor: Tensor) -> None:
    assert worst(mixture, factor) < 4
    assert worst(flattened, factor) > 8  # the test sees wrong weights


def test_an_anharmonic_law_is_reproduced() -> None:
    """Of exp(−x⁴/4), E x² = 2Γ(3/4)/Γ(1/4) and E x⁴ = 1."""
    quartic = Density(lambda x: -x.pow(4).sum(1) / 4, score=lambda x: -(x**3), event_shape=(1,))
    draw = (
        NUTS(sampling_steps=60, warmup_steps=30, prior_std=1.0, target_acceptance=0.7).fit(quartic).draw(2_000, seed=1)
    )
    squares = draw.samples.double().square()
    truth = 2 * math.gamma(0.75) / math.gamma(0.25)
    assert squares.mean().item() == pytest.approx(truth, abs=4 * math.sqrt((1 - truth**2) / 2_000))


@pytest.mark.parametrize("dense", [False, True])
def test_a_badly_scaled_correlated_gaussian_is_reproduced(dense: bool) -> None:
    """Standard deviations from 0.1 to 10 and correlations of 0.6; full masses make shorter trajectories."""
    std = torch.tensor([0.1, 1.0, 3.0, 10.0], dtype=torch.float64)
    correlation = torch.full((4, 4), 0.6, dtype=torch.float64).fill_diagonal_(1.0)
    precision = torch.linalg.inv(std.unsqueeze(1) * correlation * std).float()
    target = Density(lambda x: -0.5 * ((x @ precision) * x).sum(1), score=lambda x: -x @ precision, event_shape=(4,))
    draw = NUTS(sampling_steps=80, warmup_steps=50, dense=dense).fit(target).draw(2_000, seed=1)
    x = draw.samples.double()
    assert (x.mean(0).abs() < 4 * std / math.sqrt(2_000)).all()
    assert ((x.var(0) / std**2 - 1).abs() < 4 * math.sqrt(2 / 2_000)).all()
    assert ((torch.corrcoef(x.T) - correlation).abs() < 4 * (1 - 0.6**2) / math.sqrt(2_000)).all()
    assert draw.diagnostics["acceptance"] == pytest.approx(0.8, abs=0.12)
    assert draw.diagnostics["rhat_max"] < 1.1


def test_full_masses_make_trajectories_in_a_narrow_valley_short() -> None:
    """Correlations of 0.99: the valley is 14 times as long as wide."""
    precision = torch.linalg.inv(torch.tensor([[1.0, 0.99], [0.99, 1.0]]))
    target = Density(lambda x: -0.5 * ((x @ precision) * x).sum(1), score=lambda x: -x @ precision, event_shape=(2,))
    lengths = [
        NUTS(sampling_steps=60, warmup_steps=40, dense=dense).fit(target).draw(200).diagnostics["leapfrog_steps"]
        for dense in (False, True)
    ]
    assert lengths[1] < 0.5 * lengths[0]


def test_trajectories_end_where_recursion_would_end_them() -> None:
    """Every balanced part is checked: the leaf at which each of 300 chains stops is that of brute force."""
    n, depth, h = 300, 4, torch.tensor(0.1, dtype=torch.float64)
    generator = make_generator(0, "recursion")
    x = LAW.sample(n, generator).double()
    p = torch.randn(n, 2, generator=generator, dtype=torch.float64)
    state = hmc.init(x, mixture)
    momenta = []
    there, momentum = state, p
    for _ in range(2**depth):
        there, momentum = hmc.leapfrog(there, momentum, mixture, step_size=h, steps=1)
        momenta.append(momentum)
    stopped = torch.zeros(n, dtype=torch.bool)
    visited = torch.zeros(n)
    for leaf in range(2**depth):
        visited += ~stopped
        size = 2
        while (leaf + 1) % size == 0:
            part = torch.stack(momenta[leaf + 1 - size : leaf + 1])
            stopped |= nuts.turning(part[0], part[-1], part.sum(0))
            size *= 2
    trajectory = nuts.Trajectory(
        state, p, mixture, step_size=h, factor=torch.ones(2, dtype=torch.float64), generator=generator
    )
    branch = trajectory._grow(torch.arange(n), torch.ones(n, dtype=torch.long), depth)
    assert torch.equal(branch.rows, torch.arange(n)[~stopped])
    assert torch.equal(trajectory.leaves.float(), visited)
    assert 30 < int(stopped.sum()) < 270
    torch.testing.assert_close(branch.total, torch.stack(momenta).sum(0)[~stopped])


def test_every_leapfrog_step_of_every_chain_is_counted_and_idle_chains_cost_nothing() -> None:
    rows = []

    def score(x: Tensor) -> Tensor:
        rows.append(len(x))
        return -x / torch.tensor([1.0, 9.0])

    target = Density(lambda x: -0.5 * (x.square() / torch.tensor([1.0, 9.0])).sum(1), (2,), score=score)
    draw = NUTS(sampling_steps=40, warmup_steps=20).fit(target).draw(50, seed=1)
    assert draw.nfe * 50 == pytest.approx(sum(rows))
    assert min(rows) < 50


def test_max_depth_bounds_trajectories() -> None:
    target = Density(lambda x: -0.5 * x.square().sum(1), (2,), score=lambda x: -x)
    draw = NUTS(sampling_steps=20, warmup_steps=0, step_size=0.01, max_depth=3).fit(target).draw(50, seed=1)
    assert draw.diagnostics["leapfrog_steps"] == pytest.approx(7, abs=0.05)  # a momentum near zero may turn at once
    assert draw.nfe == pytest.approx(1 + 20 * draw.diagnostics["leapfrog_steps"])


def test_divergences_are_counted() -> None:
    draw = NUTS(sampling_steps=30, warmup_steps=15, max_depth=5).fit(Target(event_shape=(10,), law=Funnel())).draw(100)
    assert draw.diagnostics["divergences"] > 0


@pytest.mark.slow
def test_particles_stay_in_the_subspace_of_the_law_and_have_its_energy() -> None:
    """DW-4 from exact draws: the mean energy within 4 standard errors of −22.541."""
    law, n = DoubleWell(), 500
    start = law.sample(n, make_generator(0, "start"))
    target = Target(event_shape=(8,), law=law)
    x = NUTS(sampling_steps=20, warmup_steps=15).fit(target).sample(n, seed=1, start=start)
    assert x.unflatten(1, (4, 2)).mean(1).abs().max() < 1e-4
    energy = -law.log_prob(x)
    assert energy.mean().item() == pytest.approx(-22.541, abs=4 * energy.std().item() / math.sqrt(n))


def test_chains_that_never_find_the_density_are_lost() -> None:
    nowhere = Density(lambda x: torch.where(x[:, 0] > 1e4, 0.0 * x[:, 0], -torch.inf), event_shape=(1,))
    with pytest.raises(DivergenceError, match=r"9 of 9 particles.*prior_std"):
        NUTS(sampling_steps=10, warmup_steps=5).fit(nowhere).sample(9)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_depth": 0}, "max_depth is 0"),
        ({"warmup_steps": 150}, "expected fewer warm-up steps"),
        ({"dense": 1}, "dense is 1"),
    ],
)
def test_bad_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        NUTS(**options)
