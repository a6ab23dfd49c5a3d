"""A sampler that learns from simulated paths is one page on the training contract, and keeps the sampler's contract."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from phys_samplers import Density, catalogue, make
from phys_samplers.testing import check_sampler

PAGE = Path(__file__).with_name("path_integral.py")
NORMALISER = 1.7


@pytest.fixture(scope="module", autouse=True)
def plugin():
    catalogue.registry.load_file(PAGE)
    yield
    catalogue.registry.unregister("sampler", "path-integral")


def test_the_page_is_short() -> None:
    assert len(PAGE.read_text().splitlines()) <= 85


@pytest.mark.slow
def test_it_keeps_the_contract() -> None:
    quick = {"steps": 250, "sampling_steps": 20, "sigma": 1.0, "learning_rate": 0.01, "field": "mlp"}
    results = check_sampler(make("sampler", "path-integral"), quick_options=quick, variance_tolerance=0.3)
    assert all(result.passed for result in results), [str(result) for result in results if not result.passed]


@pytest.mark.parametrize("steps", [1, 60])
def test_weights_estimate_the_constant_with_any_network(steps: int) -> None:
    """E[w] = Z after one step of training as after many; 5 standard errors: false alarms below 1e-6."""
    target = Density(lambda x: NORMALISER - 0.5 * (x - 1).square().sum(-1), event_shape=(2,))
    recipe = make("sampler", "path-integral", steps=steps, sampling_steps=12, sigma=1.5, learning_rate=0.01)
    draw = recipe.fit(target, seed=0).draw(20_000, seed=1)
    weights = (draw.log_weights - NORMALISER).exp() / (2 * torch.pi)
    assert abs(weights.mean() - 1) < 5 * weights.std() / len(weights) ** 0.5
    assert weights.std() < 10
