r"""Pairs of a forward chain, which a control steers to the target, and a backward chain, which carries the target back.

In units in which the target has spread one, a path x_0, …, x_K of the forward chain has the weight

    log w = log p̃(x_K) + Σ_k log B(x_k | x_{k+1}) − log π₀(x_0) − Σ_k log F(x_{k+1} | x_k),     E[w] = Z,

whatever the control is: an estimate of Z is unbiased with a network that has learned nothing. The chains are

    F(x'|x) = N(base + √v a, v),   a = NN(x, t) + √v c(t) clip(∇log p̃),   B(x|x') = N(back, v_B)

           base                 v     back                                          v_B
    PIS    x                    h     x' T_k/T_{k+1}                                h T_k/T_{k+1}
    DDS    √(1−α) x             α     √(1−α) x'                                     α
    DIS    x + ½βx              β     x' − ½βx'                                     β
    CMCD   x + ½h ∇log π_k      h     x' + ½h ∇log π_{k+1} − √h NN(x', t_{k+1})     h

with π₀ = N(0, I), for PIS a point at 0 (and no factor B of the first step); CMCD's a has no gate c, and its
π_k ∝ N(0, I)^{1−β_k} p^{β_k} with learned β_k. In DIS the control holds the whole score; with base x − ½βx it would be
DDS by Euler steps.

Sources: PIS, Zhang & Chen 2022 (arXiv:2111.15141); DDS, Vargas et al. 2023 (arXiv:2302.13834), with their exact
kernels; DIS, Berner et al. 2024 (arXiv:2211.01364); CMCD, Vargas et al. 2024 (arXiv:2307.01050), Eq. 22.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor


def log_normal(difference: Tensor, variance: Tensor | float) -> Tensor:
    """log N(d; 0, v I) of differences (…, D) at a variance that broadcasts with (…,)."""
    variance = torch.as_tensor(variance, dtype=difference.dtype, device=difference.device)
    dim = difference.shape[-1]
    return -0.5 * (difference.square().sum(-1) / variance + dim * (2 * math.pi * variance).log())


class Process(ABC):
    """The two chains, K steps each.

    Args:
        steps: K.
        detail: standard deviation of the finest step, in units of the target's spread.

    Attributes:
        variances: v (K,), in double precision.
        back_variances: v_B (K,).
        reference: variances (K + 1,) of the chain without control, to which flows are relative.
        point: whether paths start at 0 instead of in N(0, I).
        annealed: whether both chains follow ∇log π_k of an interpolant, and the backward one the control.
    """

    point: ClassVar[bool] = False
    annealed: ClassVar[bool] = False

    def __init__(self, steps: int, detail: float) -> None:
        self.steps = steps
        self.variances = self.schedule(steps, detail)
        self.back_variances = self.variances
        self.reference = torch.ones(steps + 1, dtype=torch.float64)

    @abstractmethod
    def schedule(self, steps: int, detail: float) -> Tensor:
        """v (K,)."""

    @abstractmethod
    def base(self, x: Tensor, variance: Tensor, slope: Tensor | None) -> Tensor:
        """Where a step from x (…, D) goes without control; ``slope`` is ∇log π_k(x), where the process is annealed."""

    @abstractmethod
    def back(self, x: Tensor, step: Tensor, variance: Tensor, slope: Tensor | None, control: Tensor | None) -> Tensor:
        """Mean of B at x' (…, D), the end of ``step``, whose index broadcasts with ``variance``."""


def falling(steps: int, first: float, last: float) -> Tensor:
    """Variances in geometric progression."""
    if steps == 1:
        return torch.tensor([first], dtype=torch.float64)
    return torch.linspace(math.log(first), math.log(last), steps, dtype=torch.float64).exp()


class PathIntegral(Process):
    """PIS: Brownian motion from a point, and its bridge back; total time 1, short steps last."""

    point = True

    def __init__(self, steps: int, detail: float) -> None:
        super().__init__(steps, detail)
        after = self.variances.cumsum(0)
        self.shrink = (after - self.variances) / after
        self.back_variances = self.variances * self.shrink
        self.reference = torch.cat((after.new_ones(1), after))  # of the point at 0 there is no density

    def schedule(self, steps: int, detail: float) -> Tensor:
        """See ``Process``."""
        variances = falling(steps, 1.0, detail**2)
        return variances / variances.sum()

    def base(self, x: Tensor, variance: Tensor, slope: Tensor | None) -> Tensor:
        """See ``Process``."""
        return x

    def back(self, x: Tensor, step: Tensor, variance: Tensor, slope: Tensor | None, control: Tensor | None) -> Tensor:
        """See ``Process``."""
        return x * self.shrink.to(x)[step]


class DenoisingDiffusion(Process):
    """DDS: an Ornstein-Uhlenbeck chain by its exact kernels, α_k ∝ cos²(½π (k + ½)/K) with Σ α = 3, at most 0.7."""

    def schedule(self, steps: int, detail: float) -> Tensor:
        """See ``Process``; the finest step is not below detail²."""
        shape = torch.cos((torch.arange(steps, dtype=torch.float64) + 0.5) / steps * math.pi / 2).square()
        return (3.0 * shape / shape.sum()).clamp(detail**2, 0.7)

    def base(self, x: Tensor, variance: Tensor, slope: Tensor | None) -> Tensor:
        """See ``Process``."""
        return (1 - variance).sqrt() * x

    def back(self, x: Tensor, step: Tensor, variance: Tensor, slope: Tensor | None, control: Tensor | None) -> Tensor:
        """See ``Process``."""
        return (1 - variance).sqrt() * x


class TimeReversed(Process):
    """DIS: an Ornstein-Uhlenbeck process reversed by Euler steps, β falling linearly with Σ β = 5, at most 0.6."""

    def schedule(self, steps: int, detail: float) -> Tensor:
        """See ``Process``."""
        shape = torch.linspace(8.0, 0.1, steps, dtype=torch.float64)
        return (5.0 * shape / shape.sum()).clamp(detail**2, 0.6)

    def base(self, x: Tensor, variance: Tensor, slope: Tensor | None) -> Tensor:
        """See ``Process``."""
        return x + 0.5 * variance * x

    def back(self, x: Tensor, step: Tensor, variance: Tensor, slope: Tensor | None, control: Tensor | None) -> Tensor:
        """See ``Process``."""
        return x - 0.5 * variance * x


class MonteCarloDiffusion(Process):
    """CMCD: annealed Langevin moves both ways, corrected by the control; step variances from 0.3 down to detail²."""

    annealed = True

    def schedule(self, steps: int, detail: float) -> Tensor:
        """See ``Process``."""
        return falling(steps, 0.3, detail**2)

    def base(self, x: Tensor, variance: Tensor, slope: Tensor | None) -> Tensor:
        """See ``Process``."""
        assert slope is not None
        return x + 0.5 * variance * slope

    def back(self, x: Tensor, step: Tensor, variance: Tensor, slope: Tensor | None, control: Tensor | None) -> Tensor:
        """See ``Process``."""
        assert slope is not None
        assert control is not None
        return x + 0.5 * variance * slope - variance.sqrt() * control
