"""What particles find of a density before anything is learned: how wide it is, and how fine."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from phys_samplers import make
from phys_samplers.laws import Funnel, GaussianMixture
from phys_samplers.paths import Extent, explore, spread
from phys_samplers.target import Density, Target
from phys_value_gradient import ValueGradientSampler


def normal(std: float, dim: int) -> Density:
    return Density(lambda x: -0.5 * (x / std).square().sum(1), event_shape=(dim,))


def nine_modes() -> Target:
    line = torch.tensor([-5.0, 0.0, 5.0])
    law = GaussianMixture(torch.cartesian_prod(line, line), [0.3] * 9, [1 / 9] * 9)
    return Target(event_shape=(2,), name="nine-modes", law=law)


@pytest.mark.parametrize(("std", "dim"), [(0.02, 2), (1.0, 50), (40.0, 3)])
def test_normal_laws_of_any_unit_are_measured(std: float, dim: int) -> None:
    """256 particles: the standard error of a spread is below 5 %, so that 25 % is five of them."""
    found = explore(normal(std, dim))
    assert found.spread == pytest.approx(std, rel=0.25)
    assert 0.5 < found.detail / std < 1.2  # the steepest of all coordinates


def test_modes_that_lie_apart_count_in_the_spread_and_not_in_the_detail() -> None:
    """√(50/3 + .3) = 4.12 and √.3 = .55."""
    found = explore(nine_modes())
    assert found.spread == pytest.approx(4.12, rel=0.2)
    assert found.detail == pytest.approx(0.55, rel=0.3)
    assert explore(nine_modes()) == found


def test_points_without_density_and_scores_that_are_no_numbers_lead_nowhere() -> None:
    def box(x: Tensor) -> Tensor:
        return torch.where(x.abs().amax(1) < 1, (1 - x.square()).clamp(min=0).log().sum(1), -math.inf)

    found = explore(Density(box, event_shape=(2,)))  # (1 - x²) has the variance 1/5
    assert found.spread == pytest.approx(math.sqrt(0.2), rel=0.25)


def test_importance_sampling_is_overruled_where_it_sees_the_tails_alone() -> None:
    """Of the funnel it finds 91; a coordinate has the root mean square 9.7, by the widest of its tails."""
    funnel = Target(event_shape=(10,), law=Funnel(), name="funnel")
    assert spread(funnel) == explore(funnel).spread < 20
    assert spread(nine_modes()) != explore(nine_modes()).spread  # they agree, and the first counts


def test_walks_take_their_schedule_from_what_particles_find() -> None:
    target = nine_modes()
    model = make("sampler", "vgs", steps=1, draws=1, width=8, depth=1, total_variance=None, end_variance=None).fit(
        target
    )
    found = explore(target)
    assert model.recipe.total_variance == 1.5 * found.spread**2
    assert model.recipe.end_variance == 0.25 * found.detail**2
    given = ValueGradientSampler(total_variance=3.0, end_variance=0.1)
    assert given.settle(target, device="cpu") is given


def test_schedules_stay_possible_where_detail_and_spread_are_one() -> None:
    recipe = ValueGradientSampler(sampling_steps=40, total_variance=None, end_variance=None)
    recipe = recipe.settle(normal(1.0, 2), device="cpu", extent=Extent(1.0, 1.0))
    assert recipe.auxiliary.total == pytest.approx(1.5)
    assert recipe.auxiliary.variances[-1] == pytest.approx(1.5 / 160)
