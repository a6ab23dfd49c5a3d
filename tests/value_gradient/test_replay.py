"""Values by least squares on moved ends: marginals, the exact values of a normal law, a cluster, weights."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from phys_samplers import make
from phys_samplers.density import FlatDensity
from phys_samplers.errors import ConfigurationError
from phys_samplers.laws import LennardJones
from phys_samplers.randomness import make_generator
from phys_samplers.target import Density, Target
from phys_value_gradient import ReplaySampler
from phys_value_gradient.replay import LeastSquaresLandscape, ReplayLoop

MEAN, VARIANCE = 0.5, 0.7


def normal_law() -> Target:
    """N(.5·1, .7 I) in three dimensions, times e^{1.5} and its normalising constant."""
    return Density(lambda x: 1.5 - (x - MEAN).square().sum(-1) / (2 * VARIANCE), event_shape=(3,))


def loop(**options) -> ReplayLoop:
    recipe = ReplaySampler(**{"sampling_steps": 6, "total_variance": 4.0, "end_variance": 0.1, **options})
    return ReplayLoop(recipe, normal_law(), seed=0, device="cpu")


@pytest.mark.parametrize("process", ["ve", "vp"])
def test_values_of_a_normal_law_are_the_exact_ones(process: str) -> None:
    """Ends are exact draws: ∇V^t(z) = (z − a m)/(a² v + b). Five standard errors of the slope, at most a tenth.

    The ridge of 1e-6 leaves no bias that counts; the energy and the quadratic share one direction, as they should.
    """
    options = {"process": process, "total_variance": 2.0, "ridge": 1e-6, "rows": 8_000}
    learning = loop(**options)
    ends = MEAN + math.sqrt(VARIANCE) * torch.randn(8_000, 3, generator=make_generator(0, "ends"))
    learning.regress(ends)
    points = torch.randn(1, 1, 200, 3, generator=make_generator(1, "points"))
    for t, (a, b) in enumerate(learning.recipe.auxiliary.marginals[:-1]):
        found = learning.landscape.values_and_gradients(points, t)[1]
        spread = a**2 * VARIANCE + b
        exact = (points - a * MEAN) / spread
        error = math.sqrt(spread / (3 * 8_000 * b))  # of the slope, relative
        assert bool(((found - exact).abs() <= 5 * error * exact.abs() + 0.05 / math.sqrt(spread)).all())
    scale, blur = learning.recipe.auxiliary.marginals[0]
    second = scale**2 * (VARIANCE + MEAN**2) + blur
    assert float(learning.fitted.log_std.exp()) == pytest.approx(math.sqrt(second), rel=0.02)


def test_weights_lead_to_the_constant() -> None:
    """log Z = 1.5 + log of the normal's volume, from walks that MALA moves: within five stated errors and .02."""
    model = ReplaySampler(sampling_steps=6, total_variance=4.0, end_variance=0.1).fit(normal_law(), seed=0)
    expected = 1.5 + 1.5 * math.log(2 * math.pi * VARIANCE)
    for noise_scale, corrections in ((1.0, 0), (0.9, 5)):
        facts = model.draw(2_000, seed=1, noise_scale=noise_scale, corrections=corrections).diagnostics
        assert abs(facts["log_z"] - expected) < 5 * facts["log_z_std"] + 0.02
        assert facts["ess"] > 0.1


def test_moves_keep_the_law() -> None:
    """10,000 exact draws after 20 MALA steps: means and variances within five standard errors, .01 each and .02."""
    learning = loop()
    ends = MEAN + math.sqrt(VARIANCE) * torch.randn(10_000, 3, generator=make_generator(0, "ends"))
    moved, acceptance = learning.move(ends, 20)
    assert 0.3 < float(acceptance) < 0.95
    assert float((moved - ends).norm(dim=1).mean()) > 0.3
    torch.testing.assert_close(moved.mean(0), torch.full((3,), MEAN), rtol=0, atol=5 * math.sqrt(VARIANCE / 10_000))
    torch.testing.assert_close(moved.var(0), torch.full((3,), VARIANCE), rtol=5 * math.sqrt(2 / 10_000), atol=0)


