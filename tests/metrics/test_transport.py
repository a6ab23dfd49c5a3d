"""W1, W2, sliced W2 and Sinkhorn against closed forms."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import ot
import pytest
import torch
from torch import Tensor

from phys_samplers.catalogue import make
from phys_samplers.errors import ConfigurationError
from phys_samplers.laws import GaussianMixture
from phys_samplers.metric import Metric
from phys_samplers.metrics.sinkhorn import Sinkhorn, _relaxed
from phys_samplers.metrics.transport import W1, W2, SlicedW2, line_cost, transport_cost
from phys_samplers.randomness import make_generator

Score = Callable[..., float]
Draw = Callable[..., Tensor]


def test_shifted_set_costs_the_shift(score: Score, draw: Draw) -> None:
    # Translation is the optimal map for every convex cost.
    x, shift = draw(60, 3), torch.tensor([0.3, -0.4, 1.2], dtype=torch.float64)
    assert score(W1(), x, x + shift) == pytest.approx(1.3, rel=1e-9)
    assert score(W2(), x, x + shift) == pytest.approx(1.3, rel=1e-9)
    assert score(W2(), x, x.flip(0)) == pytest.approx(0.0, abs=1e-7)


def test_w2_of_gaussians(score: Score, draw: Draw) -> None:
    # W2(N(0, 1), N(1, 4))² = 1² + (2 − 1)². With 20,000 quantile midpoints a side only the tails are missed.
    levels = (torch.arange(20_000, dtype=torch.float64)[:, None] + 0.5) / 20_000
    x = torch.special.ndtri(levels)
    assert score(W2(), x, 1 + 2 * x) == pytest.approx(math.sqrt(2), rel=1e-3)
    # N(0, I) against N(0, diag(9, 1)), D = 2: W2 = 2. At n = 1,000 the floor of one law (0.2) enters as the root of a
    # sum of squares (+0.01) and the two variances fluctuate by 3 % (±0.12 at two standard deviations of each).
    y = draw(1000, 2, "wide") * torch.tensor([3.0, 1.0], dtype=torch.float64)
    assert score(W2(), draw(1000, 2), y) == pytest.approx(2.0, abs=0.25)


def test_line_agrees_with_network_simplex_at_unequal_sizes(draw: Draw) -> None:
    x, y = draw(37, 1), draw(53, 1, "other") * 2 + 1
    for power in (1, 2):
        on_line = transport_cost(x, y, power=power, max_iterations=10_000, by="test")
        # A second, constant coordinate changes no distance but takes the general path.
        flat = [torch.cat([rows, torch.zeros_like(rows)], 1) for rows in (x, y)]
        assert on_line == pytest.approx(transport_cost(*flat, power=power, max_iterations=10_000, by="test"), rel=1e-9)


def test_line_by_hand() -> None:
    # Masses: 0 and 3 with ½ each against 0, 1, 5 with ⅓ each. Quantiles differ on (⅓, ½] by 1, on (½, ⅔] by 2, on
    # (⅔, 1] by 2: W1 = 1/6 + 2/6 + 2/3, W2² = 1/6 + 4/6 + 4/3.
    x, y = torch.tensor([[3.0], [0.0]]).double(), torch.tensor([[5.0], [0.0], [1.0]]).double()
    assert float(line_cost(x, y, 1)) == pytest.approx(7 / 6)
    assert float(line_cost(x, y, 2)) == pytest.approx(13 / 6)


def test_simplex_that_stops_early_is_an_error(score: Score, draw: Draw) -> None:
    with pytest.raises(ConfigurationError, match=r"w2: .*raise max_iterations, now 3"):
        score(W2(max_iterations=3), draw(50, 2), draw(50, 2, "other"))


def test_sliced_of_shift_is_mean_square_of_its_projection(score: Score, draw: Draw) -> None:
    # SW2² of a shift v is mean_θ (θ·v)², in expectation |v|²/D. Its relative standard deviation over one direction in
    # D = 4 is √(E cos⁴/(E cos²)² − 1) = 1, so 4,096 directions give 1/64; 5 standard errors: false alarm < 1e-6.
    x, shift = draw(100, 4), torch.tensor([2.0, 0.0, 0.0, 0.0], dtype=torch.float64)
    assert score(SlicedW2(projections=4096), x, x + shift) ** 2 == pytest.approx(1.0, rel=5 / 64)
    assert score(SlicedW2(), x[:, :1], x[:, :1] + 2) == pytest.approx(2.0)
    assert score(SlicedW2(), x, x + shift) <= score(W2(), x, x + shift)


def test_sinkhorn_tends_to_w2_from_above(score: Score, draw: Draw) -> None:
    x, y = draw(100, 2), draw(80, 2, "other") + 1
    exact = score(W2(), x, y)
    values = [score(Sinkhorn(regularisation=r, max_iterations=100_000), x, y) for r in (1.0, 0.1, 0.01)]
    assert values == sorted(values, reverse=True)
    assert all(value >= exact - 1e-6 for value in values)
    assert values[-1] == pytest.approx(exact, rel=0.02)
    assert values[0] > 1.1 * exact


def test_sinkhorn_of_two_points_by_hand(score: Score) -> None:
    # Points 0 and 1 on both sides, costs [[0, 1], [1, 0]], ε = r·½ (the median of 0, 0, 1, 1): the plan is
    # [[a, b], [b, a]] with b/a = exp(−1/ε) and 2(a + b) = 1, so the cost is 2b = 1/(1 + e^{1/ε}).
    points = torch.tensor([[0.0], [1.0]])
    expected = math.sqrt(1 / (1 + math.exp(1 / 0.5)))
    assert score(Sinkhorn(regularisation=1.0), points, points) == pytest.approx(expected, rel=1e-6)


def test_sinkhorn_survives_underflow_of_its_kernel(score: Score) -> None:
    # exp(−C/ε) is zero in float64 for the far pair; the log form answers. Cost: both points move by 100.
    x = torch.tensor([[0.0, 0.0], [0.1, 0.0]])
    y = x + torch.tensor([100.0, 0.0])
    assert score(Sinkhorn(regularisation=1e-3), x, y) == pytest.approx(100.0, rel=1e-4)


def test_over_relaxed_iterations_reach_the_plan_of_plain_ones(score: Score, draw: Draw) -> None:
    x, y = draw(200, 2), draw(150, 2, "other") + 1
    costs = torch.cdist(x, y).square()
    epsilon = 0.02 * float(costs.median())
    plan = _relaxed(costs, epsilon, 1e-9, 2_000)
    assert plan is not None
    plain = torch.from_numpy(ot.sinkhorn([], [], costs.numpy(), epsilon, stopThr=1e-13, numItermax=100_000))
    assert (plan - plain).abs().sum() < 1e-8
    assert _relaxed(costs, epsilon, 1e-9, 300) is not None  # where plain ones are off by this much
    cut = torch.from_numpy(ot.sinkhorn([], [], costs.numpy(), epsilon, stopThr=0, numItermax=300, warn=False))
    assert (cut.sum(0) * 150 - 1).abs().mean() > 1e-7
    assert _relaxed(1e4 * costs, epsilon, 1e-9, 2_000) is None  # its kernel underflows


def test_sinkhorn_that_does_not_converge_is_an_error(score: Score, draw: Draw) -> None:
    with pytest.raises(ConfigurationError, match=r"sinkhorn: marginals are off by .* after 3 iterations"):
        score(Sinkhorn(regularisation=1e-3, max_iterations=3), draw(50, 2), draw(50, 2, "other") * 3)


def test_sinkhorn_of_the_distance_itself_tends_to_w1(score: Score, draw: Draw) -> None:
    x, y = draw(60, 2), draw(60, 2, "other") + 1
    value = score(Sinkhorn(power=1, regularisation=0.03, absolute=True, tolerance=1e-4), x, y)
    assert value == pytest.approx(score(W1(), x, y), rel=0.03)


def test_sinkhorn_cut_short_is_the_fixed_point_after_so_many_iterations(score: Score, draw: Draw) -> None:
    """By scaling vectors of the kernel itself, which does not underflow at this ε; the marginal of ``y`` holds."""
    x, y = draw(30, 2), draw(40, 2, "other") + 1
    costs = torch.cdist(x, y)
    kernel, right = torch.exp(-costs / 0.5), torch.ones(40, dtype=torch.float64)
    for _ in range(3):
        left = 1 / (30 * kernel @ right)
        right = 1 / (40 * left @ kernel)
    plan = left[:, None] * kernel * right
    assert (plan.sum(1) - 1 / 30).abs().sum() > 1e-3
    cut = Sinkhorn(power=1, regularisation=0.5, absolute=True, tolerance=None, max_iterations=3)
    assert score(cut, x, y) == pytest.approx(float((plan * costs).sum()), rel=1e-9)


@pytest.mark.slow
def test_the_published_sinkhorn_hardly_sees_wrong_mode_weights(score: Score) -> None:
    """Nine equal modes, wrong by a total variation of .2: W1 doubles at 500 rows, Sinkhorn moves by less than 10 %.

    Over four pairs of sets the mean of Sinkhorn has a standard error of 3 % of itself, that of W1 of 8 %.
    """
    nine = make("task", "gmm9")
    centre, others = 1 / 9 + 0.2, (1 - 1 / 9 - 0.2) / 8
    wrong = GaussianMixture(nine.law.means, [0.3] * 9, [others] * 4 + [centre] + [others] * 4)

    def mean(metric: Metric, law: GaussianMixture) -> float:
        pairs = [
            (law.sample(500, make_generator(k, "x")), nine.law.sample(500, make_generator(k, "y"))) for k in range(4)
        ]
        return sum(score(metric, x, y, target=nine) for x, y in pairs) / 4

    exact, published = W1(), make("metric", "sinkhorn", preset="vgs")
    assert mean(exact, wrong) > 1.5 * mean(exact, nine.law)
    assert mean(published, wrong) < 1.1 * mean(published, nine.law)


def test_points_are_a_random_part_of_each_set(score: Score, draw: Draw) -> None:
    x, y = draw(300, 2), draw(300, 2, "other")
    for metric in (W1(points=50), W2(points=50), Sinkhorn(points=50)):
        part = score(metric, x, y)
        assert part == score(metric, x, y)
        assert part > score(dataclasses.replace(metric, points=None), x, y)
        assert part != score(metric, x[:50], y[:50])
        assert score(dataclasses.replace(metric, points=300), x, y) == pytest.approx(
            score(dataclasses.replace(metric, points=None), x, y)
        )


@pytest.mark.parametrize(
    "build",
    [
        lambda: W1(points=0),
        lambda: Sinkhorn(power=3),
        lambda: Sinkhorn(points=0),
        lambda: SlicedW2(projections=0),
        lambda: Sinkhorn(regularisation=0.0),
        lambda: Sinkhorn(tolerance=-1.0),
        lambda: Sinkhorn(max_iterations=0),
    ],
)
def test_bad_options_are_refused(build: Callable[[], object]) -> None:
    with pytest.raises(ConfigurationError, match="expected"):
        build()
