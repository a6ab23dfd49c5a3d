"""Scores that ask the target or the model: moments, modes, energies, likelihood, Stein discrepancy."""

from __future__ import annotations

import math
from collections.abc import Callable
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from phys_samplers.errors import ConfigurationError, MissingCapability
from phys_samplers.metrics.densities import KSD, NLL
from phys_samplers.metrics.summaries import DeltaStd, DistanceTVD, EnergyTVD, ModeTV, VarianceRatio, particle_distances
from phys_samplers.randomness import make_generator
from phys_samplers.target import Density, Modes, Target

Score = Callable[..., float]
Draw = Callable[..., Tensor]

LINE = Density(lambda x: -x[:, 0], event_shape=(1,), name="line")  # the energy of a point is the point


def column(*values: float) -> Tensor:
    return torch.tensor(values)[:, None]


def test_moments_by_hand(score: Score, draw: Draw) -> None:
    y = draw(50, 2)
    wide = y * torch.tensor([2.0, 3.0])
    assert score(VarianceRatio(), wide, y) == pytest.approx((4 + 9) / 2)
    assert score(DeltaStd(), wide, y) == pytest.approx(float((y.std(0) * torch.tensor([1.0, 2.0])).mean()))
    assert score(DeltaStd(), y + 5, y) == pytest.approx(0.0, abs=1e-12)
    constant = torch.cat([y, torch.ones(50, 1)], 1)
    assert score(VarianceRatio(), torch.cat([wide, y[:, :1]], 1), constant) == pytest.approx((4 + 9) / 2)
    with pytest.raises(ConfigurationError, match="all equal"):
        score(VarianceRatio(), y, torch.ones(5, 2))


def test_mode_tv_by_hand(score: Score) -> None:
    modes = Modes(centres=column(0.0, 10.0, 20.0), weights=torch.tensor([0.5, 0.3, 0.2]))
    target = Target(event_shape=(1,), modes=modes)
    x = column(1.0, 4.0, 9.0, -3.0)  # frequencies ¾, ¼, 0
    assert score(ModeTV(), x, x, target=target) == pytest.approx((0.25 + 0.05 + 0.2) / 2)


def test_mode_tv_counts_points_of_no_mode(score: Score) -> None:
    def label(x: Tensor) -> Tensor:
        return torch.where(x[:, 0] < 0, -1, (x[:, 0] > 1).long())

    target = Target(event_shape=(1,), modes=Modes(column(0.0, 2.0), torch.tensor([0.5, 0.5]), label))
    x = column(0.5, 1.5, -7.0, -8.0)  # frequencies ¼, ¼ and ½ astray
    assert score(ModeTV(), x, x, target=target) == pytest.approx(0.5)
    bad = Target(event_shape=(1,), modes=Modes(column(0.0, 2.0), torch.tensor([0.5, 0.6])))
    with pytest.raises(ConfigurationError, match="sum to one"):
        score(ModeTV(), x, x, target=bad)


def test_tvd_of_energies_by_hand(score: Score) -> None:
    reference = column(0.0, 1.0, 3.0, 4.0)  # two bins over (0, 4): ½, ½
    samples = column(0.5, 1.5, 1.9, 3.5)  # ¾, ¼
    assert score(EnergyTVD(bins=2), samples, reference, target=LINE) == pytest.approx(0.25)
    assert score(EnergyTVD(bins=2), reference, reference, target=LINE) == 0.0


def test_tvd_counts_mass_out_of_range(score: Score) -> None:
    reference = column(0.0, 1.0, 3.0, 4.0)
    # Half of the samples have far too high an energy. The rest fill the bins ½ : ½ of themselves, so that dropping
    # the others would score 0; counted, ½(¼ + ¼ + ½).
    diverged = column(0.5, 3.5, 1e9, 1e9)
    assert score(EnergyTVD(bins=2), diverged, reference, target=LINE) == pytest.approx(0.5)
    # A fixed range that leaves out half of the reference: out-of-range mass of either side is mismatch.
    assert score(EnergyTVD(bins=2, low=0.0, high=2.0), reference, reference, target=LINE) == pytest.approx(0.5)


