"""Warm-up of Hamiltonian chains: step sizes by dual averaging, diagonal masses from variances seen in doubling windows.

As in Stan (Hoffman & Gelman 2014; Carpenter et al. 2017, Section 5.5.2 there), but estimates are pooled over many
chains, so that windows are short. Nothing here waits for the device.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from phys_samplers.chains import dual_averaging

LAST = 0.8
"""Share of the warm-up at which the last window ends; what follows adapts the step size alone."""
STEPS, STATES = 5, 25
"""A window has at least so many steps, and so many states of all chains together."""
PRIOR = 5
"""Weight, in states, of the mean variance of all coordinates in the estimate for each of them."""


class Moments(NamedTuple):
    """Number of states seen so far, their mean (..., D) and sum of squared deviations (..., D)."""

    states: int
    mean: Tensor
    squares: Tensor


def merge(moments: Moments | None, x: Tensor) -> Moments:
    """The moments with the states ``x`` (..., B, D) added, by the pairwise update of Chan, Golub & LeVeque 1983."""
    count, mean = x.shape[-2], x.mean(-2)
    squares = (x - mean.unsqueeze(-2)).square().sum(-2)
    if moments is None:
        return Moments(count, mean, squares)
    total, gap = moments.states + count, mean - moments.mean
    return Moments(
        total,
        moments.mean + (count / total) * gap,
        moments.squares + squares + (moments.states * count / total) * gap.square(),
    )


def variance(moments: Moments) -> Tensor:
    """Variances (..., D), drawn a little towards their mean over coordinates; positive unless nothing moved."""
    plain = moments.squares / max(1, moments.states - 1)
    return (moments.states * plain + PRIOR * plain.mean(-1, keepdim=True)) / (moments.states + PRIOR)


def window_ends(steps: int, chains: int) -> list[int]:
    """Steps of a warm-up at which windows end; each window reaches back to half its end."""
    least, end, ends = max(STEPS, -(-STATES // chains)), int(LAST * steps), []
    while end - end // 2 >= least:
        ends.append(end)
        end //= 2
    return ends[::-1]


class WarmUp:
    """Step sizes and masses of G groups of chains, each group with its own.

    After a window the mass is new and the step size starts anew, at a tenth of the deviation of the slowest
    coordinate, from where dual averaging tries ten times as much next.

    Args:
        steps: of the warm-up; after them everything is frozen.
        step_size: h at the start.
        goal: acceptance rate to adapt to.
        like: states (G, B, D) of the chains.

    Attributes:
        step_size: h to use now (G,).
        inverse_mass: diagonals of M⁻¹ to use now (G, D).
    """

    def __init__(self, steps: int, *, step_size: float, goal: float, like: Tensor) -> None:
        groups, chains, dim = like.shape
        self._goal, self._steps, self._done = goal, steps, 0
        self._ends = window_ends(steps, chains)
        self._moments: Moments | None = None
        self.inverse_mass = like.new_ones(groups, dim)
        self._restart(step_size, like=like)

    def _restart(self, step_size: float, *, like: Tensor) -> None:
        state = dual_averaging.init(step_size, like=like)
        wide = state.log_step.expand(len(like))
        self._state = state._replace(log_step=wide, log_average=wide, gaps=torch.zeros_like(wide))
        self.step_size = wide.exp()

    def observe(self, x: Tensor, acceptance: Tensor) -> bool:
        """Learn from states ``x`` (G, B, D) after a step and its acceptance probabilities (G, B).

        Returns:
            Whether a window ended here.
        """
        if self._done == self._steps:
            return False
        self._done += 1
        self._state = dual_averaging.update(self._state, acceptance.mean(1), goal=self._goal)
        self.step_size = (self._state.log_average if self._done == self._steps else self._state.log_step).exp()
        if self._ends and self._done > self._ends[0] // 2:
            self._moments = merge(self._moments, x)
        if not self._ends or self._done < self._ends[0]:
            return False
        self._ends.pop(0)
        assert self._moments is not None
        seen = variance(self._moments)
        self.inverse_mass = torch.where(seen > 0, seen, self.inverse_mass)
        self._moments = None
        self._restart(0.1, like=x)
        return True
