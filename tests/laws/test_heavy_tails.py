"""Student-t laws, the horseshoe and the robust regression: densities, gradients, and draws of the very densities.

Draws are judged by Stein's identities E[s] = 0 and E[f s + f′] = 0 for f = tanh and, where there are moments, f = x,
which tie them to the gradient of the density: at 4.5 standard errors a false alarm in 150,000 for each number.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import scipy.stats
import torch
from torch import Tensor

from phys_samplers.errors import ConfigurationError
from phys_samplers.laws import Horseshoe, RobustRegression, StudentT
from phys_samplers.randomness import make_generator

N = 10_000
FEATURES = torch.tensor([[1.0, -1.0], [1.0, -0.3], [1.0, 0.2], [1.0, 0.9], [1.0, 1.6]])
LAWS: dict[str, Callable[[], Any]] = {
    "radial": lambda: StudentT(3, 1.5),
    "product": lambda: StudentT(3, 2.5, radial=False),
    "skewed": lambda: StudentT(3, 3.0, radial=False, skewness=2.0),
    "cauchy": lambda: StudentT(2, 1.0),
    "horseshoe": lambda: Horseshoe([4.0, -1.0, 0.2]),
    "robust": lambda: RobustRegression(FEATURES, [4.0, 0.1, 0.4, 1.2, -3.0]),
}


def stein(law: Any, x: Tensor) -> float:
    """The largest error of the identities, in standard errors."""
    score, square = law.score(x), x.tanh().square()
    terms = torch.cat([score, x.tanh() * score + 1 - square], 1)
    return float((terms.mean(0) / (terms.std(0) / math.sqrt(len(x)))).abs().max())


@pytest.mark.parametrize("name", LAWS)
def test_scores_are_gradients(name: str) -> None:
    law = LAWS[name]()
    x = 2 * torch.randn(100, *law.event_shape, generator=make_generator(0, "points"), dtype=torch.float64)
    x.requires_grad_()
    (expected,) = torch.autograd.grad(law.log_prob(x).sum(), x)
    torch.testing.assert_close(law.score(x.detach()), expected)


@pytest.mark.parametrize("name", LAWS)
def test_draws_are_of_the_density(name: str) -> None:
    law = LAWS[name]()
    x = law.sample(N, make_generator(0, "draws")).double()
    assert x.shape == (N, *law.event_shape)
    assert stein(law, x) < 4.5
    wrong = 1.2 * x + 0.1  # a little too wide, and moved a little
    if name == "horseshoe":  # scales so, and means as these have them
        m = len(law.y)
        share = 1 / (1 + (-2 * (wrong[:, :1] + wrong[:, 1 : m + 1])).exp())
        noise = torch.randn(N, m, generator=make_generator(0, "means"), dtype=torch.float64)
        wrong[:, m + 1 :] = share * law.y + share.sqrt() * noise
    assert stein(law, wrong) > 7


def test_student_densities_are_those_of_scipy() -> None:
    x = torch.linspace(-9, 9, 37, dtype=torch.float64)
    for nu in (1.0, 1.5, 4.0):
        expected = torch.from_numpy(scipy.stats.t(nu).logpdf(x.numpy()))
        for radial in (True, False):
            torch.testing.assert_close(StudentT(1, nu, radial=radial).log_prob(x.unsqueeze(1)), expected)
        points = torch.stack([x, x.flip(0) + 1], 1)
        two = torch.from_numpy(scipy.stats.multivariate_t(df=nu, shape=torch.eye(2).numpy()).logpdf(points.numpy()))
        torch.testing.assert_close(StudentT(2, nu).log_prob(points), two)


def test_skewness_is_the_share_above_and_keeps_the_mass() -> None:
    law = StudentT(1, 4.0, radial=False, skewness=2.0)
    grid = torch.linspace(-400, 400, 800_001, dtype=torch.float64).unsqueeze(1)
    density = law.log_prob(grid).exp() * 1e-3
    assert density.sum().item() == pytest.approx(1.0, abs=1e-5)
    assert density[grid[:, 0] > 0].sum().item() == pytest.approx(0.8, abs=1e-3)


def test_the_evidence_of_the_horseshoe_is_that_of_quadrature() -> None:
    """One observation y: over log τ and log λ, with β integrated by its conditional normal law N(ky, k)."""
    law = Horseshoe([1.3])
    axis = torch.linspace(-25, 25, 501, dtype=torch.float64)
    scales = torch.cartesian_prod(axis, axis)
    share = 1 / (1 + (-2 * scales.sum(1)).exp())
    heights = law.log_prob(torch.cat([scales, 1.3 * share.unsqueeze(1)], 1)) + 0.5 * (2 * math.pi * share).log()
    assert float(heights.logsumexp(0)) + 2 * math.log(0.1) == pytest.approx(law.log_z, abs=1e-5)


def test_robust_draws_are_below_the_highest_likelihood() -> None:
    law = LAWS["robust"]()
    w = 3 * torch.randn(50_000, 2, generator=make_generator(0, "weights"), dtype=torch.float64)
    highest = float(law._log_likelihood(w).max())
    assert highest < law._highest < highest + 0.2


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: StudentT(0), "dim is 0"),
        (lambda: StudentT(3, 0.0), "nu is 0.0"),
        (lambda: StudentT(3, skewness=2.0), "skewness is 2.0, which a radial law cannot have"),
        (lambda: Horseshoe([[1.0]]), r"shape \(1, 1\)"),
        (lambda: RobustRegression(torch.ones(2, 3), [1.0, 2.0]), r"\(2, 3\) and \(2,\)"),
    ],
)
def test_bad_arguments_are_refused(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        make()
