"""Encoding and decoding: the exact flow of a Gaussian, inverses, the law of codes, great circles."""

from __future__ import annotations

import math

import pytest
import torch
from scipy import stats
from torch import Tensor

from phys_samplers import Samples, from_denoiser, make
from phys_samplers.denoisers.inversion import between
from phys_samplers.errors import ConfigurationError, IncompatibleError
from phys_samplers.laws import GaussianMixture
from phys_samplers.randomness import make_generator
from phys_samplers.target import Target


def narrow(x: Tensor, sigma: float) -> Tensor:
    """Of N(0, ¼)."""
    return x * (0.25 / (0.25 + sigma**2))


def test_codes_of_a_gaussian_are_its_flow() -> None:
    """u(λ) = u₀ √((v + λ²)/(v + λ₀²)), over √(1 + λ₁²)."""
    model = from_denoiser(narrow, (3,), (0.05, 10.0))
    x = torch.randn(20, 3, generator=make_generator(0))
    expected = x * math.sqrt((0.25 + 100) / (0.25 + 0.05**2) / (1 + 100))
    torch.testing.assert_close(model.encode(x, steps=64), expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(model.decode(model.encode(x)), x, rtol=1e-3, atol=1e-4)


def test_codes_of_a_mixture_are_normal_and_come_back() -> None:
    """A Kolmogorov–Smirnov distance of 4,000 codes beyond .04 has probability 5e-6; the law itself is at .2."""
    law = GaussianMixture([[-2.0], [2.0]], [0.25, 0.25], [0.3, 0.7])
    target = Target(event_shape=(1,), law=law)
    model = make("sampler", "exact-denoiser", schedule="edm[sigma_min=0.02,sigma_max=60.0]", mean=0.8, scale=1.9)
    fitted = model.fit(target)
    x = law.sample(4_000, make_generator(1))
    codes = fitted.encode(x)
    assert stats.kstest(codes[:, 0].numpy(), "norm").statistic < 0.04
    assert stats.kstest(((x - x.mean()) / x.std())[:, 0].numpy(), "norm").statistic > 0.1
    back = fitted.decode(codes)
    assert float((back - x).abs().median()) < 1e-3


@pytest.mark.parametrize("name", ["edm", "pfgmpp"])
def test_trained_models_encode_in_the_shape_of_their_data(name: str) -> None:
    rows = torch.randn(64, 2, 3, generator=make_generator(2)) * 4 + 7
    model = make("sampler", name, steps=3).fit(Samples(rows), seed=0)
    codes = model.encode(rows[:5], steps=40)
    assert codes.shape == (5, 2, 3)
    torch.testing.assert_close(model.decode(codes, steps=40), rows[:5], rtol=0, atol=0.05)


def test_integrators_that_add_noise_are_refused() -> None:
    with pytest.raises(IncompatibleError, match="denoiser"):
        from_denoiser(narrow, (3,), (0.05, 10.0)).encode(torch.zeros(1, 3), integrator="restart")


def test_between_two_codes_norms_go_evenly() -> None:
    first, last = torch.tensor([[3.0, 0.0], [1.0, 1.0]]), torch.tensor([[0.0, 5.0], [1.0, 1.0]])
    codes = between(first, last, 5)
    torch.testing.assert_close(codes[0], first)
    torch.testing.assert_close(codes[-1], last)
    torch.testing.assert_close(codes[:, 0].norm(dim=1), torch.tensor([3.0, 3.5, 4.0, 4.5, 5.0]))
    torch.testing.assert_close(codes[2, 0], 4 * torch.tensor([1.0, 1.0]) / math.sqrt(2))
    torch.testing.assert_close(codes[:, 1], last[1].expand(5, 2))
    with pytest.raises(ConfigurationError, match="points is 1"):
        between(first, last, 1)


def test_points_and_codes_of_another_shape_are_refused() -> None:
    model = from_denoiser(narrow, (3,), (0.05, 10.0))
    for carry in (model.encode, model.decode):
        with pytest.raises(ConfigurationError, match=r"shape \(2, 4\).* expected finite"):
            carry(torch.zeros(2, 4))
        with pytest.raises(ConfigurationError, match="6 numbers that are not finite"):
            carry(torch.full((2, 3), math.nan))
