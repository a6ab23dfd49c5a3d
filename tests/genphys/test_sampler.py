"""The sampler: what its losses are minimised by, its weights, its mass, and PFGM++ with D = 1 as Poisson's equation."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from phys_electrostatic import EmpiricalDenoiser
from phys_electrostatic.flow import student_log_prob
from phys_genphys import (
    FieldRegression,
    FractionalDiffusion,
    Helmholtz,
    MixedDiffusionPoisson,
    Poisson,
    ScreenedPoisson,
)
from phys_genphys.exact import EmpiricalFlow
from phys_samplers import make
from phys_samplers.errors import ConfigurationError, IncompatibleError, MissingCapability
from phys_samplers.randomness import Streams, make_generator
from phys_samplers.samples import Samples

ROWS = torch.randn(64, 2, generator=make_generator(0, "rows"), dtype=torch.float64)


class Exact(EmpiricalFlow):
    """The exact flow, shifted."""

    off = 0.0

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        return super().forward(x, sigma) + self.off

    def growth(self, x: Tensor, sigma: Tensor) -> Tensor:
        return super().growth(x, sigma) + self.off


def test_poisson_is_pfgmpp_with_one_dimension() -> None:
    """Its density is Student's with one degree of freedom, its D the centre of charge."""
    x = 3 * torch.randn(20, 2, generator=make_generator(1, "x"), dtype=torch.float64)
    for sigma in (0.1, 1.0, 10.0):
        level = torch.full((20,), sigma, dtype=torch.float64)
        found = Poisson().log_density(x.square().sum(1), level, 2)
        torch.testing.assert_close(found, student_log_prob(x, sigma, 1.0))
        module = Exact(Poisson(), ROWS)
        torch.testing.assert_close(
            module(x.unsqueeze(0), level.unsqueeze(0))[0], EmpiricalDenoiser(ROWS, 1.0)(x, sigma)
        )


@pytest.mark.parametrize("stable", [True, False])
@pytest.mark.parametrize(
    "pde",
    [
        Poisson(),
        ScreenedPoisson(m=0.5),
        Helmholtz(k0=0.05),
        pytest.param(MixedDiffusionPoisson(), marks=pytest.mark.slow),
    ],
    ids=lambda p: type(p).__name__,
)
def test_the_regression_is_least_at_the_exact_flow(pde, stable: bool) -> None:
    """Its slope in a shift of D and g vanishes there, with W, whatever law the points are drawn from: within five
    standard errors of 100 batches. A shift of .3 has a slope beyond them."""
    loss = FieldRegression(pde=pde, stable_target=stable, levels="log-uniform", sigma_min=0.3, sigma_max=4.0)
    module, noise = Exact(pde, ROWS), Streams([1], "noise")
    picks = Streams([1], "picks")
    slopes: dict[float, list[float]] = {0.0: [], 0.3: []}
    for _ in range(100):
        rows = ROWS[picks.integers(len(ROWS), 32)]
        state = noise.state_dict()
        value = []
        for off in (-1e-3, 1e-3, 0.299, 0.301):
            noise.load_state_dict(state)
            module.off = off
            value.append(float(loss(module, rows, noise)[0]))
        slopes[0.0].append((value[1] - value[0]) / 2e-3)
        slopes[0.3].append((value[3] - value[2]) / 2e-3)
    errors = []
    for found in slopes.values():
        at = torch.tensor(found)
        errors.append(float(at.mean().abs() / (at.std() / math.sqrt(len(at)))))
    assert errors[0] < 5 < errors[1]


def exact_model(pde, rows: Tensor, **options):
    """A model of the recipe with the exact flow of its rows in place of the network."""
    model = make("sampler", "genphys", pde=pde, steps=1, standardise="none", **options).fit(Samples(rows), seed=0)
    model.module = Exact(pde, rows)
    return model


