"""Annealed Bellman dynamics with an exact denoiser: the law, the mode weights, the exponential step."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from phys_bellman.bellman import AnnealedBellmanDynamics, BlurredFields
from phys_bellman.exact import ExactFields
from phys_bellman.kernels import ConstantKernel, Kernel, KernelMean, SliceAverageKernel
from phys_samplers.integrators import EulerMaruyama, ExponentialOU, integrate, uniform
from phys_samplers.laws import GaussianMixture
from phys_samplers.randomness import make_generator
from phys_samplers.target import Target

WEIGHTS = torch.tensor([0.45, 0.45, 0.1])
LAW = GaussianMixture(torch.tensor([[-1.0, -0.8], [0.9, 1.0], [0.9, -0.9]]), torch.full((3,), 0.06), WEIGHTS)


class ExactDenoiser(nn.Module):
    """D(x, σ) = x + σ² ∇log p_σ(x) of the mixture, with the interface of a stack of one."""

    sigma_data = 1.0

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        s = float(sigma.flatten()[0])
        return (x[0] + s**2 * LAW.blurred(s**2).score(x[0])).unsqueeze(0)


def fields(kernel: Kernel) -> BlurredFields:
    reference = LAW.sample(128, make_generator(0, "reference"))
    return BlurredFields(ExactDenoiser(), KernelMean(kernel, reference))  # type: ignore[arg-type]


def dynamics(kernel: Kernel, steps: int, step: float = 0.1) -> AnnealedBellmanDynamics:
    return AnnealedBellmanDynamics(fields(kernel), 2, sigma_max=4.0, sigma_min=0.05, duration=steps * step, hold=0.05)


KERNELS = [SliceAverageKernel(epsilon=0.5), ConstantKernel()]


@pytest.mark.parametrize(
    ("kernel", "wrong_start"), [(KERNELS[0], True), (KERNELS[1], False)], ids=["slices", "constant"]
)
def test_mode_weights_come_out_right_from_any_start(kernel: Kernel, wrong_start: bool) -> None:
    """3,000 particles: the multinomial error of the TV is 0.009 ± 0.005, so 0.03 is 4 deviations of exact sampling."""
    motion, steps = dynamics(kernel, 300), 300
    generator = make_generator(1, "sample")
    start = motion.prior(3000, generator)
    if wrong_start:
        start = LAW.means[2] + 0.25 * torch.randn(3000, 2, generator=generator)  # all in the mode of weight 0.1
    x = integrate(motion, start, integrator=ExponentialOU(), grid=uniform(*motion.times, steps), generator=generator).x
    share = torch.bincount(torch.cdist(x, LAW.means).argmin(1), minlength=3) / len(x)
    assert 0.5 * (share - WEIGHTS).abs().sum() < 0.03
    inside = x[torch.cdist(x, LAW.means).argmin(1) == 0]
    # The law at the end is p blurred by sigma_min; its variance within 12 % (4 standard errors of 1,350 points: 11 %).
    assert inside.var(0).mean() == pytest.approx(0.06 + 0.05**2, rel=0.12)


def test_fields_are_the_bellman_fields_of_the_blurred_law() -> None:
    kernel, sigma = SliceAverageKernel(epsilon=0.5), 0.4
    blurred = fields(kernel)
    x = LAW.blurred(sigma**2).sample(64, make_generator(2, "x"))
    s, g = blurred(x, sigma)
    mobility = blurred.mobility
    exact = ExactFields(
        Target(event_shape=(2,), law=LAW.blurred(sigma**2)), kernel.widened(sigma**2), mobility.reference
    )
    q, g_exact = exact(x)
    scale = mobility.mean(sigma**2)
    torch.testing.assert_close(s, q / scale, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(g, g_exact / scale, rtol=1e-3, atol=1e-4)


def test_step_is_the_printed_exponential_step() -> None:
    """x + (1 − e^{−a})(D − x) + ½δσ²∇q (1 − e^{−a})/a + σ√(q(1 − e^{−2a})/2r) z with r = q/2 + L and a = δr."""
    motion = dynamics(SliceAverageKernel(epsilon=0.5), 10)
    x, delta, t = LAW.sample(32, make_generator(3, "x")).double(), 0.3, 1.2
    motion.fields.mobility.double()

    class Noise:
        dw = torch.randn(32, 2, dtype=torch.float64, generator=make_generator(4, "z")) * math.sqrt(delta)

    sigma = motion.sigma(t)
    q, slope = motion.fields.scalar(x, sigma)
    rate = 0.5 * q.unsqueeze(-1) + motion.speed(t)
    a = delta * rate
    centre = motion.fields.denoise(x, sigma)
    expected = (
        x
        - torch.expm1(-a) * (centre - x)
        + 0.5 * delta * sigma**2 * slope * (-torch.expm1(-a) / a)
        + sigma * torch.sqrt(q.unsqueeze(-1) * -torch.expm1(-2 * a) / (2 * rate)) * Noise.dw / math.sqrt(delta)
    )
    got = ExponentialOU().step(motion, x, t, delta, Noise())  # type: ignore[arg-type]
    torch.testing.assert_close(got, expected, rtol=1e-6, atol=1e-6)


def test_exponential_and_euler_steps_agree_when_small() -> None:
    motion = dynamics(SliceAverageKernel(epsilon=0.5), 10)
    x = LAW.sample(16, make_generator(3, "x"))

    class Noise:
        dw = torch.randn(16, 2, generator=make_generator(4, "z")) * 1e-2

    one = ExponentialOU().step(motion, x, 1.0, 1e-4, Noise())  # type: ignore[arg-type]
    other = EulerMaruyama().step(motion, x, 1.0, 1e-4, Noise())  # type: ignore[arg-type]
    torch.testing.assert_close(one, other, atol=2e-6, rtol=0)


def test_prior_has_the_blurred_variance() -> None:
    """Variance 1 + σ_max² of 20,000 × 2 coordinates: relative standard error 0.7 %, bound 4 of them."""
    x = dynamics(ConstantKernel(), 10).prior(20_000, make_generator(0, "prior"))
    assert x.var() == pytest.approx(17.0, rel=0.03)


def test_speed_is_the_fall_of_the_blur() -> None:
    motion = dynamics(ConstantKernel(), 100)
    h = 1e-5
    for t in (0.5, 3.0, 9.0):
        slope = -(math.log(motion.sigma(t + h)) - math.log(motion.sigma(t - h))) / (2 * h)
        assert motion.speed(t) == pytest.approx(slope, rel=1e-4)
    assert motion.speed(9.9) == 0.0
    assert motion.sigma(9.9) == pytest.approx(motion.sigma_min)


@pytest.mark.parametrize("steps", [60, 600])
def test_the_law_keeps_up_with_the_blur_however_fast_it_falls(steps: int) -> None:
    """Exact denoiser of N(0, I): the particles' variance is 1 + σ_min² at the end of a fast and of a slow fall.

    20,000 × 2 coordinates: relative standard error 0.7 %; the first-order step's own bias is 1 % at most; bound 4 %.
    Without the transport term the fast fall ends 60 % too wide.
    """

    class Gaussian(nn.Module):
        def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
            return x / (1 + sigma.unsqueeze(-1) ** 2)

    blurred = BlurredFields(Gaussian(), KernelMean(ConstantKernel(), torch.zeros(2, 2)))  # type: ignore[arg-type]
    motion = AnnealedBellmanDynamics(blurred, 2, sigma_max=5.0, sigma_min=0.05, duration=steps * 0.05, hold=0.0)
    generator = make_generator(7, "sample")
    x = integrate(
        motion,
        motion.prior(20_000, generator),
        integrator=ExponentialOU(),
        grid=uniform(*motion.times, steps),
        generator=generator,
    ).x
    assert x.var() == pytest.approx(1 + 0.05**2, rel=0.04)
