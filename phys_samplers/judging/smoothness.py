r"""Is the score the gradient of the log-density, and is there density at a border? Stein's identities need both.

Along short segments that begin at samples, a + t·d for t in [0, 1], log p must rise by ∫ s·d dt. The trapezoidal rule
with 16 steps is off by a sixteenth of what it is with 4 where log p is smooth; where log p jumps it is off by the jump
with either. A segment on which log p is −∞ somewhere crosses a border of the support, next to points that have density.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from phys_samplers.density import FlatDensity
from phys_samplers.errors import DensityError
from phys_samplers.randomness import make_generator

SEGMENTS, STEPS, LENGTH = 200, 16, 0.2
"""How many segments, trapezoids on each, and its length as a share of the distance of two samples."""
FEWEST = 3
"""Segments that must be off for a verdict."""

Smoothness = Literal["smooth", "border", "jumps"]


@torch.no_grad()
def smoothness(density: FlatDensity, z: Tensor, *, seed: int) -> Smoothness:
    """What the density is like where the samples ``z`` (n, K) are.

    Raises:
        DensityError: if the score is hardly anywhere the gradient of the log-density.
    """
    generator = make_generator(seed, "segments", device=z.device)
    chosen = torch.randint(len(z), (3, SEGMENTS), generator=generator, device=z.device)
    # between two other samples, so that segments leave the convex hull of all
    begin, along = z[chosen[0]].double(), LENGTH * (z[chosen[1]] - z[chosen[2]]).double()
    moved = along.norm(dim=1) > 0
    t = torch.linspace(0, 1, STEPS + 1, dtype=torch.float64, device=z.device).view(-1, 1, 1)
    points = (begin + t * along).flatten(0, 1).to(z.dtype)
    log_prob, score = density.log_prob_and_score(points)
    log_prob, score = log_prob.double().view(STEPS + 1, -1), score.double().view(STEPS + 1, SEGMENTS, -1)
    inside = torch.isfinite(log_prob).all(0) & torch.isfinite(score).flatten(2).all(2).all(0)
    if int((~inside & moved).sum()) >= FEWEST:
        return "border"
    slope = (score * along).sum(2)
    rise, scale = log_prob[-1] - log_prob[0], log_prob.abs().amax(0)
    fine, coarse = (
        rise - (part[1:] + part[:-1]).sum(0) / (2 * (len(part) - 1)) for part in (slope, slope[:: STEPS // 4])
    )
    rounding = 100 * torch.finfo(z.dtype).eps * (1 + scale + slope.abs().amax(0))
    off = moved & inside & (fine.abs() > 0.02 + rounding) & (fine.abs() > 0.25 * coarse.abs())
    if int(off.sum()) < FEWEST:
        return "smooth"
    rising = moved & inside & (rise.abs() > 0.1)
    if int((off & rising).sum()) > 0.9 * int(rising.sum()) and callable(getattr(density.target.law, "score", None)):
        raise DensityError(
            f"the score of target {density.target.name!r} is not the gradient of its log-density: along "
            f"{int((off & rising).sum())} of {int(rising.sum())} segments they differ; leave score= out to have it by "
            "autograd, or mend it"
        )
    return "jumps"
