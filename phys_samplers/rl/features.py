r"""Features of observations in which laws of returns are linear: exact tables, random cosines, tiles, or anybody's own.

A feature map is a module whose buffers are saved with the model. Tables give places of ones instead of numbers, which
the sums of ``moments`` use. Standardisation is part of a map: it is fitted to a sample of observations.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from phys_samplers.errors import ConfigurationError
from phys_samplers.randomness import make_generator

FeatureKind = Literal["auto", "table", "cosines", "tiles"]
SAMPLE = 2_048
"""Observations that a map is fitted to."""


class FeatureMap(nn.Module):
    """Observations (N, F) to features.

    Attributes:
        count: d.
    """

    count: int


class Table(FeatureMap):
    """One feature an observation: observations are one-hot rows (N, F), places of the ones (N,) their features.

    Args:
        inputs: F.
    """

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.count = inputs

    def forward(self, rows: Tensor) -> Tensor:
        """(N, F) → (N,)."""
        return rows.argmax(-1)


class Standardised(FeatureMap):
    """What sees observations with mean zero and unit variance.

    Args:
        sample: observations (N, F).
    """

    centre: Tensor
    spread: Tensor

    def __init__(self, sample: Tensor) -> None:
        super().__init__()
        self.register_buffer("centre", sample.double().mean(0))
        spread = sample.double().std(0)
        self.register_buffer("spread", torch.where(spread > 1e-8, spread, torch.ones_like(spread)))

    def standardised(self, rows: Tensor) -> Tensor:
        """(N, F), likewise; in the precision of the rows."""
        rows = rows if rows.is_floating_point() else rows.double()
        return (rows - self.centre.to(rows)) / self.spread.to(rows)


class Cosines(Standardised):
    r"""Random Fourier features √(2/d) cos(ωᵀz + b) of a Gaussian kernel (Rahimi & Recht 2007), and z itself.

    Frequencies are normal over the bandwidth; each of four equal parts of them is twice as slow as the one before, so
    that laws may vary on several scales.

    Args:
        sample: observations (N, F).
        count: d, the coordinates of z included.
        bandwidth: of the fastest quarter, in standard deviations.
        seed: of the frequencies.
    """

    frequency: Tensor
    phase: Tensor

    def __init__(self, sample: Tensor, count: int, bandwidth: float, *, seed: int = 0) -> None:
        super().__init__(sample)
        inputs = sample.shape[1]
        cosines = count - inputs
        if cosines < 4:
            raise ConfigurationError(f"{count} features of {inputs} numbers; expected at least {inputs + 4}")
        generator = make_generator(seed, "cosines")
        slow = 2.0 ** (torch.arange(cosines) * 4 // cosines).double()
        drawn = torch.randn(inputs, cosines, generator=generator, dtype=torch.float64)
        self.register_buffer("frequency", drawn / (bandwidth * slow))
        self.register_buffer("phase", 2 * math.pi * torch.rand(cosines, generator=generator, dtype=torch.float64))
        self.count = count

    def forward(self, rows: Tensor) -> Tensor:
        """(N, F) → (N, d)."""
        z = self.standardised(rows)
        made = z.new_empty(len(z), self.count)
        made[:, : z.shape[1]] = z
        waves = made[:, z.shape[1] :]
        torch.addmm(self.phase.to(z), z, self.frequency.to(z), out=waves).cos_().mul_(math.sqrt(2 / len(self.phase)))
        return made


class Tiles(Standardised):
    """Tile coding: several shifted grids over the observations, one tile of each is on (Sutton & Barto 2018, 9.5.4).

    Args:
        sample: observations (N, F).
        tilings: grids.
        bins: tiles a coordinate and grid, over four standard deviations around the mean and one tile beyond.
    """

    def __init__(self, sample: Tensor, tilings: int, bins: int) -> None:
        super().__init__(sample)
        self.tilings, self.bins, self.count = tilings, bins, tilings * bins ** sample.shape[1]
        if self.count > 8_192:
            raise ConfigurationError(
                f"{tilings} tilings of {bins} bins in {sample.shape[1]} coordinates make {self.count} features; "
                "expected at most 8,192: use cosines"
            )

    def forward(self, rows: Tensor) -> Tensor:
        """(N, F) → (N, d)."""
        z = (self.standardised(rows) + 2) * (self.bins / 4)
        shift = torch.arange(self.tilings, dtype=z.dtype).unsqueeze(1) / self.tilings
        # odd multiples of the shift in different coordinates keep the grids apart
        shift = shift * (2 * torch.arange(z.shape[1], dtype=z.dtype) + 1)
        place = (z.unsqueeze(1) + shift % 1 - 0.5).floor().clamp(0, self.bins - 1).long()
        powers = self.bins ** torch.arange(z.shape[1])
        index = (place * powers).sum(-1) + torch.arange(self.tilings) * self.bins ** z.shape[1]
        return torch.zeros(len(z), self.count, dtype=torch.float64).scatter_(1, index, 1.0)


class Given(FeatureMap):
    """Anybody's features.

    Args:
        function: observations (N, F) → (N, d).
        sample: observations (N, F), to learn d from.
    """

    def __init__(self, function: Callable[[Tensor], Tensor], sample: Tensor) -> None:
        super().__init__()
        self.function = function
        made = function(sample[:2])
        if made.ndim != 2 or len(made) != len(sample[:2]):
            raise ConfigurationError(f"the features of 2 observations have shape {tuple(made.shape)}; expected (2, d)")
        self.count = made.shape[1]

    def forward(self, rows: Tensor) -> Tensor:
        """(N, F) → (N, d)."""
        return self.function(rows).detach()


def feature_map(
    kind: FeatureKind | Callable[[Tensor], Tensor],
    sample: Tensor,
    *,
    count: int,
    bandwidth: float,
    tilings: int,
    bins: int,
    seed: int = 0,
) -> FeatureMap:
    """The map called ``kind``; ``auto`` is a table of one-hot rows, and cosines of others.

    Args:
        kind: which, or a function.
        sample: observations (N, F).
        count: of cosines.
        bandwidth: of cosines.
        tilings: of tiles.
        bins: of tiles.
        seed: of cosines.
    """
    if callable(kind):
        return Given(kind, sample)
    one_hot = bool(((sample == 0) | (sample == 1)).all() and (sample.sum(1) == 1).all())
    if kind == "table" and not one_hot:
        raise ConfigurationError("features is 'table', and observations are not one-hot; expected 'cosines' or 'tiles'")
    if kind == "table" or (kind == "auto" and one_hot):
        return Table(sample.shape[1])
    if kind == "tiles":
        return Tiles(sample, tilings, bins)
    return Cosines(sample, count, bandwidth, seed=seed)
