r"""Pairs of a forward chain, which a control steers to the target, and a backward chain, which carries the target back.

In units in which the target has spread one, a path x_0, …, x_K of the forward chain has the weight

    log w = log p̃(x_K) + Σ_k log B(x_k | x_{k+1}) − log π₀(x_0) − Σ_k log F(x_{k+1} | x_k),     E[w] = Z,

whatever the control is: an estimate of Z is unbiased with a network that has learned nothing. The chains are

    F(x'|x) = N(base + √v a, v e^{2ρ}),   a = NN(x, t) + √v c(t) clip(∇log p̃),   B(x|x') = N(back, v_B)

           base                 v     back                                          v_B
    PIS    x                    h     x' T_k/T_{k+1}                                h T_k/T_{k+1}
    DDS    √(1−α) x             α     √(1−α) x'                                     α
    DIS    x + ½βx              β     x' − ½βx'                                     β
    CMCD   x + ½h ∇log π_k      h     x' + ½h ∇log π_{k+1} − √h NN(x', t_{k+1})     h

with π₀ = N(0, I), for PIS a point at 0 (and no factor B of the first step); CMCD's a has no gate c, and its
π_k ∝ N(0, I)^{1−β_k} p^{β_k} with learned β_k. In DIS the control holds the whole score; with base x − ½βx it would be
DDS by Euler steps.

The papers take v for the variance of F (ρ = 0). Reversed, a step of B has less variance than that where the law is
narrow, so ρ_k is learned: with the exact mean and 64 steps this is what the ESS on nine modes is bounded by.

Where the backward chain learns nothing, the law of x_k given x_K is N(A_k x_K, C_k I) in closed form (``kept`` and
``blur``).

Sources: PIS, Zhang & Chen 2022 (arXiv:2111.15141); DDS, Vargas et al. 2023 (arXiv:2302.13834), with their exact
kernels; DIS, Berner et al. 2024 (arXiv:2211.01364); CMCD, Vargas et al. 2024 (arXiv:2307.01050), Eq. 22.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, field, fields
from typing import Literal

import torch
from torch import Tensor

Name = Literal["pis", "dds", "dis", "cmcd"]
Grid = Literal["geometric", "cosine", "uniform"]

WIDEST = 4.0
"""Noise over signal at the start of an Ornstein-Uhlenbeck chain with the geometric grid."""
TOTALS: dict[Name, float] = {"pis": 1.0, "dds": 3.0, "dis": 5.0, "cmcd": 3.0}
"""Σ_k v_k of the other grids."""
LONGEST = {"pis": 1.0, "dds": 0.7, "dis": 0.6, "cmcd": 0.3}
"""v of a step at most."""


@dataclass(frozen=True, eq=False)
class Process:
    """The two chains, K steps each; all numbers in double precision.

    Args:
        name: of the process.
        variances: v (K,).
        growth: factors (K,) of x in the base of F.
        shrink: factors (K,) of x' in B.
        back_variances: v_B (K,).

    Attributes:
        reference: variances (K + 1,) of the chain without control, to which flows are relative.
        kept: A (K + 1,), what is left of x_K in x_k.
        blur: C (K + 1,), the variance of x_k given x_K.
        gain: (K,); x_{k+1} given x_k and x_K has the mean A_{k+1} x_K + gain_k (x_k − A_k x_K)
        between: and this variance (K,).
    """

    name: Name
    variances: Tensor
    growth: Tensor
    shrink: Tensor
    back_variances: Tensor
    reference: Tensor = field(init=False)
    kept: Tensor = field(init=False)
    blur: Tensor = field(init=False)
    gain: Tensor = field(init=False)
    between: Tensor = field(init=False)
    _elsewhere: dict[tuple[torch.device, torch.dtype], Process] = field(init=False, default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        kept, blur, gain = [1.0], [0.0], []
        for shrink, variance in zip(self.shrink.flip(0).tolist(), self.back_variances.flip(0).tolist(), strict=True):
            after = blur[-1]
            blur.append(after * shrink**2 + variance)
            kept.append(kept[-1] * shrink)
            gain.append(after * shrink / blur[-1] if blur[-1] else 0.0)
        for name, numbers in (("kept", kept), ("blur", blur), ("gain", gain)):
            object.__setattr__(self, name, self.variances.new_tensor(numbers[::-1]))
        object.__setattr__(self, "between", self.blur[1:] * (1 - self.shrink * self.gain))
        reference = torch.ones_like(self.kept)
        if self.point:  # of the point at 0 there is no density
            reference[1:] = self.variances.cumsum(0)
        object.__setattr__(self, "reference", reference)

    def like(self, x: Tensor) -> Process:
        """The same numbers on the device and in the type of x, copied there once."""
        key = x.device, x.dtype
        if key not in self._elsewhere:
            there = copy.copy(self)
            for one in fields(self):
                if isinstance(value := getattr(self, one.name), Tensor):
                    object.__setattr__(there, one.name, value.to(x))
            self._elsewhere[key] = there
        return self._elsewhere[key]

    @property
    def steps(self) -> int:
        """K."""
        return len(self.variances)

    @property
    def point(self) -> bool:
        """Whether paths start at 0 instead of in N(0, I)."""
        return self.name == "pis"

    @property
    def annealed(self) -> bool:
        """Whether both chains follow ∇log π_k of an interpolant, and the backward one the control."""
        return self.name == "cmcd"


def make_process(name: Name, steps: int, *, grid: Grid, detail: float) -> Process:
    """The chains of a process.

    Args:
        name: which.
        steps: K.
        grid: how long steps are: falling in geometric progression (Ornstein-Uhlenbeck chains: the ratio of noise to
            signal falls so, from ``WIDEST``), like cos² (Vargas et al. 2023), or all alike.
        detail: standard deviation of the finest step of the geometric grid, in units of the target's spread.
    """
    v = _variances(name, steps, grid, detail)
    one = torch.ones_like(v)
    if name == "pis":
        after = v.cumsum(0)
        shrink = (after - v).clamp(min=0) / after
        shrink[0] = 0.0
        return Process(name, v, one, shrink, v * shrink)
    if name == "dds":
        return Process(name, v, (1 - v).sqrt(), (1 - v).sqrt(), v)
    if name == "dis":
        return Process(name, v, 1 + v / 2, 1 - v / 2, v)
    return Process(name, v, one, one, v)


def _variances(name: Name, steps: int, grid: Grid, detail: float) -> Tensor:
    at = (torch.arange(steps, dtype=torch.float64) + 0.5) / steps
    if grid == "geometric":
        if name in ("dds", "dis"):
            ratio = torch.cat((_falling(steps, WIDEST, detail), at.new_zeros(1)))  # √C_k / A_k
            return (1 - (1 + ratio[1:].square()) / (1 + ratio[:-1].square())).clamp(max=LONGEST[name])
        falling = _falling(steps, LONGEST[name], detail**2)
        return falling / falling.sum() if name == "pis" else falling
    shape = torch.cos(at * math.pi / 2).square() if grid == "cosine" else torch.ones_like(at)
    return (TOTALS[name] * shape / shape.sum()).clamp(max=LONGEST[name])


def _falling(steps: int, first: float, last: float) -> Tensor:
    if steps == 1:
        return torch.tensor([first], dtype=torch.float64)
    return torch.linspace(math.log(first), math.log(last), steps, dtype=torch.float64).exp()