@pytest.mark.parametrize("name", ["diffusion", "poisson", "screened-poisson", "mixed-diffusion-poisson", "helmholtz"])
def test_samples_fall_on_the_rows_with_the_right_weights(name: str) -> None:
    """One row of weight 3/4 and one of 1/4, of unit variance: five standard errors of 2,000 draws, .048.

    A line of Poisson with x > .5 at σ = 10⁻⁴ has not come down to a row: one of 5,000.
    """
    rows = torch.tensor([[-1.0, 0.0], [-1.0, 0.0], [-1.0, 0.0], [2.0, 1.0]])
    rows = (rows - rows.mean(0)) / rows.std(0, correction=0)
    schedule = "edm[sigma_min=0.0001]"
    x = exact_model(make("pde", name), rows, sampling_steps=60, schedule=schedule).sample(2_000, seed=3)
    distance = torch.cdist(x, rows[2:])
    assert int((distance.min(1).values > 0.1).sum()) <= 4
    assert float((distance.argmin(1) == 0).double().mean()) == pytest.approx(0.75, abs=0.048)


def test_without_births_the_weights_of_yukawa_are_wrong() -> None:
    """Rows at different distances from others lose different numbers of particles: weights must make up for it.

    Mass: the mean weight is 1 in units of the mass at the start, so that mass falls like e^{−mt}, within 1e-2.
    """
    rows = torch.randn(40, 2, generator=make_generator(5, "rows"))
    rows = (rows - rows.mean(0)) / rows.std(0, correction=0)
    draw = exact_model(ScreenedPoisson(m=0.05), rows, resample=False).draw(1_000, seed=1)
    assert draw.diagnostics["log_mass"] == pytest.approx(0.0, abs=1e-2)
    assert draw.diagnostics["ess"] > 0.95
    assert draw.log_weights is not None


def test_births_that_do_not_make_up_for_the_weights_are_said() -> None:
    """Half as many deaths again as there are: the weights of 500 draws hang on few, and there is a warning."""

    class Wrong(Exact):
        def growth(self, x: Tensor, sigma: Tensor) -> Tensor:
            return 1.5 * super().growth(x, sigma)

    pde = ScreenedPoisson(m=0.5)
    rows = torch.randn(40, 2, generator=make_generator(5, "rows"))
    model = exact_model(pde, rows)
    model.module = Wrong(pde, rows)
    with pytest.warns(UserWarning, match=r"500 samples are worth .* independent ones"):
        draw = model.draw(500, seed=1)
    assert draw.diagnostics["ess"] < 0.1


