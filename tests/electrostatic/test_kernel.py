"""The perturbation kernel: its law, its density, the priors.

A Kolmogorov-Smirnov distance beyond d has probability 2 exp(−2 n d²) under the right law: at n = 20,000 and d = 0.0235
that is 3e-10 a test.
"""

from __future__ import annotations

import math

import pytest
import torch
from scipy import integrate as quadrature
from scipy import stats

from phys_electrostatic.flow import log_kernel, student, student_log_prob
from phys_samplers import make
from phys_samplers.errors import ConfigurationError
from phys_samplers.randomness import make_generator
from phys_samplers.samples import Samples

DRAWS, DISTANCE = 20_000, 0.0235
ROWS = torch.randn(64, 2, generator=make_generator(0, "rows"))


def share(radius: torch.Tensor, r: float) -> torch.Tensor:
    """β of R = r √(β/(1−β))."""
    return radius.square() / (radius.square() + r**2)


@pytest.mark.parametrize("aux_dim", [0.5, 1.0, 2.0, 7.3, 128.0])
@pytest.mark.parametrize("dim", [1, 2, 5])
def test_the_radius_has_the_beta_law_of_the_sources(dim: int, aux_dim: float) -> None:
    x = student(DRAWS, dim, 3.0, aux_dim, make_generator(1, dim, str(aux_dim)), dtype=torch.float64)
    beta = share(x.norm(dim=1), 3.0 * math.sqrt(aux_dim))
    assert stats.kstest(beta.numpy(), stats.beta(dim / 2, aux_dim / 2).cdf).statistic < DISTANCE


def test_the_direction_is_uniform() -> None:
    x = student(DRAWS, 2, 1.0, 1.0, make_generator(2))
    angle = torch.atan2(x[:, 1], x[:, 0]).div(2 * math.pi).add(0.5)
    assert stats.kstest(angle.numpy(), "uniform").statistic < DISTANCE


@pytest.mark.parametrize("aux_dim", [0.5, 1.0, 3.0, 50.0])
def test_the_density_is_normalised_and_that_of_a_student_law(aux_dim: float) -> None:
    at = torch.tensor([[0.0], [0.3], [-4.0], [80.0]], dtype=torch.float64)
    expected = stats.t(aux_dim, scale=1.7).logpdf(at[:, 0].numpy())
    assert student_log_prob(at, 1.7, aux_dim).numpy() == pytest.approx(expected, rel=1e-12)

    def radial(r: float) -> float:
        point = torch.tensor([[r, 0.0]], dtype=torch.float64)
        return 2 * math.pi * r * math.exp(float(student_log_prob(point, 1.7, aux_dim)))

    mass = sum(quadrature.quad(radial, low, high, limit=200)[0] for low, high in ((0, 5), (5, math.inf)))
    assert mass == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize("aux_dim", [1.0, 3.0])
def test_the_marginal_of_the_augmented_law(aux_dim: float) -> None:
    """Neighbouring coordinates integrate out: from N = 2 and D to N = 1 and D, by numerical integration."""

    def marginal(x: float) -> float:
        def kernel(y: float) -> float:
            squared = torch.tensor(x * x + y * y, dtype=torch.float64)
            return math.exp(float(log_kernel(squared, 1.0, 2, aux_dim)))

        return quadrature.quad(kernel, -math.inf, math.inf)[0]

    for x in (0.5, 3.0):
        alone = math.exp(float(log_kernel(torch.tensor(x * x, dtype=torch.float64), 1.0, 1, aux_dim)))
        assert marginal(x) / marginal(0.0) == pytest.approx(alone, rel=1e-6)


@pytest.mark.parametrize(("name", "options", "aux_dim"), [("pfgm", {}, 1.0), ("pfgmpp", {"aux_dim": 8.0}, 8.0)])
def test_the_prior_radius_of_the_samplers(name: str, options: dict[str, float], aux_dim: float) -> None:
    model = make("sampler", name, steps=1, **options).fit(Samples(ROWS), seed=0)
    x = model.prior(DRAWS, make_generator(3, name), 40.0).double()
    beta = share(x.norm(dim=1), math.sqrt(aux_dim * (1 + 40.0**2)))
    assert stats.kstest(beta.numpy(), stats.beta(1.0, aux_dim / 2).cdf).statistic < DISTANCE
    # as do n_N/|n_1| z_max of the source for PFGM, which leaves out the spread of the data: 3e-4 of the radius
    if name == "pfgm":
        n = torch.randn(DRAWS, 3, generator=make_generator(4), dtype=torch.float64)
        source = 40.0 * n[:, :2].norm(dim=1) / n[:, 2].abs()
        assert stats.ks_2samp(x.norm(dim=1).numpy(), source.numpy()).statistic < 2 * DISTANCE


@pytest.mark.parametrize("value", [0.0, -1.0, math.inf, math.nan, True])
def test_bad_numbers_of_dimensions_are_refused(value: float) -> None:
    from phys_electrostatic import PFGMpp

    with pytest.raises(ConfigurationError, match="aux_dim is"):
        PFGMpp(aux_dim=value)
