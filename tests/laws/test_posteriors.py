"""Posterior laws: densities against torch.distributions, scores against autograd, evidences against quadrature."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch import distributions as td

from phys_samplers.errors import ConfigurationError
from phys_samplers.laws import BrownianMotion, LogGaussianCoxProcess, LogisticRegression
from phys_samplers.randomness import make_generator

SEEN = [0.3, math.nan, -0.2, math.nan, math.nan, 0.1, -0.5]


@pytest.fixture(autouse=True)
def double_precision() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def points(n: int, *shape: int) -> Tensor:
    return torch.randn(n, *shape, generator=make_generator(0, "points"), dtype=torch.float64)


def logistic(prior_std: float = 1.5) -> LogisticRegression:
    labels = torch.rand(30, generator=make_generator(0, "labels")) < 0.4
    return LogisticRegression(points(30, 2), labels, prior_std)


def cox(side: int = 3) -> LogGaussianCoxProcess:
    counts = torch.randint(4, (side, side), generator=make_generator(0, "counts"))
    return LogGaussianCoxProcess(counts, mean=2.0, variance=1.9, length_scale=0.2)


LAWS: dict[str, Callable[[], Any]] = {
    "logistic": logistic,
    "cox": cox,
    "brownian": lambda: BrownianMotion(SEEN),
    "brownian-known": lambda: BrownianMotion(SEEN, (0.2, 0.3)),
}


@pytest.mark.parametrize("name", LAWS)
def test_score_is_the_gradient_of_log_prob(name: str) -> None:
    law = LAWS[name]()
    x = points(100, *law.event_shape).requires_grad_()
    (expected,) = torch.autograd.grad(law.log_prob(x).sum(), x)
    value, score = law.log_prob_and_score(x.detach())
    assert (score - expected).abs().max() < 1e-9 * expected.abs().max()
    assert torch.equal(value, law.log_prob(x.detach()))
    assert torch.equal(score, law.score(x.detach()))


@pytest.mark.parametrize("name", LAWS)
def test_points_decide_the_precision(name: str) -> None:
    law = LAWS[name]()
    x = points(20, *law.event_shape)
    value, score = law.log_prob_and_score(x.float())
    assert value.dtype == score.dtype == torch.float32
    assert torch.allclose(value.double(), law.log_prob(x), rtol=1e-4, atol=1e-3)


def test_logistic_density_by_hand() -> None:
    features, labels = points(30, 2), (torch.rand(30, generator=make_generator(0, "labels")) < 0.4).double()
    w = points(5, 2)
    likelihood = td.Bernoulli(logits=w @ features.T).log_prob(labels).sum(1)
    prior = td.Normal(0.0, 1.5).log_prob(w).sum(1)
    assert torch.allclose(logistic().log_prob(w), likelihood + prior, atol=1e-12)
    assert logistic().log_z is None
    assert LogisticRegression(features, labels, log_z=-3.0).log_z == -3.0


def test_logistic_evidence_of_nothing_learnt() -> None:
    """Where a feature is zero the label is a fair coin and the weight keeps its prior: Z = ½."""
    law = LogisticRegression(torch.zeros(1, 1), torch.ones(1))
    x = torch.arange(-12.0, 12.0, 0.01)[:, None]
    assert float(law.log_prob(x).exp().sum()) * 0.01 == pytest.approx(0.5, abs=1e-9)


def test_cox_density_by_hand() -> None:
    side, x = 3, points(5, 9)
    counts = torch.randint(4, (side, side), generator=make_generator(0, "counts")).flatten()
    expected = torch.empty(9, 9)
    for i in range(9):
        for j in range(9):
            away = math.hypot(i // side - j // side, i % side - j % side)
            expected[i, j] = 1.9 * math.exp(-away / (side * 0.2))
    prior = td.MultivariateNormal(torch.full((9,), 2.0), expected).log_prob(x)
    poisson = td.Poisson(x.exp() / 9).log_prob(counts)
    constant = (counts * math.log(1 / 9) - torch.lgamma(counts + 1.0)).sum()
    assert torch.allclose(cox().log_prob(x), prior + poisson.sum(1) - constant, atol=1e-10)


def test_brownian_density_by_hand() -> None:
    x = points(5, 9)
    s, r, path = x[:, :1].exp(), x[:, 1:2].exp(), x[:, 2:]
    before = torch.cat((torch.zeros(5, 1), path[:, :-1]), 1)
    observed = torch.tensor(SEEN)
    seen = ~observed.isnan()
    expected = td.Normal(0.0, 2.0).log_prob(x[:, :2]).sum(1) + td.Normal(before, s).log_prob(path).sum(1)
    expected = expected + td.Normal(path[:, seen], r).log_prob(observed[seen]).sum(1)
    assert torch.allclose(BrownianMotion(SEEN).log_prob(x), expected, atol=1e-11)
    s, r = torch.tensor(0.2), torch.tensor(0.3)
    expected = td.Normal(before, s).log_prob(path).sum(1) + td.Normal(path[:, seen], r).log_prob(observed[seen]).sum(1)
    assert torch.allclose(BrownianMotion(SEEN, (0.2, 0.3)).log_prob(path), expected, atol=1e-11)


def test_brownian_evidence_with_known_scales() -> None:
    law = BrownianMotion(SEEN, (0.2, 0.3))
    time = torch.tensor([1.0, 3.0, 6.0, 7.0])
    covariance = 0.04 * torch.minimum(time[:, None], time) + 0.09 * torch.eye(4)
    seen = torch.tensor([0.3, -0.2, 0.1, -0.5])
    assert law.log_z == pytest.approx(float(td.MultivariateNormal(torch.zeros(4), covariance).log_prob(seen)), abs=1e-9)
    # Bayes: prior times likelihood over evidence is the conditional law, whose draws have the same density everywhere
    x = law.sample(20_000, make_generator(0, "draws"))
    assert x.var(0).sub(_conditional_variance(covariance, time)).abs().max() < 0.002  # six standard errors


def _conditional_variance(covariance: Tensor, time: Tensor) -> Tensor:
    every = torch.arange(1.0, 8.0)
    cross = 0.04 * torch.minimum(every[:, None], time)
    return 0.04 * every - (cross @ torch.linalg.inv(covariance) * cross).sum(1)


def test_brownian_evidence_with_unknown_scales() -> None:
    """One observation, of one step: its evidence by an independent quadrature over the two scales, on another grid."""
    law = BrownianMotion([0.7])
    axis = torch.arange(-16.0, 16.0, 0.03)
    a, b = torch.cartesian_prod(axis, axis).T
    joint = td.Normal(0.0, ((2 * a).exp() + (2 * b).exp()).sqrt()).log_prob(torch.tensor(0.7))
    joint = joint + td.Normal(0.0, 2.0).log_prob(a) + td.Normal(0.0, 2.0).log_prob(b)
    assert law.log_z == pytest.approx(float(joint.logsumexp(0)) + 2 * math.log(0.03), abs=1e-9)


@pytest.mark.parametrize("name", ["brownian", "brownian-known"])
def test_brownian_paths_obey_the_density(name: str) -> None:
    """E[h ∂_k log p] = 0 and E[h (x_j ∂_k log p + δ_jk)] = 0 for path coordinates j, k and h = s², which they do not
    change: 56 means within 5 standard errors, false alarms below 1e-4.
    """
    law = LAWS[name]()
    x = law.sample(40_000, make_generator(0, "draws"))
    path, score = x[:, -7:], law.score(x)[:, -7:]
    h = (2 * x[:, :1]).exp() if name == "brownian" else torch.ones(1, 1)
    for terms in (h * score, h[:, :, None] * (path[:, :, None] * score[:, None] + torch.eye(7))):
        assert (terms.mean(0).abs() < 5 * terms.std(0) / 200).all()


def test_brownian_scales_obey_the_density() -> None:
    """E[f ∂_a log p + f'(a)] = 0 for f = tanh(a − m), and the same for b: within 5 standard errors."""
    law = BrownianMotion(SEEN)
    x = law.sample(40_000, make_generator(0, "draws"))
    for k in (0, 1):
        f = (x[:, k] - x[:, k].median()).tanh()
        for shift, right in ((0.0, True), (0.1, False)):  # the test can fail
            terms = f * law.score(x + shift * torch.eye(9)[k])[:, k] + 1 - f.square()
            assert (abs(float(terms.mean())) < 5 * float(terms.std()) / 200) == right


def test_brownian_draws_are_reproducible() -> None:
    law = BrownianMotion(SEEN)
    first, second = (law.sample(10, make_generator(3)) for _ in range(2))
    assert torch.equal(first, second)
    assert law.sample(10, make_generator(4)).dtype == torch.float64
    torch.set_default_dtype(torch.float32)
    assert law.sample(10, make_generator(4)).dtype == torch.float32


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LogisticRegression(torch.zeros(3, 2), torch.zeros(2)), r"shapes \(3, 2\) and \(2,\)"),
        (lambda: LogisticRegression(torch.zeros(3, 2), [-1, 0, 1]), "labels range from -1.0 to 1.0"),
        (lambda: LogisticRegression(torch.zeros(3, 2), torch.zeros(3), 0.0), "prior_std is 0.0"),
        (lambda: LogGaussianCoxProcess([[1, 2]], mean=0.0, variance=1.0, length_scale=1.0), r"shape \(1, 2\)"),
        (lambda: LogGaussianCoxProcess([[-1]], mean=0.0, variance=1.0, length_scale=1.0), "smallest value -1.0"),
        (lambda: LogGaussianCoxProcess([[0.5]], mean=0.0, variance=1.0, length_scale=1.0), "non-negative integers"),
        (lambda: LogGaussianCoxProcess([[1]], mean=0.0, variance=1.0, length_scale=0.0), "length_scale is 0.0"),
        (lambda: BrownianMotion([math.nan]), r"shape \(1,\), 0 of them numbers"),
        (lambda: BrownianMotion([math.inf]), "NaN or infinite"),
        (lambda: BrownianMotion([0.0], (0.0, 1.0)), "s is 0.0"),
    ],
)
def test_what_is_refused(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        make()