def test_tvd_counts_energies_that_are_not_finite(score: Score) -> None:
    hard = Density(lambda x: torch.where(x[:, 0] < 0, -torch.inf, -x[:, 0]) + 0 * x[:, 0].log(), event_shape=(1,))
    reference = column(1.0, 2.0, 3.0, 4.0)
    assert score(EnergyTVD(), column(1.0, 2.0, -1.0, -2.0), reference, target=hard) == pytest.approx(0.5)
    with pytest.raises(ConfigurationError, match="the energy is not finite in 1 of 4 reference rows"):
        score(EnergyTVD(), reference, column(-1.0, 1.0, 2.0, 3.0), target=hard)


def test_tvd_ranges_that_cannot_work(score: Score) -> None:
    flat = Density(lambda x: 0 * x[:, 0], event_shape=(1,))
    with pytest.raises(ConfigurationError, match="empty"):
        score(EnergyTVD(), column(1.0), column(1.0, 2.0), target=flat)
    with pytest.raises(ConfigurationError, match="low < high"):
        EnergyTVD(low=1.0, high=1.0)
    with pytest.raises(ConfigurationError, match="bins is 0"):
        EnergyTVD(bins=0)


class Pairs:
    """Three particles in the plane."""

    event_shape = (6,)
    particles = (3, 2)


PAIRS = Target(event_shape=(6,), name="pairs", law=Pairs())


def triangles(*sides: tuple[float, float]) -> Tensor:
    """Right triangles (n, 6) with the given legs."""
    return torch.tensor([[0.0, 0.0, a, 0.0, 0.0, b] for a, b in sides])


def test_particle_distances_by_hand() -> None:
    x = triangles((3.0, 4.0), (5.0, 12.0))
    assert particle_distances(x, (3, 2)).tolist() == [[3.0, 4.0, 5.0], [5.0, 12.0, 13.0]]
    assert particle_distances(x.unflatten(1, (3, 2)), (3, 2)).tolist() == [[3.0, 4.0, 5.0], [5.0, 12.0, 13.0]]
    assert particle_distances(x, (2, 3)).tolist() == [[1.0], [7.0]]  # another layout


def test_tvd_of_distances_by_hand(score: Score) -> None:
    reference = triangles((3.0, 4.0), (5.0, 12.0))  # distances 3, 4, 5, 5, 12, 13; two bins over (3, 13): ⅔, ⅓
    samples = triangles((3.0, 4.0))  # 3, 4, 5: 1, 0
    assert score(DistanceTVD(bins=2), samples, reference, target=PAIRS) == pytest.approx(1 / 3)
    assert score(DistanceTVD(bins=2), reference, reference, target=PAIRS) == 0.0
    # far apart: distances 30, 40 and 50 are out of range and mismatch altogether
    assert score(DistanceTVD(bins=2), 10 * samples, reference, target=PAIRS) == pytest.approx(1.0)
    assert score(DistanceTVD(bins=2, low=0.0, high=8.0), samples, reference, target=PAIRS) == pytest.approx(
        (abs(1 / 3 - 1 / 6) + abs(2 / 3 - 3 / 6) + 2 / 6) / 2  # bins of 3 | 4 and 5; a third of the reference outside
    )


def test_tvd_of_distances_does_not_see_rigid_motions_and_labels(score: Score, draw: Draw) -> None:
    x, y = draw(40, 6), draw(30, 6, "y")
    expected = score(DistanceTVD(bins=20), x, y, target=PAIRS)
    at = x.unflatten(1, (3, 2))
    turned = torch.stack([0.6 * at[..., 0] - 0.8 * at[..., 1], 0.8 * at[..., 0] + 0.6 * at[..., 1]], -1)
    assert score(DistanceTVD(bins=20), turned.flatten(1), y, target=PAIRS) == pytest.approx(expected, abs=1e-9)
    assert score(DistanceTVD(bins=20), (at + 3.0).flatten(1), y, target=PAIRS) == pytest.approx(expected, abs=1e-9)
    assert score(DistanceTVD(bins=20), at[:, [2, 0, 1]].flatten(1), y, target=PAIRS) == pytest.approx(expected)
    assert score(DistanceTVD(bins=20), 1.5 * x, y, target=PAIRS) > expected


