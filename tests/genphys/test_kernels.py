"""The kernels of the equations: draws, densities and flows against their Fourier transforms and the equations."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.special import jv
from torch import Tensor

from phys_genphys import (
    PDE,
    Diffusion,
    DissipativeWave,
    FractionalDiffusion,
    Helmholtz,
    MixedDiffusionPoisson,
    Poisson,
    ScreenedPoisson,
)
from phys_samplers.errors import ConfigurationError, MissingCapability
from phys_samplers.randomness import Streams

KNOWN = [Diffusion(), Poisson(), ScreenedPoisson(m=0.7), MixedDiffusionPoisson(a=1.3, b=0.8)]
DRAWN = [
    *KNOWN,
    FractionalDiffusion(beta=1 / 3),
    FractionalDiffusion(beta=0.75),
    FractionalDiffusion(beta=1.0),
    DissipativeWave(epsilon=5.0),
]


def name(pde: PDE) -> str:
    return type(pde).__name__


def levels(value: float, *shape: int) -> Tensor:
    return torch.full(shape, value, dtype=torch.float64)


def density(pde: PDE, r: float, level: float, dim: int) -> float:
    return float(pde.log_density(levels(r * r, 1), levels(level, 1), dim).exp())


@pytest.mark.parametrize("pde", DRAWN, ids=name)
@pytest.mark.parametrize("dim", [1, 2, 4])
def test_draws_have_the_transform(pde: PDE, dim: int) -> None:
    """Mean cos(k·x) at five k; 20,000 draws, five standard errors of at most 1/√n each.

    The screened law is drawn as Poisson's, with weights that give the mass; the wave in two dimensions is cut at its
    front, which leaves out a mass of the order of e^{−εt} t/s.
    """
    if isinstance(pde, DissipativeWave) and dim > 2:
        pytest.skip("no density in more than two dimensions")
    n, level = 20_000, 0.8
    x = pde.noise(levels(level, 1, n), dim, Streams([3], "draws"))[0]
    weight = pde.log_importance(x.square().sum(1), levels(level, n), dim)
    w = torch.ones(n, dtype=torch.float64) if weight is None else weight.exp()
    for k in (0.1, 0.5, 1.0, 2.0, 4.0):
        found = float((w * (k * x[:, 0]).cos()).mean())
        wanted = float(pde.transform(levels(k, 1), pde.time(levels(level, 1))))
        assert found == pytest.approx(wanted, abs=5 / math.sqrt(n)), (k, found, wanted)


def hankel(pde: PDE, r: float, t: float, dim: int) -> float:
    """The radial inverse Fourier transform, by 80 panels of 16 Gauss points on [0, K] with p̂(K) < 10⁻¹²."""
    top = 1.0
    while float(pde.transform(levels(top, 1), levels(t, 1))) > 1e-12:
        top *= 1.5
    nodes, weights = np.polynomial.legendre.leggauss(16)
    edges = top * np.linspace(0, 1, 81) ** 2
    half = 0.5 * np.diff(edges)[:, None]
    k, w = (edges[:-1, None] + half * (nodes + 1)).ravel(), (half * weights).ravel()
    value = pde.transform(torch.from_numpy(k), levels(t, 1)).numpy()
    order = 0.5 * dim - 1
    return float((w * value * k ** (0.5 * dim) * jv(order, k * r)).sum() * r ** (-order) / (2 * math.pi) ** (0.5 * dim))


@pytest.mark.parametrize("pde", KNOWN, ids=name)
@pytest.mark.parametrize("dim", [1, 2, 3, 6])
def test_the_density_is_the_transform_turned_back(pde: PDE, dim: int) -> None:
    """The closed forms, that of the mixed equation among them, of which the thesis says that there is none."""
    for level in (0.4, 2.0):
        t = float(pde.time(levels(level, 1)))
        for r in (0.3, 1.0, 2.5):
            assert density(pde, r, level, dim) == pytest.approx(hankel(pde, r, t, dim), rel=1e-6, abs=1e-10)


@pytest.mark.parametrize(("nodes", "error"), [(16, 1e-4), (32, 3e-5)])
def test_the_pull_of_the_mixed_equation_is_its_flux_over_its_density(
    nodes: int, error: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """v = −∇φ/p with φ̂ = 2 e^{−ωt}/(b + √(b² + 4ak²)), by quadrature in k; κ = v dt/dlog σ /r. N = 1, 2, 3."""
    monkeypatch.setattr("phys_genphys.screened.NODES", nodes)
    pde = MixedDiffusionPoisson(a=1.3, b=0.8)

    class Potential(MixedDiffusionPoisson):
        def transform(self, k: Tensor, t: Tensor) -> Tensor:
            return super().transform(k, t) * 2 / (self.b + (self.b**2 + 4 * self.a * k.square()).sqrt())

    phi = Potential(a=1.3, b=0.8)
    for dim in (1, 2, 3):
        for level in (0.3, 1.0, 4.0):
            t, h = float(pde.time(levels(level, 1))), 1e-3
            rate = 2 * t * (1 + pde.m * t) / (2 + pde.m * t)
            for r in (0.5, 1.5, 3.0):
                slope = (hankel(phi, r + h, t, dim) - hankel(phi, r - h, t, dim)) / (2 * h)
                wanted = -slope / density(pde, r, level, dim) * rate / r
                found = float(pde.pull(levels(r * r, 1), levels(level, 1), dim))
                assert found == pytest.approx(wanted, rel=error)


@pytest.mark.parametrize("pde", [*KNOWN, DissipativeWave(epsilon=5.0), Helmholtz(k0=0.3)], ids=name)
@pytest.mark.parametrize("dim", [1, 2])
def test_the_flow_keeps_the_density(pde: PDE, dim: int) -> None:
    """∂p/∂log σ + r^{1−N} ∂(r^{N−1} p κ r)/∂r = g p, by central differences."""
    h, level = 1e-4, 1.1

    def p(r: float, log_level: float) -> float:
        return density(pde, r, math.exp(log_level), dim)

    def flux(r: float) -> float:
        pull = pde.pull(levels(r * r, 1), levels(level, 1), dim)
        return r**dim * p(r, math.log(level)) * (1.0 if pull is None else float(pull))

    for r in (0.4, 1.0, 1.9):
        change = (p(r, math.log(level) + h) - p(r, math.log(level) - h)) / (2 * h)
        outflow = (flux(r + h) - flux(r - h)) / (2 * h) / r ** (dim - 1)
        growth = pde.growth(levels(r * r, 1), levels(level, 1), dim)
        births = 0.0 if growth is None else float(growth) * p(r, math.log(level))
        scale = max(abs(change), abs(outflow))
        assert change + outflow - births == pytest.approx(0.0, abs=1e-4 * scale)
        if growth is not None:
            assert abs(births) > 0.01 * scale, "without births it would not hold"


@pytest.mark.parametrize("pde", KNOWN, ids=name)
def test_the_precision_is_the_slope_of_the_density(pde: PDE) -> None:
    squared, level, h = torch.tensor([0.3, 2.0, 9.0], dtype=torch.float64), levels(0.9, 3), 1e-5
    for dim in (1, 2, 5):
        slope = (pde.log_density(squared + h, level, dim) - pde.log_density(squared - h, level, dim)) / (2 * h)
        torch.testing.assert_close(pde.precision(squared, level, dim), -2 * slope, rtol=1e-6, atol=0)


def test_helmholtz_and_yukawa_become_poisson() -> None:
    squared, level = torch.tensor([0.5, 3.0, 50.0], dtype=torch.float64), levels(1.3, 3)
    for dim in (1, 2, 3, 8):
        wanted = Poisson().log_density(squared, level, dim)
        for pde in (Helmholtz(k0=1e-4), ScreenedPoisson(m=1e-4)):
            torch.testing.assert_close(pde.log_density(squared, level, dim), wanted, rtol=0, atol=1e-4)


def test_helmholtz_ends_at_the_first_zero() -> None:
    pde = Helmholtz(k0=0.2)
    assert pde.reach(2) == pytest.approx(0.5 * math.pi / 0.2)
    inside, outside = ((pde.reach(2) * factor) ** 2 - 1.0 for factor in (0.999, 1.001))
    found = pde.log_density(torch.tensor([inside, outside], dtype=torch.float64), levels(1.0, 2), 2)
    assert found.isfinite().tolist() == [True, False]


def test_the_wave_is_negative_at_its_front_in_two_dimensions() -> None:
    """p < 0 beyond a radius; what lies inside has mass 1 but for e^{−εt} t/s."""
    for epsilon, least in ((5.0, 0.9), (20.0, 1 - 1e-6)):
        pde = DissipativeWave(epsilon=epsilon)
        t = float(pde.time(levels(1.0, 1)))
        edge = math.sqrt(t**2 - float(pde._front(levels(t, 1))) ** 2)
        assert edge < t
        assert density(pde, 0.5 * (edge + t), 1.0, 2) == 0.0
        radii = np.linspace(0, edge, 20_001)[1:-1]
        value = pde.log_density(torch.from_numpy(radii) ** 2, levels(1.0, 19_999), 2).exp().numpy()
        mass = np.trapezoid(2 * math.pi * radii * value, radii)
        assert least < mass < 1.2


def test_what_there_is_not_is_said() -> None:
    with pytest.raises(ConfigurationError, match="expected data of at most 2 coordinates"):
        DissipativeWave().check(3, (0.01, 20.0))
    with pytest.raises(MissingCapability, match="stable_target"):
        FractionalDiffusion().log_density(levels(1.0, 1), levels(1.0, 1), 2)
    with pytest.raises(ConfigurationError, match="beta"):
        FractionalDiffusion(beta=2.0)
    with pytest.raises(ConfigurationError, match="overflow"):
        FractionalDiffusion(beta=0.1)


@pytest.mark.parametrize("dim", [1, 2, 5, 40])
def test_helmholtz_says_the_largest_k0_that_leaves_the_lines_in_its_ball(dim: int) -> None:
    """At the k₀ it names a twentieth of 20,000 lines is beyond the ball at the level, within five standard errors."""
    with pytest.raises(ConfigurationError, match=r"k0 of at most [\d.]+") as refused:
        Helmholtz(k0=0.5).check(dim, (0.01, 20.0))
    pde = Helmholtz(k0=float(str(refused.value).split("at most ")[1].split(",")[0]))
    pde.check(dim, (0.01, 20.0))
    level = levels(20.0, 1, 20_000)
    rho = (pde.noise(level, dim, Streams([1], "lines")).square().sum(-1) + level.square()).sqrt()
    lost = float((rho > pde.reach(dim)).double().mean())
    assert 0.05 - 5 * math.sqrt(0.05 * 0.95 / 20_000) < lost < 0.05 + 5 * math.sqrt(0.05 * 0.95 / 20_000)
    Helmholtz().check(dim, (0.01, 20.0))


def test_the_wave_wants_to_be_damped_at_its_least_level() -> None:
    with pytest.raises(ConfigurationError, match=r"epsilon from 316\.2 on"):
        DissipativeWave(epsilon=40.0).check(2, (0.01, 20.0))
    DissipativeWave(epsilon=317.0).check(2, (0.01, 20.0))
    DissipativeWave(epsilon=40.0).check(2, (0.1, 20.0))


@pytest.mark.parametrize("a", [1e-2, 1e-5, 1e-8])
def test_the_mixed_equation_with_little_of_poisson_is_diffusion_in_single_precision(a: float) -> None:
    pde = MixedDiffusionPoisson(a=a)
    squared, level = torch.tensor([1e-4, 1.0, 9.0]).repeat(3, 1), torch.tensor([[0.3], [1.0], [20.0]]).expand(3, 3)
    for name in ("log_density", "pull"):
        single, double = (getattr(pde, name)(squared.to(t), level.to(t), 2) for t in (torch.float32, torch.float64))
        torch.testing.assert_close(single, double.float(), rtol=1e-4, atol=1e-4)
    if a < 1e-6:
        torch.testing.assert_close(pde.pull(squared, level, 2), torch.ones(3, 3), rtol=2e-3, atol=0)
