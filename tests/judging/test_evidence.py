"""The two tests behind a judgement: right under the null hypothesis, able to see what they are there for."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from phys_samplers import Density, judge, make
from phys_samplers.errors import DensityError
from phys_samplers.judging.evidence import _resampled, gather
from phys_samplers.judging.p_values import stein_p_value, two_sample_p_value
from phys_samplers.laws import GaussianMixture
from phys_samplers.randomness import make_generator
from phys_samplers.target import Target

NORMAL = Density(lambda x: -0.5 * x.square().sum(1), (3,), name="normal")


def normal(n: int, label: str, dim: int = 3) -> torch.Tensor:
    return torch.randn(n, dim, generator=make_generator(0, "judging", label), dtype=torch.float64)


def test_steins_identities_hold_for_exact_draws() -> None:
    """Of 300 p-values of exact draws at most 24 are below .05: false-alarm rate 2e-3 at level .05 (Bonferroni)."""
    small = sum(stein_p_value(z := normal(500, f"exact {k}"), -z) < 0.05 for k in range(300))
    assert small <= 24


@pytest.mark.parametrize("wrong", ["wide", "shifted"])
def test_steins_identities_see_a_wrong_spread_and_a_wrong_mean(wrong: str) -> None:
    z = normal(2_000, wrong)
    z = z * 1.15 if wrong == "wide" else z + 0.15
    assert stein_p_value(z, -z) < 1e-3


def test_weights_repair_what_a_proposal_got_wrong() -> None:
    """Draws of N(0, 1.3²) with their exact weights are draws of N(0, 1)."""
    z = 1.3 * normal(5_000, "proposal", 2)
    log_weights = -0.5 * z.square().sum(1) + 0.5 * (z / 1.3).square().sum(1)
    assert stein_p_value(z, -z) < 1e-6
    assert stein_p_value(z, -z, weights=log_weights.softmax(0)) > 1e-3
    rows = _resampled(z, log_weights.softmax(0), seed=0)
    assert abs(float(rows.var()) - 1.0) < 0.1
    assert abs(float(z.var()) - 1.69) < 0.1


def test_two_sample_p_values_are_uniform_under_the_null() -> None:
    """Exact test: at most 16 of 120 below .05 (binomial tail 1e-4)."""
    small = 0
    for k in range(120):
        generator = make_generator(k, "null")
        small += two_sample_p_value(normal(50, f"x{k}"), normal(50, f"y{k}"), generator=generator) < 0.05
    assert small <= 16


def test_two_samples_see_wrong_mode_weights() -> None:
    law = GaussianMixture([[-5.0, 0.0], [5.0, 0.0]], [0.3, 0.3], [0.5, 0.5])
    wrong = GaussianMixture([[-5.0, 0.0], [5.0, 0.0]], [0.3, 0.3], [0.6, 0.4])
    x, y = law.sample(1_000, make_generator(0, "a")), wrong.sample(1_000, make_generator(0, "b"))
    assert two_sample_p_value(x, y, generator=make_generator(0, "p")) < 1e-3


def test_evidence_counts_costs_and_keeps_failures() -> None:
    run = gather(
        "mala", make("sampler", "mala", sampling_steps=100, warmup_steps=50), NORMAL, n=200, seed=0, device="cpu"
    )
    assert run.finished
    assert run.gradients == 101
    assert run.densities == 0
    assert run.effective is not None
    broken = Target(event_shape=(3,), law=Density(lambda x: x.sum(), (3,)).law, name="broken")
    failed = gather("mala", make("sampler", "mala"), broken, n=200, seed=0, device="cpu")
    assert not failed.finished
    assert "one value per row" in failed.error


@pytest.mark.parametrize(
    ("log_prob", "options", "message"),
    [
        (lambda x: x @ torch.ones(7), {}, "the log-density raised RuntimeError"),
        (lambda x: -0.5 * x.square().sum(1), {"score": lambda x: -x[:, :1]}, "the score returned shape"),
        (lambda x: x[:, 0] * 0 - torch.inf, {}, "not finite at any of 64 points around the origin"),
    ],
)
def test_a_mistake_in_the_density_is_one_exception_and_no_failed_rows(
    log_prob: Any, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(DensityError, match=message):
        judge(Density(log_prob, (2,), **options), ["mala", "smc"], n=200)
