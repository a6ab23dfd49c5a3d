"""Metadynamics and coupled replicas: exact weights against quadrature, free energies, barriers, what is counted."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from phys_monte_carlo.biased import Coupled, CoupledReplicas, Flattened, Metadynamics, on_grid
from phys_samplers import Density, make
from phys_samplers.denoisers.guidance import Repulsion
from phys_samplers.density import FlatDensity
from phys_samplers.errors import ConfigurationError
from phys_samplers.randomness import make_generator

BARRIER = 12.0


def well(x: Tensor) -> Tensor:
    """Two wells with a barrier of 12 kT between them, and a hidden coordinate."""
    return -BARRIER * (x[:, 0].square() - 1).square() + 0.4 * x[:, 0] - 0.5 * x[:, 1].square()


WELL = Density(well, (2,), name="well")
GRID = torch.linspace(-2.5, 2.5, 20_001, dtype=torch.float64)
LAW = (-BARRIER * (GRID.square() - 1).square() + 0.4 * GRID).softmax(0)
RIGHT = float(LAW[GRID > 0].sum())


def free_energy(at: Tensor) -> Tensor:
    return BARRIER * (at.square() - 1).square() - 0.4 * at


def weighted_share(draw: Any) -> float:
    return float((draw.log_weights.softmax(0) * (draw.samples[:, 0] > 0)).sum())


def test_metadynamics_crosses_and_its_weights_are_exact() -> None:
    """All 400 chains start in one well. The share of the other within 5 errors; without a bias none crosses."""
    start = torch.tensor([[-1.0, 0.0]]).expand(400, 2)
    recipe = make("sampler", "metadynamics", bounds=(-1.8, 1.8), sampling_steps=800, warmup_steps=500, resample=False)
    draw = recipe.fit(WELL).draw(400, seed=0, start=start)
    share = draw.diagnostics["weight_ess"]
    assert share > 0.2
    error = math.sqrt(RIGHT * (1 - RIGHT) / (400 * share))
    assert weighted_share(draw) == pytest.approx(RIGHT, abs=5 * error)
    plain = float((draw.samples[:, 0] > 0).double().mean())
    assert 0.3 < plain < 0.7  # a flat variable
    stuck = make("sampler", "mala", sampling_steps=800).fit(WELL).sample(400, seed=0, start=start)
    assert float((stuck[:, 0] > 0).double().mean()) < 0.05
    assert draw.nfe == 801.0


@pytest.mark.slow
def test_the_bias_is_the_free_energy() -> None:
    """−V γ/(γ − 1) against F where it is at most 10 kT, up to a constant: .5 kT; kernels of σ = .09 blur F by less."""
    recipe = Metadynamics(bounds=(-1.8, 1.8), warmup_steps=800, sampling_steps=801, prior_std=1.0)
    s, found = recipe.free_energy(recipe.fit(WELL).draw(100, seed=1).diagnostics)
    right = free_energy(s)
    inside = right < 10
    gap = (found - right)[inside]
    gap -= gap.mean()
    assert float(gap.square().mean().sqrt()) < 0.5
    assert float(right[inside].std()) > 2.0


def test_a_frozen_bias_is_sampled_and_undone() -> None:
    """With any V: moves keep p e^{−V} (variance of N(0, 1) with −V = −x²/2 is ½), weights give 1 back; 5 errors."""
    normal = Density(lambda x: -0.5 * x.square().sum(1), (1,), name="normal")

    class Bowl(Coupled):
        def __init__(self, source: FlatDensity) -> None:
            super().__init__(source, Repulsion(set_size=2))
            self.together = 1

        def bias(self, x: Tensor) -> Tensor:
            return -0.5 * x[:, 0].square()

    class Fixed(Metadynamics):
        def bent(self, source: FlatDensity, x: Tensor) -> Any:
            return Bowl(source)

        def log_weights(self, x: Tensor, facts: Any) -> Tensor:
            return 0.5 * x[:, 0].square()

    recipe = Fixed(sampling_steps=200, warmup_steps=100, prior_std=1.0, resample=False)
    draw = recipe.model(recipe, target=normal, device="cpu").draw(4_000, seed=2)
    square = draw.samples[:, 0].double().square()
    assert float(square.mean()) == pytest.approx(0.5, abs=5 * 0.5 * math.sqrt(2 / 4_000))
    w = draw.log_weights.softmax(0) * 4_000
    error = float((w * (square - 1)).std()) / math.sqrt(4_000)
    assert float((w * square).mean()) == pytest.approx(1.0, abs=5 * error)


def test_replicas_repel_and_their_weights_undo_it() -> None:
    """Pairs of N(0, 1) with Φ = exp(−2 k(d)): E k of pairs by quadrature, and of weighed ones; 5 errors."""
    normal = Density(lambda x: -0.5 * x.square().sum(1), (1,), name="normal")
    potential = Repulsion(set_size=2, strength=4.0, bandwidth=0.5)  # −α/(2n) Σ_ij = −2 (1 + k)
    recipe = CoupledReplicas(potential=potential, sampling_steps=200, warmup_steps=100, prior_std=1.0, resample=False)
    draw = recipe.fit(normal).draw(4_000, seed=0)
    pairs = draw.samples.double().view(-1, 2)
    near = (-(pairs[:, 0] - pairs[:, 1]).square() / 0.5).exp()
    d = torch.linspace(-12, 12, 20_001, dtype=torch.float64)
    k, law = (-d.square() / 0.5).exp(), (-d.square() / 4).exp()
    bent = float((k * law * (-2 * k).exp()).sum() / (law * (-2 * k).exp()).sum())
    free = float((k * law).sum() / law.sum())
    error = float(near.std()) / math.sqrt(len(near))
    assert float(near.mean()) == pytest.approx(bent, abs=5 * error)
    assert abs(free - bent) > 20 * error
    w = draw.log_weights.view(-1, 2)[:, 0].softmax(0) * len(near)
    error = float((w * (near - free)).std()) / math.sqrt(len(near))
    assert float((w * near).mean()) == pytest.approx(free, abs=5 * error)
    assert draw.diagnostics["weight_ess"] < 1


def test_draws_are_resampled_by_their_weights() -> None:
    model = Metadynamics(sampling_steps=60, warmup_steps=40, prior_std=1.0).fit(WELL)
    draw, weighed = model.draw(400, seed=0), model.draw(400, seed=0, resample=False)
    assert draw.log_weights is None
    assert float((draw.samples[:, 0] > 0).double().mean()) == pytest.approx(weighted_share(weighed), abs=0.02)


def test_numbers_that_are_no_whole_sets() -> None:
    model = CoupledReplicas(sampling_steps=20, warmup_steps=10).fit(WELL)
    draw = model.draw(6, seed=0)  # of two sets of four
    assert draw.samples.shape == (6, 2)
    assert draw.nfe == pytest.approx(8 / 6 * (draw.nfe * 6 / 8))
    assert draw.nfe >= 21 * 8 / 6
    assert torch.equal(draw.samples, model.draw(6, seed=0).samples)
    assert model.draw(3, seed=0, start=torch.zeros(3, 2)).samples.shape == (3, 2)
    several = (
        Metadynamics(sampling_steps=40, warmup_steps=10, samples_per_chain=4, resample=False).fit(WELL).draw(8, seed=0)
    )
    assert several.n_chains == 2


def test_the_grid_is_linear_and_its_slope_is_that() -> None:
    grid, values = torch.linspace(-1, 1, 5), torch.tensor([0.0, 1.0, 0.5, 2.0, 1.0])
    s = torch.tensor([-3.0, -0.75, 0.25, 1.0, 4.0], requires_grad=True)
    found = on_grid(s, grid, values)
    torch.testing.assert_close(found, torch.tensor([0.0, 0.5, 1.25, 1.0, 1.0]))
    (slope,) = torch.autograd.grad(found.sum(), s)
    torch.testing.assert_close(slope[[0, 1, 2, 4]], torch.tensor([0.0, 2.0, 3.0, 0.0]))


def test_heights_fall_where_it_is_full() -> None:
    """Two steps at one place: the second kernel is lower by e^{−V/(γ − 1)}, and as high without a bias factor."""
    x = torch.zeros(3, 2)
    for factor, ratio in ((3.0, math.exp(-2.0 / 2)), (None, 1.0)):
        recipe = Metadynamics(bounds=(-1.0, 1.0), bias_factor=factor, width=0.5)
        bent = Flattened(FlatDensity(WELL), recipe, x)
        bent.seen(x)
        first = float(bent.potential.max())
        assert first == pytest.approx(2.0, rel=1e-3)
        bent.seen(x)
        assert float(bent.potential.max()) == pytest.approx(2.0 * (1 + ratio), rel=1e-3)
        bent.seen(x + 5)  # beyond the grid
        assert float(bent.potential.max()) == pytest.approx(2.0 * (1 + ratio), rel=1e-3)


def test_a_function_is_a_variable() -> None:
    """s = |x|: the gradient of the bent law by autograd against differences."""
    recipe = Metadynamics(variable=lambda x: x.norm(dim=1), bounds=(0.0, 3.0))
    bent = Flattened(FlatDensity(WELL), recipe, torch.zeros(4, 2))
    bent.seen(torch.randn(50, 2, generator=make_generator(0)))
    x = torch.tensor([[0.7, 0.4]], dtype=torch.float32)
    value, slope = bent.mixed(x, torch.zeros(1), torch.zeros(1, 2))
    r = float(x.norm())
    cell = float(bent.grid[1] - bent.grid[0])
    below = int(r / cell)
    steep = float(bent.potential[below + 1] - bent.potential[below]) / cell
    torch.testing.assert_close(slope, -steep * x / r, rtol=1e-3, atol=1e-3)
    assert float(value) < 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"variable": "x"}, "variable is 'x'"),
        ({"variable": -1}, "variable is -1"),
        ({"bounds": (1.0, -1.0)}, "bounds is"),
        ({"bias_factor": 1.0}, "bias_factor is 1.0"),
    ],
)
def test_options_are_checked(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Metadynamics(**options)
    with pytest.raises(ConfigurationError, match="variable is 5"):
        Metadynamics(variable=5, sampling_steps=20, warmup_steps=5).fit(WELL).draw(3)
