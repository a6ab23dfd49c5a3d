r"""Gaussians on a grid, and the products of fields that they span; nothing here needs a grid of returns.

    s(x) = Σ_k w_k N(x; c_k, h²),   g = ∂s/∂x,   F(x) = ∫_{−∞}^x s

are linear in the weights w, and so is the distributional Bellman operator. With the *bandwidth-preserving backup*

    X ← r + γX' + √(1 − γ²) h Z,   Z ~ N(0, 1),

N(c_k, h²) becomes N(r + γc_k, h²): the blur of a law that has been p * N(0, h²) stays that, with no approximation. The
plain backup X ← r + γX' makes it N(r + γc_k, γ²h²), which a fixed basis follows less and less; its terminal states are
N(r, h²) (Li et al. 2024, arXiv:2410.01796, Sec. 4.3 and Algorithm 3).

Losses in L²(R) of s, g or F between two sets of Gaussians are quadratic forms of products ⟨·, ·⟩ of two Gaussians,
which depend on the distance d of their centres and the sum v of their variances alone:

    ⟨N, N⟩ = N(d; v),     ⟨N', N'⟩ = (1/v − d²/v²) N(d; v),     −½ E|d + √v Z|  for F,

the last one for differences of laws of equal mass (∫(F_p − F_q)² = E|X − Y| − ½E|X − X'| − ½E|Y − Y'|; Székely). They
are given here in units of h, so that their sizes are comparable: times h, h³ and 1/h.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from phys_samplers.errors import ConfigurationError

SMALLEST = -60.0
"""Exponents below are as good as this one; it keeps denormal numbers, which are slow, out of the tables."""


@dataclass(frozen=True)
class GaussianBasis:
    """``count`` Gaussians whose bandwidth is ``overlap`` times their spacing.

    Args:
        count: K.
        low: first centre.
        high: last centre.
        overlap: h over the spacing.

    Raises:
        ConfigurationError: on a bad value.
    """

    count: int = 51
    low: float = -0.06
    high: float = 1.06
    overlap: float = 1.0

    def __post_init__(self) -> None:
        if self.count < 2 or not self.low < self.high or not self.overlap > 0:
            raise ConfigurationError(
                f"atoms is {self.count}, their range {self.low} to {self.high} and overlap {self.overlap}; expected at "
                "least 2 atoms on a range that is not empty, and a positive overlap"
            )

    @property
    def bandwidth(self) -> float:
        """h."""
        return self.overlap * (self.high - self.low) / (self.count - 1)

    def centres(self, like: Tensor | None = None) -> Tensor:
        """c (K,)."""
        made = torch.linspace(self.low, self.high, self.count, dtype=torch.float64)
        return made if like is None else made.to(like)


@dataclass(frozen=True)
class FieldProduct:
    """A weighted sum of the three products; see the module.

    Args:
        density: weight of s.
        gradient: of g.
        cdf: of F.

    Raises:
        ConfigurationError: if one is negative, or all are zero.
    """

    density: float = 1.0
    gradient: float = 0.0
    cdf: float = 0.0

    def __post_init__(self) -> None:
        weights = (self.density, self.gradient, self.cdf)
        if min(weights) < 0 or not 0 < sum(weights) < math.inf:
            raise ConfigurationError(
                f"the weights of s, g and F are {weights}; expected none to be negative and one to be positive"
            )

    def __call__(self, distance: Tensor, variance: Tensor | float, bandwidth: float) -> Tensor:
        """Products of Gaussians ``distance`` apart whose variances add up to ``variance``; ``distance`` is kept."""
        square = distance.square()
        scaled = square / variance
        bell = scaled.mul(-0.5).clamp_(min=SMALLEST).exp_() * (2 * math.pi * variance) ** -0.5
        factor: Tensor | float = self.density * bandwidth
        if self.gradient:
            factor = factor + self.gradient * bandwidth**3 * (1 - scaled) / variance
        total = bell * factor
        if self.cdf:
            mean = distance * torch.erf(distance * (2 * variance) ** -0.5) + 2 * variance * bell
            total = total.add_(mean, alpha=-0.5 * self.cdf / bandwidth)
        return total


def gram(basis: GaussianBasis, product: FieldProduct) -> Tensor:
    """G (K, K), the products of the basis with itself, in double precision."""
    centres = basis.centres()
    return product(centres.unsqueeze(1) - centres, 2 * basis.bandwidth**2, basis.bandwidth)


def terminal(basis: GaussianBasis, product: FieldProduct, centres: Tensor, reward: Tensor) -> Tensor:
    """⟨N_j, N(r, h²)⟩ (..., K): the law after a terminal step with ``reward`` (...)."""
    return product(centres - reward.unsqueeze(-1), 2 * basis.bandwidth**2, basis.bandwidth)


def backed_up(
    basis: GaussianBasis,
    product: FieldProduct,
    centres: Tensor,
    weights: Tensor,
    reward: Tensor,
    discount: Tensor,
    *,
    preserve: bool,
) -> Tensor:
    """⟨N_j, T s⟩ (..., K): products of the basis with the backup of Σ w'_k N(c_k, h²), in K² operations each.

    Args:
        basis: the basis.
        product: of fields.
        centres: c (K,).
        weights: w' (..., K).
        reward: (...).
        discount: γ (...); 0 at terminal steps, whose law is N(r, h²).
        preserve: whether the backup preserves the bandwidth.
    """
    # d_jk = c_j − r − γc_k
    distance = torch.addcmul(
        (centres - reward.unsqueeze(-1)).unsqueeze(-1), discount[..., None, None], centres, value=-1.0
    )
    square = basis.bandwidth**2
    variance: Tensor | float = 2 * square
    if not preserve:
        variance = (square * (1 + discount.square()))[..., None, None]
    going = (product(distance, variance, basis.bandwidth) @ weights.unsqueeze(-1)).squeeze(-1)
    return torch.where(discount.unsqueeze(-1) > 0, going, terminal(basis, product, centres, reward))


FINENESS = 2
"""Nodes of a table per spacing of the basis."""
REACH = 9.0
"""Standard deviations √(2h²) beyond which a product of Gaussians is nothing."""
OFFSETS = tuple(range(-2, 4))
"""Nodes that a value is interpolated from."""


class TabulatedBackups:
    r"""``backed_up`` for few discount factors, in K operations each but for a matrix product.

    κ(x) = Σ_k w'_k ⟨N(x), N(γc_k)⟩ is tabulated for each γ on a lattice twice as fine as the basis, by one product of
    w' with a fixed matrix, and taken at x = c_j − r by Lagrange's formula through six nodes. κ is a sum of Gaussians
    almost three nodes wide, so that this is exact to about 10⁻⁵; c_j − r for all j lie between the nodes alike, and six
    numbers a row are all the formula needs.

    Far from all centres κ is nothing, but for the part of F, which is −½|x − γc| there: a straight line, by which the
    lattice is continued.

    Args:
        basis: the basis.
        product: of fields.
        discounts: γ > 0.
        preserve: whether backups preserve the bandwidth.
        like: for device and dtype.
    """

    def __init__(
        self, basis: GaussianBasis, product: FieldProduct, discounts: tuple[float, ...], *, preserve: bool, like: Tensor
    ) -> None:
        self.basis, self.product, self.discounts = basis, product, discounts
        spacing = (basis.high - basis.low) / (basis.count - 1)
        self.step = spacing / FINENESS
        margin = FINENESS * math.ceil(REACH * math.sqrt(2) * basis.bandwidth / spacing) + len(OFFSETS)
        self.start = min(basis.low, 0.0) - margin * self.step
        self.nodes = math.ceil((max(basis.high, 0.0) - self.start) / self.step) + margin
        x = self.start + self.step * torch.arange(self.nodes, dtype=torch.float64)
        centres, square = basis.centres(), basis.bandwidth**2
        tables = []
        for discount in discounts:
            variance = 2 * square if preserve else square * (1 + discount**2)
            tables.append(product(x - discount * centres.unsqueeze(1), variance, basis.bandwidth))
        self.tables = torch.cat(tables, 1).to(like)
        self.centres = centres.to(like)
        self._discounts = torch.tensor(discounts).to(like)
        self._window = torch.arange(OFFSETS[0], FINENESS * (basis.count - 1) + OFFSETS[-1] + 1, device=like.device)
        self._powers = torch.arange(len(OFFSETS), device=like.device)
        self._lagrange = _lagrange().to(like)

    def __call__(self, weights: Tensor, reward: Tensor, discount: Tensor) -> Tensor:
        """See ``backed_up``; ``discount`` holds numbers of ``discounts``, and 0."""
        tables = weights @ self.tables
        which = (discount.unsqueeze(-1) - self._discounts).abs_().argmin(-1)
        place = (self.basis.low - reward - self.start) / self.step
        whole = place.floor()
        factors = (place - whole).unsqueeze(-1).pow(self._powers) @ self._lagrange
        wanted = whole.long().unsqueeze(-1) + self._window
        index = wanted.clamp(0, self.nodes - 1)
        near = tables.gather(-1, index + (which * self.nodes).unsqueeze(-1))
        if self.product.cdf:
            slope = 0.5 * self.product.cdf * self.step / self.basis.bandwidth
            near = near - slope * weights.sum(-1, keepdim=True) * (wanted - index).abs()
        total = torch.zeros_like(weights)
        for offset in range(len(OFFSETS)):
            stop = offset + FINENESS * (self.basis.count - 1) + 1
            total.addcmul_(factors[..., offset, None], near[..., offset:stop:FINENESS])
        return torch.where(discount.unsqueeze(-1) > 0, total, terminal(self.basis, self.product, self.centres, reward))


def _lagrange() -> Tensor:
    """Coefficients (power, node) of Lagrange's polynomials for nodes at ``OFFSETS``."""
    nodes = torch.tensor(OFFSETS, dtype=torch.float64)
    return torch.linalg.inv(nodes.unsqueeze(1) ** torch.arange(len(OFFSETS))).contiguous()
