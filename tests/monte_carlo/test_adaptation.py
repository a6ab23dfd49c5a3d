"""Warm-up: what it learns of variances, and when."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch

from phys_monte_carlo.adaptation import WarmUp, covariance, merge, variance, window_ends
from phys_samplers.randomness import make_generator


def test_merged_moments_are_those_of_all_states() -> None:
    x = 1e3 + torch.randn(6, 2, 40, 3, generator=make_generator(0, "x"), dtype=torch.float64)
    moments = None
    for states in x:
        moments = merge(moments, states)
    whole = x.transpose(0, 1).flatten(1, 2)
    assert moments.states == 240
    torch.testing.assert_close(moments.mean, whole.mean(1))
    torch.testing.assert_close(moments.squares / 239, whole.var(1))
    before = torch.tensor([1e-4, 1.0, 1e4], dtype=torch.float64)
    shrunk = variance(moments, before)
    torch.testing.assert_close(shrunk.log(), (240 * whole.var(1).log() + 5 * before.log()) / 245)
    dense = None
    for states in x:
        dense = merge(dense, states, dense=True)
    expected = torch.stack([torch.cov(rows.T) for rows in whole])
    torch.testing.assert_close(dense.squares / 239, expected)
    drawn = covariance(dense)
    torch.testing.assert_close(drawn.diagonal(dim1=1, dim2=2), expected.diagonal(dim1=1, dim2=2))
    torch.testing.assert_close(drawn[:, 0, 1], expected[:, 0, 1] * 240 / 243)


@pytest.mark.parametrize(("steps", "chains"), [(100, 200), (1000, 1), (13, 50), (200, 3)])
def test_windows_double_join_and_leave_steps_for_the_step_size(steps: int, chains: int) -> None:
    ends = window_ends(steps, chains)
    assert ends[-1] == int(0.8 * steps)
    for end, following in pairwise(ends):
        assert following // 2 == end
    assert (ends[0] - ends[0] // 2) * chains >= 25


def test_no_window_fits_into_a_short_warm_up() -> None:
    assert window_ends(0, 100) == window_ends(10, 100) == window_ends(20, 1) == []


def test_warm_up_finds_the_variances_of_each_group_and_is_then_frozen() -> None:
    std = torch.tensor([[0.1, 10.0], [3.0, 3.0]], dtype=torch.float64).unsqueeze(1)
    generator = make_generator(0, "x")
    like = torch.zeros(2, 500, 2, dtype=torch.float64)
    warm_up = WarmUp(50, step_size=0.3, goal=0.8, like=like)
    assert warm_up.step_size.tolist() == pytest.approx([0.3, 0.3])
    ended = []
    for step in range(1, 80):
        x = std * torch.randn(2, 500, 2, generator=generator, dtype=torch.float64)
        # acceptance e^{−h} of the first and e^{−2h} of the second group
        acceptance = torch.exp(-torch.tensor([1.0, 2.0]) * warm_up.step_size).unsqueeze(1).expand(2, 500)
        if warm_up.observe(x, acceptance):
            ended.append(step)
        if step == 50:
            frozen = warm_up.step_size.clone()
    assert ended == [10, 20, 40]
    # 10,000 states: standard errors of 1.4 %
    torch.testing.assert_close(warm_up.inverse_mass, std.squeeze(1) ** 2, rtol=0.06, atol=0.03)
    assert torch.equal(warm_up.step_size, frozen)
    assert frozen[0] > frozen[1]


@pytest.mark.parametrize("dense", [False, True])
def test_variances_of_chains_that_never_moved_change_nothing(dense: bool) -> None:
    warm_up = WarmUp(20, step_size=0.3, goal=0.8, like=torch.zeros(1, 30, 2), dense=dense)
    for _ in range(20):
        warm_up.observe(torch.ones(1, 30, 2), torch.zeros(1, 30))
    assert (warm_up.inverse_mass == 1).all()
