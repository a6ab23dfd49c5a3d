"""Systems of particles: energies by hand, scores, symmetries, the subspace, and DW-4 against quadrature.

With particles 1 and 2 of DW-4 a distance d apart, the other two contribute ⟨g_d, K ∗ g_d⟩, where g_d(x) =
e^{−v(|x − x₁|) − v(|x − x₂|)}, K(x) = e^{−v(|x|)}: a convolution in the plane, exact to 1e-8 on a grid of spacing 0.2,
since the integrands are smooth and decay. It gives the law of d, and with it log Z, the mean energy (six pairs are
alike) and the second moment (Σ_i |x_i − x̄|² = ¼ Σ_{i<j} d_ij²).
"""

from __future__ import annotations

import math
import os
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.interpolate import PchipInterpolator
from torch import Tensor

from phys_samplers.density import FlatDensity
from phys_samplers.laws import DoubleWell, LennardJones, PairPotential, zero_mean_basis
from phys_samplers.metrics.summaries import particle_distances
from phys_samplers.randomness import make_generator
from phys_samplers.target import Target

N = 20_000
LAWS = {"dw4": DoubleWell, "lj13": LennardJones}
both = pytest.mark.parametrize("law", [make() for make in LAWS.values()], ids=LAWS)


def v(r: np.ndarray) -> np.ndarray:
    return 0.9 * (r - 4.0) ** 4 - 4.0 * (r - 4.0) ** 2


def points(law: PairPotential, n: int = 100, scale: float = 1.5) -> Tensor:
    return scale * torch.randn(n, *law.event_shape, generator=make_generator(0, "points"), dtype=torch.float64)


@pytest.mark.parametrize(("n", "m"), [(2, 1), (4, 2), (13, 3)])
def test_zero_mean_basis(n: int, m: int) -> None:
    rows = zero_mean_basis(n, m)
    assert rows.shape == ((n - 1) * m, n * m)
    assert torch.allclose(rows @ rows.T, torch.eye((n - 1) * m, dtype=torch.float64), atol=1e-14)
    x = torch.randn(5, n * m, generator=make_generator(1), dtype=torch.float64)
    at = x.unflatten(1, (n, m))
    assert torch.allclose(x @ rows.T @ rows, (at - at.mean(1, keepdim=True)).flatten(1), atol=1e-13)


def test_energies_by_hand() -> None:
    """Every pair in a loop, the trap from the centre of mass."""
    for law, pair, trap in (
        (DoubleWell(), lambda r: 0.9 * (r - 4.0) ** 4 - 4.0 * (r - 4.0) ** 2, 0.0),
        (LennardJones(), lambda r: 2.0 * (r**-12 - 2.0 * r**-6), 0.5),
    ):
        x = points(law, 3)
        at = x.unflatten(1, law.particles)
        for row, value in zip(at, law.log_prob(x).tolist(), strict=True):
            energy = sum(pair(float((a - b).norm())) for a, b in combinations(row, 2))
            energy += trap * float((row - row.mean(0)).square().sum())
            assert value == pytest.approx(-energy, rel=1e-12)


@both
def test_score_is_the_gradient_of_log_prob(law: PairPotential) -> None:
    x = points(law)
    # two particles closer than the core of either law
    x[:5, law.particles[1] : 2 * law.particles[1]] = x[:5, : law.particles[1]] + 1e-7
    x.requires_grad_()
    log_prob = law.log_prob(x)
    (expected,) = torch.autograd.grad(log_prob.sum(), x)
    value, score = law.log_prob_and_score(x.detach())
    size = expected.abs().amax(1, keepdim=True)
    assert ((score - expected) / size).abs().max() < 1e-9
    assert torch.equal(value, log_prob.detach())
    assert torch.equal(law.score(x.detach()), score)
    single = law.score(x[5:].detach().float())
    assert single.dtype == torch.float32
    assert ((single - expected[5:]) / size[5:]).abs().max() < 1e-4


@both
def test_symmetries(law: PairPotential) -> None:
    """Moved, turned, mirrored and relabelled configurations have the same energy and the score goes along."""
    n, m = law.particles
    x = points(law, 20)
    value, score = law.log_prob_and_score(x)
    q, _ = torch.linalg.qr(torch.randn(m, m, generator=make_generator(2), dtype=torch.float64))
    order = torch.randperm(n, generator=make_generator(3))
    for change, move in ((lambda at: at @ q, 3.0), (lambda at: at[:, order], 0.0)):
        image = change(x.unflatten(1, (n, m))) + move
        value_there, score_there = law.log_prob_and_score(image.flatten(1))
        assert torch.allclose(value_there, value, rtol=1e-9)
        assert torch.allclose(score_there, change(score.unflatten(1, (n, m))).flatten(1), rtol=1e-7, atol=1e-7)
    assert score.unflatten(1, (n, m)).sum(1).abs().max() < 1e-9 * score.abs().max()


