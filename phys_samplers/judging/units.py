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
from phys_samplers.errors import DensityError
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


def refuse_improper(target: Target, *, seed: int, device: torch.device | str) -> None:
    """Refuse a density whose integral is infinite since it does not fall off.

    Along random directions from the origin p(x)|x|^K must fall between 10⁹ and 10¹⁵; −∞ and NaN count as fallen. With a
    support it is flat coordinates, to 680, in double precision where the density takes it.

    Raises:
        DensityError: if it does not.
    """
    density = FlatDensity(target.to(device))
    z = torch.randn(64, density.dim, generator=make_generator(seed, "improper", device=device), device=device)
    z = z / z.norm(dim=1, keepdim=True)
    mass, radii = [], RADII
    if target.support is not None:
        z, radii = z if z.device.type == "mps" else z.double(), LOGARITHMS
    for radius in radii:
        try:
            heights = density.log_prob(radius * z).double().nan_to_num(-torch.inf, -torch.inf, -torch.inf)
        except DensityError:
            if target.support is None:
                raise
            return  # of single precision alone
        mass.append(float(heights.logsumexp(0) + density.dim * torch.tensor(radius, dtype=torch.float64).log()))
    if mass[0] > -torch.inf and mass[2] >= mass[1] >= mass[0]:
        raise DensityError(
            f"the density of target {target.name!r} is improper, its integral infinite: at distances of "
            f"{radii[0]:g} to {radii[2]:g} it does not fall as fast as volume grows; give it a prior that falls off, "
            "or bounds (−inf outside; of an angle one period)"
        )
