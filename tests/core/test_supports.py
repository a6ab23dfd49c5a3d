"""Densities on part of R^D: coordinates without borders, their Jacobians, and samples against exact laws."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest
import torch
from scipy import special, stats
from torch import Tensor
from torch.distributions import Beta, Dirichlet, LKJCholesky, constraints

from phys_samplers import Density, judge, make
from phys_samplers.density import FlatDensity
from phys_samplers.errors import ConfigurationError, DensityError
from phys_samplers.judging.borders import name_border
from phys_samplers.own_targets import as_target
from phys_samplers.randomness import make_generator
from phys_samplers.supports import RADIUS, support_of
from phys_samplers.target import Target


def normal(n: int, dim: int, label: str) -> Tensor:
    return torch.randn(n, dim, generator=make_generator(0, label), dtype=torch.float64)


SUPPORTS: dict[str, tuple[Any, tuple[int, ...]]] = {
    "positive": ("positive", (2,)),
    "mixed": (["real", "2:", ":3", "-1:4"], (4,)),
    "constraints": (constraints.interval(torch.tensor([0.0, 1.0]), torch.tensor([2.0, 5.0])), (2,)),
    "matrix": (constraints.less_than(1.0), (2, 2)),
    "simplex": ("simplex", (4,)),
    "Cholesky": (constraints.corr_cholesky, (3, 3)),
}


@pytest.mark.parametrize("name", SUPPORTS)
def test_the_volume_is_the_determinant_and_the_way_back_is_exact(name: str) -> None:
    support = support_of(*SUPPORTS[name])
    assert support is not None
    z = normal(20, support.dim, name)
    x, volume = support.place(z)
    assert x.shape == (20, *SUPPORTS[name][1])
    assert support.contains(x).all()
    torch.testing.assert_close(support.reduce(x), z)
    free = {"Cholesky": [3, 6, 7], "simplex": [0, 1, 2]}.get(name, list(range(support.dim)))
    for row, log_det in zip(z, volume, strict=True):
        jacobian = torch.autograd.functional.jacobian(lambda u: support.place(u[None])[0].flatten()[free], row)
        torch.testing.assert_close(torch.linalg.slogdet(jacobian)[1], log_det)


@pytest.mark.parametrize("name", [*SUPPORTS, "angles"])
def test_the_score_is_the_gradient_in_flat_coordinates(name: str) -> None:
    support, shape = SUPPORTS.get(name, (["circle", "positive", "circle"], (3,)))
    target = Density(lambda x: (0.3 * x.sin() - x.square()).flatten(1).sum(1), shape, support=support)
    z = normal(50, target.flat_dim, name).requires_grad_()
    density = FlatDensity(target)
    (gradient,) = torch.autograd.grad(density.log_prob(z).sum(), z)
    value, score = density.log_prob_and_score(z.detach())
    torch.testing.assert_close(value, density.log_prob(z).detach())
    torch.testing.assert_close(score, gradient)
    torch.testing.assert_close(density.score(z.detach()), gradient)


def test_an_angle_has_a_radius_of_a_law_of_its_own() -> None:
    target = Density(lambda x: 3 * (x[:, 0] - 1).cos(), (1,), support="circle")
    axis = torch.linspace(-9, 9, 901, dtype=torch.float64)
    grid = torch.cartesian_prod(axis, axis) + 1e-3
    total = FlatDensity(target).log_prob(grid).exp().sum() * 0.02**2
    assert float(total) == pytest.approx(2 * math.pi * special.i0(3.0), rel=1e-6)
    assert target.support is not None
    angle = torch.tensor([[0.5], [7.0]])
    z = target.support.reduce(angle)
    torch.testing.assert_close(z.norm(dim=1), torch.full((2,), RADIUS))
    torch.testing.assert_close(target.support.place(z)[0], torch.tensor([[0.5], [7.0 - 2 * math.pi]]))
    radii = target.support.reduce(torch.zeros(4_000, 1), make_generator(0, "radii")).norm(dim=1)
    assert stats.kstest(radii.numpy(), stats.chi(4).cdf).pvalue > 1e-4


LAWS: dict[str, tuple[Target, float, list[Any]]] = {
    "exponential": (Density(lambda x: -2 * x.sum(1), (2,), support="positive"), 0.25, [stats.expon(scale=0.5)] * 2),
    "half normal": (
        Density(lambda x: -0.5 * x[:, 0].square() - x[:, 1].square(), (2,), support=["positive", ":0"]),
        math.sqrt(math.pi / 2) * math.sqrt(math.pi) / 2,
        [stats.halfnorm(), stats.halfnorm(scale=math.sqrt(0.5))],
    ),
    "Beta": (Density(Beta(2.0, 0.7)), 1.0, [stats.beta(2, 0.7)]),
    "Dirichlet": (
        Density(lambda x: (x.log() * torch.tensor([0.5, 1.0, 2.0])).sum(1), (3,), support="simplex"),
        math.gamma(1.5) * math.gamma(2) * math.gamma(3) / math.gamma(6.5),
        [stats.beta(1.5, 5), stats.beta(2, 4.5), stats.beta(3, 3.5)],
    ),
}


@pytest.mark.parametrize("name", LAWS)
def test_importance_weights_have_the_mean_z(name: str) -> None:
    """Within five standard errors, at most 0.03 Z; a Jacobian forgotten is off by more than 0.2 Z, or infinite."""
    target, z_true, _ = LAWS[name]
    density = FlatDensity(target)
    z = 3 * normal(40_000, density.dim, name)
    log_q = -0.5 * (z / 3).square().sum(1) - density.dim * math.log(3 * math.sqrt(2 * math.pi))
    weights = (density.log_prob(z) - log_q).exp() / z_true
    error = 5 * float(weights.std()) / math.sqrt(len(weights))
    assert error < 0.1
    assert float(weights.mean()) == pytest.approx(1, abs=error)


@pytest.mark.parametrize(
    ("name", "sampler"), [*((name, "smc") for name in LAWS), ("exponential", "hmc"), ("half normal", "mala")]
)
def test_samples_have_the_law(name: str, sampler: str) -> None:
    """Kolmogorov-Smirnov at 1e-4 each, 12 in all: a false alarm in 800 runs; 500 draws see a mean off by 0.25 sd."""
    target, _, exact = LAWS[name]
    options = {"smc": {"particles": 3_000}, "mala": {"sampling_steps": 500}}.get(sampler, {})
    x = make("sampler", sampler, **options).fit(target).draw(500, seed=0).samples
    assert target.support is not None
    assert target.support.contains(x).all()
    for column, law in zip(x.T, exact, strict=True):
        assert stats.kstest(column.double().abs().numpy(), law.cdf).pvalue > 1e-4


@pytest.mark.parametrize("sampler", ["hmc", "smc"])
def test_von_mises_on_a_circle(sampler: str) -> None:
    """E cos k(θ − μ) = I_k(κ)/I_0(κ), within five standard errors; μ at the seam, where a mean of angles says 0."""
    kappa, mean = 2.0, math.pi
    target = Density(
        lambda x: kappa * (x[:, 0] - mean).cos() - 0.5 * x[:, 1].square(), (2,), support=["circle", "real"]
    )
    draw = make("sampler", sampler).fit(target).draw(1_000, seed=0)
    angle = draw.samples[:, 0].double()
    assert float(angle.abs().max()) <= math.pi * (1 + 1e-6)
    for k in (1, 2):
        seen = (k * (angle - mean)).cos()
        share = 1.0 if sampler == "hmc" else draw.diagnostics["ess"]
        error = 5 * float(seen.std()) / math.sqrt(share * len(seen))
        assert float(seen.mean()) == pytest.approx(special.iv(k, kappa) / special.i0(kappa), abs=error)
    if sampler == "smc":
        truth = math.log(2 * math.pi * special.i0(kappa)) + 0.5 * math.log(2 * math.pi)
        assert draw.diagnostics["log_z"] == pytest.approx(truth, abs=5 * draw.diagnostics["log_z_std"])


def test_there_is_no_density_off_the_support_and_the_function_is_not_asked() -> None:
    def log_prob(x: Tensor) -> Tensor:
        assert (x > 0).all()
        return -x.sum(1) + x.log().sum(1)

    target = Density(log_prob, (2,), support=constraints.positive)
    x = torch.tensor([[1.0, 2.0], [-1.0, 2.0], [1.0, 0.0], [math.nan, 1.0]])
    assert target.log_prob(x).tolist()[1:] == [-math.inf] * 3
    score = target.score(x)
    torch.testing.assert_close(score[0], 1 / x[0] - 1)
    assert score.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_far_flat_coordinates_stay_inside(dtype: torch.dtype) -> None:
    support = support_of(["positive", "1:", ":1", "0:1", "circle"], (5,))
    assert support is not None
    for value in (-1e4, -80.0, 0.0, 30.0):
        x, _ = support.place(torch.full((1, 6), value, dtype=dtype))
        assert x.dtype == dtype
        assert support.contains(x).all(), value


def test_chains_in_double_precision_keep_it() -> None:
    target = Density(lambda x: -x.sum(1), (1,), support="positive")
    start = torch.full((4, 1), 1.5, dtype=torch.float64)
    assert (
        make("sampler", "hmc", sampling_steps=20, warmup_steps=5).fit(target).draw(4, start=start).samples.dtype
        == torch.float64
    )
    wide = Density(Dirichlet(torch.tensor([1.0, 2.0], dtype=torch.float64)))
    assert make("sampler", "mala", sampling_steps=250).fit(wide).draw(8).samples.dtype == torch.float64
    assert Density(LKJCholesky(3)).flat_dim == 3


@pytest.mark.parametrize(
    ("support", "message"),
    [
        ("positiv", r"support is 'positiv'; expected 'real', 'positive'.*'LOW:HIGH', with LOW or HIGH left out"),
        ("2:1", "coordinate 0 is from 2 to 1; expected low < high"),
        (["real"], "support names 1 coordinates; expected 2"),
        (["real", "simplex"], "support of coordinate 1 is simplex, which is not one of a single coordinate"),
        (constraints.nonnegative_integer, "which is discrete"),
        (constraints.positive_definite, "knows no bijection"),
        (constraints.greater_than(torch.zeros(3)), "borders do not fit event_shape"),
        (3.0, "support is 3.0; expected 'real'"),
    ],
)
def test_what_is_refused(support: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Density(lambda x: -x.square().sum(1), (2,), support=support)


def test_everywhere_is_no_support() -> None:
    assert support_of(["real", constraints.real], (2,)) is None
    assert support_of(constraints.real_vector, (2,)) is None


def off(inside: Tensor, value: Tensor) -> Tensor:
    return torch.where(inside, value, -torch.inf)


BORDERS = {
    "one of three": (
        lambda x: off(x[:, 2] > 0, -x.square().sum(1)),
        (3,),
        r"a border at 0 in coordinate 2: pass support=\['real', 'real', 'positive'\]\.",
    ),
    "box": (
        lambda x: off(((x > 0) & (x < 1)).all(1), -x.sum(1)),
        (2,),
        r"border at 0 in coordinate 0; at 1 in coordinate 0; .* pass support='unit_interval'",
    ),
    "angle": (lambda x: off((x.abs() < math.pi).all(1), x.cos().sum(1)), (1,), r"'circle' for coordinate 0 if it is"),
    "disc": (lambda x: off(x.norm(dim=1) < 2, -x.square().sum(1)), (2,), "not at one value of one coordinate"),
}


@pytest.mark.parametrize("name", BORDERS)
def test_borders_are_named(name: str) -> None:
    log_prob, shape, message = BORDERS[name]
    density = FlatDensity(Density(log_prob, shape))
    z = 2 * normal(4_000, shape[0], name).float()
    z = z[density.log_prob(z).isfinite()][:500]
    assert re.search(message, told := name_border(density, z, seed=0)), told


def test_judge_names_the_border_and_is_right_with_the_support() -> None:
    def log_prob(x: Tensor) -> Tensor:
        return off(x[:, 0] > 0, -0.5 * x[:, 0].square())

    without = judge(Density(log_prob, (1,)), ["hmc"], n=200, seconds=0)
    assert "a border at 0 in coordinate 0: pass support='positive'" in without.summary
    found = judge(Density(log_prob, (1,), support="positive"), ["smc", "hmc"], n=400, seconds=0)
    assert "border" not in found.summary
    assert found.recommended
    assert found.samples is not None
    assert stats.kstest(found.samples[:, 0].double().numpy(), stats.halfnorm.cdf).pvalue > 1e-4
    assert found.log_z is not None
    assert found.log_z[0] == pytest.approx(0.5 * math.log(math.pi / 2), abs=5 * found.log_z[1])


def test_an_improper_density_with_a_border_is_told() -> None:
    with pytest.raises(DensityError, match="improper"):
        judge(Density(lambda x: -x.log().sum(1), (1,), support="positive"), ["smc"], n=200)


def test_the_command_line_takes_a_support() -> None:
    found = as_target(lambda x: x.sum(1), 2, "mine.py:f", "circle,0:2")
    assert found.flat_dim == 3
    assert as_target(lambda x: x.sum(1), 2, "mine.py:f", "simplex").flat_dim == 1
    with pytest.raises(ConfigurationError, match=r"--support is 'positive', but mine\.py:f is no plain function"):
        as_target(Beta(1.0, 1.0), None, "mine.py:f", "positive")


def test_values_of_flat_coordinates_are_not_given_as_those_of_x() -> None:
    target = Density(lambda x: -x.sum(1), (1,), support="positive")
    model = make("sampler", "vgs", steps=2, sampling_steps=2).fit(target)
    assert (model.sample(8) > 0).all()
    with pytest.raises(ConfigurationError, match="has a support"):
        model.score(torch.ones(3, 1))
