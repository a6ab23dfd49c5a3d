r"""Laws on fixed, evenly spaced atoms z_1 < … < z_K, and the projection of their Bellman backup onto the atoms.

The law Σ_j w_j δ(z_j) becomes Σ_j w_j δ(r + γz_j) under the backup X ← r + γX. Each moved atom, after clamping to
[z_1, z_K], is shared by its two neighbours in proportion to nearness:

    (Φ w)_i = Σ_j [1 − |clamp(r + γz_j) − z_i| / Δ]_+ w_j .

The map is linear in w, keeps Σw, and keeps the mean of what is not clamped. It is also the orthogonal projection of
distribution functions in L² (Cramér's distance; Rowland et al. 2018, arXiv:1802.08163).

Source: Bellemare, Dabney, Munos 2017 (arXiv:1707.06887), Eq. 7 and Algorithm 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from phys_distributional.options import check_count
from phys_samplers.errors import ConfigurationError


@dataclass(frozen=True)
class Atoms:
    """``count`` atoms from ``low`` to ``high``, where returns lie between 0 and 1.

    Args:
        count: K.
        low: z_1.
        high: z_K.

    Raises:
        ConfigurationError: on fewer than two atoms or an empty range.
    """

    count: int = 51
    low: float = 0.0
    high: float = 1.0

    def __post_init__(self) -> None:
        check_count("atoms", self.count, 2)
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise ConfigurationError(
                f"atoms lie from {self.low} to {self.high}; expected two finite numbers, the lower first"
            )

    @property
    def spacing(self) -> float:
        """Δ."""
        return (self.high - self.low) / (self.count - 1)

    @property
    def middle(self) -> float:
        """Mean of the uniform law on the atoms."""
        return 0.5 * (self.low + self.high)

    def points(self, like: Tensor) -> Tensor:
        """z (K,), of the device and dtype of ``like``."""
        return torch.linspace(self.low, self.high, self.count, device=like.device, dtype=like.dtype)

    def backed_up(self, weights: Tensor, reward: Tensor, discount: Tensor) -> Tensor:
        """Φ w (..., K), in O(K) operations for each law.

        Args:
            weights: w (..., K), of any sign.
            reward: r (...).
            discount: γ (...); at 0 all the mass goes to r.
        """
        moved = torch.addcmul(reward.unsqueeze(-1), discount.unsqueeze(-1), self.points(weights))
        place = moved.sub_(self.low).div_(self.spacing).clamp_(0, self.count - 1)
        left = place.floor().clamp_(max=self.count - 2)
        upper = weights * place.sub_(left)
        index = left.long()
        backed_up = torch.zeros_like(weights).scatter_add_(-1, index, weights - upper)
        return backed_up.scatter_add_(-1, index.add_(1), upper)