def test_forward_deaths_leave_the_mass() -> None:
    """Lines from a source at small t, each dying at its own rate, leave e^{−mt}: 200,000 lines, within 1e-2; forty
    levels by Simpson's rule. The law of what is left is that of the kernel at t (Kolmogorov–Smirnov on the radius)."""
    pde, n = ScreenedPoisson(m=0.4), 200_000
    first, last = 1e-3, 3.0
    slope = pde.noise(torch.full((1, n), 1.0, dtype=torch.float64), 2, Streams([0], "lines"))[0]
    squared = slope.square().sum(1)
    steps = torch.linspace(math.log(first), math.log(last), 41, dtype=torch.float64)
    weights = torch.ones(41, dtype=torch.float64)
    weights[1:-1:2], weights[2:-1:2] = 4.0, 2.0
    log_w = sum(
        float(w) * pde.growth(squared * math.exp(2 * s), torch.full_like(squared, math.exp(s)), 2)
        for s, w in zip(steps.tolist(), weights, strict=True)
    ) * float(steps[1] - steps[0]) / 3  # fmt: skip
    mass = float(log_w.exp().mean())
    assert mass == pytest.approx(math.exp(-pde.m * (last - first)), rel=1e-2)
    wanted = pde.log_importance(squared * last**2, torch.full_like(squared, last), 2)
    torch.testing.assert_close(log_w.exp(), wanted.exp(), rtol=0, atol=3e-3)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(IncompatibleError, match="denoising one that adds no noise"):
        make("sampler", "genphys", integrator="heun")
    with pytest.raises(IncompatibleError, match="denoising one that adds no noise"):
        make("sampler", "genphys", integrator="edm-heun[churn=0.2]")
    with pytest.raises(ConfigurationError, match="that of the loss"):
        make("sampler", "genphys", loss="field-regression[pde=diffusion]").training_loss()
    rows = torch.randn(50, 3, generator=make_generator(0, "three"))
    with pytest.raises(ConfigurationError, match="at most 2 coordinates"):
        make("sampler", "genphys", pde="dissipative-wave", steps=1).fit(Samples(rows), seed=0)
    for pde, match in (
        ("screened-poisson[m=0.6]", r"m of at most 0\.5"),
        ("helmholtz[k0=0.02]", r"k0 of at most 0\.00"),
        ("dissipative-wave[epsilon=40]", "epsilon from 316"),
    ):
        with pytest.raises(ConfigurationError, match=match):
            make("sampler", "genphys", pde=pde, steps=10**9).fit(Samples(rows[:, :2]), seed=0)
    kept = make("sampler", "genphys", pde="helmholtz", steps=1).fit(Samples(rows), seed=0)
    with pytest.raises(ConfigurationError, match="smaller sigma_max"):
        kept.draw(10, schedule="edm[sigma_max=200]")
    model = make("sampler", "genphys", steps=1).fit(Samples(rows), seed=0)
    with pytest.raises(MissingCapability, match="no score"):
        model.score(rows)
    with pytest.raises(MissingCapability, match="no likelihood"):
        model.log_prob(rows)


NO_POINTS = [
    None,
    [[0.0, 0.0]],
    torch.zeros(3, 3),
    torch.zeros(2),
    torch.zeros(1, 3, 2),
    torch.zeros(3, 2, dtype=torch.long),
    torch.zeros(3, 2, dtype=torch.complex64),
    torch.full((3, 2), math.nan),
    torch.full((3, 2), math.inf),
]


def test_what_are_no_points_rows_or_levels_is_refused_with_what_was_expected() -> None:
    recipe = make("sampler", "genphys", pde="diffusion", steps=1)
    model = recipe.fit(Samples(ROWS.float()), seed=0)
    flow, level = EmpiricalFlow(Poisson(), ROWS.float()), torch.ones(1, 1)
    for given in NO_POINTS:
        for ask in (model.fields, model.score):
            with pytest.raises(
                ConfigurationError, match=r"x .*expected finite floating-point numbers of shape \(B, 2\)"
            ):
                ask(given)
    for given in (*NO_POINTS[:4], torch.zeros(1, 3, 2, dtype=torch.long), torch.zeros(1, 3, 3)):
        with pytest.raises(ConfigurationError, match=r"x is .*expected floating-point numbers \(R, B, 2\)"):
            flow(given, level)
    for given in (*NO_POINTS[1:5], *NO_POINTS[6:]):
        with pytest.raises(ConfigurationError, match=r"start .*expected"):
            model.draw(3, start=given)
    for rows in (*NO_POINTS[:2], *NO_POINTS[3:], torch.zeros(0, 2)):
        with pytest.raises(ConfigurationError, match=r"rows .* expected"):
            EmpiricalFlow(Poisson(), rows)
    for sigma in (0.0, -1.0, math.nan, math.inf, "1", True, [1.0]):
        with pytest.raises(ConfigurationError, match=r"sigma is .*expected a positive"):
            model.fields(ROWS.float(), sigma)
    for sigma in (-level, level * math.nan, 1.0, torch.ones(7, 9), None):
        with pytest.raises(ConfigurationError, match=r"sigma is .*expected positive levels"):
            flow(ROWS.float().unsqueeze(0), sigma)
    for pde in (None, "poisson", FractionalDiffusion()):
        with pytest.raises(ConfigurationError, match="whose density is known"):
            EmpiricalFlow(pde, ROWS)
