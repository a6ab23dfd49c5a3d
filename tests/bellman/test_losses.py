"""Field-matching losses: their values, their minimisers, their agreement with one another."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from phys_bellman.exact import ExactFields
from phys_bellman.kernels import GaussianKernel, SliceAverageKernel, SlicedGaussianKernel
from phys_bellman.losses import DenoisingFieldMatching, FieldMatching, SlicedFieldMatching
from phys_bellman.networks import FieldNetworks
from phys_samplers.errors import ConfigurationError
from phys_samplers.fields import MLP
from phys_samplers.laws import GaussianMixture
from phys_samplers.randomness import Streams, make_generator
from phys_samplers.target import Target

KERNEL = GaussianKernel(epsilon=0.5)
LAW = GaussianMixture(torch.tensor([[-1.0, 0.0], [1.0, 0.5]]), torch.tensor([0.4, 0.6]), torch.tensor([0.4, 0.6]))


class Tilted(nn.Module):
    """Exact fields plus (a, b) times a smooth perturbation: the loss must be smallest at a = b = 0."""

    tied = False

    def __init__(self, fields: ExactFields, a: float, b: float) -> None:
        super().__init__()
        self.fields, self.a, self.b = fields, a, b

    def scalar(self, x: Tensor) -> Tensor:
        s, _ = self.fields(x.flatten(0, 1))
        return (s + self.a * torch.cos(x.flatten(0, 1)[:, 0])).view(x.shape[:2])

    def gradient(self, x: Tensor) -> Tensor:
        flat = x.flatten(0, 1)
        _, g = self.fields(flat)
        return (g + self.b * torch.sin(flat + 0.3)).view(x.shape)


def population_loss(loss, a: float, b: float, blur: float = 0.0) -> float:
    """The loss on 60,000 rows with common random numbers for every (a, b)."""
    law = LAW.blurred(blur**2) if blur else LAW
    fields = ExactFields(Target(event_shape=(2,), law=law), KERNEL)
    rows = LAW.sample(60_000, make_generator(0, "rows"))
    module = Tilted(fields, a, b)
    return float(loss(module, rows.unsqueeze(0), Streams([1], "noise")).detach())


@pytest.mark.parametrize(
    ("loss", "blur"),
    [
        pytest.param(FieldMatching(kernel=KERNEL), 0.0, id="full"),
        pytest.param(SlicedFieldMatching(kernel=KERNEL), 0.0, id="sliced"),
        pytest.param(DenoisingFieldMatching(kernel=KERNEL, sigma=0.3), 0.3, id="denoising"),
    ],
)
def test_exact_fields_minimise_the_population_loss(loss, blur: float) -> None:
    """A parabola through three points has its vertex at zero.

    The vertex is a mean of 60,000 terms of order one divided by a curvature of order one: its standard error is about
    0.01, the bound four times that; the perturbations searched are 0.2 wide.
    """
    at = {}
    for direction in ("a", "b"):
        values = [population_loss(loss, **{"a": 0.0, "b": 0.0, direction: h}, blur=blur) for h in (-0.2, 0.0, 0.2)]
        curvature = values[0] - 2 * values[1] + values[2]
        at[direction] = 0.2 * 0.5 * (values[0] - values[2]) / curvature
        assert curvature > 0
    assert at["a"] == pytest.approx(0.0, abs=0.04)
    assert at["b"] == pytest.approx(0.0, abs=0.04)


def networks(dim: int = 2, tied: bool = False) -> FieldNetworks:
    return FieldNetworks(MLP(width=16, depth=2), dim, streams=Streams([0, 1], "w"), tied=tied)


def test_slices_average_to_the_trace() -> None:
    """Over 40,000 equal rows the sliced loss is the full one, up to 4 standard errors (false-alarm rate 6e-5)."""
    module = networks()
    rows = torch.randn(2, 2, generator=make_generator(0, "pair")).repeat(20_000, 1).expand(2, -1, -1)
    full = FieldMatching(kernel=KERNEL)(module, rows, Streams([0, 1], "n")).detach()
    sliced = torch.stack(
        [
            SlicedFieldMatching(kernel=KERNEL)(module, rows[:, :2000], Streams([s, s + 50], "n")).detach()
            for s in range(40)
        ]
    )
    error = sliced.std(0) / math.sqrt(len(sliced))
    assert ((sliced.mean(0) - full).abs() < 4 * error + 1e-6).all()


def test_sampled_slices_average_to_their_closed_form() -> None:
    """E_w N(wᵀd; 0, ε) = (2π(ε + |d|²))^(−1/2), value and gradient, 4 standard errors (false-alarm rate 6e-5)."""
    difference = torch.tensor([[0.3, -0.7, 1.1], [2.0, 0.1, -0.4]]).repeat_interleave(200_000, 0).unsqueeze(0)
    value, gradient = SlicedGaussianKernel(epsilon=0.3).estimate(difference, Streams([0], "w"))
    exact, slope = SliceAverageKernel(epsilon=0.3).value_and_gradient(difference)
    for row in range(2):
        part = slice(row * 200_000, (row + 1) * 200_000)
        for estimate, truth in ((value[0, part, None], exact[0, part, None]), (gradient[0, part], slope[0, part])):
            error = estimate.std(0) / math.sqrt(200_000)
            assert ((estimate.mean(0) - truth[0]).abs() < 4 * error).all()


def test_the_analytic_slice_has_less_gradient_variance() -> None:
    """Averaging the slice out can only lower the variance of the parameter gradient; here of s, by a third."""
    rows = torch.randn(300, 1, 128, 2, generator=make_generator(3, "rows"))
    variances = []
    for kernel in (SlicedGaussianKernel(epsilon=0.1), SliceAverageKernel(epsilon=0.1)):
        module = FieldNetworks(MLP(width=16, depth=2), 2, streams=Streams([0], "w"), tied=True)
        loss, streams, gradients = SlicedFieldMatching(kernel=kernel), Streams([5], "n"), []
        for batch in rows:
            (value,) = loss(module, batch, streams)
            parts = torch.autograd.grad(value, list(module.parameters()))
            gradients.append(torch.cat([p.flatten() for p in parts]))
        variances.append(torch.stack(gradients).var(0).sum())
    assert variances[0] > 1.2 * variances[1]


def test_replicas_do_not_mix() -> None:
    """The loss of replica 0 has no gradient in the weights of replica 1."""
    module = networks()
    for loss in (
        FieldMatching(kernel=KERNEL),
        SlicedFieldMatching(kernel=KERNEL),
        DenoisingFieldMatching(kernel=KERNEL),
    ):
        value = loss(module, torch.randn(2, 32, 2, generator=make_generator(0, "x")), Streams([0, 1], "n"))
        assert value.shape == (2,)
        for gradient in torch.autograd.grad(value[0], list(module.parameters()), allow_unused=True):
            assert gradient is not None
            assert gradient[0].abs().sum() > 0
            assert gradient[1].abs().sum() == 0


def test_tied_fields_train_the_scalar_alone() -> None:
    module = networks(tied=True)
    x = torch.randn(2, 8, 2, generator=make_generator(0, "x"))
    torch.testing.assert_close(module.gradient(x), module.scalar_and_slope(x)[1])
    loss = SlicedFieldMatching(kernel=KERNEL)(module, x, Streams([0, 1], "n"))
    assert loss.shape == (2,)


class Waves(nn.Module):
    """s = a (1 + cos x₀) and g = −b sin x: their losses under a Gaussian law and kernel are in closed form."""

    tied = False

    def __init__(self, a: float = 1.0, b: float = 1.0) -> None:
        super().__init__()
        self.a, self.b = a, b

    def scalar(self, x: Tensor) -> Tensor:
        return self.a * (1 + x[..., 0].cos())

    def gradient(self, x: Tensor) -> Tensor:
        return -self.b * x.sin()


def loss_of_waves(variance: float, epsilon: float, dim: int) -> float:
    """E[s² − 2ks + |g|² + k tr ∇g] for x, y ~ N(0, variance I): under k x₁ is N(0, tilted) in every coordinate."""
    k = (epsilon / (epsilon + 2 * variance)) ** (dim / 2)
    tilted = variance * (variance + epsilon) / (2 * variance + epsilon)
    wave, half, under_k = math.exp(-2 * variance), math.exp(-variance / 2), math.exp(-tilted / 2)
    scalar = 1 + 2 * half + (1 + wave) / 2 - 2 * k * (1 + under_k)
    return scalar + dim * (1 - wave) / 2 - dim * k * under_k


@pytest.mark.parametrize(
    ("loss", "variance"),
    [
        pytest.param(FieldMatching(kernel=KERNEL), 1.0, id="full"),
        pytest.param(FieldMatching(kernel=KERNEL, pairs="all"), 1.0, id="full-all"),
        pytest.param(FieldMatching(kernel=KERNEL, pairs="all", jitter=0.7), 1.49, id="full-all-jitter"),
        pytest.param(SlicedFieldMatching(kernel=KERNEL, jitter=0.7), 1.49, id="sliced-jitter"),
        pytest.param(SlicedFieldMatching(kernel=KERNEL, pairs="all"), 1.0, id="sliced-all"),
        pytest.param(SlicedFieldMatching(kernel=KERNEL, pairs="all", slices=3), 1.0, id="sliced-all-3"),
        pytest.param(DenoisingFieldMatching(kernel=KERNEL, sigma=0.7), 1.49, id="denoising"),
        pytest.param(DenoisingFieldMatching(kernel=KERNEL, sigma=0.7, pairs="all"), 1.49, id="denoising-all"),
    ],
)
def test_estimates_are_unbiased(loss, variance: float) -> None:
    """2,000 batches of 16 rows of N(0, I) in three dimensions: 4 standard errors (false-alarm rate 6e-5 each).

    The bound of the standard error is what gives the test power: it is below 1 % of the value.
    The denoising loss counts from that of the fields zero, which is not zero.
    """
    rows = torch.randn(2_000, 16, 3, generator=make_generator(4, "rows"))
    seeds = list(range(2_000))
    values = loss(Waves(), rows, Streams(seeds, "n")).detach()
    if isinstance(loss, DenoisingFieldMatching):
        values = values - loss(Waves(0.0, 0.0), rows, Streams(seeds, "n"))
    exact, error = loss_of_waves(variance, 0.5, 3), float(values.std()) / math.sqrt(len(values))
    assert error < 0.01 * exact
    assert abs(float(values.mean()) - exact) < 4 * error


def test_all_pairs_are_all_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The double sum over i ≠ j, term by term, however it is cut into blocks."""
    module, x = networks(), torch.randn(2, 5, 2, generator=make_generator(5, "x"))

    def term(r: int, i: int, j: int) -> Tensor:
        point = x[:, i : i + 1]
        k = KERNEL.value(x[r, i] - x[r, j])
        s, g = module.scalar(point)[r, 0], module.gradient(point)[r, 0]
        jacobian = torch.autograd.functional.jacobian(lambda p: module.gradient(p)[r, 0], point)[:, r, 0]
        return s**2 - 2 * k * s + g.square().sum() + k * jacobian.trace()

    expected = [sum(term(r, i, j) for i in range(5) for j in range(5) if i != j) / 20 for r in range(2)]
    for at_once in (2**16, 7):
        monkeypatch.setattr("phys_bellman.losses.PAIRS_AT_ONCE", at_once)
        value = FieldMatching(kernel=KERNEL, pairs="all")(module, x, Streams([0, 1], "n"))
        torch.testing.assert_close(value, torch.stack(expected))