@pytest.fixture(scope="module")
def cluster() -> Target:
    """Seven particles."""
    law = LennardJones(7)
    return Target(event_shape=law.event_shape, law=law, name="lj7")


SMALL = {
    "sampling_steps": 10,
    "start_variance": 0.3,
    "total_variance": None,
    "end_variance": 1e-3,
    "initial_std": 0.6,
    "core": 0.8,
    "functions": 8,
    "walks": 200,
    "moves": 60,
    "rounds": 2,
}


def test_gradients_of_pair_potentials_are_those_of_the_values(cluster: Target) -> None:
    """By finite differences in double precision, along a random direction."""
    learning = ReplayLoop(ReplaySampler(**SMALL), cluster, seed=0, device="cpu")
    dim = FlatDensity(cluster).dim
    learning.regress(0.6 * torch.randn(64, dim, generator=make_generator(0, "ends")))
    fitted = type(learning.fitted)(*(part.double() for part in learning.fitted))
    landscape = LeastSquaresLandscape(fitted, learning.energy, learning.differences)
    generator = make_generator(1, "points")
    z = torch.randn(1, 1, 20, dim, generator=generator, dtype=torch.float64)
    along = torch.randn(1, 1, 20, dim, generator=generator, dtype=torch.float64)
    for t in (0, 9):
        gradient = landscape.values_and_gradients(z, t)[1]
        rise = landscape.values(z + 1e-5 * along, t) - landscape.values(z - 1e-5 * along, t)
        torch.testing.assert_close(rise / 2e-5, (gradient * along).sum(-1), rtol=1e-4, atol=1e-4)
        weights = fitted.weights[t].view(-1, 1, 1)
        together = (weights * landscape.columns(z[0, 0], t)).sum(0)
        torch.testing.assert_close(together - fitted.slope[t], gradient[0, 0], rtol=1e-8, atol=1e-8)


def energies(law: LennardJones, x: Tensor) -> Tensor:
    return torch.histc(-law.log_prob(x).clamp(-39.9, 39.9), 40, -40.0, 40.0) / len(x)


def test_replay_brings_energies_near_those_of_a_long_chain(cluster: Target) -> None:
    """TVD of 40 bins, what is above them in the last, against 600 MALA steps; walks before the fit are mostly there."""
    model = ReplaySampler(**SMALL).fit(cluster, seed=0)
    learning = ReplayLoop(ReplaySampler(**SMALL), cluster, seed=1, device="cpu")
    density = FlatDensity(cluster)
    x = density.reduce(model.sample(1_000, seed=2))
    truth = energies(cluster.law, density.embed(learning.move(learning.descend(x), 600)[0]))
    unfitted = type(model)(model.recipe, cluster, ReplayLoop(model.recipe, cluster, seed=0, device="cpu").fitted)
    before, after = (
        0.5 * (energies(cluster.law, m.sample(1_000, seed=3)) - truth).abs().sum() for m in (unfitted, model)
    )
    assert float(after) < 0.5 * float(before)
    corrected = model.sample(1_000, seed=3, corrections=60)
    assert float(0.5 * (energies(cluster.law, corrected) - truth).abs().sum()) < float(after)


def test_a_core_needs_a_pair_potential() -> None:
    with pytest.raises(ConfigurationError, match="no pair potential"):
        ReplaySampler(core=0.8).fit(normal_law())


def test_a_soft_core_leaves_right_configurations_alone() -> None:
    """All rows of the task; a configuration with an overlap is not left alone."""
    task = make("task", "lj13")
    rows = torch.cat([task.validation, task.heldout]).double()
    soft = task.law.softened(0.8)
    change = (soft.log_prob(rows) - task.law.log_prob(rows)).abs()
    assert float(change.max()) <= 1.5e-5
    overlapping = rows[:1].clone()
    overlapping[:, :3] = overlapping[:, 3:6] + 0.3
    assert float(soft.log_prob(overlapping) - task.law.log_prob(overlapping)) > 1e3
    _, score = soft.log_prob_and_score(overlapping)
    assert torch.isfinite(score).all()
    with pytest.raises(ConfigurationError, match="positive"):
        task.law.softened(0.0)
