"""Annealed Langevin dynamics: against the exact law of the chain, with exact scores, and with a learned one."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from phys_langevin import AnnealedLangevin, AnnealedLangevinDynamics
from phys_langevin.annealed import geometric_levels
from phys_samplers import load
from phys_samplers.errors import CheckpointError, ConfigurationError, MissingCapability
from phys_samplers.randomness import make_generator
from phys_samplers.target import Density, Target

TINY: dict[str, Any] = {"steps": 60, "batch_size": 32, "width": 8, "depth": 1}


class BlurredNormal:
    """A stand-in for a fitted model of N(3, 4): the score of N(3, 4 + σ²) in closed form."""

    def score(self, x: Tensor, sigma: float | None = None) -> Tensor:
        return (3.0 - x) / (4.0 + (sigma or 0.0) ** 2)


def test_levels_fall_geometrically_and_the_clock_passes_them_in_order() -> None:
    levels = geometric_levels(8.0, 0.5, 5)
    assert levels == pytest.approx((8, 4, 2, 1, 0.5))
    assert (levels[0], levels[-1]) == (8.0, 0.5)
    assert geometric_levels(8.0, 0.5, 1) == (0.5,)
    for epsilon in (0.1, 0.07, 1 / 3):
        dynamics = AnnealedLangevinDynamics(lambda x, s: x, 1, sigmas=levels, steps_per_level=3, epsilon=epsilon)
        end = dynamics.times[1]
        seen = [dynamics.sigma(end * k / 15) for k in range(15)]
        assert seen == [sigma for sigma in levels for _ in range(3)]


@pytest.mark.parametrize("integrator", ["euler-maruyama", "exponential-ou"])
def test_the_chain_has_the_law_that_its_recursion_gives(integrator: str) -> None:
    """On a Gaussian every step is affine in x, so mean and variance after all of them are known exactly.

    Data N(3, 4) are N(0, 1) in standardised units, where D = x/(1 + σ²). Checks at 4 standard errors of the variance
    of 40,000 independent chains and of their mean: a false alarm in 16,000 each.
    """
    n, epsilon, per_level, levels = 40_000, 0.3, 2, 8
    rows = torch.tensor([[-1.0], [1.0], [1.0], [-1.0]]) * math.sqrt(3) + 3  # mean 3, variance 4 with n − 1 in it
    recipe = AnnealedLangevin(
        score=BlurredNormal(), levels=levels, steps_per_level=per_level, epsilon=epsilon, sigma_max=4.0, sigma_min=0.2,
        integrator=integrator,
    )  # fmt: skip
    draw = recipe.fit(Target(event_shape=(1,), train=rows)).draw(n, seed=1)
    variance = 1 + 4.0**2
    for sigma in geometric_levels(4.0, 0.2, levels):
        pull = sigma**2 / (1 + sigma**2)  # 1 − D/x
        for _ in range(per_level):
            if integrator == "euler-maruyama":
                keep, noise = 1 - epsilon * pull, 2 * epsilon * sigma**2
            else:
                keep, noise = 1 + math.expm1(-epsilon) * pull, -math.expm1(-2 * epsilon) * sigma**2
            variance = keep**2 * variance + noise
    assert draw.nfe == levels * per_level
    assert draw.samples.mean().item() == pytest.approx(3.0, abs=4 * 2 * math.sqrt(variance / n))
    assert draw.samples.var().item() == pytest.approx(4 * variance, abs=4 * 4 * variance * math.sqrt(2 / n))
    assert abs(variance - 1.04) > 0.05  # the chain is not in equilibrium: the recursion is seen, not the target


def test_exact_scores_give_weights_and_width_of_both_modes(two_modes: Target) -> None:
    """Levels passed slowly carry the weights; the width at the end is that of the data blurred by σ_min.

    20 levels of 40 steps leave the weight 0.012 short of 0.7 (more steps a level bring it closer); the tolerance adds
    4 standard errors of 8,000 draws (0.021, a false alarm in 16,000).
    """
    law, n = two_modes.law, 8_000
    model = AnnealedLangevin(score="exact", levels=20, steps_per_level=40, sigma_min=0.02).fit(two_modes)
    x = model.sample(n, seed=1)
    right = law.labels(x) == 1
    assert right.float().mean().item() == pytest.approx(0.7, abs=0.033)
    assert x[right].var().item() == pytest.approx(0.25, rel=0.12)
    started = torch.full((2000, 1), -2.0)  # all in the wrong mode: the highest level forgets it
    recovered = (law.labels(model.sample(2000, seed=1, start=started)) == 1).float().mean().item()
    assert recovered == pytest.approx(0.7, abs=0.012 + 0.041)


def test_a_learned_score_gives_the_weights(two_modes: Target) -> None:
    """Short training; the tolerance is 4 standard errors of 4,000 draws (0.029) and as much for the network."""
    model = AnnealedLangevin(steps=1200, width=32, depth=2).fit(two_modes, seed=0)
    draw = model.draw(4000, seed=1)
    x = draw.samples
    right = two_modes.law.labels(x) == 1
    assert draw.nfe == 300
    assert right.float().mean().item() == pytest.approx(0.7, abs=0.06)
    assert x[right].mean().item() == pytest.approx(2.0, abs=0.1)
    assert x[right].std().item() == pytest.approx(0.5, abs=0.1)
    # the score of the blurred law in data units, where the two modes have merged
    points = torch.linspace(-3, 3, 7).unsqueeze(1)
    exact = two_modes.law.blurred(2.0**2).score(points)
    assert (model.score(points, sigma=2.0) - exact).norm() < 0.3 * exact.norm()  # type: ignore[attr-defined]


def test_denoising_costs_one_call_and_takes_noise_out() -> None:
    target = Target(event_shape=(1,), train=torch.randn(100, 1, generator=make_generator(0, "rows")))
    model = AnnealedLangevin(score=BlurredNormal(), levels=3, steps_per_level=2, sigma_min=0.5).fit(target)
    noisy, clean = model.draw(500, seed=1), model.draw(500, seed=1, denoise=True)
    assert clean.nfe == noisy.nfe + 1 == 7
    scale = float(model.standardiser.scale[0])  # type: ignore[attr-defined]
    blur = 0.5 * scale
    torch.testing.assert_close(clean.samples, noisy.samples + blur**2 * (3 - noisy.samples) / (4 + blur**2))


def test_stacked_seeds_agree_with_single_ones_and_seeds_decide(two_modes: Target) -> None:
    recipe = AnnealedLangevin(**TINY, levels=4, steps_per_level=5)
    both = recipe.fit_replicas(two_modes, seeds=[3, 5])
    single = recipe.fit(two_modes, seed=5)
    assert torch.equal(single.sample(40, seed=1), single.sample(40, seed=1))
    torch.testing.assert_close(both[1].sample(40, seed=1), single.sample(40, seed=1), rtol=0, atol=1e-3)  # type: ignore[union-attr]
    assert not torch.allclose(both[0].sample(40, seed=1), single.sample(40, seed=1), atol=1e-3)  # type: ignore[union-attr]


def test_checkpoints_give_the_same_samples(two_modes: Target, tmp_path: Any) -> None:
    model = AnnealedLangevin(**TINY, levels=4, steps_per_level=5).fit(two_modes, seed=1)
    model.save(tmp_path)
    again = load(tmp_path)
    assert not again.needs_target
    assert again.recipe == model.recipe
    assert torch.equal(again.sample(50, seed=2), model.sample(50, seed=2))
    assert again.report is not None
    assert again.report.steps == 60


def test_any_event_shape() -> None:
    rows = torch.randn(80, 2, 3, generator=make_generator(0, "rows")) + 5
    model = AnnealedLangevin(**TINY, levels=2, steps_per_level=2).fit(Target(event_shape=(2, 3), train=rows))
    assert model.sample(7).shape == (7, 2, 3)
    assert model.score(rows).shape == (80, 2, 3)  # type: ignore[attr-defined]


def test_refusals(two_modes: Target, tmp_path: Any) -> None:
    with pytest.raises(ConfigurationError, match="expected sigma_max > sigma_min"):
        AnnealedLangevin(sigma_max=0.01)
    with pytest.raises(ConfigurationError, match="levels is 0"):
        AnnealedLangevin(levels=0)
    with pytest.raises(MissingCapability, match="AnnealedLangevin needs samples"):
        AnnealedLangevin().fit(Density(lambda x: -x.square().sum(1), event_shape=(1,)))
    model = AnnealedLangevin(score=BlurredNormal(), levels=2, steps_per_level=1).fit(two_modes)
    with pytest.raises(ConfigurationError, match="'width' of AnnealedLangevin cannot change after fitting"):
        model.sample(3, width=8)
    with pytest.raises(CheckpointError, match="BlurredNormal"):
        model.save(tmp_path)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_training_and_sampling_on_the_gpu(two_modes: Target) -> None:
    model = AnnealedLangevin(**TINY, levels=4, steps_per_level=5).fit(two_modes, device="cuda")
    assert model.sample(20, seed=1).device.type == "cuda"
    assert torch.equal(model.sample(20, seed=1), model.sample(20, seed=1))
