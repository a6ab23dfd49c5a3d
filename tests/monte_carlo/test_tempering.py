"""Parallel tempering: moments, mode weights and log Z of laws for which they are known.

Checks are at 4 standard errors, a false alarm in 16,000 for each number checked, unless they say otherwise.
"""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
import torch
from torch import Tensor

from phys_monte_carlo import HMC, ParallelTempering
from phys_samplers import Density, load, make
from phys_samplers.errors import ConfigurationError, DivergenceError
from phys_samplers.laws import DoubleWell
from phys_samplers.target import Target

SHORT = ParallelTempering(sampling_steps=100, warmup_steps=60, temperatures=5)


def normal(dim: int, std: float = 1.0) -> Target:
    return Density(lambda x: -0.5 * (x / std).square().sum(1), event_shape=(dim,), name="normal")


def test_log_z_and_variance_of_a_gaussian() -> None:
    draw = SHORT.fit(normal(5, 0.7)).draw(2_000, seed=1)
    facts = draw.diagnostics
    truth = 2.5 * math.log(2 * math.pi * 0.7**2)
    assert facts["log_z_std"] < 0.03
    assert facts["log_z"] == pytest.approx(truth, abs=4 * facts["log_z_std"])
    assert ((draw.samples.var(0) / 0.49 - 1).abs() < 4 * math.sqrt(2 / 2_000)).all()
    # of the largest spread of four rates; the warm-up equalises them
    assert max(facts["swap_acceptance"]) - min(facts["swap_acceptance"]) < 0.08
    assert facts["round_trips"] > 1_000
    assert len(facts["betas"]) == 5
    assert facts["acceptance"] == pytest.approx(0.8, abs=0.1)
    json.dumps(dict(facts))


def test_gmm9_mode_weights_and_log_z() -> None:
    """χ² of mode counts of 900 independent ladders, 8 degrees: beyond 31.8 once in 10,000.

    All start in one mode, in which nearly all Hamiltonian chains alone stay.
    """
    task, n = make("task", "gmm9"), 900
    start = task.law.means[:1].expand(n, 2) + 0.1
    draw = SHORT.fit(task).draw(n, seed=1, start=start)
    counts = torch.bincount(task.modes.labels(draw.samples), minlength=9)
    expected = n * task.modes.weights
    assert ((counts - expected).square() / expected).sum() < 31.8
    facts = draw.diagnostics
    assert facts["log_z_std"] < 0.015
    assert facts["log_z"] == pytest.approx(task.log_z, abs=4 * facts["log_z_std"])
    alone = HMC(sampling_steps=60, warmup_steps=30).fit(task).sample(n, seed=1, start=start)
    assert (task.modes.labels(alone) == 0).float().mean() > 0.9


def test_a_law_on_a_subspace_keeps_to_it_and_has_its_log_z_there() -> None:
    """DW-4, 6 of 8 dimensions: log Z by quadrature is 29.667, the mean energy −22.541."""
    law, n = DoubleWell(), 400
    recipe = ParallelTempering(sampling_steps=150, warmup_steps=100, temperatures=7, prior_std=3.0)
    draw = recipe.fit(Target(event_shape=(8,), law=law)).draw(n, seed=1)
    assert draw.samples.unflatten(1, (4, 2)).mean(1).abs().max() < 1e-4
    facts = draw.diagnostics
    assert facts["log_z_std"] < 0.05
    assert facts["log_z"] == pytest.approx(law.log_z, abs=4 * facts["log_z_std"])
    energy = -law.log_prob(draw.samples)
    assert energy.mean().item() == pytest.approx(-22.541, abs=4 * energy.std().item() / math.sqrt(n))


def test_every_rung_is_counted() -> None:
    rows = []

    def log_prob(x: Tensor) -> Tensor:
        rows.append(len(x))
        return -0.5 * x.square().sum(1)

    recipe = SHORT.with_options(sampling_steps=30, warmup_steps=10)
    draw = recipe.fit(Density(log_prob, event_shape=(2,))).draw(10, seed=1, samples_per_chain=3)
    assert draw.diagnostics["chains"] == 4
    assert draw.nfe == pytest.approx(sum(rows) / 10)


def test_draws_are_decided_by_their_seed_and_survive_a_checkpoint(tmp_path: Any) -> None:
    recipe = SHORT.with_options(sampling_steps=30, warmup_steps=0, samples_per_chain=2)
    model = recipe.fit(normal(2))
    x = model.sample(20, seed=1)
    assert x.shape == (20, 2)
    assert torch.equal(x, model.sample(20, seed=1))
    assert not torch.equal(x, model.sample(20, seed=2))
    model.save(tmp_path)
    assert torch.equal(load(tmp_path, target=normal(2)).sample(20, seed=1), x)


def test_zero_density_at_the_start_is_left_and_a_law_out_of_reach_is_refused() -> None:
    def half_space(x: Tensor) -> Tensor:
        return torch.where(x[:, 0] > 0, -0.5 * x.square().sum(1), -torch.inf)

    draw = SHORT.fit(Density(half_space, event_shape=(2,))).draw(1_000, seed=1, prior_std=2.0)
    assert (draw.samples[:, 0] > 0).all()
    truth = math.log(2 * math.pi) - math.log(2)
    assert draw.diagnostics["log_z"] == pytest.approx(truth, abs=4 * draw.diagnostics["log_z_std"])
    nowhere = Density(lambda x: torch.where(x[:, 0] > 1e4, 0.0 * x[:, 0], -torch.inf), event_shape=(1,))
    with pytest.raises(DivergenceError, match=r"9 of 9 particles.*prior_std"):
        SHORT.fit(nowhere).sample(9)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperatures": 1}, "temperatures is 1"),
        ({"hottest": 1.0}, "hottest is 1.0"),
        ({"jitter": -1}, "jitter is -1"),
    ],
)
def test_bad_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        ParallelTempering(**options)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("recipe", [SHORT, HMC(sampling_steps=40, warmup_steps=15)], ids=lambda r: type(r).__name__)
def test_they_run_on_the_gpu(recipe: Any) -> None:
    model = recipe.fit(normal(2), device="cuda")
    draw = model.draw(300, seed=1, samples_per_chain=2)
    assert draw.samples.device.type == "cuda"
    assert torch.equal(draw.samples, model.sample(300, seed=1, samples_per_chain=2))
