from __future__ import annotations

import pytest
import torch

from phys_samplers import Samples, make
from phys_samplers.errors import ConfigurationError
from phys_samplers.randomness import make_generator
from phys_samplers.standardise import Standardiser

SCALES = torch.tensor([1e-3, 1.0, 1e4, 2.0])


def rows(n: int = 500) -> torch.Tensor:
    return torch.randn(n, 4, generator=make_generator(0)) * SCALES + 3 * SCALES


def test_fitted_rows_have_zero_mean_and_unit_variance() -> None:
    flat = Standardiser.fit(rows()).forward(rows())
    assert float(flat.mean(0).abs().max()) < 1e-5
    torch.testing.assert_close(flat.std(0), torch.ones(4), rtol=1e-5, atol=0)


@pytest.mark.parametrize("event_shape", [(4,), (2, 2), (1, 4, 1)])
def test_round_trip_in_any_event_shape(event_shape: tuple[int, ...]) -> None:
    x = rows().unflatten(1, event_shape)
    standardiser = Standardiser.fit(x)
    flat = standardiser.forward(x)
    assert flat.shape == (500, 4)
    back = standardiser.inverse(flat, event_shape)
    assert back.shape == x.shape
    # errors are those of float32 relative to the scale of each coordinate
    assert float(((back - x).flatten(1) / SCALES).abs().max()) < 5e-6


@pytest.mark.parametrize("value", [0.0, 3.0, 0.1, -1234.5678])
def test_a_constant_coordinate_keeps_scale_one(value: float) -> None:
    x = rows(1_000)
    x[:, 2] = value
    standardiser = Standardiser.fit(x)
    assert float(standardiser.scale[2]) == 1.0
    assert standardiser.forward(x).isfinite().all()
    assert float((standardiser.inverse(standardiser.forward(x), (4,))[:, 2] - value).abs().max()) <= 1e-6 * abs(value)


def test_a_small_spread_around_a_large_mean_is_no_constant() -> None:
    x = 1_000.0 + 0.05 * torch.randn(1_000, 1, generator=make_generator(1))
    assert float(Standardiser.fit(x).scale) == pytest.approx(0.05, rel=0.1)


def test_identity_changes_nothing() -> None:
    x = rows()
    identity = Standardiser.identity(4)
    assert torch.equal(identity.forward(x), x)
    assert torch.equal(identity.inverse(x, (4,)), x)


def test_forward_gives_the_dtype_of_the_map() -> None:
    standardiser = Standardiser.fit(rows())
    assert standardiser.forward(rows().double()).dtype == torch.float32
    assert Standardiser.fit(rows().double()).forward(rows()).dtype == torch.float64


CORRELATED = torch.tensor([[2.0, 0.0, 0.0], [1.5, 0.6, 0.0], [-1.0, 0.3, 0.2]], dtype=torch.float64)


def correlated(n: int = 2_000) -> torch.Tensor:
    """Rows of N(5, AAᵀ), in columns of very different units."""
    z = torch.randn(n, 3, generator=make_generator(2), dtype=torch.float64)
    return (z @ CORRELATED.T + 5) * torch.tensor([1e-2, 1.0, 1e3], dtype=torch.float64)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_whitened_rows_have_the_identity_as_covariance_in_any_units(dtype: torch.dtype) -> None:
    x = correlated().to(dtype)
    flat = Standardiser.fit(x, "whiten").forward(x)
    assert flat.dtype == dtype
    tolerance = 1e-10 if dtype == torch.float64 else 1e-4
    torch.testing.assert_close(flat.mean(0), torch.zeros(3, dtype=dtype), rtol=0, atol=tolerance)
    torch.testing.assert_close(flat.T.cov(), torch.eye(3, dtype=dtype), rtol=0, atol=tolerance)


def test_whitened_rows_come_back() -> None:
    x = correlated().float().unflatten(1, (3, 1))
    standardiser = Standardiser.fit(x, "whiten")
    back = standardiser.inverse(standardiser.forward(x), (3, 1))
    assert float(((back - x).flatten(1) / standardiser.scale).abs().max()) < 1e-5


def test_whitening_uncorrelated_columns_is_dividing_by_their_scales() -> None:
    """The symmetric root is continuous: up to the sampling error of the correlations, N^(−1/2) each."""
    x = rows(20_000)
    whitened, plain = Standardiser.fit(x, "whiten").forward(x), Standardiser.fit(x).forward(x)
    assert float((whitened - plain).abs().max()) < 0.1


