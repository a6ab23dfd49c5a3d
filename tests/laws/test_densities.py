"""Densities, scores and blurs against autograd, quadrature and hand-made formulas."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from phys_samplers.laws import Funnel, GaussianMixture, StandardNormal, TwoMoons, checkerboard, uniform_spans
from phys_samplers.randomness import make_generator


def diagonal_mixture() -> GaussianMixture:
    means, variances = [[-2.0, 1.0], [1.0, 0.5], [0.0, -2.0]], [[0.3, 1.0], [0.8, 0.2], [0.5, 0.5]]
    return GaussianMixture(means, variances, [0.2, 0.5, 0.3])


LAWS: dict[str, Callable[[], Any]] = {
    "normal": lambda: StandardNormal(3),
    "mixture": diagonal_mixture,
    "moons": TwoMoons,
    "funnel": Funnel,
}
BOXES: dict[str, tuple[Callable[[], Any], list[tuple[float, float]]]] = {  # a box that holds all but 1e-8 of the mass
    "normal-1d": (lambda: StandardNormal(1), [(-7.0, 7.0)]),
    "normal-2d": (lambda: StandardNormal(2), [(-7.0, 7.0)] * 2),
    "mixture-2d": (diagonal_mixture, [(-7.5, 8.5)] * 2),
    "moons": (TwoMoons, [(-2.0, 3.0), (-1.5, 2.0)]),
    "spans": (lambda: uniform_spans([(-2.0, -1.0), (0.0, 0.5), (2.0, 4.0)]), [(-3.0, 5.0)]),
    "checkerboard": (checkerboard, [(-5.0, 5.0)] * 2),
}


def midpoints(box: list[tuple[float, float]], n: int) -> tuple[Tensor, float]:
    """Midpoints of an n^D grid on ``box``, in double precision, and the volume of one cell."""
    axes = [low + (high - low) * (torch.arange(n, dtype=torch.float64) + 0.5) / n for low, high in box]
    return torch.cartesian_prod(*axes).reshape(-1, len(box)), math.prod((high - low) / n for low, high in box)


@pytest.mark.parametrize("name", LAWS)
def test_score_is_the_gradient_of_log_prob(name: str) -> None:
    law = LAWS[name]()
    x = 1.5 * torch.randn(200, *law.event_shape, generator=make_generator(0, "points"), dtype=torch.float64)
    x.requires_grad_()
    (expected,) = torch.autograd.grad(law.log_prob(x).sum(), x)
    got = law.score(x.detach())
    assert got.dtype == torch.float64
    assert torch.allclose(got, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", BOXES)
def test_density_integrates_to_exp_log_z(name: str) -> None:
    make, box = BOXES[name]
    law = make()
    # the midpoint rule is spectrally accurate for the smooth laws; the grids fit the edges of the uniform ones
    x, cell = midpoints(box, 240 if len(box) == 2 else 3200)
    total = sum(float(law.log_prob(part).exp().sum()) for part in x.split(20_000)) * cell
    assert total == pytest.approx(math.exp(law.log_z), abs=2e-6)


def test_funnel_factorises() -> None:
    """log p(x₁, …) is N(x₁; 0, 9) times D − 1 (not D) conditional normals."""
    x = torch.randn(50, 10, generator=make_generator(1, "points"), dtype=torch.float64)
    first = torch.distributions.Normal(0.0, 3.0).log_prob(x[:, 0])
    rest = torch.distributions.Normal(0.0, (0.5 * x[:, :1]).exp()).log_prob(x[:, 1:]).sum(1)
    assert torch.allclose(Funnel().log_prob(x), first + rest, atol=1e-12)


def test_funnel_stays_finite_where_exp_x1_would_not() -> None:
    x = torch.zeros(2, 10)
    x[:, 0] = torch.tensor([-150.0, 150.0])  # e^{150} overflows single precision
    assert torch.isfinite(Funnel().log_prob(x)).all()
    assert torch.isfinite(Funnel().score(x)).all()


def test_mixture_agrees_with_torch_distributions() -> None:
    law = diagonal_mixture().double()
    reference = torch.distributions.MixtureSameFamily(
        torch.distributions.Categorical(probs=law.weights),
        torch.distributions.Independent(torch.distributions.Normal(law.means, law.variances.sqrt()), 1),
    )
    x = 3.0 * torch.randn(100, 2, generator=make_generator(2, "points"), dtype=torch.float64)
    assert torch.allclose(law.log_prob(x), reference.log_prob(x), atol=1e-10)


@pytest.mark.parametrize("name", ["normal-2d", "mixture-2d", "moons"])
def test_blurred_is_the_convolution(name: str) -> None:
    make, box = BOXES[name]
    law, variance = make(), 0.15
    grid, cell = midpoints(box, 240)
    density = torch.cat([law.log_prob(part).exp() for part in grid.split(20_000)])
    x = torch.tensor([[0.0, 0.0], [1.0, -0.5], [-0.7, 0.9], [2.0, 1.0]], dtype=torch.float64)
    kernel = (-0.5 * torch.cdist(x, grid).square() / variance).exp() / (2.0 * math.pi * variance)
    expected = (kernel @ density) * cell
    assert torch.allclose(law.blurred(variance).log_prob(x).exp(), expected, rtol=1e-6, atol=1e-10)


@pytest.fixture
def double_precision() -> Iterator[None]:
    previous = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(previous)


@pytest.mark.usefixtures("double_precision")
def test_moons_quadrature_error_is_as_stated() -> None:
    law, fine, coarse = TwoMoons(), TwoMoons(nodes=2000), TwoMoons(nodes=24)
    u = torch.rand(500, 2, generator=make_generator(3, "points"), dtype=torch.float64)
    for margin, error, score_error in ((1.0, 1e-10, 1e-8), (4.0, 1e-5, 1e-4)):
        low, high = torch.tensor([-1.0 - margin, -0.5 - margin]), torch.tensor([2.0 + margin, 1.0 + margin])
        x = low + (high - low) * u
        assert (law.log_prob(x) - fine.log_prob(x)).abs().max() < error
        assert (law.score(x) - fine.score(x)).abs().max() < score_error
        assert (coarse.log_prob(x) - fine.log_prob(x)).abs().max() > 1e-3  # 24 nodes are too few: the test can fail


def test_single_and_double_precision_agree() -> None:
    x = torch.randn(100, 2, generator=make_generator(4, "points"))
    for law in (TwoMoons(), diagonal_mixture()):
        assert law.log_prob(x).dtype == torch.float32
        assert torch.allclose(law.log_prob(x).double(), law.log_prob(x.double()), rtol=1e-4, atol=1e-4)
        assert torch.allclose(law.score(x).double(), law.score(x.double()), rtol=1e-3, atol=1e-3)


def test_far_points_keep_finite_scores() -> None:
    x = torch.tensor([[1e3, -1e3], [-30.0, 40.0]])
    for law in (diagonal_mixture(), TwoMoons(), StandardNormal(2)):
        assert torch.isfinite(law.log_prob(x)).all()
        assert torch.isfinite(law.score(x)).all()


def test_a_density_and_its_score_at_once_are_those_of_each_alone() -> None:
    """Far from all components but one, and where no number is large enough, too."""
    law = diagonal_mixture()
    x = torch.tensor([[0.0, 0.0], [30.0, -2.0], [1e25, 1e25], [math.nan, 0.0], [-2.0, 1.0]])
    log_prob, score = law.log_prob_and_score(x)
    torch.testing.assert_close(log_prob, law.log_prob(x), equal_nan=True)
    torch.testing.assert_close(score, law.score(x), rtol=0, atol=0, equal_nan=True)
    exact = law.score(x[[0, 1, 4]].double())
    torch.testing.assert_close(score[[0, 1, 4]].double(), exact, rtol=1e-5, atol=1e-5)


def test_uniform_density_outside_is_zero() -> None:
    law = uniform_spans([(-2.0, -1.0), (0.0, 0.5)])
    x = torch.tensor([[-1.5], [-1.0], [-0.5], [0.25], [3.0]])
    expected = torch.tensor([1.5, 1.5, math.inf, 1.5, math.inf]).log().neg()
    assert torch.allclose(law.log_prob(x), expected)
    assert not law.differentiable


def test_labels() -> None:
    spans = uniform_spans([(-4.0, 0.0), (1.0, 1.5)])
    # the nearest span, not the nearest centre: 0.2 is 2.2 from one centre and 1.05 from the other
    assert spans.labels(torch.tensor([[-3.0], [0.2], [0.9], [9.0]])).tolist() == [0, 0, 1, 1]
    assert TwoMoons().labels(torch.tensor([[0.0, 1.0], [1.0, -0.5], [-1.0, 0.0], [2.0, 0.5]])).tolist() == [0, 1, 0, 1]
    # the wide component owns what is far, though the narrow one's centre is nearer
    mixture = GaussianMixture([[0.0], [3.0]], [4.0, 0.01], [0.5, 0.5])
    assert mixture.labels(torch.tensor([[0.0], [3.0], [4.0], [9.0]])).tolist() == [0, 1, 0, 0]
    board = checkerboard()
    assert board.labels(board.centres).tolist() == list(range(8))
