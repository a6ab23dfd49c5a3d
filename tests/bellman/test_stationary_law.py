"""Which law is stationary under dx = g dt + √s dW: a Fokker–Planck solve in 1-D with exact fields, no sampling.

The generator is discretised with exponentially fitted fluxes (Scharfetter–Gummel); its null vector is the stationary
law on the grid.
"""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sparse
import torch

from phys_bellman.exact import ExactFields
from phys_bellman.fields import CappedFields
from phys_bellman.kernels import ConstantKernel, GaussianKernel, Kernel, SliceAverageKernel
from phys_samplers.laws import GaussianMixture
from phys_samplers.target import Target

GRID = np.linspace(-6.0, 6.0, 4001)


def target() -> Target:
    law = GaussianMixture(
        torch.tensor([[-1.5], [1.0]], dtype=torch.float64),
        torch.tensor([0.3, 0.5], dtype=torch.float64),
        torch.tensor([0.3, 0.7], dtype=torch.float64),
    )
    return Target(event_shape=(1,), law=law)


def exact_fields(kernel: Kernel) -> tuple[ExactFields, torch.Tensor]:
    points = torch.from_numpy(GRID)[:, None]
    weights = target().log_prob(points).exp()
    return ExactFields(target(), kernel, points, weights / weights.sum()), points


def stationary(g: np.ndarray, s: np.ndarray) -> np.ndarray:
    """The normalised null vector of ρ ↦ −(gρ)' + ½(sρ)'' with no flux through the ends."""
    h = GRID[1] - GRID[0]
    # In u = sρ the flux is (g/s)u − ½u'; between two nodes with constant g/s it is solved exactly.
    w = 2 * h * 0.5 * ((g / s)[1:] + (g / s)[:-1])
    bernoulli = np.where(np.abs(w) < 1e-8, 1 - w / 2, w / np.expm1(w))
    up, down = 0.5 / h * (bernoulli + w), 0.5 / h * bernoulli
    # No flux through the ends of a line means no flux anywhere: u[i+1] = u[i] up/down, in logarithms for the tails.
    log_rho = np.concatenate([[0.0], np.cumsum(np.log(up / down))]) - np.log(s)
    rho = np.exp(log_rho - log_rho.max())
    rho /= rho.sum() * h
    n = len(GRID)
    flux = sparse.diags([up, -down], [0, 1], shape=(n - 1, n))
    divergence = sparse.diags([np.ones(n - 1), -np.ones(n - 1)], [0, -1], shape=(n, n - 1))
    generator = -(divergence @ flux) @ sparse.diags(s)
    assert np.abs(generator @ rho).max() < 1e-9 * (np.abs(generator) @ rho).max()
    return rho


def w2(rho: np.ndarray, pi: np.ndarray) -> float:
    """W2 of two densities on the grid, by quantile functions."""
    levels = (np.arange(20_000) + 0.5) / 20_000
    quantiles = []
    for density in (rho, pi):
        cdf = np.cumsum((density[1:] + density[:-1]) / 2)
        quantiles.append(np.interp(levels, np.concatenate([[0], cdf / cdf[-1]]), GRID))
    return float(np.sqrt(np.mean((quantiles[0] - quantiles[1]) ** 2)))


KERNELS = [
    pytest.param(GaussianKernel(epsilon=0.01), id="gaussian-0.01"),
    pytest.param(GaussianKernel(epsilon=0.1), id="gaussian-0.1"),
    pytest.param(GaussianKernel(epsilon=1.0), id="gaussian-1"),
    pytest.param(GaussianKernel(epsilon=0.1, normalised=True), id="gaussian-normalised"),
    pytest.param(SliceAverageKernel(epsilon=0.1), id="slice-average"),
    pytest.param(ConstantKernel(), id="constant"),
]


