"""The auxiliary process: schedules, marginals, and what a step of the policy costs."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from torch.distributions import Normal

from phys_samplers.errors import ConfigurationError
from phys_samplers.randomness import make_generator
from phys_value_gradient.process import AuxiliaryProcess, log_ratio, schedule


@pytest.mark.parametrize(("alpha", "eta"), [(1.0, 1.0), (1.2, 1.0), (1.0, 1.3), (1.1, 0.7)])
@pytest.mark.parametrize("as_tensor", [False, True])
def test_the_running_cost_is_the_ratio_of_two_normal_densities(alpha: float, eta: float, as_tensor: bool) -> None:
    s = 0.4
    x, shift, noise = torch.randn(3, 50, 3, generator=make_generator(0, "x"), dtype=torch.float64)
    after = alpha * x + shift + eta * alpha * s * noise
    forward = Normal(alpha * x + shift, eta * alpha * s).log_prob(after).sum(-1)
    backward = Normal(after / alpha, s).log_prob(x).sum(-1)
    numbers = [torch.full((50, 1), v, dtype=torch.float64) if as_tensor else v for v in (alpha, s, eta)]
    torch.testing.assert_close(log_ratio(shift, noise, *numbers), forward - backward)


def test_a_unit_normal_stays_one_where_variance_is_preserved() -> None:
    process = AuxiliaryProcess(schedule("quadratic", 12, start=0.3, end=0.01), "vp")
    for scale, blur in process.marginals:
        assert scale**2 + blur == pytest.approx(1.0)
    assert process.marginals[-1] == (1.0, 0.0)


def test_noise_adds_up_where_variance_explodes() -> None:
    variances = schedule("linear", 5, start=2.0, end=0.5)
    process = AuxiliaryProcess(variances, "ve")
    assert process.marginals[0] == (1.0, pytest.approx(sum(variances)))
    assert process.marginals[3] == (1.0, pytest.approx(variances[3] + variances[4]))


@pytest.mark.parametrize("shape", ["geometric", "quadratic", "linear"])
def test_schedules_have_the_ends_or_the_total_asked_for(shape) -> None:
    given = schedule(shape, 7, start=3.0, end=0.1)
    assert (given[0], given[-1]) == (pytest.approx(3.0), pytest.approx(0.1))
    solved = schedule(shape, 7, total=sum(given), end=0.1)
    assert solved == pytest.approx(given)
    link = {"geometric": math.log, "quadratic": math.sqrt, "linear": float}[shape]
    steps = [link(a) - link(b) for a, b in pairwise(given)]
    assert steps == pytest.approx([steps[0]] * 6)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"shape": "cosine", "start": 1.0, "end": 0.1}, "cosine"),
        ({"shape": "linear", "end": 0.1}, "start_variance is None"),
        ({"shape": "linear", "start": 1.0, "total": 5.0, "end": 0.1}, "total_variance 5.0"),
        ({"shape": "linear", "start": 1.0, "end": -0.1}, "-0.1"),
        ({"shape": "linear", "total": 0.5, "end": 0.1}, "0.5"),
    ],
)
def test_bad_schedules_are_refused(options, named: str) -> None:
    with pytest.raises(ConfigurationError, match=named):
        schedule(options.pop("shape"), 7, **options)


def test_variance_cannot_be_preserved_with_steps_of_one_and_more() -> None:
    with pytest.raises(ConfigurationError, match="between 0 and 1"):
        AuxiliaryProcess((1.5, 0.1), "vp")
