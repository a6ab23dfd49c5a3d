r"""Coordinates and precision in which a density is plain: x = c + sz, log p less a constant, in double precision.

A log-density near −3·10⁷ is known to two units in single precision, a position near 10⁸ to eight. In

    log p̃(z) = log p(c + sz) + Σ log s − b,

computed in double precision and then rounded, nothing is lost, and the start of a sampler, N(0, σ² I), lies where c and
s say. log Z is that of p̃ plus b.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from phys_samplers.chains.warmup import find_start
from phys_samplers.density import FlatDensity
from phys_samplers.errors import DensityError, DivergenceError
from phys_samplers.judging.evidence import Evidence
from phys_samplers.randomness import make_generator
from phys_samplers.target import Target

ROUNDED = 1e-3
"""Error of log p, or of a position in units of the spread, above which single precision is left."""
TAIL = 2e-3
"""Share of the samples of a run that may lie beyond either end of the box it spans."""
RADII = (1e9, 1e12, 1e15)
"""Distances from the origin at which a density must fall faster than volumes grow."""
LOGARITHMS = (170.0, 340.0, 680.0)
"""The same where coordinates are logarithms of distances from a border, of which no more are numbers."""
LINES, AXES, FLATTEST = 4, 64, 4
"""Lines in each direction, axes tried, and further directions: those in which gradients hardly vary."""
NUMBERS = 2**22
"""Coordinates of all points that a density is asked for at once."""


class UnitsLaw:
    """The law of z, on flat coordinates.

    Args:
        density: of x.
        centre: c (K,).
        scale: s (K,).
        offset: b.
    """

    def __init__(self, density: FlatDensity, centre: Tensor, scale: Tensor, offset: float) -> None:
        self.event_shape: tuple[int, ...] = (density.dim,)
        self._density, self._centre, self._scale, self._offset = density, centre, scale, offset
        self._constant = float(scale.log().sum()) - offset

    def log_prob(self, z: Tensor) -> Tensor:
        """log p̃ (B,)."""
        return (self._density.log_prob(self.place(z)) + self._constant).to(z.dtype)

    def score(self, z: Tensor) -> Tensor:
        """Its gradient (B, K)."""
        return self.log_prob_and_score(z)[1]

    def log_prob_and_score(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Both."""
        log_prob, score = self._density.log_prob_and_score(self.place(z))
        return (log_prob + self._constant).to(z.dtype), (score * self._scale).to(z.dtype)

    def place(self, z: Tensor) -> Tensor:
        """Flat coordinates of x (B, K), in double precision."""
        return self._centre + self._scale * z.to(self._centre.dtype)


@dataclass(frozen=True)
class Units:
    """A density in other units, and the way back.

    Args:
        density: as it was given, on flat coordinates.
        centre: c (K,), in double precision.
        scale: s (K,), in double precision.
        offset: b.
    """

    density: FlatDensity
    centre: Tensor
    scale: Tensor
    offset: float = 0.0

    @property
    def target(self) -> Target:
        """The density of z."""
        law = UnitsLaw(self.density, self.centre, self.scale, self.offset)
        return Target(event_shape=law.event_shape, name=self.density.target.name, law=law)

    def undone(self, run: Evidence) -> Evidence:
        """A run in z as one in x."""
        if run.z is None or run.log_prob is None:
            return run
        x = self.centre + self.scale * run.z.double()
        volume = float(self.scale.log().sum())
        return replace(
            run,
            z=x,
            samples=self.density.embed(x),
            log_prob=run.log_prob.double() - volume + self.offset,
            log_z=None if run.log_z is None else run.log_z + self.offset,
        )


def plain_units(target: Target, *, scale: float, seed: int, device: torch.device | str) -> Units | None:
    """Units in which nothing is lost by rounding, and samplers start where the density is; None where they do anyway.

    Args:
        target: the density.
        scale: of the starting points.
        seed: of them.
        device: where to compute.
    """
    density = FlatDensity(target.to(device))
    generator = make_generator(seed, "units", device=device)
    z = scale * torch.randn(64, density.dim, generator=generator, device=device)
    with torch.no_grad():
        start = find_start(density, z, steps=60)
    offset = start.log_prob[start.log_prob.isfinite()].double()
    eps = torch.finfo(start.x.dtype).eps
    if z.device.type == "mps" or start.x.dtype == torch.float64 or not len(offset):
        return None
    centre, unit = start.x.double().quantile(0.5, 0), torch.ones_like(start.x[0], dtype=torch.float64)
    far = bool((centre.abs() > 3 * scale).any()) and int(start.moved) > len(z) // 2  # chains had to be led there
    off_centre = far or float((centre.abs() / start.scale.double()).max()) * eps > ROUNDED
    if float(offset.median().abs()) * eps < ROUNDED and not off_centre:
        return None
    units = Units(density, centre if off_centre else torch.zeros_like(centre), unit, float(offset.median()))
    try:
        units.target.log_prob_and_score(start.x)
    except (DensityError, RuntimeError):  # it works in single precision alone
        return None
    return units