@pytest.mark.parametrize("kernel", KERNELS)
def test_target_is_stationary_for_every_mobility(kernel: Kernel) -> None:
    fields, points = exact_fields(kernel)
    s, g = fields(points)
    rho = stationary(g[:, 0].numpy(), s.numpy())
    assert w2(rho, target().log_prob(points).exp().numpy()) < 1e-3


@pytest.mark.parametrize("kernel", KERNELS[:5])
def test_pairing_s_with_its_own_gradient_keeps_the_blurred_law(kernel: Kernel) -> None:
    """The classic mistake: (∇q, q) has q as its stationary law, not p."""
    fields, points = exact_fields(kernel)
    q, slope = fields.mobility(points)
    rho = stationary(slope[:, 0].numpy(), q.numpy())
    p = target().log_prob(points).exp().numpy()
    assert w2(rho, q.numpy()) < 1e-3
    assert w2(rho, p) > 5e-3


def test_state_dependent_step_samples_s_times_p() -> None:
    """The step η/s is dx = (g/s) dt + dW, whose density is s·p: 2g/s = ∇log(pq). With noise √2 it would be √(pq)."""
    fields, points = exact_fields(GaussianKernel(epsilon=0.1))
    q, g = fields(points)
    p = target().log_prob(points).exp().numpy()
    rho = stationary((g[:, 0] / q).numpy(), np.ones(len(GRID)))
    assert w2(rho, p * q.numpy()) < 1e-3
    assert w2(rho, p) > 5e-3


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("share", [0.1, 1.0])
def test_a_capped_mobility_keeps_the_law_and_a_smaller_step_does_not(kernel: Kernel, share: float) -> None:
    """The pair (s h, h g + ½ s h'∇s), h = 1/(1 + s/c), keeps p; the step η h alone has drift h g: it samples p/h."""
    fields, points = exact_fields(kernel)
    s, g = fields(points)
    cap = share * float(s.max())
    m, drift = CappedFields(lambda x: (*fields(x), fields.mobility(x)[1]), cap)(points)
    p = target().log_prob(points).exp().numpy()
    assert float(m.max()) < cap
    assert w2(stationary(drift[:, 0].numpy(), m.numpy()), p) < 1e-3
    h = 1 / (1 + s / cap)
    naive = stationary((h * g[:, 0]).numpy(), m.numpy())
    assert w2(naive, p / h.numpy()) < 1e-3
    if not isinstance(kernel, ConstantKernel):
        assert w2(naive, p) > 5e-3


def test_a_cap_keeps_the_law_of_fields_that_are_no_pair_of_anything() -> None:
    """Learned fields are not exact: whatever law they have, the capped ones have it too."""
    fields, points = exact_fields(GaussianKernel(epsilon=0.1))
    q, slope = fields.mobility(points)
    _, g = fields(points)
    g = g + 0.1 * torch.sin(3 * points) * q[:, None]
    m, drift = CappedFields(lambda x: (q, g, slope), 0.2 * float(q.max()))(points)
    assert w2(stationary(drift[:, 0].numpy(), m.numpy()), stationary(g[:, 0].numpy(), q.numpy())) < 1e-3


@pytest.mark.parametrize("kernel", KERNELS)
def test_only_two_g_minus_grad_s_over_s_is_the_score(kernel: Kernel) -> None:
    fields, points = exact_fields(kernel)
    inside = points[500:-500]
    s, g = fields(inside)
    _, slope = fields.mobility(inside)
    torch.testing.assert_close((2 * g - slope) / s[:, None], target().score(inside), rtol=1e-6, atol=1e-6)


def test_closed_form_mobility_is_the_kernel_mean() -> None:
    for normalised in (False, True):
        kernel = GaussianKernel(epsilon=0.2, normalised=normalised)
        by_quadrature, points = exact_fields(kernel)
        closed = ExactFields(target(), kernel)
        # The reference weights sum to one only up to the mass outside the grid and quadrature: 1e-7 here.
        for one, other in zip(closed(points), by_quadrature(points), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-9)
