"""The two tests behind a judgement: right under the null hypothesis, able to see what they are there for."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from phys_samplers import Density, judge, make
from phys_samplers.chains import ChainRecord
from phys_samplers.density import FlatDensity
from phys_samplers.diagnostics import pareto_k
from phys_samplers.errors import DensityError
from phys_samplers.judging.evidence import _resampled, gather
from phys_samplers.judging.p_values import far_and_dense, stein_p_value, two_sample_p_value
from phys_samplers.judging.smoothness import smoothness
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
        "mala",
        make("sampler", "mala", sampling_steps=100, warmup_steps=50, ascent_steps=0),
        NORMAL,
        n=200,
        seed=0,
        device="cpu",
    )
    assert run.finished
    assert run.gradients == 101
    assert run.densities == 50  # for R̂ of log p: 50 recorded states of each chain
    assert run.effective is not None
    broken = Target(event_shape=(3,), law=Density(lambda x: x.sum(), (3,)).law, name="broken")
    with pytest.raises(DensityError, match="one value per row"):
        gather("mala", make("sampler", "mala"), broken, n=200, seed=0, device="cpu")
    nowhere = Density(lambda x: torch.where(x[:, 0] > 1e9, 0.0, -torch.inf) - x.square().sum(1), (3,))
    failed = gather("mala", make("sampler", "mala"), nowhere, n=200, seed=0, device="cpu")
    assert not failed.finished
    assert "not finite at any of the points where they start" in failed.error


@pytest.mark.parametrize(
    ("log_prob", "options", "message"),
    [
        (lambda x: x @ torch.ones(7), {}, "the log-density raised RuntimeError"),
        (lambda x: -0.5 * x.square().sum(1), {"score": lambda x: -x[:, :1]}, "the score returned shape"),
        (lambda x: x[:, 0] * 0 - torch.inf, {}, "not finite at any of 4000 points around the origin"),
    ],
)
def test_a_mistake_in_the_density_is_one_exception_and_no_failed_rows(
    log_prob: Any, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(DensityError, match=message):
        judge(Density(log_prob, (2,), **options), ["mala", "smc"], n=200)


@pytest.mark.parametrize("shape", [0.2, 0.5, 0.9])
def test_pareto_k_finds_the_shape_of_pareto_weights(shape: float) -> None:
    """Standard error about (1 + k)/√m = .14 at m = 190 for .9; the mean over 16 draws is within four of them."""
    u = torch.rand(16, 4_000, generator=make_generator(0, "pareto"), dtype=torch.float64)
    found = sum(pareto_k(-shape * row.log()) for row in u) / 16
    assert found == pytest.approx(shape, abs=0.14)


def test_pareto_k_of_a_proposal_that_is_too_narrow_is_high_and_of_a_wide_one_low() -> None:
    """In two dimensions weights of N(0, s²I) for N(0, I) are a Pareto law of k = 1 − s²; standard error .17/√16."""
    found = [
        sum(pareto_k(0.5 * (1 - s**2) * normal(2_000, f"k{r}", 2).square().sum(1)) for r in range(16)) / 16
        for s in (0.3, 1.5)
    ]
    assert found[0] == pytest.approx(0.91, abs=0.2)
    assert found[1] < 0.3


BORDER = Density(lambda x: torch.where(x[:, 0] > 0, -0.5 * x[:, 0] ** 2, -torch.inf), (1,))
STAIRS = Density(lambda x: -x.abs().floor()[:, 0] - 0 * x[:, 0], (1,))
WAVES = Density(lambda x: -0.5 * x.square().sum(1) + x[:, 0].mul(3).cos(), (3,))


@pytest.mark.parametrize(
    ("target", "z", "kind"),
    [
        (NORMAL, normal(500, "a"), "smooth"),
        (WAVES, normal(500, "a"), "smooth"),
        (BORDER, normal(500, "b", 1).abs(), "border"),
        (STAIRS, normal(500, "c", 1) * 2, "jumps"),
    ],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_borders_and_jumps_are_noticed(target: Target, z: torch.Tensor, kind: str, dtype: torch.dtype) -> None:
    assert smoothness(FlatDensity(target), z.to(dtype), seed=0) == kind


def test_a_score_that_is_no_gradient_is_a_mistake() -> None:
    wrong = Density(lambda x: -0.5 * x.square().sum(1), (3,), score=lambda x: -1.3 * x)
    with pytest.raises(DensityError, match="is not the gradient of its log-density"):
        smoothness(FlatDensity(wrong), normal(500, "a"), seed=0)


def test_samples_far_away_in_dense_places_are_counted_and_tails_are_not() -> None:
    z, tail = normal(1_000, "own"), torch.full((5, 3), 6.0, dtype=torch.float64)
    assert far_and_dense(z, -0.5 * z.square().sum(1), tail, -0.5 * tail.square().sum(1)) == 0
    assert far_and_dense(z, -0.5 * z.square().sum(1), tail, torch.zeros(5)) == 5
    again = normal(1_000, "others")
    assert far_and_dense(z, -0.5 * z.square().sum(1), again, -0.5 * again.square().sum(1)) == 0


def test_chains_that_never_exchange_a_narrow_and_a_wide_part_are_not_mixed() -> None:
    """Raw R̂ does not see them: their means are one."""
    spread = torch.where(torch.arange(64) < 32, 0.05, 3.0).view(1, 64, 1)
    record = ChainRecord(64)
    for x in spread * torch.randn(64, 64, 1, generator=make_generator(0, "record")):
        record.observe(x)
    facts = record.diagnostics(lambda z: -z.square().sum(1))
    assert facts["rhat_max"] < 1.05
    assert facts["rhat_rank_max"] > 1.05
