"""Draws against densities: each exact sampler samples the very law whose density it is shown with."""

from __future__ import annotations

import math

import pytest
import torch
from scipy import stats
from torch import Tensor

from phys_samplers.laws import (
    DoubleWell,
    Funnel,
    GaussianMixture,
    ManyWell,
    StandardNormal,
    TwoMoons,
    checkerboard,
    uniform_spans,
)
from phys_samplers.randomness import make_generator

N = 20_000
MIXTURE = ([[-2.0, 1.0], [1.0, 0.5]], [[0.3, 1.0], [0.8, 0.2]], [0.3, 0.7])


def grid(box: list[tuple[float, float]], n: int) -> tuple[Tensor, float]:
    axes = [low + (high - low) * (torch.arange(n, dtype=torch.float64) + 0.5) / n for low, high in box]
    return torch.cartesian_prod(*axes), math.prod((high - low) / n for low, high in box)


def within(values: Tensor, expected: float, errors: float = 4.5) -> bool:
    """Whether a mean of i.i.d. values is within ``errors`` standard errors: a false alarm rate of 7e-6 at 4.5."""
    return abs(float(values.mean()) - expected) < errors * float(values.std()) / math.sqrt(len(values))


@pytest.mark.parametrize(
    ("make", "box"),
    [(lambda: GaussianMixture(*MIXTURE), [(-7.0, 8.0)] * 2), (TwoMoons, [(-2.0, 3.0), (-1.5, 2.0)])],
    ids=["mixture", "moons"],
)
def test_draws_have_the_moments_and_energy_of_the_density(make, box) -> None:
    """Six means per law, each with a false alarm rate of 7e-6."""
    law = make()
    points, cell = grid(box, 240)
    log_density = torch.cat([law.log_prob(part) for part in points.split(20_000)])
    density = log_density.exp() * cell
    x = law.sample(N, make_generator(0, "draws")).double()
    assert within(law.log_prob(x), float((density * log_density).sum()))
    for function in (
        lambda y: y[:, 0],
        lambda y: y[:, 1],
        lambda y: y[:, 0].square(),
        lambda y: y[:, 1].square(),
        lambda y: y[:, 0] * y[:, 1],
    ):
        assert within(function(x), float((density * function(points)).sum()))


def test_moons_draws_fill_a_histogram_of_the_density() -> None:
    """χ² over cells of expected count ≥ 20; false alarm rate 1e-5. A noise of 0.105 in place of 0.1 is seen."""
    law, n, bins, box = TwoMoons(), 100_000, 15, [(-1.5, 2.5), (-1.0, 1.5)]
    points, cell = grid(box, bins * 16)
    mass = torch.cat([law.log_prob(part).exp() for part in points.split(20_000)]) * cell
    expected = n * mass.reshape(bins, 16, bins, 16).sum((1, 3)).flatten()
    used = expected >= 20.0

    def p_value(x: Tensor) -> float:
        cells = [((x[:, i] - low) / (high - low) * bins).floor() for i, (low, high) in enumerate(box)]
        inside = torch.stack([(c >= 0) & (c < bins) for c in cells]).all(0)
        index = (cells[0] * bins + cells[1])[inside].long()
        counts = torch.bincount(index, minlength=bins * bins).double()
        counts = torch.cat([counts[used], (n - counts[used].sum()).reshape(1)])
        wanted = torch.cat([expected[used], (n - expected[used].sum()).reshape(1)])
        return float(stats.chi2.sf(((counts - wanted).square() / wanted).sum(), int(used.sum())))

    assert p_value(law.sample(n, make_generator(1, "draws"))) > 1e-5
    assert p_value(TwoMoons(noise=0.105).sample(n, make_generator(1, "draws"))) < 1e-5


def test_normal_draws() -> None:
    """Kolmogorov–Smirnov per coordinate, three tests; false alarm rate 1e-5 each."""
    x = StandardNormal(3).sample(N, make_generator(2, "draws"))
    for column in x.T:
        assert stats.kstest(column.numpy(), stats.norm.cdf).pvalue > 1e-5


def test_funnel_draws() -> None:
    """x₁ and x_i e^{−x₁/2} are independent normals: KS on ten coordinates; false alarm rate 1e-5 each."""
    x = Funnel().sample(N, make_generator(3, "draws"))
    assert stats.kstest(x[:, 0].numpy(), stats.norm(scale=3.0).cdf).pvalue > 1e-5
    for column in (x[:, 1:] * (-0.5 * x[:, :1]).exp()).T:
        assert stats.kstest(column.numpy(), stats.norm.cdf).pvalue > 1e-5


def test_funnel_mean_energy() -> None:
    """E log p in closed form: entropy of ten normals plus (D − 1) E[x₁]/2 = 0; false alarm rate 7e-6."""
    law = Funnel()
    expected = -0.5 * 10 * (1.0 + math.log(2.0 * math.pi)) - math.log(3.0)
    assert within(law.log_prob(law.sample(N, make_generator(4, "draws")).double()), expected)


def test_span_draws() -> None:
    """KS against the piecewise linear distribution function; false alarm rate 1e-5."""
    spans = [(-4.0, -2.0), (-0.5, 0.5), (2.5, 3.5)]
    law = uniform_spans(spans)
    x = law.sample(N, make_generator(5, "draws"))

    def distribution(value):
        return sum((value - low).clip(0.0, high - low) for low, high in spans) / 4.0

    assert stats.kstest(x[:, 0].numpy(), distribution).pvalue > 1e-5
    assert torch.isfinite(law.log_prob(x)).all()


def test_checkerboard_draws() -> None:
    """χ² over an 8 × 8 grid, four cells a square: empty squares stay empty; false alarm rate 1e-5."""
    law = checkerboard()
    x = law.sample(N, make_generator(6, "draws"))
    assert torch.isfinite(law.log_prob(x)).all()
    index = (x + 4.0).floor().clamp(0, 7).long()
    counts = torch.bincount(index[:, 0] * 8 + index[:, 1], minlength=64)
    filled = counts[counts > 0]
    assert len(filled) == 32
    assert stats.chisquare(filled.numpy()).pvalue > 1e-5


EXACT = pytest.mark.parametrize(
    "make",
    [
        *(lambda: StandardNormal(2), lambda: GaussianMixture(*MIXTURE), TwoMoons, Funnel),
        *(checkerboard, ManyWell, DoubleWell),
    ],
)


@EXACT
def test_draws_come_from_the_generator_alone(make) -> None:
    law = make()
    state = torch.get_rng_state()
    first, again, other = (law.sample(64, make_generator(seed, "draws")) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), state)
    assert first.shape == (64, *law.event_shape)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@EXACT
def test_cuda_agrees_with_cpu(make) -> None:
    law = make()
    x = law.sample(256, make_generator(0, "draws", device="cuda"))  # draws follow the generator, not the buffers
    assert x.device.type == "cuda"
    moved = make().to("cuda")
    assert torch.allclose(moved.log_prob(x).cpu(), law.log_prob(x.cpu()), rtol=1e-4, atol=1e-3)
    if law.differentiable:
        assert torch.allclose(moved.score(x).cpu(), law.score(x.cpu()), rtol=1e-3, atol=1e-3)
    if hasattr(law, "labels"):
        assert law.labels(x).device == x.device
        assert (law.labels(x).cpu() == law.labels(x.cpu())).float().mean() > 0.99