@both
def test_coinciding_particles_have_finite_energy_and_score(law: PairPotential) -> None:
    x = points(law, 8).float()
    x[0] = 0.0
    x[1:4, : law.particles[1]] = x[1:4, law.particles[1] : 2 * law.particles[1]]
    x[4] *= 1e-3
    value, score = law.log_prob_and_score(x)
    assert torch.isfinite(value).all()
    assert torch.isfinite(score.square().sum(1)).all()
    assert torch.equal(score[0], torch.zeros_like(score[0]))


def test_the_core_holds_no_probability() -> None:
    """In LJ-13 the energy there is beyond anything the other pairs, 156 at most in depth, can make up for."""
    assert float(LennardJones().pair(torch.tensor(0.01))[0]) > 1e12


@both
def test_flat_coordinates(law: PairPotential) -> None:
    target = Target(event_shape=law.event_shape, law=law)
    density = FlatDensity(target)
    n, m = law.particles
    assert density.dim == (n - 1) * m
    assert target.particles == (n, m)
    assert "particles" in target.capabilities
    z = 1.5 * torch.randn(10, density.dim, generator=make_generator(4))
    assert torch.allclose(density.reduce(density.embed(z)), z, atol=1e-5)
    assert density.embed(z).unflatten(1, (n, m)).mean(1).abs().max() < 1e-6


@pytest.fixture(scope="module")
def pair_law() -> tuple[np.ndarray, np.ndarray]:
    """Distances d on a grid and Z(d), whose sum over the grid is Z on the relative coordinates of three particles."""
    half, size, step = 45, 90, 0.2
    x = (np.arange(size) - half) * step
    around = np.minimum(np.arange(2 * size), 2 * size - np.arange(2 * size)) * step
    transformed = np.fft.rfft2(np.exp(-v(np.hypot(around[:, None], around))))
    d = np.arange(0.05, 8.0, 0.1)
    mass = []
    for apart in d:
        first, second = (np.hypot(x[:, None] - s * apart / 2, x) for s in (-1.0, 1.0))
        g = np.exp(-np.minimum(v(first) + v(second), 700.0))
        convolved = np.fft.irfft2(np.fft.rfft2(g, (2 * size, 2 * size)) * transformed)[:size, :size]
        mass.append(2.0 * np.pi * apart * math.exp(-v(np.array(apart))) * (g * convolved).sum() * step**4 * 0.1)
    return d, np.array(mass)


@pytest.fixture(scope="module")
def dw4_draws() -> Tensor:
    return DoubleWell().sample(N, make_generator(0, "draws")).double()


def test_normalising_constant_of_dw4(pair_law: tuple[np.ndarray, np.ndarray]) -> None:
    """In orthonormal coordinates of the subspace the volume is that of relative coordinates over n^{m/2} = 4."""
    d, mass = pair_law
    relative = torch.kron(torch.tensor([[-1.0, 1, 0, 0], [-1, 0, 1, 0], [-1, 0, 0, 1]]), torch.eye(2)).double()
    assert float(torch.logdet(relative @ zero_mean_basis(4, 2).T)) == pytest.approx(math.log(4.0))
    assert math.log(mass.sum()) - math.log(4.0) == pytest.approx(DoubleWell.log_z, abs=1e-6)
    assert DoubleWell.log_z == pytest.approx(29.666, abs=2e-3)  # by importance sampling elsewhere, to ± .001
    assert 6.0 * (mass * v(d)).sum() / mass.sum() == pytest.approx(-22.5415, abs=1e-4)
    assert math.sqrt(6.0 * (mass * d**2).sum() / mass.sum() / 32.0) == pytest.approx(1.84644, abs=1e-5)