def test_near_duplicates_are_not_enlarged_beyond_the_floor() -> None:
    """Of two equal columns the difference stays 0 and the sum is whitened; of near ones the noise grows by 1/√floor."""
    x = correlated()
    noise = 1e-6 * torch.randn(len(x), generator=make_generator(3), dtype=x.dtype)
    for copy in (x[:, 1], x[:, 1] * (1 + noise)):
        y = torch.column_stack((x, 7 * copy))
        standardiser = Standardiser.fit(y, "whiten", floor=1e-4)
        flat = standardiser.forward(y)
        variances = torch.linalg.eigvalsh(flat.T.cov())
        assert float(variances[0]) < 1e-3
        torch.testing.assert_close(variances[1:], torch.ones(3, dtype=x.dtype), rtol=1e-6, atol=0)
        torch.testing.assert_close(standardiser.inverse(flat, (4,)), y, rtol=1e-9, atol=0)


def test_constant_columns_and_fewer_rows_than_columns_are_whitened_without_harm() -> None:
    x = correlated(40)
    constant = torch.column_stack((x, torch.full((len(x),), 3.0, dtype=x.dtype)))
    standardiser = Standardiser.fit(constant, "whiten")
    flat = standardiser.forward(constant)
    assert float(flat[:, 3].abs().max()) < 1e-12
    torch.testing.assert_close(flat[:, :3].T.cov(), torch.eye(3, dtype=x.dtype), rtol=0, atol=1e-9)
    few = torch.randn(3, 10, generator=make_generator(4))
    standardiser = Standardiser.fit(few, "whiten")
    assert standardiser.forward(few).isfinite().all()
    torch.testing.assert_close(standardiser.inverse(standardiser.forward(few), (10,)), few, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("how", ["coordinates", "common", "none", "whiten"])
def test_scores_and_densities_come_back_to_data_units(how) -> None:
    """log p of x = inverse(u), u ~ N(0, I): its value and gradient, against autograd through ``forward``."""
    x = correlated(50)
    standardiser = Standardiser.fit(x, how)
    point = x.clone().requires_grad_()
    log_prob = -0.5 * standardiser.forward(point).square().sum(1)
    (score,) = torch.autograd.grad(log_prob.sum(), point)
    torch.testing.assert_close(standardiser.pull_back(-standardiser.forward(x)), score, rtol=1e-9, atol=1e-9)
    jacobian = torch.autograd.functional.jacobian(lambda u: standardiser.inverse(u[None], (3,))[0], x[0])
    assert standardiser.log_volume == pytest.approx(float(torch.linalg.slogdet(jacobian)[1]), abs=1e-9)
    assert standardiser.width == pytest.approx(float(torch.linalg.det(jacobian)) ** (1 / 3))


@pytest.mark.parametrize("how", ["coordinates", "whiten"])
def test_tensors_give_the_map_back_to_the_bit(how) -> None:
    x = correlated().float()
    one = Standardiser.fit(x, how)
    other = Standardiser.from_tensors({**one.tensors(), "module.weight": torch.ones(1)})
    assert torch.equal(one.forward(x), other.forward(x))
    assert torch.equal(one.inverse(x, (3,)), other.inverse(x, (3,)))
    assert torch.equal(one.pull_back(x), other.pull_back(x))


@pytest.mark.parametrize("sampler", ["edm", "bellman", "annealed-langevin", "pfgmpp"])
def test_a_level_that_is_not_positive_and_finite_is_refused_before_it_is_divided_by(sampler: str) -> None:
    x = torch.randn(64, 2, generator=make_generator(0)) * torch.tensor([1.0, 4.0])
    model = make("sampler", sampler, steps=1).fit(Samples(x), seed=0)
    ask = model.fields if sampler == "pfgmpp" else model.score
    ask(x, sigma=0.5)
    for sigma in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ConfigurationError, match=f"sigma is {sigma}; expected a positive"):
            ask(x, sigma=sigma)


def test_blur_is_the_level_over_the_width() -> None:
    standardiser = Standardiser.fit(rows())
    assert standardiser.blur(2.0) == pytest.approx(2.0 / standardiser.scale.double().log().mean().exp().item())
