"""The evidence bound against closed forms, and an autoencoder that learns a sheet in ten dimensions."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Normal, kl_divergence

from phys_latent import VAE, VAEModel
from phys_latent.vae import (
    LEAST_NOISE,
    Autoencoder,
    EvidenceBound,
    kl_to_normal,
    noise_variance,
    posterior_draw,
)
from phys_samplers import load
from phys_samplers.errors import ConfigurationError
from phys_samplers.randomness import Streams, make_generator
from phys_samplers.samples import Samples
from phys_samplers.target import Target

TINY = VAE(steps=300, latent_dim=3, width=32, depth=1, batch_size=64, learning_rate=5e-3, validate_every=100)


class Given(Autoencoder):
    """An autoencoder whose outputs are given."""

    def __init__(self, mean: Tensor, log_variance: Tensor, decoded: Tensor) -> None:
        nn.Module.__init__(self)
        self.codes, self.decoded = (mean, log_variance), decoded

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.codes

    def decode(self, z: Tensor) -> Tensor:
        return self.decoded


def test_the_divergence_is_zero_for_a_unit_normal_and_that_of_the_closed_form_else() -> None:
    zero = torch.zeros(4, 3, dtype=torch.float64)
    assert torch.equal(kl_to_normal(zero, zero), torch.zeros(4, dtype=torch.float64))
    generator = make_generator(0, "codes")
    mean, log_variance = (torch.randn(5, 7, 3, generator=generator, dtype=torch.float64) for _ in range(2))
    expected = kl_divergence(Normal(mean, (log_variance / 2).exp()), Normal(0.0, 1.0)).sum(-1)
    torch.testing.assert_close(kl_to_normal(mean, log_variance), expected)


def test_a_posterior_draw_has_the_mean_and_variance_of_the_posterior() -> None:
    mean, log_variance = torch.tensor([2.0, -1.0]), torch.tensor([0.0, math.log(4.0)])
    noise = torch.randn(40_000, 2, generator=make_generator(0, "draw"))
    z = posterior_draw(mean.expand_as(noise), log_variance.expand_as(noise), noise)
    # five standard errors: 0.025 and 0.05 of a mean, 0.035 of a relative variance
    torch.testing.assert_close(z.mean(0), mean, atol=0.05, rtol=0)
    torch.testing.assert_close(z.var(0), torch.tensor([1.0, 4.0]), atol=0, rtol=0.035)


def test_the_loss_is_the_evidence_bound_with_the_likeliest_noise() -> None:
    """−log p(x|z) + KL by torch.distributions, over a grid of σ: none gives less than the loss, the best gives it."""
    generator = make_generator(0, "loss")
    rows, decoded = (torch.randn(2, 50, 4, generator=generator) for _ in range(2))
    mean, log_variance = (torch.randn(2, 50, 3, generator=generator) for _ in range(2))
    module, streams = Given(mean, log_variance, decoded), Streams([0, 1], "noise")
    loss = EvidenceBound(kl_weight=0.25)(module, rows, streams)
    divergence = kl_divergence(Normal(mean, (log_variance / 2).exp()), Normal(0.0, 1.0)).sum(-1)

    def bound(sigma: float) -> Tensor:
        return (-Normal(decoded, sigma).log_prob(rows).sum(-1) + 0.25 * divergence).mean(-1) / 4

    grid = torch.stack([bound(float(sigma)) for sigma in torch.linspace(0.5, 3.0, 501)])
    assert loss.shape == (2,)
    assert (grid >= loss - 1e-5).all()
    torch.testing.assert_close(grid.amin(0), loss, atol=1e-4, rtol=0)


def test_an_exact_decoder_does_not_take_the_bound_to_minus_infinity() -> None:
    rows = torch.randn(1, 20, 4, generator=make_generator(0, "rows"))
    zero = torch.zeros(1, 20, 3)
    loss = EvidenceBound()(Given(zero, zero, rows), rows, Streams([0], "noise"))
    assert loss.item() == pytest.approx(0.5 * math.log(2 * math.pi * LEAST_NOISE**2))
    assert noise_variance(torch.zeros(())).sqrt().item() == pytest.approx(LEAST_NOISE)


@pytest.fixture(scope="module")
def model(sheet: Target) -> VAEModel:
    fitted = TINY.fit(sheet, seed=0)
    assert isinstance(fitted, VAEModel)
    return fitted


def test_it_learns_to_reconstruct(model: VAEModel, sheet: Target) -> None:
    assert sheet.validation is not None
    assert model.report is not None
    losses = [row["validation"] for row in model.report.history if "validation" in row]
    assert losses == sorted(losses, reverse=True)
    # uncorrelated guesses err by the variance; two coordinates make the sheet, so ten are told by three codes
    error = (model.reconstruct(sheet.validation) - sheet.validation).square().mean()
    assert error < 0.1 * sheet.validation.var(0).mean()


def test_its_codes_fill_the_prior_and_its_noise_is_what_is_left(model: VAEModel, sheet: Target) -> None:
    assert sheet.train is not None
    z = model.codes(sheet.train, generator=make_generator(1, "codes"))
    assert z.shape == (900, 3)
    # near N(0, I), but not that: what the bound leaves open, 300 steps leave open too
    assert z.mean(0).abs().max() < 0.3
    assert 0.5 < z.var() < 2.0
    decoded = model.decode(z)
    error = (decoded - sheet.train).square().mean().sqrt() / model.standardiser.scale[0]
    assert model.noise.item() == pytest.approx(error.item(), rel=0.1)
    noisy = model.decode(z, generator=make_generator(0, "x"))
    added = (noisy - decoded) / model.standardiser.scale
    # 9,000 draws: five standard errors of a standard deviation are 3.7 %
    assert added.std().item() == pytest.approx(model.noise.item(), rel=0.04)


def test_draws_are_decoded_draws_of_the_prior(model: VAEModel) -> None:
    drawn = model.draw(500, seed=3)
    assert drawn.samples.shape == (500, 10)
    assert drawn.nfe == 1
    plain = model.draw(500, seed=3, noise=False).samples
    assert not torch.equal(plain, drawn.samples)
    assert torch.equal(model.with_options(noise=False).sample(500, seed=3), plain)
    with pytest.raises(ConfigurationError, match="start was given"):
        model.draw(2, start=torch.zeros(2, 10))
    with pytest.raises(ConfigurationError, match="cannot change after fitting"):
        model.draw(2, latent_dim=4)


def test_replicas_are_single_fits_and_seeds_decide(model: VAEModel, sheet: Target) -> None:
    both = TINY.fit_replicas(sheet, seeds=[5, 0])
    assert isinstance(both[1], VAEModel)
    torch.testing.assert_close(both[1].sample(20, seed=1), model.sample(20, seed=1), atol=1e-3, rtol=1e-3)
    assert isinstance(both[0], VAEModel)
    assert (both[0].sample(20, seed=1) - model.sample(20, seed=1)).abs().max() > 0.1


def test_it_is_saved_and_loaded(model: VAEModel, tmp_path: Path) -> None:
    again = load(model.save(tmp_path / "vae"))
    assert isinstance(again, VAEModel)
    assert torch.equal(again.sample(9, seed=2), model.sample(9, seed=2))
    x = model.sample(9, seed=2)
    assert torch.equal(again.reconstruct(x), model.reconstruct(x))


def test_images_and_double_precision() -> None:
    rows = torch.rand(200, 1, 4, 4, generator=make_generator(0, "images"), dtype=torch.float64)
    model = TINY.with_options(steps=5).fit(Samples(rows))
    assert model.sample(3).shape == (3, 1, 4, 4)
    assert isinstance(model, VAEModel)
    assert model.reconstruct(rows[:2]).shape == (2, 1, 4, 4)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"latent_dim": 0}, "latent_dim is 0"),
        ({"width": 2.5}, "width is 2.5"),
        ({"depth": True}, "depth is True"),
        ({"kl_weight": -1.0}, "kl_weight is -1.0; expected a number of at least 0"),
        ({"kl_weight": float("nan")}, "kl_weight is nan"),
        ({"batch_size": 1}, "batch_size"),
    ],
)
def test_bad_options_are_refused(options: dict, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        VAE(**options)