def test_dw4_normalises_by_importance_sampling() -> None:
    """log Z through ``log_prob`` itself: within 4.5 standard errors of about .03; false alarm rate 7e-6.

    Particles 2 to 4 are placed around particle 1 with radii of density ∝ r e^{−v(r)} and uniform angles.
    """
    law, n = DoubleWell(), 400_000
    grid = np.linspace(1.0, 7.0, 6001)
    radial = grid * np.exp(-v(grid))
    mass = np.concatenate([[0.0], np.cumsum(0.5 * (radial[1:] + radial[:-1])) * 1e-3])
    u = torch.rand(n, 3, 2, generator=make_generator(5), dtype=torch.float64)
    r = torch.from_numpy(np.interp(u[..., 0].numpy() * mass[-1], mass, grid))
    angle = 2.0 * math.pi * u[..., 1]
    y = torch.stack([r * angle.cos(), r * angle.sin()], -1)
    x = torch.cat([torch.zeros(n, 1, 2, dtype=torch.float64), y], 1).flatten(1)
    log_radial = -torch.from_numpy(v(r.numpy())) - math.log(2.0 * math.pi * mass[-1])
    log_proposal = log_radial.sum(1) + math.log(4.0)  # on the subspace, see above
    log_w = law.log_prob(x) - log_proposal
    w = (log_w - log_w.max()).exp()
    error = float(w.std() / w.mean()) / math.sqrt(n)
    assert error < 0.04
    assert abs(float(w.mean().log() + log_w.max()) - law.log_z) < 4.5 * error


def test_dw4_distances(dw4_draws: Tensor, pair_law: tuple[np.ndarray, np.ndarray]) -> None:
    """KS of one distance a row against its exact law, for pairs of all parts in the proposal; 1e-5 each."""
    d, mass = pair_law
    ends, cumulative = d + 0.05, np.cumsum(mass) / mass.sum()  # midpoint sums: exact at the ends of cells
    smooth = PchipInterpolator(np.concatenate([[0.0], ends]), np.concatenate([[0.0], cumulative]))
    distances = particle_distances(dw4_draws, (4, 2))
    for pair in (0, 3, 5):  # particles 1 and 2, 2 and 3, 3 and 4
        found = distances[:, pair].numpy()
        assert stats.kstest(found, smooth).pvalue > 1e-5
        assert stats.kstest(1.01 * found, smooth).pvalue < 1e-5


def within(values: Tensor, expected: float) -> bool:
    """Whether the mean is within 4.5 standard errors: false alarm rate 7e-6."""
    return abs(float(values.mean()) - expected) < 4.5 * float(values.std()) / math.sqrt(len(values))


def test_dw4_moments(dw4_draws: Tensor) -> None:
    """Energy, spread, isotropy and virial, E[x·∇(−log p)] = 6; 1.03 times the temperature is 8 errors of the energy."""
    law, at = DoubleWell(), dw4_draws.unflatten(1, (4, 2))
    assert at.mean(1).abs().max() < 1e-6
    log_prob, score = law.log_prob_and_score(dw4_draws)
    assert within(-log_prob, -22.54151)
    assert within(dw4_draws.square().mean(1), 1.846437**2)
    assert within((at[..., 0].square() - at[..., 1].square()).sum(1), 0.0)
    assert within((at[..., 0] * at[..., 1]).sum(1), 0.0)
    assert within(at[:, 0, 0], 0.0)
    assert within(-(dw4_draws * score).sum(1), 6.0)


def test_dw4_draws_any_number_of_rows() -> None:
    law = DoubleWell()
    assert law.sample(0, make_generator(0)).shape == (0, 8)
    few, more = law.sample(3, make_generator(0)), law.sample(3, make_generator(1))
    assert few.shape == (3, 8)
    assert not torch.equal(few, more)
    assert few.dtype == torch.get_default_dtype()


@pytest.mark.skipif(
    not (Path(os.environ.get("PHYS_SAMPLERS_DATA", "")) / "dw4_exact.npy").is_file(),
    reason="needs dw4_exact.npy in the folder named by PHYS_SAMPLERS_DATA",
)
def test_dw4_draws_agree_with_those_of_another_program(dw4_draws: Tensor) -> None:
    """Two-sample KS of energies, of distances and of a coordinate; false alarm rate 1e-5 each."""
    rows = np.load(Path(os.environ["PHYS_SAMPLERS_DATA"]) / "dw4_exact.npy", allow_pickle=False)
    other = torch.from_numpy(rows).double()
    law = DoubleWell()
    for number in (law.log_prob, lambda x: particle_distances(x, (4, 2))[:, 0], lambda x: x[:, 0]):
        assert stats.ks_2samp(number(dw4_draws).numpy(), number(other).numpy()).pvalue > 1e-5