def seen_units(target: Target, runs: Sequence[Evidence], *, device: torch.device | str) -> Units | None:
    """Units in which everything that any run met, be it rejected, is within about ±2; None without samples."""
    boxes, heights = [], []
    for run in runs:
        if run.z is None or run.log_prob is None:
            continue
        z = run.z.double()
        boxes.append(torch.stack([z.quantile(TAIL, 0), z.quantile(1 - TAIL, 0)]))
        heights.append(float(run.log_prob.double().median()))
    if not boxes:
        return None
    ends = torch.stack(boxes)
    low, high = ends[:, 0].amin(0), ends[:, 1].amax(0)
    width = (high - low).clamp(min=1e-12)
    return Units(FlatDensity(target.to(device)), (low + high) / 2, width / 4, max(heights))


def refuse_improper(target: Target, *, scale: float, seed: int, device: torch.device | str) -> None:
    """Refuse a density whose integral is infinite since it does not fall off.

    Along random directions from the origin p(x)|x|^K must fall between 10⁹ and 10¹⁵, and along lines through random
    points p(x)|x|: on almost all lines of one direction a density with a finite integral has a finite one (Fubini).
    Directions of lines are axes, and those in which gradients hardly vary, as along an invariance. −∞ and NaN count as
    fallen. With a support it is flat coordinates, to 680. In double precision where the density takes it.

    Raises:
        DensityError: if it does not.
    """
    density = FlatDensity(target.to(device))
    generator = make_generator(seed, "improper", device=device)
    z = torch.randn(64, density.dim, generator=generator, device=device)
    radii = RADII if target.support is None else LOGARITHMS
    told = f"the density of target {target.name!r} is improper, its integral infinite: at distances of {radii[0]:g} to "
    rays = z / z.norm(dim=1, keepdim=True)
    if grows(_heights(density, torch.zeros_like(rays), rays, radii), radii, volume=density.dim):
        raise DensityError(
            f"{told}{radii[2]:g} it does not fall as fast as volume grows; give it a prior that falls off, or bounds "
            "(−inf outside; of an angle one period)"
        )
    axes = torch.eye(density.dim, device=device)
    axes = axes[torch.randperm(density.dim, generator=generator, device=device)[:AXES]]
    flat = flat_directions(density, scale * z)
    directions = torch.cat([flat, axes.to(flat)])[: max(1, NUMBERS // (2 * LINES * density.dim))]
    both = torch.cat([directions, -directions]).repeat_interleave(LINES, 0)
    points = scale * torch.randn(both.shape, generator=generator, device=device)
    heights = _heights(density, points.to(both), both, radii).unflatten(1, (-1, LINES))
    (found,) = torch.nonzero(grows(heights, radii, volume=1), as_tuple=True)
    if len(found):
        along = both[LINES * int(found[0])].abs()
        moved = sorted(int(j) for j in along.topk(min(3, density.dim)).indices if along[j] > 0.1)
        raise DensityError(
            f"{told}{radii[2]:g} it does not fall along a line that changes flat coordinates "
            f"{', '.join(map(str, moved))}; give these a prior that falls off, or bounds (support=; an angle is a "
            "'circle')"
        )


def flat_directions(density: FlatDensity, z: Tensor) -> Tensor:
    """Unit vectors (d, K) along which gradients at ``z`` (n, K) are least, by second moments, in double precision.

    None where there are fewer points than coordinates, or where the density is of single precision alone: in it a
    direction cannot be told from its neighbours over distances of 10⁹.
    """
    if z.device.type == "mps":
        return z[:0]
    if density.dim < 2 or density.dim > len(z):
        return z[:0].double()
    try:
        score = density.log_prob_and_score(z.double())[1]
    except (DensityError, DivergenceError, RuntimeError):
        return z[:0].double()
    score = score[score.isfinite().all(1)]
    if len(score) < density.dim:
        return z[:0].double()
    score = score / score.norm(dim=1, keepdim=True).clamp(min=1e-300)  # steep points must not outweigh all others
    return torch.linalg.eigh(score.T @ score).eigenvectors[:, : min(FLATTEST, density.dim - 1)].T


def grows(heights: Tensor, radii: Sequence[float], *, volume: int) -> Tensor:
    """Whether (G,) the sum over rays of p(r) r^volume grows, or stays, with r, from log p (radii, G, rays)."""
    r = torch.tensor(radii, dtype=heights.dtype, device=heights.device)
    first, second, third = heights.logsumexp(-1) + (volume * r.log()).view(-1, *[1] * (heights.ndim - 2))
    return (first > -torch.inf) & (third >= second) & (second >= first)


def _heights(density: FlatDensity, points: Tensor, along: Tensor, radii: Sequence[float]) -> Tensor:
    """log p (radii, n) at points + r along (n, K), in double precision or that of the points; −∞ for no number."""
    try:
        if points.device.type != "mps":
            z = torch.stack([points.double() + radius * along.double() for radius in radii])
            return _asked(density, z)
    except (DensityError, RuntimeError):  # of single precision alone
        if density.target.support is not None:
            return torch.full((len(radii), len(points)), -torch.inf, device=points.device)
    z = torch.stack([points.float() + radius * along.float() for radius in radii])
    return _asked(density, z)


def _asked(density: FlatDensity, z: Tensor) -> Tensor:
    parts = z.flatten(0, 1).split(max(1, NUMBERS // z.shape[2]))
    heights = torch.cat([density.log_prob(rows) for rows in parts]).view(z.shape[:2])
    return (heights if z.device.type == "mps" else heights.double()).nan_to_num(-torch.inf, -torch.inf, -torch.inf)
