r"""Where a density lives: borders, the simplex, circles, and the coordinates z ∈ R^K without borders that samplers use.

With x = T(z) a density on the support S ⊂ R^D has, on all of R^K, the density

    log p(z) = log p(x) + log |det ∂T/∂z|,        ∇_z log p = (∂T/∂z)ᵀ ∇_x log p + ∇_z log |det ∂T/∂z|,

whose integral is the same: x = a + e^z above a border a, x = b − e^z below b, x = a + (b − a)σ(z) between two, and what
``torch.distributions.biject_to`` knows for other supports, such as stick breaking for the simplex.

No bijection takes R onto a circle. An angle is therefore that of two coordinates, z = r(cos θ, sin θ), with a radius of
its own law, independent of all angles: r² is χ² with four degrees of freedom,

    log p(z) = log p(θ) + log(r²/2) − r²/2,        ∫ (r²/2) e^{−r²/2} r dr = 1.

Densities near a border keep the relative precision of x, not of b − x: what lies within a few roundings of b is put
one rounding before it.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.distributions import Transform, biject_to, constraints

from phys_samplers.errors import ConfigurationError

Constraint = constraints.Constraint | str
"""A constraint of ``torch.distributions``, or its text: see ``TEXTS``."""
TEXTS = "'real', 'positive', 'unit_interval', 'circle' (an angle from −π to π), 'simplex' or 'LOW:HIGH'"
NAMED: dict[str, tuple[float, float]] = {
    "real": (-math.inf, math.inf),
    "positive": (0.0, math.inf),
    "nonnegative": (0.0, math.inf),
    "unit_interval": (0.0, 1.0),
}
RADIUS = math.sqrt(3.0)
"""r where z has its highest density, for angles that come without a radius."""


class Support(ABC):
    """A subset of R^D with flat coordinates z ∈ R^K.

    Attributes:
        event_shape: of x.
        dim: K.
    """

    event_shape: tuple[int, ...]
    dim: int

    @abstractmethod
    def place(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """x (B, *event_shape) of z (B, K), and log |det ∂T/∂z| (B,); autograd may follow."""

    @abstractmethod
    def pull(self, z: Tensor, score: Tensor) -> Tensor:
        """∇_z log p (B, K) from ``score``, ∇_x log p (B, *event_shape), at x = T(z)."""

    @abstractmethod
    def reduce(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """z (B, K) of x (B, *event_shape); radii of angles are drawn from their law, or all the same without one."""

    @abstractmethod
    def contains(self, x: Tensor) -> Tensor:
        """Whether x (B, *event_shape) is in the support (B,)."""

    def masked(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x with rows off the support replaced by one inside, and which rows are inside (B,)."""
        inside = self.contains(x)
        middle = self.place(x.new_full((1, self.dim), 0.5))[0]
        return torch.where(inside.view(-1, *[1] * (x.ndim - 1)), x, middle), inside


