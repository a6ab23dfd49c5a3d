"""Bellman diffusion in a density: its mobilities, the balance of its steps, the laws that its chains end in.

Statistical checks are at 4 standard errors of independent draws: a false alarm in 16,000 for each number checked.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import scipy.stats
import torch
from torch import Tensor
from torch.distributions import MultivariateNormal

from phys_bellman.density import BellmanDensity, growth_of, scatter_factor
from phys_bellman.mobility import MOBILITIES, Flat, Mobility, step
from phys_samplers import Density, make
from phys_samplers.chains import mala
from phys_samplers.chains.mala import MALAState
from phys_samplers.errors import ConfigurationError, DivergenceError
from phys_samplers.laws import StandardNormal
from phys_samplers.randomness import make_generator
from phys_samplers.target import Target

DIM = 3
KERNELS = sorted(MOBILITIES)
GROWTH = torch.tensor(0.7, dtype=torch.float64)


def log_prob(u: Tensor) -> Tensor:
    """A skewed, heavy-tailed law of no symmetry."""
    shifted = u - torch.tensor([0.3, -0.2, 0.5])[: u.shape[-1]].to(u)
    return (
        -2.5 * (shifted.square() / 2).sum(-1).log1p() - 0.8 * (u[..., 0].square() / 3).log1p() + 0.3 * u[..., 0].sin()
    )


def derivative(function: Callable[[Tensor], Tensor], u: Tensor) -> Tensor:
    """∂f/∂u_k (n, …, D) of a function of rows (n, D) → (n, …), by autograd."""
    u = u if u.requires_grad else u.detach().requires_grad_()
    values = function(u)
    parts = [torch.autograd.grad(v.sum(), u, create_graph=True)[0] for v in values.flatten(1).unbind(1)]
    return torch.stack(parts, 1).view(*values.shape, u.shape[1])


def score(u: Tensor) -> Tensor:
    return derivative(lambda x: log_prob(x).unsqueeze(1), u)[:, 0].detach()


def mobility(name: str) -> Mobility:
    each = torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64)
    return MOBILITIES[name](GROWTH * each if name == "coordinate" else GROWTH)


def matrix(name: str, u: Tensor) -> Tensor:
    """M (n, D, D) at points u (n, D), as the text of the module has it."""
    growth, square = mobility(name).growth, u.square().sum(1)[:, None, None]
    one, outer = torch.eye(u.shape[1], dtype=u.dtype), u[:, :, None] * u[:, None, :]
    if name == "growing":
        return (1 + growth * square) * one
    if name == "rank-one":
        return one + growth * outer
    if name == "coordinate":
        return torch.diag_embed(1 + growth * u.square())
    along, rho = outer / square, (growth * square).sqrt().asinh() / growth.sqrt()
    return (1 + growth * square) * along + square / rho**2 * (one - along)


def matrix_divergence(name: str, u: Tensor) -> Tensor:
    """∇·M (n, D), with ∂_k M_ij in (n, i, j, k)."""
    return derivative(lambda x: matrix(name, x), u).diagonal(dim1=2, dim2=3).sum(2).detach()


def points(n: int, label: str) -> Tensor:
    return 2 * torch.randn(n, DIM, generator=make_generator(0, label), dtype=torch.float64)


@pytest.mark.parametrize("name", KERNELS)
def test_powers_determinants_and_divergences_are_those_of_the_matrix(name: str) -> None:
    u, v = points(20, "points"), points(20, "vectors")
    kernel, full = mobility(name), matrix(name, u)
    torch.testing.assert_close(kernel.root(u, v, 2.0), (full @ v.unsqueeze(2)).squeeze(2))
    torch.testing.assert_close(kernel.root(u, kernel.root(u, v)), kernel.root(u, v, 2.0))
    torch.testing.assert_close(kernel.root(u, kernel.root(u, v, -1.0)), v)
    torch.testing.assert_close(2 * kernel.half_log_det(u), torch.logdet(full))
    torch.testing.assert_close(kernel.divergence(u), matrix_divergence(name, u))


@pytest.mark.parametrize("name", ["radial", "coordinate"])
@pytest.mark.parametrize("growth", [0.0, 0.7])
def test_flat_diffusions_are_langevin_dynamics_in_other_coordinates(name: str, growth: float) -> None:
    """By Itô's formula: b = J∇_y log p_y + Δφ, and M = JJᵀ."""
    kernel = MOBILITIES[name](torch.full((DIM,) if name == "coordinate" else (), growth, dtype=torch.float64))
    assert isinstance(kernel, Flat)
    y = points(20, "points")

    def lifted(y: Tensor) -> Tensor:
        return (log_prob(kernel.outward(y)) + torch.linalg.slogdet(derivative(kernel.outward, y))[1]).unsqueeze(1)

    u, jacobian = kernel.outward(y), derivative(kernel.outward, y).detach()
    torch.testing.assert_close(kernel.inward(u), y)
    height, slope = kernel.lift(u, log_prob(u), score(u))
    torch.testing.assert_close(height, lifted(y.detach().requires_grad_()).squeeze(1).detach())
    torch.testing.assert_close(slope, derivative(lifted, y)[:, 0].detach())
    torch.testing.assert_close(kernel.root(u, y), (jacobian @ y.unsqueeze(2)).squeeze(2))
    hessian = derivative(lambda point: derivative(kernel.outward, point), y).detach()
    laplacian = hessian.diagonal(dim1=2, dim2=3).sum(2)
    expected = (jacobian @ slope.unsqueeze(2)).squeeze(2) + laplacian
    torch.testing.assert_close(kernel.drift(u, score(u)), expected, atol=1e-7, rtol=1e-7)


