"""Energies far above those of the prior: bent in the default, exact everywhere else, and never hidden."""

from __future__ import annotations

import math

import pytest
import torch

from phys_samplers import make
from phys_samplers.density import FlatDensity
from phys_samplers.errors import TrainingDiverged
from phys_samplers.laws import GaussianMixture
from phys_samplers.randomness import Streams
from phys_samplers.target import Density, Target
from phys_value_gradient import ValueGradientSampler
from phys_value_gradient.policy import FAR, Energy

QUICK = {"sampling_steps": 4, "total_variance": 3.0, "width": 8, "depth": 1, "batch_size": 16, "steps": 4}


def cliff(seed: int = 0) -> Target:
    """A normal law whose energy leaps by e^60 beyond 12: what one walk in a thousand meets."""
    return Density(lambda x: -0.5 * x.square().sum(-1) - (5 * x[:, 0].clamp(max=18) - 30).exp(), event_shape=(3,))


def test_the_limit_is_the_median_of_the_prior_and_fifty_a_dimension() -> None:
    """Of 3-dimensional |x|²/2 with x ~ N(0, 4I): 4 · the median of χ²₃/2, 2.366/2; five standard errors of 2,000."""
    energy = Energy(FlatDensity(Density(lambda x: -0.5 * x.square().sum(-1), event_shape=(3,))))
    draws = 2 * Streams([0, 1], "prior").normal(2_000, 3)
    limit = energy.usual(draws)
    assert limit.shape == (2,)
    torch.testing.assert_close(limit, torch.full((2,), FAR * 3 + 2 * 2.366), rtol=0, atol=5 * 0.12)


def test_infinite_energies_do_not_move_the_limit() -> None:
    box = Density(lambda x: torch.where(x.abs().amax(-1) < 1, 0.0 * x.sum(-1), -math.inf), event_shape=(2,))
    assert Energy(FlatDensity(box)).usual(Streams([0], "prior").normal(500, 2)).tolist() == [FAR * 2]


def test_each_replica_has_its_limit() -> None:
    law = GaussianMixture([[0.0, 0.0]], [1.0], [1.0])
    density = FlatDensity(Target(event_shape=(2,), law=law))
    points = 6 * Streams([0, 1], "z").normal(3, 5, 2)
    both = Energy(density, "prior", torch.tensor([4.0, math.inf])).value_and_gradient(points)
    for replica, clip in enumerate((4.0, None)):
        value, gradient = Energy(density, clip).value_and_gradient(points[replica])
        torch.testing.assert_close(both[0][replica], value)
        torch.testing.assert_close(both[1][replica], gradient)


def test_one_outlier_of_the_energy_leaves_the_values_finite_and_opening_upwards() -> None:
    """With energies as they are, its square decides the fit of the curvatures; the values then fall outwards."""
    options = QUICK | {"steps": 40, "batch_size": 64, "total_variance": 25.0}
    bent = ValueGradientSampler(**options).fit(cliff(), seed=0)
    assert bent.critic is not None
    limit = float(bent.critic.energy_limit)
    assert 150 < limit < 400
    drawn = bent.draw(1_000, seed=1)
    assert drawn.samples.isfinite().all()
    assert abs(drawn.diagnostics["log_z"] - 1.5 * math.log(2 * math.pi)) < 5 * drawn.diagnostics["log_z_std"] + 0.02
    free = make("sampler", "vgs", energy_clip=None, **options)
    try:
        far = float(free.fit(cliff(), seed=0).draw(1_000, seed=1).samples.abs().amax())
    except TrainingDiverged:
        far = math.inf
    assert far > float(drawn.samples.abs().amax())


def test_what_is_no_number_is_not_bent() -> None:
    """Where the energy is no number, so are its bent value and gradient: training ends with an error that says so."""
    target = Density(lambda x: torch.where(x[:, 0] < 0, -x.square().sum(-1), math.nan), event_shape=(2,))
    energy, gradient = Energy(FlatDensity(target), 5.0).value_and_gradient(torch.tensor([[-1.0, 0.0], [1.0, 0.0]]))
    assert energy.isnan().tolist() == [False, True]
    assert gradient.isnan().any(1).tolist() == [False, True]
    with pytest.raises(TrainingDiverged, match="step 1"):
        ValueGradientSampler(**QUICK).fit(target)


def test_the_limit_is_stored_and_a_normal_law_never_meets_it() -> None:
    """The default and no limit give the same bits, walks and weights, where energies stay below."""
    law = Density(lambda x: -0.5 * x.square().sum(-1), event_shape=(2,))
    recipe = ValueGradientSampler(**QUICK)
    model = recipe.fit(law, seed=3)
    assert "energy_limit" in model.tensors()
    again = recipe.restore(model.tensors(), {}, event_shape=(2,), target=law)
    first, second, free = (
        m.draw(50, seed=1, **o) for m, o in ((model, {}), (again, {}), (model, {"energy_clip": None}))
    )
    assert torch.equal(first.samples, second.samples)
    assert torch.equal(first.samples, free.samples)
    assert torch.equal(first.log_weights, free.log_weights)
