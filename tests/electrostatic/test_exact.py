"""The exact fields of finitely many rows."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from phys_electrostatic import EmpiricalDenoiser, GeometricSchedule, empirical_flow, poisson_field
from phys_electrostatic.pfgm import _displacement, normalised_field
from phys_samplers.integrators import RK4, Dopri5, EDMHeun, Heun, integrate
from phys_samplers.randomness import make_generator
from phys_samplers.schedules import EDMSchedule

ROWS = torch.randn(7, 2, generator=make_generator(0, "rows"), dtype=torch.float64)
X = 2 * torch.randn(50, 2, generator=make_generator(1, "x"), dtype=torch.float64)
Z = torch.logspace(-2, 1, 50, dtype=torch.float64)


def test_the_field_is_the_sum_over_charges() -> None:
    for x, z, found in zip(X[:5], Z[:5], poisson_field(X[:5], Z[:5], ROWS), strict=True):
        total = torch.zeros(3, dtype=torch.float64)
        for row in ROWS:
            step = torch.cat((x - row, z.view(1)))
            total += step / step.norm() ** 3 / (4 * math.pi) / len(ROWS)
        torch.testing.assert_close(found, total)


def test_the_field_is_minus_the_gradient_of_the_potential() -> None:
    """N = 2: φ = mean 1/(4π |x̃ − x̃_i|) in three dimensions, by central differences."""

    def potential(point: Tensor) -> Tensor:
        charges = torch.cat((ROWS, torch.zeros(len(ROWS), 1, dtype=torch.float64)), 1)
        return (point.unsqueeze(1) - charges).norm(dim=-1).reciprocal().mean(1) / (4 * math.pi)

    z = Z.clamp(min=0.1)
    points, h = torch.cat((X, z.unsqueeze(1)), 1), 1e-5
    steps = h * torch.eye(3, dtype=torch.float64)
    gradient = torch.stack([(potential(points + e) - potential(points - e)) / (2 * h) for e in steps], 1)
    torch.testing.assert_close(poisson_field(X, z, ROWS), -gradient, rtol=1e-5, atol=1e-8)


def test_the_flux_through_a_plane_is_half_the_charge() -> None:
    """Gauss: one half of the field lines of a charge 1 pass each plane z > 0."""
    x = torch.linspace(-200, 200, 100_001, dtype=torch.float64)
    row = torch.zeros(1, 1, dtype=torch.float64)
    field = poisson_field(x.unsqueeze(1), torch.full_like(x, 0.5), row)[:, 1]
    assert float(torch.trapezoid(field, x)) == pytest.approx(0.5, abs=2e-3)  # arctan(200/.5)/π = .4992


def test_pfgmpp_with_one_dimension_has_the_direction_of_pfgm() -> None:
    field = poisson_field(X, Z, ROWS)
    clean = torch.stack([EmpiricalDenoiser(ROWS, 1.0)(x.view(1, 2), float(z))[0] for x, z in zip(X, Z, strict=True)])
    other = torch.cat((X - clean, Z.unsqueeze(1)), 1)
    torch.testing.assert_close(other / other.norm(dim=1, keepdim=True), field / field.norm(dim=1, keepdim=True))


@pytest.mark.parametrize("gamma", [0.2, 3.0])
def test_the_displacement_comes_back_from_the_normalised_field(gamma: float) -> None:
    """Below z = γ from the norm of v_x alone (App. B.5.2), above from the quotient; both are exact."""
    true = X - EmpiricalDenoiser(ROWS, 1.0)(X, 1.0)
    v = normalised_field(true, Z, gamma) / math.sqrt(2)
    found = _displacement(v[:, :-1], v[:, -1:], Z.unsqueeze(1), gamma)
    torch.testing.assert_close(found, -true, rtol=1e-6, atol=1e-9)
    wrong = v[:, -1:] * 0.5
    below = gamma > Z
    torch.testing.assert_close(_displacement(v[:, :-1], wrong, Z.unsqueeze(1), gamma)[below], -true[below])


def test_far_away_all_rows_are_one_charge() -> None:
    x, z = 1e4 * X, 1e4 * Z
    expected = torch.cat((x - ROWS.mean(0), z.unsqueeze(1)), 1)
    field = poisson_field(x, z, ROWS)
    torch.testing.assert_close(
        field / field.norm(dim=1, keepdim=True), expected / expected.norm(dim=1, keepdim=True), rtol=1e-3, atol=1e-4
    )


@pytest.mark.parametrize("aux_dim", [1.0, 2.0, 8.0, 128.0, None])
@pytest.mark.parametrize("integrator", [Heun(), RK4(), Dopri5(), EDMHeun()], ids=lambda i: i.name)
def test_samples_fall_on_the_rows_with_the_right_weights(aux_dim: float | None, integrator: object) -> None:
    """One row of weight 3/4 and one of 1/4. The standard error at 2,000 draws is below 0.01; the bound is 5 of them."""
    rows = torch.tensor([[-1.0, 0.0], [-1.0, 0.0], [-1.0, 0.0], [2.0, 1.0]], dtype=torch.float64)
    schedule = GeometricSchedule(sigma_max=100.0) if aux_dim == 1 else EDMSchedule()
    by_denoising = isinstance(integrator, EDMHeun)
    flow = empirical_flow(rows, aux_dim=aux_dim, schedule=schedule, by_denoising=by_denoising)
    start = flow.prior(2_000, make_generator(5, str(aux_dim)))
    times = schedule.grid(60, to_zero=by_denoising)
    grid = tuple(map(schedule.ratio, times)) if by_denoising else times
    x = integrate(flow, start, integrator=integrator, grid=grid, bound=math.inf).x  # type: ignore[arg-type]
    if not by_denoising:
        # at the last level the law is still that of the rows with heavy-tailed noise, which one more step takes out
        x = EmpiricalDenoiser(rows, aux_dim)(x, schedule.ratio(schedule.end))
    distance = torch.cdist(x, rows[2:])
    # a path that ends halfway between two rows belongs to neither; so do at most 2 of 2,000
    assert int((distance.min(1).values > 0.1).sum()) <= 2
    assert float((distance.argmin(1) == 0).double().mean()) == pytest.approx(0.75, abs=0.05)