def gradient_variance(loss, rows: Tensor) -> float:
    """Of the parameter gradient, summed over parameters, over batches (N, 1, B, D)."""
    module = FieldNetworks(MLP(width=16, depth=2), rows.shape[-1], streams=Streams([0], "w"))
    streams, gradients = Streams([5], "n"), []
    for batch in rows:
        (value,) = loss(module, batch, streams)
        gradients.append(torch.cat([p.flatten() for p in torch.autograd.grad(value, list(module.parameters()))]))
    return float(torch.stack(gradients).var(0).sum())


def test_more_pairs_and_more_slices_have_less_gradient_variance() -> None:
    """Both are averages of exchangeable estimates, whose variance can only fall (same rows for all)."""
    rows = torch.randn(200, 1, 64, 4, generator=make_generator(3, "rows"))
    kernel = SlicedGaussianKernel(epsilon=0.5)
    one = gradient_variance(SlicedFieldMatching(kernel=kernel), rows)
    assert gradient_variance(SlicedFieldMatching(kernel=kernel, pairs="all"), rows) < 0.9 * one
    assert gradient_variance(SlicedFieldMatching(kernel=kernel, slices=3), rows) < 0.9 * one
    assert gradient_variance(SlicedFieldMatching(kernel=SlicedGaussianKernel(epsilon=0.5, slices=3)), rows) < 0.9 * one


@pytest.mark.parametrize(
    ("loss", "bad"),
    [
        (DenoisingFieldMatching, {"sigma": 0.0}),
        (DenoisingFieldMatching, {"sigma": -1.0}),
        (SlicedFieldMatching, {"slices": 0}),
        (SlicedFieldMatching, {"pairs": "some"}),
        (FieldMatching, {"jitter": -0.1}),
    ],
)
def test_bad_options_are_refused(loss, bad) -> None:
    with pytest.raises(ConfigurationError, match=f"{next(iter(bad))} is"):
        loss(**bad)
