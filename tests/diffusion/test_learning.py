"""What DDPM and EDM learn, against closed forms, and what their samplers make of it. Seeds are fixed.

Bounds on what is learned are 1.3 to 2 times the worst of four seeds; those on samples add 4.5 standard errors.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor

from phys_samplers import make
from phys_samplers.randomness import make_generator

TASK: Any = make("task", "mixture-2d")
QUICK: dict[str, Any] = {"steps": 800, "batch_size": 128, "width": 32, "depth": 2}
DRAWS = 8_000
ODE = ["ddim", "dpmpp-2m", "edm-heun", "euler", "heun", "rk4"]
NOISY = ["ddim[eta=1]", "edm-heun[churn=0.2]", "euler-maruyama", "milstein", "sra1", "stochastic-heun"]


@cache
def fitted(sampler: str, parametrisation: str | None = None, **options: Any) -> Any:
    """A quick fit; one scale for all coordinates, so that a blur is isotropic in data units too."""
    chosen = {} if parametrisation is None else {"parametrisation": parametrisation}
    return make("sampler", sampler, standardise="common", **QUICK, **chosen, **options).fit(TASK, seed=0)


def relative_error(model: Any, sigma: float) -> float:
    """Relative L2 error of the score under the blurred law, by 4,000 draws of it."""
    law = TASK.law.blurred(sigma**2)
    x = law.sample(4_000, make_generator(0, "points"))
    exact = law.score(x)
    return float((model.score(x, sigma=sigma) - exact).norm() / exact.norm())


@pytest.mark.parametrize(
    ("sampler", "parametrisation"),
    [
        pytest.param(sampler, parametrisation, marks=[] if sampler == usual else pytest.mark.slow)
        for usual, parametrisation in (("edm", "edm"), ("ddpm", "v"), ("ddpm", "epsilon"), ("edm", "x0"))
        for sampler in ("edm", "ddpm")
    ],
)
def test_the_score_is_that_of_the_blurred_law(sampler: str, parametrisation: str) -> None:
    """From blurs below the modes' width of 0.5 to blurs far beyond their distance of 4."""
    model = fitted(sampler, parametrisation)
    bounds = {0.3: 0.45, 0.6: 0.45, 2.0: 0.17, 6.0: 0.1}
    if parametrisation == "x0":
        # an error of D is one of 1/σ² in the score: what the other parametrisations are for
        bounds |= {0.3: 1.7, 0.6: 0.55}
    assert {s: e for s, bound in bounds.items() if (e := relative_error(model, s)) > bound} == {}


def test_the_default_blur_is_the_last_level() -> None:
    model, x = fitted("edm"), TASK.heldout[:20]
    schedule = model.recipe.schedule_part
    width = float(model.standardiser.scale[0])
    torch.testing.assert_close(model.score(x), model.score(x, sigma=schedule.ratio(schedule.end) * width))


def moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Weights of the modes, and the covariance."""
    return torch.bincount(TASK.law.labels(x), minlength=3).double() / len(x), x.double().T.cov()


@cache
def law_of(sampler: str) -> tuple[Tensor, Tensor]:
    """Weights and covariance of the probability flow of a fit, from 20,000 draws."""
    return moments(fitted(sampler).sample(20_000, seed=2, integrator="dpmpp-2m", sampling_steps=64, clip=False))


@pytest.mark.parametrize("sampler", ["edm", "ddpm"])
def test_the_law_is_that_of_the_data(sampler: str) -> None:
    """Quick training leaves weights within 0.037 and the covariance within 4 %; sampling adds 0.016 and 3 %."""
    weights, covariance = law_of(sampler)
    exact = TASK.law.sample(200_000, make_generator(0, "exact")).double().T.cov()
    assert float((weights - TASK.law.weights.double()).abs().max()) < 0.053
    assert float((covariance - exact).norm() / exact.norm()) < 0.08


@pytest.mark.parametrize("integrator", ODE)
@pytest.mark.parametrize("sampler", ["edm", "ddpm"])
def test_every_scheme_without_noise_follows_one_flow(sampler: str, integrator: str) -> None:
    """From the same starting points to the same samples, up to the error of 64 steps, or 250 of schemes of order 1."""
    model = fitted(sampler)
    first = integrator in ("ddim", "euler")
    steps = 250 if first or sampler == "ddpm" else 64
    options: dict[str, Any] = {"seed": 1, "clip": False}
    exact = model.sample(2_000, integrator="dopri5[rtol=1e-6,atol=1e-6]", **options)
    x = model.sample(2_000, integrator=integrator, sampling_steps=steps, **options)
    gap = (x - exact).norm(dim=1).sort().values
    assert float(gap[1_000]) < (0.03 if first else 0.005)  # the median
    assert float(gap[1_900]) < (0.12 if first else 0.03)


@pytest.mark.parametrize("integrator", NOISY)
def test_every_scheme_with_noise_has_the_law_of_the_flow(integrator: str) -> None:
    """Flow and noisy schemes have one law if the denoiser is exact; a learned one leaves 0.02 and 5 %."""
    weights, covariance = law_of("edm")
    x = fitted("edm").sample(DRAWS, seed=1, integrator=integrator, sampling_steps=64)
    found = moments(x)
    assert float((found[0] - weights).abs().max()) < 0.02 + 0.025
    assert float((found[1] - covariance).norm() / covariance.norm()) < 0.1


def test_the_ancestral_chain_has_the_law_of_the_data() -> None:
    weights, covariance = moments(fitted("ddpm").sample(DRAWS, seed=1))
    exact = TASK.law.sample(200_000, make_generator(0, "exact")).double().T.cov()
    assert float((weights - TASK.law.weights.double()).abs().max()) < 0.05 + 0.025
    assert float((covariance - exact).norm() / exact.norm()) < 0.12


def test_the_likelihood_is_close_to_that_of_the_data() -> None:
    """Nats that a held-out row costs more: 0.08 to 0.10 and 0.19 to 0.24 after quick training, 0.02 and 0.05 after
    1,500 steps of a wider network. No law does better than the data's own but by chance, here by 0.02.
    """
    rows = TASK.heldout[:1_000]
    exact = float(TASK.law.log_prob(rows).mean())
    for sampler, bound in (("edm", 0.15), ("ddpm", 0.35)):
        gap = exact - float(fitted(sampler).log_prob(rows).mean())
        assert -0.02 < gap < bound
