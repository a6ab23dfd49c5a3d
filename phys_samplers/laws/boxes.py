"""Uniform laws on disjoint boxes: spans of the line, and the checkerboard of the plane."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from phys_samplers.errors import ConfigurationError
from phys_samplers.laws.arguments import Numbers, as_real, check_count, check_positive
from phys_samplers.shapes import Draws, Points, Values


class UniformBoxes(nn.Module):
    """The uniform law on a union of disjoint axis-parallel boxes.

    The density jumps at the edges and is flat elsewhere, so the law offers no score.

    Args:
        low: (K, D) lower corners.
        high: (K, D) upper corners; boxes may touch, not overlap.

    Raises:
        ConfigurationError: if a box is empty or two boxes overlap.
    """

    low: Tensor
    high: Tensor
    log_z = 0.0
    differentiable = False

    def __init__(self, low: Numbers, high: Numbers) -> None:
        super().__init__()
        a, b = as_real("low", low), as_real("high", high)
        if a.ndim != 2 or 0 in a.shape or a.shape != b.shape:
            raise ConfigurationError(
                f"low and high have shapes {tuple(a.shape)} and {tuple(b.shape)}; expected both (K, D), one row per box"
            )
        if not (a < b).all():
            raise ConfigurationError(f"box {int((a >= b).any(1).int().argmax())} is empty; expected low < high")
        overlap = torch.minimum(b[:, None], b) > torch.maximum(a[:, None], a)
        crossing = overlap.all(-1).fill_diagonal_(False).nonzero()
        if len(crossing):
            raise ConfigurationError(f"boxes {crossing[0].tolist()} overlap; expected disjoint boxes")
        self.event_shape: tuple[int, ...] = (a.shape[1],)
        self.register_buffer("low", a)
        self.register_buffer("high", b)
        self._log_volume = math.log(float((b - a).double().prod(-1).sum()))

    @property
    def weights(self) -> Tensor:
        """Probability of each box (K,): its share of the volume."""
        volumes = (self.high - self.low).prod(-1)
        return volumes / volumes.sum()

    @property
    def centres(self) -> Tensor:
        """Centres of the boxes (K, D)."""
        return 0.5 * (self.low + self.high)

    def log_prob(self, x: Points) -> Values:
        """−log(volume) inside (edges included), −∞ outside; (B,) at ``x`` (B, D)."""
        point = x.unsqueeze(-2)
        inside = ((point >= self.low.to(x.dtype)) & (point <= self.high.to(x.dtype))).all(-1).any(-1)
        zero = torch.zeros(inside.shape, dtype=x.dtype, device=x.device)
        return torch.where(inside, zero - self._log_volume, zero - math.inf)

    def labels(self, x: Tensor) -> Tensor:
        """The box (B,) that each row of ``x`` (B, D) is in, or else the nearest one; on any device."""
        point = x.unsqueeze(-2)
        outside = (self.low.to(x) - point).clamp_min(0.0) + (point - self.high.to(x)).clamp_min(0.0)
        return outside.square().sum(-1).argmin(-1)

    def sample(self, n: int, generator: torch.Generator) -> Draws:
        """``n`` draws (n, D) on the generator's device."""
        device = generator.device
        low, high = self.low.to(device), self.high.to(device)
        box = torch.multinomial(self.weights.to(device), n, replacement=True, generator=generator)
        position = torch.rand(n, *self.event_shape, generator=generator, device=device, dtype=low.dtype)
        return torch.lerp(low[box], high[box], position)


def uniform_spans(spans: Sequence[tuple[float, float]]) -> UniformBoxes:
    """The uniform law on disjoint spans (low, high) of the line; a span's weight is its share of the length."""
    ends = as_real("spans", spans)
    if ends.ndim != 2 or ends.shape[1] != 2:
        raise ConfigurationError(f"spans are {spans!r}; expected pairs (low, high)")
    return UniformBoxes(ends[:, :1], ends[:, 1:])


def checkerboard(cells: int = 4, half_width: float = 4.0) -> UniformBoxes:
    """The uniform law on every other square of a ``cells`` × ``cells`` board on [−half_width, half_width]².

    The square at the lower left corner is filled.
    """
    side = 2.0 * check_positive("half_width", half_width) / check_count("cells", cells, least=1)
    row, column = torch.meshgrid(torch.arange(cells), torch.arange(cells), indexing="ij")
    filled = torch.stack([row, column], -1)[(row + column) % 2 == 0].to(torch.get_default_dtype())
    low = filled * side - half_width
    return UniformBoxes(low, low + side)
