"""torch.distributions objects as targets: densities against the distributions' own, draws, borders, refusals."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from scipy import stats
from torch import Tensor
from torch import distributions as td

from phys_samplers import Density
from phys_samplers.density import FlatDensity
from phys_samplers.errors import ConfigurationError
from phys_samplers.randomness import make_generator


def double(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def mixture() -> td.Distribution:
    parts = td.Independent(td.Normal(torch.tensor([[-2.0, 0.0], [2.0, 1.0]]).double(), torch.ones(2, 2).double()), 1)
    return td.MixtureSameFamily(td.Categorical(probs=double(0.3, 0.7)), parts)


WHOLE: dict[str, Callable[[], td.Distribution]] = {
    "normal": lambda: td.Normal(double(1.0)[0], 2.0),
    "laplace": lambda: td.Independent(td.Laplace(double(0.0, 1.0, 2.0), 1.5), 1),
    "multivariate": lambda: td.MultivariateNormal(double(1.0, -1.0), torch.tensor([[2.0, 0.6], [0.6, 1.0]]).double()),
    "mixture": mixture,
}
PART: dict[str, Callable[[], td.Distribution]] = {
    "gamma": lambda: td.Gamma(double(2.5)[0], 1.3),
    "uniform": lambda: td.Uniform(double(-1.0)[0], 3.0),
    "gammas": lambda: td.MixtureSameFamily(td.Categorical(probs=double(0.4, 0.6)), td.Gamma(double(2.0, 9.0), 1.0)),
    "betas": lambda: td.Independent(td.Beta(double(2.0, 3.0), double(4.0, 1.5)), 1),
    "dirichlet": lambda: td.Dirichlet(double(2.0, 3.0, 4.0)),
}


@pytest.mark.parametrize("name", WHOLE)
def test_a_law_on_the_whole_space_is_the_distribution(name: str) -> None:
    distribution = WHOLE[name]()
    target = Density(distribution)
    assert target.event_shape == (tuple(distribution.event_shape) or (1,))
    assert target.capabilities == {"log_prob", "score", "sample", "log_z"}
    assert target.log_z == 0.0
    z = 2.0 * torch.randn(50, *target.event_shape, generator=make_generator(0, "rows"), dtype=torch.float64)
    points = z.squeeze(-1) if not distribution.event_shape else z
    assert torch.equal(target.log_prob(z), distribution.log_prob(points))
    assert target.support is None
    z.requires_grad_()
    (gradient,) = torch.autograd.grad(target.log_prob(z).sum(), z)
    assert torch.equal(target.score(z), gradient)


@pytest.mark.parametrize("name", PART)
def test_unconstrained_densities_integrate_to_one(name: str) -> None:
    density = FlatDensity(Density(PART[name]()))
    axes = [torch.linspace(-24.0, 24.0, 1201, dtype=torch.float64)] * density.dim
    grid = torch.cartesian_prod(*axes).reshape(-1, density.dim)
    assert float(density.log_prob(grid).exp().sum()) * 0.04**density.dim == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("name", PART)
def test_a_density_is_the_distribution_on_its_support_and_nothing_off_it(name: str) -> None:
    distribution = PART[name]()
    target = Density(distribution)
    x = target.sample(50, generator=make_generator(0, "rows"))
    assert torch.equal(target.log_prob(x), distribution.log_prob(x if distribution.event_shape else x.squeeze(-1)))
    assert target.log_prob(-3 - x).tolist() == [-math.inf] * 50


def test_a_gamma_by_hand() -> None:
    """log p(z) = αz − βe^z + const for x = e^z."""
    density = FlatDensity(Density(td.Gamma(double(2.5)[0], 1.3)))
    z = torch.linspace(-3.0, 2.0, 11, dtype=torch.float64)[:, None]
    expected = 2.5 * z - 1.3 * z.exp() + 2.5 * math.log(1.3) - math.lgamma(2.5)
    assert torch.allclose(density.log_prob(z), expected[:, 0], rtol=1e-12)
    assert torch.allclose(density.embed(z), z.exp())


@pytest.mark.parametrize("name", WHOLE | PART)
def test_draws_follow_the_generator_alone(name: str) -> None:
    target = Density((WHOLE | PART)[name]())
    before = torch.get_rng_state()
    first, second = (target.sample(64, generator=make_generator(1, "draws")) for _ in range(2))
    generator = make_generator(1, "draws")
    again = [target.sample(64, generator=generator) for _ in range(2)]
    assert torch.equal(torch.get_rng_state(), before)
    assert first.shape == (64, *target.event_shape)
    assert torch.equal(first, second)
    assert torch.equal(first, again[0])
    assert not torch.equal(*again), "the generator moves on"
    assert not torch.equal(first, target.sample(64, generator=make_generator(2, "draws")))


def test_draws_have_the_law() -> None:
    """Two Kolmogorov-Smirnov tests at level 1e-4 each; fixed seeds."""
    x = Density(PART["gamma"]()).sample(5000, generator=make_generator(0, "draws"))
    assert stats.kstest(x[:, 0].numpy(), stats.gamma(2.5, scale=1 / 1.3).cdf).pvalue > 1e-4
    x = Density(WHOLE["normal"]()).sample(5000, generator=make_generator(0, "draws"))
    assert stats.kstest(x[:, 0].numpy(), stats.norm(1.0, 2.0).cdf).pvalue > 1e-4
    assert stats.kstest(x[:, 0].numpy(), stats.norm(1.1, 2.0).cdf).pvalue < 1e-2  # the test can fail


def test_far_points_have_no_density_and_raise_nothing() -> None:
    target = Density(td.Gamma(2.0, 1.0))
    assert target.log_prob(torch.tensor([[-200.0], [math.inf], [math.nan]])).tolist() == [-math.inf] * 3
    assert FlatDensity(target).log_prob(torch.tensor([[200.0]])).tolist() == [-math.inf]
    assert Density(td.Normal(0.0, 1.0)).log_prob(torch.tensor([[math.nan]])).tolist() == [-math.inf]
    distribution = td.Gamma(2.0, 1.0, validate_args=True)  # torch.compile switches the default off for good
    Density(distribution)
    with pytest.raises(ValueError, match="support"):
        distribution.log_prob(torch.tensor(-1.0))  # the user's own keeps its checks


def test_a_distribution_without_a_sampler() -> None:
    class Silent(td.Normal):
        def sample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:  # noqa: B008
            raise NotImplementedError

    assert Density(Silent(0.0, 1.0)).capabilities == {"log_prob", "score", "log_z"}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Density(td.Normal(torch.zeros(3), 1.0)), r"batch of distributions of shape \(3,\).*Independent"),
        (lambda: Density(td.Poisson(3.0)), "support of Poisson is IntegerGreaterThan"),
        (lambda: Density(td.Wishart(4.0, torch.eye(2))), "no bijection"),
        (lambda: Density(td.Normal(0.0, 1.0), (1,)), "event_shape is given with a torch.distributions object"),
        (lambda: Density(td.Normal(0.0, 1.0), score=lambda x: -x), "score is given with"),
        (lambda: Density(lambda x: -x.sum(1)), "event_shape is missing"),
    ],
)
def test_what_is_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        make()