def accept(kernel: Mobility, u: Tensor, there: Tensor, h: float) -> tuple[Tensor, Tensor]:
    """log q(there|u), from a formula of its own, and the acceptance probability that the sampler's step gives it."""
    name, uniform = kernel.name, torch.zeros(len(u), dtype=u.dtype)
    if isinstance(kernel, Flat):

        def lift(y: Tensor) -> tuple[Tensor, Tensor]:
            point = kernel.outward(y)
            return kernel.lift(point, log_prob(point), score(point))

        y, end = kernel.inward(u), kernel.inward(there)
        state = mala.init(y, lift)
        noise = (end - y - h * state.score) / math.sqrt(2 * h)
        _, info = mala.step(state, lift, step_size=h, noise=noise, log_uniform=uniform)
        volume = 0.5 * torch.logdet(matrix(name, there))  # du = M^{1/2} dy
        density = -0.5 * noise.square().sum(1) - DIM / 2 * math.log(4 * math.pi * h) - volume
    else:
        state = MALAState(u, log_prob(u), score(u))
        full = matrix(name, u)
        mean = u + h * (matrix_divergence(name, u) + (full @ state.score.unsqueeze(2)).squeeze(2))
        density = MultivariateNormal(mean, 2 * h * full).log_prob(there)
        noise = kernel.root(u, (there - mean) / math.sqrt(2 * h), -1.0)
        _, info = step(state, lambda x: (log_prob(x), score(x)), kernel, step_size=h, noise=noise, log_uniform=uniform)
    return density, info.acceptance


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("h", [0.05, 0.4])
def test_every_kernel_is_in_detailed_balance(name: str, h: float) -> None:
    """p(u) q(u'|u) α(u, u') = p(u') q(u|u') α(u', u) to ten digits, with proposal densities of another formula."""
    kernel, u = mobility(name), points(200, "from")
    there = u + 0.5 * points(200, "to")
    away, accepted = accept(kernel, u, there, h)
    back, returned = accept(kernel, there, u, h)
    flow, counterflow = log_prob(u) + away + accepted.log(), log_prob(there) + back + returned.log()
    sensible = (accepted > 1e-200) & (returned > 1e-200)
    assert sensible.sum() > 150
    assert (flow - counterflow)[sensible].abs().max() < 1e-10
    assert ((accepted < 1) != (returned < 1)).float().mean() > 0.95  # one of the two ways is always taken
    assert (accepted < 0.95).sum() > 20


def student(nu: int, dim: int, *, product: bool) -> tuple[Target, Callable[[int, str], Tensor]]:
    """A Student-t law with independent coordinates or a spherical one, and its exact draws."""

    def height(x: Tensor) -> Tensor:
        if product:
            return -(nu + 1) / 2 * (x.square() / nu).log1p().sum(1)
        return -(nu + dim) / 2 * (x.square().sum(1) / nu).log1p()

    def draw(n: int, label: str) -> Tensor:
        generator = make_generator(0, label)
        size = (n, dim if product else 1)
        squares = torch.randn(*size, nu, generator=generator).square().sum(2)
        return torch.randn(n, dim, generator=generator) / (squares / nu).sqrt()

    return Density(height, event_shape=(dim,), name="student"), draw


