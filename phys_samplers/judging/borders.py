"""Where a density ends: which coordinate has a border, at which value, and the ``support`` to pass.

Segments that leave the support are halved until the border is known. A coordinate that alone leads back inside is the
one that crossed it; where all such crossings of one side are at the same value, that is a border of the coordinate.
"""

from __future__ import annotations

import torch
from torch import Tensor

from phys_samplers.density import FlatDensity
from phys_samplers.randomness import make_generator

SEGMENTS, HALVINGS = 400, 40
"""Segments tried, and halvings of those that leave the support."""
LENGTH = 2.0
"""Of a segment, as a share of the distance of two samples."""
FEWEST = 3
"""Crossings of one side of a coordinate that make a border."""
SAME = 1e-3
"""Spread of crossings, in units of that of the samples, up to which they are at one value."""


@torch.no_grad()
def name_border(density: FlatDensity, z: Tensor, *, seed: int) -> str:
    """One sentence on where the density ends around its samples ``z`` (n, K), and what to pass as ``support``.

    Coordinates are those of x, flattened, counted from 0.
    """
    generator = make_generator(seed, "borders", device=z.device)
    chosen = torch.randint(len(z), (3, SEGMENTS), generator=generator, device=z.device)
    inside = z[chosen[0]].double()
    outside = inside + LENGTH * (z[chosen[1]] - z[chosen[2]]).double()
    crosses = _has_density(density, inside, z) & ~_has_density(density, outside, z)
    inside, outside = inside[crosses], outside[crosses]
    for _ in range(HALVINGS):
        middle = (inside + outside) / 2
        alive = _has_density(density, middle, z).unsqueeze(1)
        inside, outside = torch.where(alive, middle, inside), torch.where(alive, outside, middle)
    x_inside, x_outside = (density.embed(end).flatten(1) for end in (inside, outside))
    spread = density.embed(z.double()).flatten(1).std(0)
    borders: dict[tuple[int, int], float] = {}
    for j in range(x_inside.shape[1]):
        back = x_outside.clone()
        back[:, j] = x_inside[:, j]
        rows = back.unflatten(1, density.target.event_shape).to(z.dtype)
        led_back = density.target.log_prob(rows).isfinite()
        for side in (-1, 1):
            crossed = x_outside[led_back & ((x_outside - x_inside)[:, j].sign() == side), j]
            if len(crossed) >= FEWEST and float(crossed.max() - crossed.min()) < SAME * float(spread[j]):
                value = float(crossed.median())
                borders[j, side] = value if abs(value) > SAME * float(spread[j]) else 0.0
    if not borders:
        return (
            "This density ends at a border that is not at one value of one coordinate: write it in coordinates in "
            "which it is, or in which there is none."
        )
    dim = x_inside.shape[1]
    named = "; ".join(f"at {value:.6g} in coordinate {j}" for (j, _), value in sorted(borders.items())[:4])
    more = f" and {len(borders) - 4} more" if len(borders) > 4 else ""
    return f"This density has a border {named}{more}: pass support={_suggested(borders, dim)}{_angles(borders)}."


def _has_density(density: FlatDensity, z: Tensor, like: Tensor) -> Tensor:
    return density.log_prob(z.to(like.dtype)).isfinite()


def _suggested(borders: dict[tuple[int, int], float], dim: int) -> str:
    """The value of ``support``, as Python."""
    each = []
    for j in range(dim):
        low, high = (f"{borders[j, side]:.6g}" if (j, side) in borders else "" for side in (-1, 1))
        text = {(True, True): "real"}.get((not low, not high), f"{low}:{high}")
        each.append({"0:": "positive", "0:1": "unit_interval"}.get(text, text))
    if len(set(each)) == 1:
        return repr(each[0])
    shown = [repr(text) for text in each]
    return f"[{', '.join(shown if dim <= 10 else [*shown[:9], '...'])}]"


def _angles(borders: dict[tuple[int, int], float]) -> str:
    """A word on coordinates that may be angles."""
    angles = [j for (j, side), low in borders.items() if side == -1 and abs(low + torch.pi) < 1e-3]
    angles = [j for j in angles if abs(borders.get((j, 1), 0.0) - torch.pi) < 1e-3]
    return f" ('circle' for coordinate {angles[0]} if it is an angle)" if angles else ""
