"""What users get wrong in a density of their own: each is one clear sentence, or works."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.distributions as td
from torch import Tensor

from phys_samplers import Density, make
from phys_samplers.errors import ConfigurationError, DensityError, DivergenceError
from phys_samplers.target import Target


def quadratic(x: Tensor) -> Tensor:
    return -0.5 * x.square().sum(1)


X = torch.tensor([[0.5, -1.0], [2.0, 0.25], [0.0, 1.0]])


@pytest.mark.parametrize("score", [lambda x: -x[:, :1], lambda x: -x[:1], lambda x: -x.sum()])
def test_a_score_of_another_shape_does_not_broadcast(score: Callable[[Tensor], Tensor]) -> None:
    target = Density(quadratic, (2,), score=score)
    for ask in (target.score, target.log_prob_and_score):
        with pytest.raises(DensityError, match=r"the score returned shape .*; expected the shape of x, \(3, 2\)"):
            ask(X)


def test_a_score_that_is_nan_everywhere_is_told() -> None:
    target = Density(quadratic, (2,), score=lambda x: x * math.nan)
    for name in ("mala", "hmc", "langevin"):
        with pytest.raises(DensityError, match="the score is nan at all of 16 points"):
            make("sampler", name).fit(target).draw(16)


def test_a_score_may_be_nan_where_there_is_no_density() -> None:
    target = Density(quadratic, (2,), score=lambda x: torch.where(x > 0, -x, torch.nan))
    assert target.score(X).isnan().sum() == 2


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_log_density_that_is_no_number_anywhere_is_told(value: float) -> None:
    with pytest.raises(DensityError, match=f"the log-density is {value} at all of 3 points"):
        Density(lambda x: x[:, 0] * 0 + value, (2,)).log_prob(X)


def test_points_outside_of_the_support_may_be_asked() -> None:
    half = Density(lambda x: torch.where(x[:, 0] > 0, quadratic(x), -torch.inf), (2,))
    assert half.log_prob(-X[:2]).tolist() == [-math.inf, -math.inf]


@pytest.mark.parametrize("name", ["mala", "hmc", "langevin", "baoab", "svgd"])
def test_a_density_that_no_start_finds_is_told(name: str) -> None:
    nowhere = Density(lambda x: quadratic(x) * 0 - math.inf, (2,))
    with pytest.raises(DivergenceError, match=r"64 of 64 particles are lost: .* not finite at any of the points"):
        make("sampler", name).fit(nowhere).draw(64)


@pytest.mark.parametrize(
    ("density", "message"),
    [
        (lambda x: x.detach().numpy()[:, 0], "the log-density returned ndarray .*expected a tensor"),
        (lambda x: x.numpy()[:, 0], "the log-density raised RuntimeError"),
        (lambda x: torch.from_numpy(-0.5 * (x.detach().numpy() ** 2).sum(1)), "has no gradient.*score="),
        (torch.no_grad()(quadratic), "has no gradient.*score="),
        (lambda x: x @ torch.ones(3), "the log-density raised RuntimeError at points of shape"),
    ],
)
def test_a_log_density_that_autograd_cannot_follow(density: Any, message: str) -> None:
    with pytest.raises(DensityError, match=message):
        Density(density, (2,)).score(X)


def test_a_log_density_of_numpy_works_with_a_score_of_its_own() -> None:
    target = Density(lambda x: torch.from_numpy(-0.5 * (x.numpy() ** 2).sum(1)), (2,), score=lambda x: -x)
    samples = make("sampler", "mala", sampling_steps=300).fit(target).draw(500, seed=0).samples
    assert samples.std(0).tolist() == pytest.approx([1, 1], abs=0.16)  # five standard errors


def test_a_score_may_use_autograd_inside() -> None:
    def score(x: Tensor) -> Tensor:
        x = x.detach().requires_grad_()
        return torch.autograd.grad(quadratic(x).sum(), x)[0]

    target = Density(quadratic, (2,), score=score)
    with torch.no_grad():
        assert torch.equal(target.score(X), -X)
        assert torch.equal(target.log_prob_and_score(X)[1], -X)


MATRIX = torch.eye(2, dtype=torch.float64)
NORMAL64 = td.MultivariateNormal(torch.zeros(2, dtype=torch.float64), MATRIX)


@pytest.mark.parametrize("target", [Density(NORMAL64), Density(lambda x: -0.5 * (x @ MATRIX * x).sum(1), (2,))])
def test_a_density_in_double_precision_takes_points_of_either(target: Target) -> None:
    for x in (X, X.double()):
        value, score = target.log_prob_and_score(x)
        assert value.dtype == score.dtype == x.dtype
        torch.testing.assert_close(score, -x)
    samples = make("sampler", "mala", sampling_steps=250).fit(target).draw(128, seed=0).samples
    assert samples.std(0).tolist() == pytest.approx([1, 1], abs=0.32)  # five standard errors


def test_chains_in_a_distribution_of_double_precision_are_so_too() -> None:
    assert make("sampler", "mala", sampling_steps=300).fit(Density(NORMAL64)).draw(4).samples.dtype == torch.float64


TWO = torch.tensor([0.0, 2.0])
PAIR = td.Categorical(torch.ones(2))


@pytest.mark.parametrize(
    ("distribution", "message"),
    [
        (lambda: td.MixtureSameFamily(PAIR, td.Uniform(TWO, TWO + 1)), "components of MixtureSameFamily have supports"),
        (lambda: td.MixtureSameFamily(PAIR, td.Pareto(TWO + 1, TWO + 3)), "components of MixtureSameFamily have supp"),
        (lambda: td.TransformedDistribution(td.Normal(0.0, 1.0), [td.AbsTransform()]), "cannot be taken in coordinate"),
    ],
)
def test_distributions_that_cannot_be_unconstrained_are_told(distribution: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message + r".*Density\(log_prob, event_shape\)"):
        Density(distribution())