def worst(kernel: str, product: bool, n: int = 20_000) -> float:
    """Largest gap of twelve expectations between exact draws and where four steps lead from others, in errors."""
    target, draw = student(3, DIM, product=product)
    recipe = BellmanDensity(kernel=kernel, growth=0.5, warmup_steps=0, sampling_steps=4, step_size=0.4)
    x = recipe.fit(target).sample(n, seed=1, start=draw(n, "start"))

    def features(x: Tensor) -> Tensor:
        x = x.double()
        r = x.square().sum(1, keepdim=True)
        return torch.cat(
            [x.tanh(), x.abs().log1p(), r.log1p(), (r > 30).double(), (r < 1).double(), (x.abs() > 3).double()], 1
        )

    here, there = features(x), features(draw(n, "exact"))
    return float(((here.mean(0) - there.mean(0)) / ((here.var(0) + there.var(0)) / n).sqrt()).abs().max())


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("product", [True, False])
def test_exact_draws_stay_exact_under_long_steps_of_every_kernel(
    kernel: str, product: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twelve numbers at 4 standard errors each; a step that forgets the determinant of M is seen at more than 8."""
    assert worst(kernel, product) < 4
    monkeypatch.setattr(MOBILITIES[kernel], "half_log_det", lambda self, u: 0 * u[:, 0])
    assert worst(kernel, product) > 8


def test_growth_is_read_off_the_gradient_of_a_student_law() -> None:
    levels = (torch.arange(4_000) + 0.5) / 4_000
    for nu in (1.0, 3.0, 10.0):
        u = torch.from_numpy(scipy.stats.t(nu).ppf(levels.numpy())).double().unsqueeze(1)
        growth, weight = growth_of(u.square(), (nu + 1) * u.square() / (nu + u.square()))
        assert growth.item() == pytest.approx(1 / nu, rel=0.35)
        assert weight.item() == pytest.approx(nu / (nu + 1), rel=0.35)
    growth, weight = growth_of(u.square(), 4 * u.square())
    assert growth.item() == pytest.approx(0.0, abs=1e-6)
    assert weight.item() == pytest.approx(0.25)


@pytest.mark.parametrize(("product", "kernel"), [(True, "coordinate"), (False, "radial")])
def test_the_kernel_and_the_frame_are_found(product: bool, kernel: str) -> None:
    """Of t₃ at (5, −5, 5, …) in units of 10; the mobility is near that of Pearson's diffusion, c = 1/ν."""
    inner, _ = student(3, 6, product=product)
    centre = 5.0 * torch.tensor([1.0, -1.0] * 3)
    target = Density(lambda x: inner.law.log_prob((x - centre) / 10), event_shape=(6,))
    facts = BellmanDensity(sampling_steps=80, warmup_steps=40).fit(target).draw(2_000, seed=1).diagnostics
    assert facts["kernel"] == kernel
    assert facts["misfit"][kernel] < 0.02 < facts["misfit"][{"radial": "coordinate", "coordinate": "radial"}[kernel]]
    unit = 0.7649 / 0.6745  # the median of |t₃|, by which coordinates are scaled
    assert facts["growth"] == pytest.approx(unit**2 / 3, rel=0.25)
    assert facts["acceptance"] == pytest.approx(0.574, abs=0.1)


def test_on_a_gaussian_it_is_mala() -> None:
    target = Target(event_shape=(6,), law=StandardNormal(6))
    n = 4_000
    draw = BellmanDensity(sampling_steps=80, warmup_steps=40).fit(target).draw(n, seed=1)
    assert draw.diagnostics["growth"] < 0.02
    x = draw.samples
    assert (x.mean(0).abs() < 4 / math.sqrt(n)).all()
    assert ((x.var(0) - 1).abs() < 4 * math.sqrt(2 / n)).all()


def test_one_chain_in_a_gaussian_reads_no_growth_off_itself() -> None:
    target = Target(event_shape=(3,), law=StandardNormal(3))
    for seed in range(3):
        draw = BellmanDensity(sampling_steps=60, warmup_steps=40).fit(target).draw(1, seed=seed)
        assert draw.diagnostics["growth"] < 0.02


def test_scales_that_chains_have_not_spread_to_are_read_off_gradients() -> None:
    """Of N(0, diag) with deviations from .01 to 100, from starts in N(0, I): medians of the starts would say 1."""
    scale = torch.logspace(-2, 2, 10)
    target = Density(lambda x: -(x / scale).square().sum(1) / 2, event_shape=(10,))
    recipe = BellmanDensity(sampling_steps=120, warmup_steps=40, prior_std=1.0)
    x = recipe.fit(target).sample(2_000, seed=1)
    assert (x.std(0) / scale).sub(1).abs().max() < 0.1


def test_tails_without_a_variance_are_reached_where_mala_does_not() -> None:
    """Student-t with one degree of freedom in 10-D, 60 gradients: how much of P(|x_i| > 50) = .0127 is there."""
    target, _ = student(1, 10, product=False)
    options: dict[str, Any] = {"sampling_steps": 60, "warmup_steps": 20, "prior_std": 1.0}
    n, exact = 1_000, 2 / math.pi * math.atan(1 / 50)
    names = ("bellman-density", "mala")
    samples = [make("sampler", name, **options).fit(target).sample(n, seed=1) for name in names]
    shares = [float((x.abs() > 50).float().mean()) / exact for x in samples]
    assert 0.5 < shares[0] < 1.5
    assert shares[1] < 0.1


def test_scatter_knows_correlations_of_laws_without_moments() -> None:
    """Of a multivariate Cauchy law: its matrix up to size; an entry has a standard error of about .02."""
    root = torch.tensor([[1.0, 0.0], [0.9, 0.3]], dtype=torch.float64)
    generator, n = make_generator(0, "cauchy"), 10_000
    z = torch.randn(n, 2, generator=generator, dtype=torch.float64) @ root.T
    x = z / torch.randn(n, 1, generator=generator, dtype=torch.float64).abs()
    factor = scatter_factor(x)
    seen, exact = factor @ factor.T, root @ root.T
    torch.testing.assert_close(seen / seen[0, 0], exact / exact[0, 0], atol=0.08, rtol=0.0)


def test_a_full_frame_takes_longer_steps_in_a_correlated_law() -> None:
    root = torch.linalg.cholesky(0.9 * torch.ones(5, 5) + 0.1 * torch.eye(5))
    inverse = torch.linalg.inv(root)
    inner, _ = student(3, 5, product=False)
    target = Density(lambda x: inner.law.log_prob(x @ inverse.T), event_shape=(5,))
    recipe = BellmanDensity(sampling_steps=80, warmup_steps=40, prior_std=1.0)
    steps = [
        recipe.with_options(frame=frame).fit(target).draw(1_000, seed=1).diagnostics["step_size"]
        for frame in ("diagonal", "full")
    ]
    assert steps[1] > 3 * steps[0]


@pytest.mark.parametrize("n", [1, 3, 20])
@pytest.mark.parametrize("frame", ["diagonal", "full"])
def test_a_few_chains_do(n: int, frame: str) -> None:
    target, _ = student(3, 4, product=True)
    draw = BellmanDensity(sampling_steps=30, warmup_steps=10, frame=frame).fit(target).draw(n, seed=1)
    assert draw.samples.shape == (n, 4)
    assert draw.samples.isfinite().all()
    assert 0 <= draw.diagnostics["growth"] <= 10


@pytest.mark.parametrize("kernel", ["auto", *KERNELS])
def test_one_gradient_a_step_is_asked_and_one_at_the_start(kernel: str) -> None:
    calls = []

    def height(x: Tensor) -> Tensor:
        calls.append(len(x))
        return -2 * (x.flatten(1).square() / 3).log1p().sum(1)

    recipe = BellmanDensity(kernel=kernel, sampling_steps=20, warmup_steps=8, ascent_steps=0)
    draw = recipe.fit(Density(height, event_shape=(2, 2))).draw(50, seed=1)
    assert draw.nfe == len(calls) == 21
    assert draw.samples.shape == (50, 2, 2)


def test_positions_far_out_are_no_divergence_but_a_start_without_density_is() -> None:
    """Of a law so heavy-tailed that positions beyond 10⁶, lost elsewhere, are as common as 3 in 100."""
    target = Density(lambda x: -(0.25 + 1) / 2 * (x.square() / 0.25).log1p().sum(1), event_shape=(1,))
    x = BellmanDensity(sampling_steps=150, warmup_steps=40).fit(target).sample(2_000, seed=1)
    assert (x.abs() > 1e6).any()
    nowhere = Density(lambda x: torch.where(x[:, 0] > 1e4, 0.0 * x[:, 0], -torch.inf), event_shape=(1,))
    with pytest.raises(DivergenceError, match=r"9 of 9 particles.*prior_std"):
        BellmanDensity(sampling_steps=30, warmup_steps=10).fit(nowhere).sample(9)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kernel": "gaussian"}, "kernel is 'gaussian'"),
        ({"growth": -0.1}, "growth is -0.1"),
        ({"frame": "round"}, "frame is 'round'"),
        ({"warmup_steps": 1_000}, "expected fewer warm-up steps"),
    ],
)
def test_bad_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        BellmanDensity(**options)
