"""Kernels in closed form, their gradients, the sliced estimate, and averages of kernels over rows."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from phys_bellman.kernels import (
    ConstantKernel,
    GaussianKernel,
    Kernel,
    KernelMean,
    SliceAverageKernel,
    SlicedGaussianKernel,
    median_squared_distance,
)
from phys_samplers.errors import ConfigurationError
from phys_samplers.randomness import Streams, make_generator

KERNELS = [
    GaussianKernel(epsilon=0.7),
    GaussianKernel(epsilon=0.7, normalised=True),
    SliceAverageKernel(epsilon=0.3),
    SlicedGaussianKernel(epsilon=0.3, slices=4),
    ConstantKernel(),
]


def points(n: int, dim: int, label: str = "points") -> Tensor:
    return torch.randn(n, dim, generator=make_generator(0, label), dtype=torch.float64)


@pytest.mark.parametrize(
    ("kernel", "formula"),
    [
        (GaussianKernel(epsilon=0.7), lambda d: torch.exp(-(d**2).sum(-1) / 1.4)),
        (
            GaussianKernel(epsilon=0.7, normalised=True),
            lambda d: torch.exp(-(d**2).sum(-1) / 1.4) / (2 * math.pi * 0.7) ** 1.5,
        ),
        (SliceAverageKernel(epsilon=0.3), lambda d: 1 / torch.sqrt(2 * math.pi * (0.3 + (d**2).sum(-1)))),
        (ConstantKernel(), lambda d: torch.ones(len(d), dtype=d.dtype)),
    ],
)
def test_values(kernel: Kernel, formula: Callable[[Tensor], Tensor]) -> None:
    d = points(20, 3)
    torch.testing.assert_close(kernel.value(d), formula(d))


@pytest.mark.parametrize("kernel", KERNELS, ids=repr)
def test_gradients_against_autograd(kernel: Kernel) -> None:
    d = points(20, 3).requires_grad_()
    value, gradient = kernel.value_and_gradient(d)
    torch.testing.assert_close(value, kernel.value(d))
    total = kernel.value(d).sum()
    expected = torch.autograd.grad(total, d)[0] if total.requires_grad else torch.zeros_like(d)
    torch.testing.assert_close(gradient, expected)


@pytest.mark.parametrize("kernel", KERNELS, ids=repr)
def test_at_zero_distance(kernel: Kernel) -> None:
    value, gradient = kernel.value_and_gradient(torch.zeros(1, 3, dtype=torch.float64))
    assert float(value) > 0
    assert float(gradient.abs().max()) == 0.0


def test_a_normalised_gaussian_is_a_density() -> None:
    x = torch.linspace(-12, 12, 4_001, dtype=torch.float64).unsqueeze(1)
    integral = torch.trapezoid(GaussianKernel(epsilon=0.7, normalised=True).value(x), x[:, 0])
    assert float(integral) == pytest.approx(1.0, abs=1e-9)


def test_the_slice_average_is_the_integral_over_slices() -> None:
    """wᵀd ~ N(0, |d|²): one Gaussian integral, by quadrature."""
    r = 1.7
    u = torch.linspace(-9 * r, 9 * r, 20_001, dtype=torch.float64)
    density = torch.exp(-(u**2) / (2 * r**2)) / math.sqrt(2 * math.pi * r**2)
    slices = torch.exp(-(u**2) / (2 * 0.3)) / math.sqrt(2 * math.pi * 0.3)
    expected = float(torch.trapezoid(density * slices, u))
    d = torch.tensor([[r * 0.6, r * 0.8]], dtype=torch.float64)
    assert float(SliceAverageKernel(epsilon=0.3).value(d)) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("slices", [1, 4])
def test_the_sliced_estimate_averages_to_the_slice_average(slices: int) -> None:
    """Value and gradient, at four distances. With N draws the bound is 5 estimated standard errors of each of the 16
    numbers looked at: a false alarm rate below 1e-5.
    """
    n = 200_000 // slices
    kernel = SlicedGaussianKernel(epsilon=0.3, slices=slices)
    for index, d in enumerate(torch.tensor([[0.1, 0.0, 0.0], [0.5, -0.5, 0.0], [1.0, 1.0, 1.0], [3.0, 0.0, -4.0]])):
        value, gradient = kernel.estimate(d.expand(1, n, 3), Streams([index], "slices"))
        assert value.shape == (1, n)
        assert gradient.shape == (1, n, 3)
        exact_value, exact_gradient = SliceAverageKernel(epsilon=0.3).value_and_gradient(d.unsqueeze(0))
        for draws, exact in ((value[0, :, None], exact_value), (gradient[0], exact_gradient[0])):
            error = draws.std(0) / math.sqrt(n)
            assert bool(((draws.mean(0) - exact).abs() < 5 * error).all())


def test_the_gradient_of_one_sliced_estimate_is_the_gradient_of_its_value() -> None:
    kernel = SlicedGaussianKernel(epsilon=0.3, slices=3)
    d = points(10, 3).unsqueeze(0).requires_grad_()
    value, gradient = kernel.estimate(d, Streams([0], "slices"))
    (expected,) = torch.autograd.grad(value.sum(), d)
    torch.testing.assert_close(gradient, expected)


def test_more_slices_have_less_variance() -> None:
    d = torch.tensor([[1.0, 0.0]]).expand(1, 20_000, 2)
    one, many = (SlicedGaussianKernel(epsilon=0.3, slices=m).estimate(d, Streams([0]))[0].var() for m in (1, 10))
    # the ratio has a standard deviation of 0.09, measured over 20 seeds; the bound is 5 of them
    assert float(one / many) == pytest.approx(10, abs=0.45)


def test_estimates_of_kernels_without_slices_are_exact() -> None:
    d = points(6, 2).unsqueeze(0)
    for kernel in (GaussianKernel(epsilon=0.2), SliceAverageKernel(epsilon=0.2), ConstantKernel()):
        streams = Streams([0])
        value, gradient = kernel.estimate(d, streams)
        exact = kernel.value_and_gradient(d)
        assert torch.equal(value, exact[0])
        assert torch.equal(gradient, exact[1])
        assert torch.equal(streams.normal(3), Streams([0]).normal(3)), "nothing was drawn"


class TestBandwidth:
    def test_median_heuristic(self) -> None:
        rows = torch.tensor([[0.0], [1.0], [3.0]])
        # squared distances 1, 9, 4: the median is 4
        assert median_squared_distance(rows) == 4.0
        assert GaussianKernel(scale=0.5).resolve(rows).variance == pytest.approx(1.0)

    def test_large_sets_are_thinned(self) -> None:
        rows = points(5_000, 2)
        assert median_squared_distance(rows) == pytest.approx(median_squared_distance(rows, at_most=5_000), rel=0.05)

    def test_events_of_any_shape(self) -> None:
        rows = points(50, 4)
        assert median_squared_distance(rows.unflatten(1, (2, 2))) == median_squared_distance(rows)

    def test_a_given_bandwidth_stays(self) -> None:
        kernel = GaussianKernel(epsilon=0.3)
        assert kernel.resolve(points(10, 2)) is kernel

    def test_an_open_bandwidth_says_so(self) -> None:
        with pytest.raises(ConfigurationError, match=r"GaussianKernel has no bandwidth yet; call resolve\(rows\)"):
            GaussianKernel().value(points(2, 2))

    @pytest.mark.parametrize("rows", [torch.ones(10, 2), torch.ones(1, 2)])
    def test_rows_that_do_not_differ_are_refused(self, rows: Tensor) -> None:
        with pytest.raises(ConfigurationError, match="median distance between training rows is 0"):
            GaussianKernel().resolve(rows)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"epsilon": 0.0}, "epsilon is 0.0"),
            ({"epsilon": -1.0}, "epsilon is -1.0"),
            ({"scale": 0.0}, "scale is 0.0"),
        ],
    )
    def test_bad_bandwidths_are_refused(self, options: dict[str, float], message: str) -> None:
        with pytest.raises(ConfigurationError, match=message):
            GaussianKernel(**options)

    def test_no_slices_are_refused(self) -> None:
        with pytest.raises(ConfigurationError, match="slices is 0"):
            SlicedGaussianKernel(slices=0)

    def test_widening_adds_variance(self) -> None:
        assert GaussianKernel(epsilon=0.3).widened(0.5).variance == pytest.approx(0.8)


class TestKernelMean:
    def brute_force(self, kernel: Kernel, x: Tensor, y: Tensor, weights: Tensor) -> Tensor:
        return (kernel.value(x.unsqueeze(1) - y.unsqueeze(0)) * weights).sum(1)

    @pytest.mark.parametrize("variance", [0.0, 0.4])
    @pytest.mark.parametrize("kernel", KERNELS, ids=repr)
    def test_value_and_gradient(self, kernel: Kernel, variance: float) -> None:
        x, y = points(9, 3, "x").requires_grad_(), points(17, 3, "y") + 0.5
        weights = torch.rand(17, generator=make_generator(1), dtype=torch.float64)
        weights /= weights.sum()
        q, slope = KernelMean(kernel, y, weights)(x.detach(), variance)
        expected = self.brute_force(kernel.widened(variance) if variance else kernel, x, y, weights)
        torch.testing.assert_close(q, expected)
        gradient = torch.autograd.grad(expected.sum(), x)[0] if expected.requires_grad else torch.zeros_like(x)
        torch.testing.assert_close(slope, gradient)

    def test_equal_weights_by_default(self) -> None:
        y = points(17, 3, "y")
        q, _ = KernelMean(KERNELS[0], y)(y[:2])
        torch.testing.assert_close(q, self.brute_force(KERNELS[0], y[:2], y, torch.full((17,), 1 / 17)))

    def test_single_precision_survives_cancellation(self) -> None:
        """Rows far from the origin, distances small: |x|² − 2xy + |y|² must not turn negative or to nonsense."""
        x = (points(50, 2) * 0.5 + 20.0).float()
        mean = KernelMean(GaussianKernel(epsilon=0.3), x)
        q, slope = mean(x)
        exact_q, exact_slope = KernelMean(GaussianKernel(epsilon=0.3), x.double())(x.double())
        torch.testing.assert_close(q.double(), exact_q, rtol=2e-3, atol=0)
        torch.testing.assert_close(slope.double(), exact_slope, rtol=0, atol=5e-3)
        assert float(KernelMean(GaussianKernel(epsilon=1e-3), x)(x)[0].min()) >= 1 / 50 * 0.5

    def test_the_mean_of_q_is_that_of_a_blurred_gaussian(self) -> None:
        """For N(0, I) rows blurred by σ² the mean of the normalised kernel is N(0; 0, 2(1 + σ²) + ε)."""
        rows = points(3_000, 2)
        mean = KernelMean(GaussianKernel(epsilon=0.5, normalised=True), rows)
        for variance in (0.0, 1.0, 10.0):
            exact = 1 / (2 * math.pi * (2 * (1 + variance) + 0.5))
            # the standard error, measured over 100 sets of 3,000 rows, is 1.7 % at zero blur and less beyond; the
            # bound is 5 of them
            assert mean.mean(variance, at_most=3_000) == pytest.approx(exact, rel=0.085)

    def test_buffers_travel_with_the_module(self) -> None:
        mean = KernelMean(KERNELS[0], points(5, 2))
        assert set(mean.state_dict()) == {"reference", "weights"}
        assert mean.float()(torch.zeros(1, 2))[0].dtype == torch.float32
