"""Warm-up of Hamiltonian chains: step sizes by dual averaging, masses from (co)variances seen in doubling windows.

As in Stan (Hoffman & Gelman 2014; Carpenter et al. 2017, Section 5.5.2 there), but estimates are pooled over many
chains, so that windows are short. Nothing here waits for the device.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from phys_samplers.chains.warmup import DualAveraging

LAST = 0.8
"""Share of the warm-up at which the last window ends; what follows adapts the step size alone."""
STEPS, STATES = 5, 25
"""A window has at least so many steps, and so many states of all chains together."""
PRIOR = 5
"""Weight, in states, of what was used before in the logarithm of the estimate."""


class Moments(NamedTuple):
    """Number of states seen so far, their mean (..., D) and sum of squared deviations (..., D), or (..., D, D)."""

    states: int
    mean: Tensor
    squares: Tensor


def merge(moments: Moments | None, x: Tensor, *, dense: bool = False) -> Moments:
    """The moments with the states ``x`` (..., B, D) added, by the pairwise update of Chan, Golub & LeVeque 1983."""
    count, mean = x.shape[-2], x.mean(-2)
    centred = x - mean.unsqueeze(-2)
    squares = centred.mT @ centred if dense else centred.square().sum(-2)
    if moments is None:
        return Moments(count, mean, squares)
    total, gap = moments.states + count, mean - moments.mean
    product = gap.unsqueeze(-1) * gap.unsqueeze(-2) if dense else gap.square()
    return Moments(
        total,
        moments.mean + (count / total) * gap,
        moments.squares + squares + (moments.states * count / total) * product,
    )


def variance(moments: Moments, before: Tensor) -> Tensor:
    """Variances (..., D), by their logarithms drawn a little towards those ``before``, which units of length leave be.

    Where nothing moved they are those before.
    """
    plain = moments.squares / max(1, moments.states - 1)
    share = PRIOR / (moments.states + PRIOR)
    return torch.where(plain > 0, plain ** (1 - share) * before**share, before)


def covariance(moments: Moments) -> Tensor:
    """Covariances (..., D, D), drawn towards their diagonals by the share D/(states + D)."""
    plain = moments.squares / max(1, moments.states - 1)
    states, dim = moments.states, plain.shape[-1]
    diagonal = plain.diagonal(dim1=-2, dim2=-1)
    return plain * (states / (states + dim)) + torch.diag_embed(diagonal * (dim / (states + dim)))


def window_ends(steps: int, chains: int) -> list[int]:
    """Steps of a warm-up at which windows end; each window reaches back to half its end."""
    least, end, ends = max(STEPS, -(-STATES // chains)), int(LAST * steps), []
    while end - end // 2 >= least:
        ends.append(end)
        end //= 2
    return ends[::-1]


class WarmUp:
    """Step sizes and masses of G groups of chains, each group with its own.

    After a window the mass is new and the step size starts anew, as if a tenth of the deviation of the slowest
    coordinate had been accepted: from there dual averaging tries a little more than ten times as much next.

    Args:
        steps: of the warm-up; after them everything is frozen.
        step_size: h at the start.
        goal: acceptance rate to adapt to.
        like: states (G, B, D) of the chains.
        scale: deviations (D,) to begin with, as far as they are known.
        dense: whether masses are full matrices.

    Attributes:
        step_size: h to use now (G,).
        inverse_mass: diagonals of M⁻¹ to use now (G, D).
        factor: F with FFᵀ = M⁻¹ to use now, (G, D) or (G, D, D).
    """

    def __init__(
        self,
        steps: int,
        *,
        step_size: float,
        goal: float,
        like: Tensor,
        scale: Tensor | None = None,
        dense: bool = False,
    ) -> None:
        groups, chains, dim = like.shape
        self._goal, self._steps, self._done, self._dense = goal, steps, 0, dense
        self._ends = window_ends(steps, chains)
        self._moments: Moments | None = None
        self.factor = like.new_ones(groups, dim) if scale is None else scale.expand(groups, dim)
        self.inverse_mass = self.factor.square()
        self._restart(step_size, like=like)

    def _restart(self, step_size: float, *, like: Tensor) -> None:
        state = DualAveraging.init(step_size, like=like)
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
        self._state = self._state.update(acceptance.mean(1), goal=self._goal)
        self.step_size = self._state.step_size(last=self._done == self._steps)
        if self._ends and self._done > self._ends[0] // 2:
            self._moments = merge(self._moments, x, dense=self._dense)
        if not self._ends or self._done < self._ends[0]:
            return False
        self._ends.pop(0)
        assert self._moments is not None
        if self._dense:
            self._learn_matrix(covariance(self._moments))
        else:
            self.inverse_mass = variance(self._moments, self.inverse_mass)
            self.factor = self.inverse_mass.sqrt()
        self._moments = None
        self._restart(0.1, like=x)
        # what a step so small would tell is known; of trajectories that find their length it would be the longest
        self._state = self._state.update(torch.ones_like(self.step_size), goal=self._goal)
        self.step_size = self._state.log_step.exp()
        return True

    def _learn_matrix(self, seen: Tensor) -> None:
        """Take covariances (G, D, D), unless they are not positive: where chains did not move."""
        factor, fault = torch.linalg.cholesky_ex(seen)
        before = self.factor if self.factor.ndim == 3 else torch.diag_embed(self.factor)
        self.factor = torch.where((fault == 0).view(-1, 1, 1), factor, before)
        self.inverse_mass = self.factor.square().sum(-1)
