r"""The Wiener process as a whole path, for studies of convergence; ``driver`` draws it step by step.

Over a step of length h, with independent standard normals U₁, U₂ (Kloeden & Platen 1992, Section 10.4):

    ΔW = √h U₁,        I₁₀ = ∫₀ʰ W(s) ds = ½ h (ΔW + √(h/3) U₂).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

import torch
from torch import Tensor

from phys_samplers.errors import ConfigurationError
from phys_samplers.integrators.base import checked


class BrownianPath:
    """One Wiener path with the integrals of every interval, so that grids of different steps share it exactly.

    Memory is three tensors of (N, *shape): meant for convergence studies, not for sampling.

    Args:
        shape: of the state, (B, *event_shape).
        grid: N + 1 times, increasing or decreasing.
        generator: source of the path; the tensors live on its device.
        dtype: of the tensors.
    """

    def __init__(
        self,
        shape: Sequence[int],
        grid: Iterable[float],
        generator: torch.Generator,
        *,
        dtype: torch.dtype = torch.float64,
    ) -> None:
        self.grid = checked(grid)
        steps, device = len(self.grid) - 1, generator.device
        h = torch.tensor([abs(b - a) for a, b in pairwise(self.grid)], dtype=torch.float64)
        h = h.to(device=device, dtype=dtype).reshape(steps, *[1] * len(tuple(shape)))

        def normal() -> Tensor:
            return torch.randn((steps, *shape), generator=generator, dtype=dtype, device=device)

        self.dw = normal().mul_(h.sqrt())
        self.i10 = normal().mul_((h / 3).sqrt()).add_(self.dw).mul_(h / 2)
        self.sign = normal().ge_(0).mul_(2).sub_(1)

    def coarsen(self, factor: int) -> BrownianPath:
        """The same path on every ``factor``-th point of the grid.

        With intervals k of lengths h_k inside a coarse one, ``ΔW = Σ ΔW_k`` and
        ``I₁₀ = Σ (I₁₀,k + h_k Σ_{j<k} ΔW_j)``; the sign of a coarse interval is that of its first fine one.

        Raises:
            ConfigurationError: if ``factor`` does not divide the number of intervals.
        """
        steps = len(self.grid) - 1
        if isinstance(factor, bool) or not isinstance(factor, int) or factor < 1 or steps % factor:
            raise ConfigurationError(
                f"factor is {factor!r}; expected a positive divisor of the {steps} intervals of the path"
            )
        blocks = (steps // factor, factor, *self.dw.shape[1:])
        h = torch.tensor([abs(b - a) for a, b in pairwise(self.grid)], dtype=torch.float64).to(self.dw)
        h = h.reshape(blocks[0], factor, *[1] * (self.dw.ndim - 1))
        dw = self.dw.reshape(blocks)
        before = dw.cumsum(1) - dw
        coarse = object.__new__(BrownianPath)
        coarse.grid = self.grid[::factor]
        coarse.dw = dw.sum(1)
        coarse.i10 = (self.i10.reshape(blocks) + h * before).sum(1)
        coarse.sign = self.sign.reshape(blocks)[:, 0]
        return coarse

    def walk(self) -> PathWalk:
        """A walk along the path, interval by interval."""
        return PathWalk(self)


class PathWalk:
    """The increments of a ``BrownianPath``, one interval after the other."""

    def __init__(self, path: BrownianPath) -> None:
        self._path, self._index = path, -1

    def advance(self, h: float) -> None:
        """Go on to the next interval."""
        self._index += 1

    @property
    def dw(self) -> Tensor:
        """ΔW of the current interval."""
        return self._path.dw[self._index]

    @property
    def i10(self) -> Tensor:
        """I₁₀ of the current interval."""
        return self._path.i10[self._index]

    @property
    def sign(self) -> Tensor:
        """Random signs of the current interval."""
        return self._path.sign[self._index]

    def normal(self) -> Tensor:
        """Refused.

        Raises:
            ConfigurationError: always.
        """
        raise ConfigurationError(
            "this scheme adds noise of its own, which a Brownian path does not hold; pass generator= instead of "
            "brownian="
        )
