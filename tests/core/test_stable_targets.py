"""Stable targets over n rows apart from the batch: limits, chunks, bias, variance, and what training hands over."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor, nn

from phys_electrostatic.pfgmpp import PoissonDenoisingLoss
from phys_samplers import Samples, make
from phys_samplers.denoisers import denoiser
from phys_samplers.denoisers.denoiser import DenoisingLoss
from phys_samplers.errors import ConfigurationError
from phys_samplers.randomness import Streams

KERNELS = [DenoisingLoss(), PoissonDenoisingLoss(aux_dim=3.0), PoissonDenoisingLoss(aux_dim=64.0)]


class Seen(nn.Module):
    """A denoiser that answers 0, so that its error is the target, and keeps what it was asked."""

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        self.x, self.sigma = x, sigma
        return torch.zeros_like(x)

    def loss_weight(self, sigma: Tensor) -> Tensor:
        return torch.ones_like(sigma)


def exact(loss: DenoisingLoss, seen: Seen, rows: Tensor) -> Tensor:
    """Mean square of the posterior means over ``rows`` (M, D), pair by pair."""
    x, sigma = seen.x[0].double(), seen.sigma[0].double()
    squared = (x.unsqueeze(1) - rows.double()).square().sum(-1)
    w = torch.softmax(loss.log_kernel(squared, sigma.unsqueeze(-1), x.shape[1]), 1)
    return (w @ rows.double()).square().mean()


@pytest.mark.parametrize("loss", KERNELS, ids=repr)
def test_as_many_rows_as_there_are_give_exact_targets(loss: DenoisingLoss, monkeypatch: pytest.MonkeyPatch) -> None:
    """And chunks change nothing."""
    data = torch.randn(300, 3, generator=torch.Generator().manual_seed(0)).double()
    whole, seen = replace(loss, reference=300), Seen()
    assert whole.beside(64, 300) is None
    for chunk in (2_048, 41):
        monkeypatch.setattr(denoiser, "_CHUNK", chunk)
        value = whole.against(seen, data[None, :64], data[None], Streams([0], "noise"), whole=True)
        torch.testing.assert_close(value[0], exact(loss, seen, data), rtol=1e-9, atol=0)


def test_one_row_is_denoising_score_matching() -> None:
    data = torch.randn(2, 50, 3)
    one, plain = (loss(Seen(), data, Streams([0, 1], "noise")) for loss in (DenoisingLoss(reference=1), _plain()))
    assert torch.equal(one, plain)


def _plain() -> DenoisingLoss:
    return DenoisingLoss(stable_target=False)


def test_a_number_between_takes_rows_of_the_batch_or_beside_it() -> None:
    data = torch.randn(1, 64, 2)
    assert [DenoisingLoss(reference=n).beside(64, 1_000) for n in (1, 16, 64, 65, 200, 999, 1_000)] == [
        *(0, 0, 0, 1, 136, 935),
        None,
    ]
    loss, seen = DenoisingLoss(reference=16), Seen()
    groups = loss(seen, data, Streams([0], "noise"))
    by_hand = [
        loss.posterior_mean(seen.x[:, i : i + 16], seen.sigma[:, i : i + 16], data[:, i : i + 16])
        for i in range(0, 64, 16)
    ]
    torch.testing.assert_close(groups, torch.cat(by_hand, 1).square().mean().view(1))
    more, others = DenoisingLoss(reference=100), torch.randn(1, 36, 2)
    value = more.against(seen, data, others, Streams([0], "noise"), whole=False)
    both = torch.cat((data, others), 1)
    torch.testing.assert_close(value, more.posterior_mean(seen.x, seen.sigma, both).square().mean().view(1))


def mixture(n: int, generator: torch.Generator) -> Tensor:
    """½ N(.1, 10⁻⁸) + ½ N(−.1, 10⁻⁸) in 64 dimensions (App. B.1.1)."""
    sign = torch.where(torch.rand(n, 1, generator=generator) < 0.5, 1.0, -1.0).double()
    return 0.1 * sign + 1e-4 * torch.randn(n, 64, generator=generator, dtype=torch.float64)


def factor_of_points(sigma: float, n: int) -> float:
    """(n − 1) V_STF/V_DSM of the toy with modes of no width, by quadrature over the noise along the line of the modes.

    Of the n rows 1 + Bin(n − 1, ½) are of the source's mode; at a = x·μ/σ² the target is tanh(a + ½ log(k/(n − k))) μ.
    """
    half = 0.1 * 8 / sigma
    z = np.linspace(-9, 9, 8_001)
    density = stats.norm.pdf(z) / stats.norm.pdf(z).sum()
    a = half * (half + z)
    stable = 0.0
    for k in range(1, n + 1):
        target = np.tanh(a + 0.5 * math.log(k / (n - k))) if k < n else np.ones_like(a)
        stable += stats.binom.pmf(k - 1, n - 1, 0.5) * float((density * (target - np.tanh(a)) ** 2).sum())
    return (n - 1) * stable / float((density * (1 - np.tanh(a)) ** 2).sum())


@pytest.mark.parametrize("sigma", [0.4, *(pytest.param(s, marks=pytest.mark.slow) for s in (0.8, 1.6)), 5.0])
def test_the_variance_falls_as_theorem_2_says(sigma: float) -> None:
    """(n − 1) V_STF/V_DSM for n = 64, at most 1 and .58, .70, .84, .96 by quadrature, within 15 %.

    Of 1,000 batches of 64 the error is 2 to 5 %, largest at .4, where one row in fifty decides. A target averaged with
    wrong weights, or without its own row, is off by more than its variance.
    """
    generator = torch.Generator().manual_seed(1)
    batches, n = 1_000, 64
    source = mixture(batches * n, generator)
    x = source + sigma * torch.randn(len(source), 64, generator=generator, dtype=torch.float64)
    variance = 1e-8 + sigma**2
    mean = 1e-8 / variance * x + sigma**2 / variance * 0.1 * torch.tanh(0.1 * x.sum(1, keepdim=True) / variance)
    levels = torch.full((batches, n), sigma, dtype=torch.float64)
    target = DenoisingLoss().posterior_mean(x.view(batches, n, 64), levels, source.view(batches, n, 64)).flatten(0, 1)
    stable, single = ((t - mean).square().sum(1).mean() for t in (target, source))
    expected = factor_of_points(sigma, n)
    assert expected < 1
    assert float((n - 1) * stable / single) == pytest.approx(expected, rel=0.15)
    bias = (target - mean).sum(1).view(batches, n).mean(1)
    assert abs(float(bias.mean())) < 5 * float(bias.std()) / math.sqrt(batches)


@pytest.mark.parametrize("name", ["edm", "pfgmpp"])
@pytest.mark.parametrize("reference", [1, 32, 500, 10_000])
def test_samplers_train_with_it(name: str, reference: int) -> None:
    loss = {"edm": "denoising", "pfgmpp": "poisson-denoising"}[name] + f"[reference={reference}]"
    rows = torch.randn(600, 2, generator=torch.Generator().manual_seed(0))
    model = make("sampler", name, steps=3, batch_size=64, loss=loss).fit(Samples(rows), seed=0)
    assert bool(torch.isfinite(model.sample(8, sampling_steps=5)).all())


def test_replicas_draw_their_own_reference_rows() -> None:
    rows = torch.randn(600, 2, generator=torch.Generator().manual_seed(0))
    recipe = make("sampler", "edm", steps=3, loss="denoising[reference=200]")
    together = recipe.fit_replicas(Samples(rows), seeds=[3, 4])
    alone = recipe.fit(Samples(rows), seed=4)
    torch.testing.assert_close(together[1].sample(5), alone.sample(5))


def test_a_number_below_one_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="reference is 0; expected"):
        DenoisingLoss(reference=0)