class Coordinates(Support):
    """Each coordinate within its own borders, or on a circle.

    Args:
        event_shape: of x.
        low: lower borders (D,), −∞ where there is none.
        high: upper ones (D,).
        circle: which coordinates are angles (D,).

    Raises:
        ConfigurationError: if a coordinate has no room.
    """

    def __init__(self, event_shape: tuple[int, ...], low: Tensor, high: Tensor, circle: Tensor) -> None:
        self.event_shape = event_shape
        self.low, self.high, self.circle = low.double().cpu(), high.double().cpu(), circle.cpu()
        if not (self.low < self.high).all():
            worst = int((self.low >= self.high).nonzero()[0])
            raise ConfigurationError(
                f"support of coordinate {worst} is from {float(low[worst]):g} to {float(high[worst]):g}; expected "
                "low < high"
            )
        self._many = len(self.low)
        self.dim = self._many + int(self.circle.sum())
        above, below = self.low > -math.inf, self.high < math.inf
        kinds = {
            "real": ~above & ~below & ~self.circle,
            "above": above & ~below,
            "below": below & ~above,
            "between": above & below,
            "circle": self.circle,
        }
        self._kinds = {kind: where.nonzero()[:, 0] for kind, where in kinds.items() if where.any()}
        order = torch.cat(list(self._kinds.values()))
        self._order = None if len(self._kinds) == 1 else order.argsort()
        self._known: dict[tuple[torch.device, torch.dtype], list[tuple[str, Tensor, Tensor, Tensor]]] = {}

    def _groups(self, like: Tensor) -> list[tuple[str, Tensor, Tensor, Tensor]]:
        """Kind, columns, borders of each group, where ``like`` is and in its precision."""
        key = (like.device, like.dtype)
        if key not in self._known:
            low, high = self.low.to(like), self.high.to(like)
            self._known[key] = [
                (kind, index.to(like.device), low[index.to(like.device)], high[index.to(like.device)])
                for kind, index in self._kinds.items()
            ]
        return self._known[key]

    def _joined(self, parts: list[Tensor]) -> Tensor:
        """Columns of all groups in the order of the coordinates."""
        return parts[0] if self._order is None else torch.cat(parts, 1)[:, self._order.to(parts[0].device)]

    def place(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """See ``Support.place``."""
        parts, volumes = [], [z.new_zeros(len(z))]
        for kind, index, low, high in self._groups(z):
            u = z[:, index]
            if kind == "real":
                parts.append(u)
            elif kind == "circle":
                second = z[:, self._many :]
                square = u.square() + second.square()
                parts.append(torch.atan2(second, u))
                volumes.append(((0.5 * square).log() - 0.5 * square).sum(1))
            elif kind == "between":
                x = low + (high - low) * u.sigmoid()
                logistic = torch.nn.functional.logsigmoid
                volumes.append(((high - low).log() + logistic(u) + logistic(-u)).sum(1))
                parts.append(x.clamp(torch.nextafter(low, high), torch.nextafter(high, low)))
            else:
                x = low + u.exp() if kind == "above" else high - u.exp()
                parts.append(torch.maximum(x, _after(low)) if kind == "above" else torch.minimum(x, -_after(-high)))
                volumes.append(u.sum(1))
        return self._joined(parts).unflatten(1, self.event_shape), torch.stack(volumes).sum(0)

    def pull(self, z: Tensor, score: Tensor) -> Tensor:
        """See ``Support.pull``."""
        flat, parts, radial = score.flatten(1), [], []
        for kind, index, low, high in self._groups(z):
            u, slope = z[:, index], flat[:, index]
            if kind == "real":
                parts.append(slope)
            elif kind == "circle":
                second = z[:, self._many :]
                square = (u.square() + second.square()).clamp(min=torch.finfo(z.dtype).tiny)
                outwards = 2 / square - 1
                parts.append(outwards * u - slope * second / square)
                radial.append(outwards * second + slope * u / square)
            elif kind == "between":
                share = u.sigmoid()
                parts.append(slope * (high - low) * share * (1 - share) + 1 - 2 * share)
            else:
                parts.append((slope if kind == "above" else -slope) * u.exp() + 1)
        return torch.cat([self._joined(parts), *radial], 1)

    def reduce(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """See ``Support.reduce``."""
        flat, parts, radial = x.flatten(1), [], []
        for kind, index, low, high in self._groups(x):
            u = flat[:, index]
            if kind == "real":
                parts.append(u)
            elif kind == "circle":
                radius = _radii(u, generator)
                parts.append(radius * u.cos())
                radial.append(radius * u.sin())
            elif kind == "between":
                share = ((u - low) / (high - low)).clamp(torch.finfo(u.dtype).tiny, 1 - torch.finfo(u.dtype).eps / 2)
                parts.append(share.log() - (-share).log1p())
            else:
                parts.append((u - low if kind == "above" else high - u).clamp(min=torch.finfo(u.dtype).tiny).log())
        return torch.cat([self._joined(parts), *radial], 1)

    def contains(self, x: Tensor) -> Tensor:
        """See ``Support.contains``; borders themselves are outside, angles are from −π to π."""
        flat, low, high = x.flatten(1), self.low.to(x), self.high.to(x)
        inside = (flat > low) & (flat < high)
        if self.circle.any():
            inside &= ~self.circle.to(x.device) | (flat.abs() <= math.pi * (1 + torch.finfo(x.dtype).eps))
        return inside.all(1)


def _after(low: Tensor) -> Tensor:
    """The number after each; after zero the smallest one that keeps all its digits."""
    tiny = torch.finfo(low.dtype).tiny
    return torch.nextafter(low, torch.full_like(low, math.inf)).where(low.abs() > tiny, low + tiny)


def _radii(like: Tensor, generator: torch.Generator | None) -> Tensor:
    if generator is None:
        return torch.full_like(like, RADIUS)
    four = torch.randn(4, *like.shape, generator=generator, device=like.device, dtype=like.dtype)
    return four.square().sum(0).sqrt()


class Bijection(Support):
    """What a transform of torch.distributions takes R^K onto, such as the simplex.

    Args:
        event_shape: of x.
        constraint: of a whole row.
        transform: onto it; without tensors of its own.
    """

    def __init__(self, event_shape: tuple[int, ...], constraint: constraints.Constraint, transform: Transform) -> None:
        self.event_shape, self._constraint, self._transform = event_shape, constraint, transform
        self._inner = tuple(transform.inverse_shape(event_shape))
        self.dim = math.prod(self._inner)

    def place(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """See ``Support.place``."""
        wide = z.unflatten(1, self._inner)
        x = self._transform(wide)
        return x, self._transform.log_abs_det_jacobian(wide, x).reshape(len(z), -1).sum(1)

    def pull(self, z: Tensor, score: Tensor) -> Tensor:
        """See ``Support.pull``."""
        with torch.enable_grad():
            z = z.detach().requires_grad_()
            x, volume = self.place(z)
            (gradient,) = torch.autograd.grad([x, volume], z, [score, torch.ones_like(volume)])
        return gradient

    def reduce(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """See ``Support.reduce``."""
        return self._transform.inv(x).flatten(1)

    def contains(self, x: Tensor) -> Tensor:
        """See ``Support.contains``; rows that should sum to one may miss it by rounding."""
        if self._constraint is constraints.simplex:
            return (x > 0).all(1) & ((x.sum(1) - 1).abs() < 1e-4)
        return self._constraint.check(x).reshape(len(x), -1).all(1)


def support_of(support: Constraint | Sequence[Constraint] | None, event_shape: tuple[int, ...]) -> Support | None:
    """The support that a user means; None for all of R^D.

    Args:
        support: a constraint for every coordinate alike or for the whole row, or one for each coordinate.
        event_shape: of a row.

    Raises:
        ConfigurationError: if it is discrete, unknown, or has no coordinates without borders.
    """
    if support is None:
        return None
    many = math.prod(event_shape)
    if isinstance(support, str) or not isinstance(support, Sequence):
        support = constraints.simplex if support == "simplex" else support
        found = _bounds(support, event_shape)
        if found is None:
            assert not isinstance(support, str)
            return Bijection(event_shape, support, _transform(support))
        low, high, circle = found
    else:
        if len(support) != many:
            raise ConfigurationError(
                f"support names {len(support)} coordinates; expected {many}, one for each coordinate of event_shape "
                f"{event_shape}, or one for all"
            )
        each = [_bounds(part, ()) for part in support]
        if None in each:
            raise ConfigurationError(
                f"support of coordinate {each.index(None)} is {support[each.index(None)]}, which is not one of a "
                f"single coordinate; expected {TEXTS} without 'simplex', or such constraints of torch.distributions"
            )
        low, high, circle = (torch.stack(column) for column in zip(*[one for one in each if one], strict=True))
    if not circle.any() and bool((low == -math.inf).all() and (high == math.inf).all()):
        return None
    return Coordinates(event_shape, low.flatten(), high.flatten(), circle.flatten())


def _bounds(support: Constraint, shape: tuple[int, ...]) -> tuple[Tensor, Tensor, Tensor] | None:
    """Borders (*shape) and whether it is a circle, in double precision; None for a support of a whole row."""
    low: float | Tensor
    high: float | Tensor
    if isinstance(support, str):
        if support == "simplex":
            return _bounds(constraints.simplex, shape)
        low, high = _read(support)
    else:
        base = support
        while isinstance(base, constraints.independent):
            base = base.base_constraint
        if getattr(base, "is_discrete", False):
            raise ConfigurationError(f"support is {support}, which is discrete; expected one of a density")
        if not isinstance(base, constraints.Constraint):
            raise ConfigurationError(
                f"support is {support!r}; expected {TEXTS}, or a constraint of torch.distributions"
            )
        if base is not constraints.real and not (hasattr(base, "lower_bound") or hasattr(base, "upper_bound")):
            return None
        low, high = getattr(base, "lower_bound", -math.inf), getattr(base, "upper_bound", math.inf)
    try:
        ends = [torch.as_tensor(end, dtype=torch.float64).detach().cpu().expand(shape) for end in (low, high)]
    except RuntimeError as error:
        raise ConfigurationError(f"support is {support}, whose borders do not fit event_shape {shape}") from error
    return ends[0], ends[1], torch.full(shape, support == "circle")


def _read(text: str) -> tuple[float, float]:
    """Borders that a text names."""
    if text in NAMED:
        return NAMED[text]
    if text == "circle":
        return -math.inf, math.inf
    low, colon, high = text.partition(":")
    try:
        if not colon:
            raise ValueError(text)
        return float(low or "-inf"), float(high or "inf")
    except ValueError:
        raise ConfigurationError(f"support is {text!r}; expected {TEXTS}, with LOW or HIGH left out") from None


def _transform(constraint: constraints.Constraint) -> Transform:
    try:
        return biject_to(constraint)
    except NotImplementedError:
        raise ConfigurationError(
            f"torch.distributions.biject_to knows no bijection from R^D onto {constraint}; write the density in "
            "coordinates without borders, and give that as a function: Density(log_prob, event_shape)"
        ) from None