def test_nll_is_the_mean_over_the_reference(score: Score, draw: Draw) -> None:
    model = SimpleNamespace(device=torch.device("cpu"), log_prob=lambda x: -x.square().sum(1))
    y = draw(20, 2)
    expected = float(y.square().sum(1).mean())
    assert score(NLL(), draw(5, 2, "x"), y, model=model) == pytest.approx(expected)
    model.log_prob = lambda x: torch.full((len(x),), -torch.inf)
    assert score(NLL(), y, y, model=model) == math.inf
    model.log_prob = lambda x: torch.full((len(x),), torch.nan)
    with pytest.raises(ConfigurationError, match="NaN"):
        score(NLL(), y, y, model=model)
    model.log_prob = lambda x: x
    with pytest.raises(ConfigurationError, match="one value per row"):
        score(NLL(), y, y, model=model)


def test_nll_without_a_density_is_a_missing_capability(score: Score, draw: Draw) -> None:
    for model, given in ((None, "nll needs model; give"), (SimpleNamespace(), "given SimpleNamespace")):
        with pytest.raises(MissingCapability, match=given):
            score(NLL(), draw(5, 2), draw(5, 2), model=model)


NORMAL = Density(lambda x: -0.5 * x.square().sum(1), event_shape=(2,), name="normal")


def test_stein_kernel_matches_autograd(score: Score, draw: Draw) -> None:
    # The definition, ∇x·∇y k + s(x)·∇y k + s(y)·∇x k + s(x)·s(y) k, with every derivative of k by autograd.
    x, y = draw(2, 2)
    c, beta = 0.7, -0.3

    def kernel(a: Tensor, b: Tensor) -> Tensor:
        return (c**2 + (a - b).square().sum()) ** beta

    by_a, by_b = torch.autograd.functional.jacobian(kernel, (x, y))
    mixed = torch.autograd.functional.hessian(kernel, (x, y))[0][1].trace()
    expected = mixed - x @ by_b - y @ by_a + (x @ y) * kernel(x, y)
    pair = torch.stack([x, y])
    assert score(KSD(c=c, beta=beta), pair, pair, target=NORMAL) == pytest.approx(float(expected), rel=1e-9)


def test_ksd_is_unbiased_on_the_exact_law_and_sees_a_shift(score: Score, draw: Draw) -> None:
    # Mean over repeats within 4 standard errors of zero (false alarm 6e-5); the V-statistic is off by E k_p(x, x)/n.
    values = torch.tensor([score(KSD(), draw(60, 2, r), draw(2, 2), target=NORMAL) for r in range(100)])
    assert abs(values.mean()) < 4 * values.std() / 10
    shifted = score(KSD(), draw(60, 2, 0) + 1, draw(2, 2), target=NORMAL)
    assert shifted > values.mean() + 10 * values.std()


def test_ksd_refuses_bad_scores_and_options(score: Score, draw: Draw) -> None:
    off = Density(lambda x: x.prod(1).log(), event_shape=(2,), name="quadrant", score=lambda x: 1 / x.clamp(min=0))
    x = draw(10, 2).abs()
    x[0] = 0
    with pytest.raises(ConfigurationError, match=r"'quadrant' is not finite at 1 of 10"):
        score(KSD(), x, x, target=off)
    with pytest.raises(ConfigurationError, match="beta"):
        KSD(beta=-1.5)


def test_events_of_any_shape_are_flattened(score: Score) -> None:
    square = Density(lambda x: -0.5 * x.square().flatten(1).sum(1), event_shape=(2, 2))
    flat = Density(lambda x: -0.5 * x.square().sum(1), event_shape=(4,))
    x = torch.randn(20, 2, 2, generator=make_generator(0))
    for metric in (KSD(), EnergyTVD(), DeltaStd()):
        expected = score(metric, x.flatten(1), 2 * x.flatten(1), target=flat)
        assert score(metric, x, 2 * x, target=square) == pytest.approx(expected)
