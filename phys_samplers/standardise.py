"""The affine map to the coordinates that networks see, done once for all data-driven samplers.

Whitening divides by the root of the covariance too. Here it is u = P^{−1/2} (x − mean)/scale with the correlation
matrix P = V Λ Vᵀ and its *symmetric* root V Λ^{1/2} Vᵀ (Kessy, Lewin & Strimmer 2018, arXiv:1512.00809, "ZCA-cor"): of
all whitening maps the one whose coordinates stay closest to the columns of the data, unique, and free of their units.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from numbers import Real
from typing import Literal, Self

import torch
from torch import Tensor

from phys_samplers.errors import ConfigurationError

Standardisation = Literal["coordinates", "common", "none", "whiten"]

FLOOR = 1e-3
"""Least eigenvalue of the correlation matrix that whitening divides by, as a share of the largest: along a direction
that the columns hardly leave, such as the difference of near duplicates, only noise would be enlarged."""


@dataclass(frozen=True)
class Standardiser:
    """x ↦ u = R⁻¹ (x − mean)/scale on flattened rows.

    Args:
        mean: (D,).
        scale: (D,), positive.
        root: R, symmetric and positive definite (D, D); None for the identity.
        origin: (D,), taken from rows before anything else and given back last, in the precision of the data where that
            is finer than the map's; None if it is not.
        constant: (D,) bool, coordinates that never vary: they come back as ``mean`` exactly; None if all vary.
    """

    mean: Tensor
    scale: Tensor
    root: Tensor | None = None
    origin: Tensor | None = None
    constant: Tensor | None = None

    @classmethod
    def fit(
        cls,
        rows: Tensor,
        how: Standardisation = "coordinates",
        *,
        floor: float = FLOOR,
        precision: torch.dtype | None = None,
    ) -> Self:
        """From training rows (N, …); a constant coordinate keeps scale 1.

        Args:
            rows: training rows.
            how: ``coordinates``: zero mean and unit variance each; ``common``: one scale for all coordinates, the root
                of their mean variance; ``none``: the identity; ``whiten``: zero mean and the identity as covariance,
                but for directions whose variance is below the floor.
            floor: of whitening, see ``FLOOR``.
            precision: of the map, if not that of the rows.
        """
        rows, origin = rows.flatten(1), None
        if precision is not None and rows.dtype != precision:
            if rows.dtype == torch.float64:
                origin = torch.zeros_like(rows[0]) if how == "none" else rows.mean(0)
                rows = rows - origin
            rows = rows.to(precision)
        if how == "none":
            return cls(torch.zeros_like(rows[0]), torch.ones_like(rows[0]), None, origin)
        constant = rows.amax(0) == rows.amin(0)
        scale = rows.var(0).mean().sqrt().expand(rows.shape[1]) if how == "common" else rows.std(0)
        mean, scale = (
            torch.where(constant, rows[0], rows.mean(0)),
            torch.where(scale > 0, scale, torch.ones_like(scale)),
        )
        plain = cls(mean, scale, None, origin, constant if bool(constant.any()) else None)
        if how != "whiten":
            return plain
        z = plain.forward(rows).to("cpu", torch.float64)  # in double precision, which not every device has
        correlation = (z.T @ z / (len(z) - 1)).fill_diagonal_(1.0)  # a constant column stays by itself
        variances, axes = torch.linalg.eigh(correlation)
        root = (axes * variances.clamp(min=floor * variances[-1]).sqrt()) @ axes.T
        return replace(plain, root=root.to(rows))

    @classmethod
    def identity(cls, dim: int, *, device: torch.device | str = "cpu") -> Self:
        """The map that changes nothing."""
        return cls(torch.zeros(dim, device=device), torch.ones(dim, device=device))

    @cached_property
    def _inverse_root(self) -> Tensor:
        assert self.root is not None
        return torch.linalg.inv(self.root.to("cpu", torch.float64)).to(self.root)

    @cached_property
    def log_volume(self) -> float:
        """log |det ∂x/∂u|: log p(x) = log p(u) − log_volume. Read from the device once."""
        root = 0.0 if self.root is None else float(torch.linalg.slogdet(self.root.to("cpu", torch.float64))[1])
        return float(self.scale.log().sum()) + root

    @property
    def width(self) -> float:
        """|det ∂x/∂u|^{1/D}, the geometric mean of the scales: isotropic noise σ of u has the size σ · width in x.

        That is its size in every coordinate of x if the scales are equal and nothing is whitened. Otherwise coordinate
        i has noise σ · scale_i, correlated like the data if they are whitened.
        """
        return math.exp(self.log_volume / len(self.mean))

    def blur(self, sigma: float) -> float:
        """Isotropic noise of size ``sigma`` in data units, as the level that networks know: sigma / ``width``.

        Raises:
            ConfigurationError: if sigma is not positive and finite.
        """
        return check_level(sigma) / self.width

    def forward(self, rows: Tensor) -> Tensor:
        """Data units (N, …) → standardised flat rows (N, D), in the dtype of the map: what a network takes."""
        rows = rows.flatten(1)
        rows = rows if self.origin is None else rows.to(self.origin) - self.origin
        z = (rows.to(self.mean.dtype) - self.mean) / self.scale
        return z if self.root is None else z @ self._inverse_root

    def inverse(self, flat: Tensor, event_shape: tuple[int, ...]) -> Tensor:
        """Standardised flat rows (N, D) → data units (N, *event_shape), in the precision of ``origin``."""
        z = flat if self.root is None else flat @ self.root
        x = torch.addcmul(self.mean, z, self.scale)
        x = x if self.constant is None else torch.where(self.constant, self.mean, x)
        return (x if self.origin is None else x + self.origin).unflatten(1, event_shape)

    def pull_back(self, gradient: Tensor) -> Tensor:
        """The gradient by x of a function of u, such as a score, from its gradient by u: (N, D) → (N, D)."""
        return (gradient if self.root is None else gradient @ self._inverse_root) / self.scale

    def tensors(self) -> dict[str, Tensor]:
        """What ``from_tensors`` needs, by the names it has in a checkpoint."""
        parts = {
            "mean": self.mean,
            "scale": self.scale,
            "root": self.root,
            "origin": self.origin,
            "constant": self.constant,
        }
        return {f"standardiser.{name}": part for name, part in parts.items() if part is not None}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> Self:
        """The map that gave ``tensors``, which may hold others too."""
        parts = (tensors.get(f"standardiser.{name}") for name in ("root", "origin", "constant"))
        return cls(tensors["standardiser.mean"], tensors["standardiser.scale"], *parts)


def check_level(sigma: float) -> float:
    """A level of noise that a caller gave.

    Raises:
        ConfigurationError: if it is not positive and finite.
    """
    if isinstance(sigma, bool) or not isinstance(sigma, Real | Tensor) or not 0 < sigma < math.inf:
        raise ConfigurationError(
            f"sigma is {sigma!r}; expected a positive finite level of noise, or None for the model's own default"
        )
    return sigma
