"""Stein variational gradient descent: its direction, its rest points, and what they lack."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from phys_monte_carlo import SVGD
from phys_monte_carlo.svgd import ROWS, direction, median_bandwidth
from phys_samplers import Density, load
from phys_samplers.errors import ConfigurationError, DivergenceError
from phys_samplers.laws import DoubleWell, GaussianMixture, StandardNormal
from phys_samplers.randomness import make_generator
from phys_samplers.target import Target


def normal(dim: int) -> Target:
    return Target(event_shape=(dim,), law=StandardNormal(dim))


def particles(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=make_generator(0, "x"), dtype=torch.float64)


def test_the_direction_is_the_one_of_the_paper() -> None:
    """Against autograd on the kernel, particle by particle, in two groups."""
    x = particles(2, 9, 3)
    score = -x
    h = median_bandwidth(torch.cdist(x, x).square())
    expected = torch.zeros_like(x)
    for g in range(2):
        for i in range(9):
            for j in range(9):
                moving = x[g, j].clone().requires_grad_()
                kernel = torch.exp(-(moving - x[g, i]).square().sum() / h[g, 0, 0])
                (gradient,) = torch.autograd.grad(kernel, moving)
                expected[g, i] += (kernel.detach() * score[g, j] + gradient) / 9
    torch.testing.assert_close(direction(x, score), expected)


@pytest.mark.parametrize("n", [2, 3, 9, 50, 3 * ROWS])
def test_the_bandwidth_is_by_the_median_distance(n: int) -> None:
    x = particles(1, n, 2)
    squares = torch.cdist(x, x).square()
    pairs = squares[0][torch.triu_indices(n, n, 1).unbind()]
    expected = pairs.quantile(0.5) / torch.tensor(float(n)).log()
    # beyond ROWS particles it is the median of a part of the distances; of an even number, one of the two in the middle
    torch.testing.assert_close(median_bandwidth(squares).squeeze().double(), expected, rtol=0.15, atol=0)


def test_in_one_dimension_the_rest_point_has_nearly_the_moments_of_the_law() -> None:
    law = GaussianMixture([[3.0]], [4.0], [1.0])
    draw = SVGD().fit(Target(event_shape=(1,), law=law)).draw(200, seed=1)
    assert draw.nfe == 300
    assert draw.samples.mean().item() == pytest.approx(3, abs=0.01)
    assert draw.samples.var().item() == pytest.approx(4, rel=0.03)
    assert draw.diagnostics["residual"] < 1e-3
    assert draw.diagnostics["virial"] == pytest.approx(1, abs=0.04)
    json.dumps(draw.diagnostics)


def test_in_high_dimension_the_variance_collapses_and_the_virial_shows_it() -> None:
    """Ba et al. 2022: with fewer particles than a multiple of the dimensions; from the right start, and at rest."""
    draw = SVGD(prior_std=1.0).fit(normal(50)).draw(100, seed=1)
    variance = draw.samples.var(0).mean().item()
    assert draw.diagnostics["residual"] < 1e-4
    assert 0.05 < variance < 0.15
    assert draw.diagnostics["virial"] == pytest.approx(variance, rel=0.05)


def test_groups_do_not_feel_each_other() -> None:
    start = particles(60, 2).float()
    model = SVGD(group_size=20, sampling_steps=30).fit(normal(2))
    draw = model.draw(60, seed=1, start=start)
    assert (draw.diagnostics["groups"], draw.diagnostics["group_size"]) == (3, 20)
    alone = model.sample(20, seed=1, start=start[20:40])
    torch.testing.assert_close(draw.samples[20:40], alone)
    # of 61, four groups of 16; the cost of the three particles more is shared out
    more = model.draw(61, seed=1)
    assert more.samples.shape == (61, 2)
    assert more.nfe == pytest.approx(30 * 64 / 61)
    one = model.draw(1, seed=1, start=torch.ones(1, 2), sampling_steps=200)
    torch.testing.assert_close(one.samples, torch.zeros(1, 2), rtol=0, atol=0.01)


def test_the_start_is_all_that_is_random() -> None:
    model = SVGD(sampling_steps=20).fit(normal(2))
    start = particles(30, 2)
    x = model.sample(30, seed=1, start=start)
    assert x.dtype == torch.float64
    assert torch.equal(x, model.sample(30, seed=2, start=start))
    assert not torch.equal(model.sample(30, seed=1), model.sample(30, seed=2))
    assert torch.equal(model.sample(30, seed=1), model.sample(30, seed=1))


def test_particles_stay_in_the_subspace_of_the_law() -> None:
    target = Target(event_shape=(8,), law=DoubleWell())
    x = SVGD(sampling_steps=50).fit(target).sample(40, seed=1)
    assert x.unflatten(1, (4, 2)).mean(1).abs().max() < 1e-5


def test_checkpoints_and_refusals(tmp_path: Path) -> None:
    model = SVGD(sampling_steps=20).fit(normal(2))
    model.save(tmp_path)
    assert torch.equal(load(tmp_path, target=normal(2)).sample(9, seed=4), model.sample(9, seed=4))
    with pytest.raises(ConfigurationError, match="group_size is 1"):
        SVGD(group_size=1)
    nowhere = Density(lambda x: (x / 0.0).sum(1), event_shape=(1,), name="nowhere")
    with pytest.raises(DivergenceError, match=r"7 of 7 particles.*nowhere"):
        SVGD(sampling_steps=5).fit(nowhere).sample(7)
