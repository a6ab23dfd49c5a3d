r"""Laws of returns on fixed atoms: by a softmax and cross entropy (C51), or linear in the network's last layer.

C51 (Bellemare, Dabney, Munos 2017; arXiv:1707.06887, Algorithm 1) has w = softmax(v) and

    loss = − Σ_i (Φ w')_i log w_i ,

with Φ the projected backup (``Atoms``) and w' the lagged network's weights at the next state.

The linear method takes the softmax away and keeps all else: w = 1/K + (I − 11ᵀ/K) v sums to one without being positive,

    loss = Σ_i (w − Φ w')_i² ,     or     Δ Σ_i (F − F')_i²  of the cumulated weights F,

the second of which is Cramér's distance, in which Φ is an orthogonal projection, so that the backup is a contraction.
It is the linear method without Gaussians: what Bellman fields gain over it is not due to linearity. Linear weights with
Cramér's distance: Bellemare, Le Roux, Castro, Moitra 2019 (arXiv:1902.03149), where mass is a penalty instead.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from phys_samplers.errors import ConfigurationError
from phys_samplers.options import fit_option
from phys_samplers.randomness import Streams
from phys_samplers.rl.fitted import HeadNetwork
from phys_samplers.rl.law import ReturnLaw
from phys_samplers.rl.recipe import ReturnModel
from phys_samplers.rl.transitions import Transitions


@dataclass(frozen=True)
class Atoms:
    r"""``count`` atoms from ``low`` to ``high``, where returns lie between 0 and 1.

    The law Σ_j w_j δ(z_j) becomes Σ_j w_j δ(r + γz_j) under the backup X ← r + γX. Each moved atom, after clamping to
    [z_1, z_K], is shared by its two neighbours in proportion to nearness:

        (Φ w)_i = Σ_j [1 − |clamp(r + γz_j) − z_i| / Δ]_+ w_j .

    The map is linear in w, keeps Σw, and keeps the mean of what is not clamped. It is also the orthogonal projection of
    distribution functions in L² (Cramér's distance; Rowland et al. 2018, arXiv:1802.08163).

    Args:
        count: K.
        low: z_1.
        high: z_K.
    """

    count: int = 51
    low: float = 0.0
    high: float = 1.0

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


@dataclass(frozen=True, kw_only=True)
class AtomicReturns(ReturnModel):
    """Laws on fixed atoms.

    Args:
        atoms: K.
        low: the first atom, where returns lie between 0 and 1.
        high: the last.
    """

    atoms: int = fit_option(51, least=2)
    low: float = fit_option(0.0, below=1)
    high: float = fit_option(1.0, above=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.low < self.high:
            raise ConfigurationError(f"low is {self.low} and high {self.high}; expected the lower first")

    @property
    def grid(self) -> Atoms:
        """The atoms."""
        return Atoms(self.atoms, self.low, self.high)


@dataclass(frozen=True, kw_only=True)
class C51Returns(AtomicReturns):
    """Positive weights of fixed atoms, by cross entropy; see the module and ``AtomicReturns`` for the options."""

    def build(self, features: int, actions: int, *, streams: Streams) -> SoftmaxNetwork:
        """See ``ReturnModel.build``."""
        return SoftmaxNetwork(self, features, actions, streams=streams)


@dataclass(frozen=True, kw_only=True)
class CategoricalL2Returns(AtomicReturns):
    """Linear weights of fixed atoms, by squared distance; see also ``AtomicReturns`` for the options.

    Args:
        metric: ``weights`` for the distance of weights, ``cramer`` for that of their cumulated sums.
    """

    metric: Literal["weights", "cramer"] = "weights"

    def build(self, features: int, actions: int, *, streams: Streams) -> LinearNetwork:
        """See ``ReturnModel.build``."""
        return LinearNetwork(self, features, actions, streams=streams)


class AtomicNetwork(HeadNetwork):
    """What both networks share.

    Args:
        recipe: the options.
        features: F.
        actions: A.
        streams: for initial weights.
    """

    def __init__(self, recipe: AtomicReturns, features: int, actions: int, *, streams: Streams) -> None:
        super().__init__(recipe.trunk, features, actions, recipe.atoms, streams=streams)
        self.atoms = recipe.grid

    @abstractmethod
    def weights(self, heads: Tensor) -> Tensor:
        """w (..., K) from the last layer's v (..., K)."""

    def law(self, observation: Tensor, action: Tensor | None = None, *, noise: Streams) -> ReturnLaw:
        """See ``ReturnNetwork.law``."""
        weights = self.weights(self.heads(observation, action))
        return ReturnLaw(self.atoms.points(weights), weights)

    @torch.no_grad()
    def aim(self, batch: Transitions) -> Tensor:
        """Φ w' (R, B, K) by this network; only the actions that follow are turned into weights."""
        following = self.weights(self.heads(batch.next_observation, batch.next_action))
        return self.atoms.backed_up(following, batch.reward, batch.discount)


class SoftmaxNetwork(AtomicNetwork):
    """w = softmax(v)."""

    def weights(self, heads: Tensor) -> Tensor:
        """See ``AtomicNetwork.weights``."""
        return heads.softmax(-1)

    def loss(self, batch: Transitions, target: SoftmaxNetwork, noise: Streams) -> Tensor:
        """See ``ReturnNetwork.loss``; up to the entropy of Φw'."""
        heads = self.heads(batch.observation, batch.action)
        return -(target.aim(batch) * heads.log_softmax(-1)).sum(-1).mean(-1)

    def mean(self, observation: Tensor, *, noise: Streams) -> Tensor:
        """See ``ReturnNetwork.mean``."""
        weights = self.weights(self.heads(observation))
        return weights @ self.atoms.points(weights)


class LinearNetwork(AtomicNetwork):
    """w = 1/K + (I − 11ᵀ/K) v."""

    def __init__(self, recipe: CategoricalL2Returns, features: int, actions: int, *, streams: Streams) -> None:
        super().__init__(recipe, features, actions, streams=streams)
        self.cramer = recipe.metric == "cramer"

    def weights(self, heads: Tensor) -> Tensor:
        """See ``AtomicNetwork.weights``."""
        return heads - (heads.mean(-1, keepdim=True) - 1 / self.count)

    def loss(self, batch: Transitions, target: LinearNetwork, noise: Streams) -> Tensor:
        """See ``ReturnNetwork.loss``."""
        error = self.weights(self.heads(batch.observation, batch.action)) - target.aim(batch)
        if self.cramer:
            return error.cumsum(-1).square().sum(-1).mean(-1) * self.atoms.spacing
        return error.square().sum(-1).mean(-1)

    def mean(self, observation: Tensor, *, noise: Streams) -> Tensor:
        """See ``ReturnNetwork.mean``."""
        heads = self.heads(observation)
        # Σ wz = z̄ + Σ v (z − z̄)
        return (heads @ (self.atoms.points(heads) - self.atoms.middle)).add(self.atoms.middle)
