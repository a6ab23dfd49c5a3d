"""The forward kernel between two levels: its transform, its law, and Restart with it on an exact field.

A Kolmogorov–Smirnov distance beyond d has probability 2 exp(−2 n d²) under the right law: at n = 20,000 and d = 0.0235
that is 3e-10 a test. Other noises that one might take are seen by the same test.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy import special, stats
from torch import Tensor

from phys_electrostatic.exact import empirical_flow
from phys_electrostatic.flow import student
from phys_electrostatic.passage import distribution, log_transform, passage_time, perturb
from phys_samplers import Samples, make
from phys_samplers.denoisers.denoiser import DenoisingFlow
from phys_samplers.integrators import Restart, integrate, power
from phys_samplers.integrators.driver import WienerProcess
from phys_samplers.randomness import make_generator
from phys_samplers.schedules import EDMSchedule

DRAWS, DISTANCE = 20_000, 0.0235
LOW, HIGH = 0.6, 1.5
Kernel = Callable[[Tensor, float, float, WienerProcess, float], Tensor]


@pytest.mark.parametrize("ratio", [0.1, 0.5, 0.97])
@pytest.mark.parametrize("aux_dim", [0.5, 1.0, 2.0, 3.0, 7.3, 60.0, 81.0, 100.0])
def test_the_transform_is_a_ratio_of_bessel_functions(aux_dim: float, ratio: float) -> None:
    """Both of its forms, for small and for large D, against K_ν itself where that does not overflow."""
    s = np.array([0.7, 3.0 + 2.0j, 40.0 - 30.0j])
    q, order = np.sqrt(2 * s), 0.5 * aux_dim
    expected = special.kv(order, q) / special.kv(order, q * ratio) * ratio**-order
    np.testing.assert_allclose(np.exp(log_transform(s, ratio, aux_dim)), expected, rtol=2e-7)


def test_one_dimension_is_the_first_passage_of_brownian_motion() -> None:
    t = np.geomspace(1e-3, 1e4, 30)
    expected = 2 * stats.norm.sf((1 - 0.4) / np.sqrt(t))
    np.testing.assert_allclose(distribution(t, 0.4, 1.0), expected, atol=2e-8)


@pytest.mark.parametrize("ratio", [0.05, 0.5, 0.995])
@pytest.mark.parametrize("aux_dim", [pytest.param(0.5, marks=pytest.mark.slow), 3.0, 128.0, 2048.0])
def test_drawn_times_have_that_transform(aux_dim: float, ratio: float) -> None:
    """Over equally likely normal scores; the extrapolated ends have probability 10⁻⁶ each."""
    n = 100_000
    scores = torch.special.ndtri((torch.arange(n, dtype=torch.float64) + 0.5) / n)
    times = passage_time(scores, ratio, aux_dim)
    assert bool((times.diff() >= 0).all())
    for s in (0.3, 4.0):
        expected = np.exp(log_transform(np.array([s + 0j]) * aux_dim, ratio, aux_dim)).real[0]
        assert float((-s * times).exp().mean()) == pytest.approx(expected, abs=3e-5)


def gaussian(x: Tensor, low: float, high: float, noise: WienerProcess, aux_dim: float) -> Tensor:
    return x + math.sqrt(high**2 - low**2) * noise.normal()


def heavy(x: Tensor, low: float, high: float, noise: WienerProcess, aux_dim: float) -> Tensor:
    """Student noise of the variance that is missing."""
    return x + student(len(x), x.shape[1], math.sqrt(high**2 - low**2), aux_dim, make_generator(9), dtype=x.dtype)


def walk(x: Tensor, low: float, high: float, noise: WienerProcess, aux_dim: float) -> Tensor:
    """Along a random direction u of the N + D dimensions from |z| = r to |z| = R."""
    u = torch.randn(len(x), x.shape[1] + int(aux_dim), generator=make_generator(8), dtype=x.dtype)
    z = u[:, x.shape[1] :]
    r, big = low * math.sqrt(aux_dim), high * math.sqrt(aux_dim)
    along, square = z[:, :1] * r, z.square().sum(1, keepdim=True)
    length = (-along + (along.square() + square * (big**2 - r**2)).sqrt()) / square
    return x + length * u[:, : x.shape[1]]


def distance(kernel: Kernel, dim: int, aux_dim: float) -> float:
    """Of |x|²/(N σ²), which has the F law of N and D degrees of freedom, after noise from LOW to HIGH."""
    x = student(DRAWS, dim, LOW, aux_dim, make_generator(1, dim, str(aux_dim)), dtype=torch.float64)
    noise = WienerProcess(x, make_generator(2, dim, str(aux_dim)))
    noised = kernel(x, LOW, HIGH, noise, aux_dim)
    ratio = noised.square().sum(1) / (dim * HIGH**2)
    return float(stats.kstest(ratio.numpy(), stats.f(dim, aux_dim).cdf).statistic)


@pytest.mark.parametrize("aux_dim", [0.5, 1.0, 2.0, 3.0, 16.0, 128.0, 5e5])
@pytest.mark.parametrize("dim", [1, 4])
def test_the_noise_takes_one_level_to_the_other(dim: int, aux_dim: float) -> None:
    assert distance(perturb, dim, aux_dim) < DISTANCE


def test_noises_that_one_might_take_instead_do_not() -> None:
    for kernel in (gaussian, heavy, walk):
        for aux_dim in (1.0, 3.0):
            assert distance(kernel, 4, aux_dim) > 2 * DISTANCE, (kernel.__name__, aux_dim)


def test_restart_on_an_exact_field_keeps_its_law() -> None:
    """From exact draws at the higher level, down and three times round, to exact draws at the lower one."""
    rows, aux_dim, n = torch.tensor([[-2.0], [1.0], [1.5]], dtype=torch.float64), 2.0, 20_000

    def exact(level: float, label: str) -> Tensor:
        generator = make_generator(0, label)
        kept = rows[torch.randint(3, (n,), generator=generator)]
        return kept + student(n, 1, level, aux_dim, generator, dtype=torch.float64)

    def law(flow: DenoisingFlow, start: Tensor) -> Tensor:
        scheme = Restart(restart_min=LOW, restart_max=HIGH, restart_steps=9, repeats=3)
        grid = (HIGH, *power(HIGH, LOW, 8, 7.0)[1:])
        return integrate(flow, start, integrator=scheme, grid=grid, generator=make_generator(1), bound=math.inf).x

    flow = empirical_flow(rows, aux_dim=aux_dim, schedule=EDMSchedule(), by_denoising=True)
    assert isinstance(flow, DenoisingFlow)
    start, end = exact(HIGH, "high"), exact(LOW, "low")
    right = stats.ks_2samp(law(flow, start)[:, 0].numpy(), end[:, 0].numpy())
    assert right.pvalue > 1e-4
    wrong = DenoisingFlow(flow.denoise, flow.prior, 1, start=HIGH)  # the same field with Gaussian noise
    assert stats.ks_2samp(law(wrong, start)[:, 0].numpy(), end[:, 0].numpy()).pvalue < 1e-12


@pytest.mark.parametrize("name", ["pfgm", "pfgmpp"])
def test_fitted_fields_take_restart(name: str) -> None:
    rows = torch.randn(256, 2, generator=make_generator(0, "rows"))
    model = make("sampler", name, steps=5).fit(Samples(rows), seed=0)
    draw = model.draw(16, integrator="restart", sampling_steps=18)
    assert draw.nfe == 43
    assert torch.equal(draw.samples, model.sample(16, integrator="restart", sampling_steps=18))
