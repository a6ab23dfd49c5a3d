r"""Bellman fields with linear weights: a network gives the weights w(z, a) of Gaussians on a grid.

    loss = wᵀGw − 2 wᵀC w',     C_jk = ⟨N_j, T N_k⟩,

is ∫ (s − T s')² (or of g, of F, of a mixture of them; see ``basis``) up to what does not depend on w, with w' the
lagged network's weights at the next state: quadratic, no grid of returns, no projection of samples. Two linear maps
stand between the network's last layer v and the weights:

    w = 1/K + P (G + ρI)^{−1/2} v,    P = I − 11ᵀ/K,

whitening, after which the loss is about |v − v*|² whatever the field, and the projection that keeps Σw = 1: mass is a
neutral mode of the operator, which would drift. Expected returns are Σ w_k c_k, or the ratio Σwc/Σw without projection;
never the raw sum.

Source: Li et al. 2024 (arXiv:2410.01796), Sec. 4.3; basis, backup and whitening are of this library.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from phys_bellman.returns.basis import FieldProduct, GaussianBasis, TabulatedBackups, gram
from phys_samplers.errors import ConfigurationError
from phys_samplers.randomness import Streams
from phys_samplers.rl.law import ReturnLaw, of_action
from phys_samplers.rl.recipe import ReturnModel, ReturnNetwork
from phys_samplers.rl.transitions import Transitions

HEAD_GAIN = 0.01


@dataclass(frozen=True, kw_only=True)
class BellmanReturns(ReturnModel):
    """Laws of returns as linear combinations of Gaussians, backed up by the linear distributional Bellman operator.

    Args:
        atoms: K.
        low: centre of the first Gaussian, in units where returns lie between 0 and 1.
        high: of the last.
        overlap: bandwidth over spacing.
        preserve: whether backups preserve the bandwidth.
        density_weight: of the loss of s.
        gradient_weight: of the loss of g = ∂s/∂x.
        cdf_weight: of the loss of F, a Cramér distance; needs ``normalise``.
        normalise: whether Σw = 1 is kept.
        whiten: ρ, over the mean eigenvalue of G; None for no whitening.
        sharp: whether laws are read as atoms of the weights instead of Gaussians. Under the preserving backup fields
            are those of p * N(0, h²), and Σ w_k δ(c_k) is p with the blur taken off; weights may be negative.
    """

    atoms: int = 51
    low: float = -0.06
    high: float = 1.06
    overlap: float = 1.0
    preserve: bool = True
    density_weight: float = 1.0
    gradient_weight: float = 0.0
    cdf_weight: float = 0.0
    normalise: bool = True
    whiten: float | None = 1e-3
    sharp: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self.basis, self.product  # noqa: B018 - building them validates the options
        if self.cdf_weight and not self.normalise:
            raise ConfigurationError(
                f"cdf_weight is {self.cdf_weight} and normalise False; distribution functions of unequal mass are "
                "infinitely far apart: expected normalise=True"
            )
        if self.sharp and not self.preserve:
            raise ConfigurationError(
                "sharp is True and preserve False; what blur plain backups leave is not known, so that it cannot be "
                "taken off: expected preserve=True"
            )
        if self.whiten is not None and not self.whiten > 0:
            raise ConfigurationError(f"whiten is {self.whiten}; expected a positive ridge, or None")

    @property
    def basis(self) -> GaussianBasis:
        """The Gaussians."""
        return GaussianBasis(self.atoms, self.low, self.high, self.overlap)

    @property
    def product(self) -> FieldProduct:
        """The products of fields that the loss is made of."""
        return FieldProduct(self.density_weight, self.gradient_weight, self.cdf_weight)

    def build(self, features: int, actions: int, *, streams: Streams) -> LinearFieldNetwork:
        """See ``ReturnModel.build``."""
        return LinearFieldNetwork(self, features, actions, streams=streams)


class LinearFieldNetwork(ReturnNetwork):
    """See the module.

    Args:
        recipe: the options.
        features: F.
        actions: A.
        streams: for initial weights.
    """

    gram: Tensor
    mix: Tensor
    means: Tensor

    def __init__(self, recipe: BellmanReturns, features: int, actions: int, *, streams: Streams) -> None:
        super().__init__()
        self.actions = actions
        self.basis, self.product, self.preserve = recipe.basis, recipe.product, recipe.preserve
        self.normalise = recipe.normalise
        self.bandwidth = 0.0 if recipe.sharp else self.basis.bandwidth
        self.trunk = recipe.trunk.build(features, actions * recipe.atoms, streams=streams, out_gain=HEAD_GAIN)
        products = gram(self.basis, self.product)
        mix = torch.eye(recipe.atoms, dtype=torch.float64)
        if recipe.whiten is not None:
            values, vectors = torch.linalg.eigh(products)
            # −½E|d| is positive on differences of equal mass only; the one direction outside is projected away
            floor = recipe.whiten * values.clamp(min=0).mean()
            mix = (vectors * (values.clamp(min=0) + floor).rsqrt()) @ vectors.T
        if recipe.normalise:
            mix = mix - mix.mean(0)
        replicas = streams.replicas

        def stacked(matrix: Tensor) -> Tensor:
            return matrix.to(torch.float32).expand(replicas, *matrix.shape)

        centres = self.basis.centres()
        self.register_buffer("gram", stacked(products), persistent=False)
        self.register_buffer("mix", stacked(mix.T.contiguous()), persistent=False)
        self.register_buffer("means", stacked((centres @ mix).unsqueeze(-1)), persistent=False)
        self._backups: dict[tuple[float, ...], TabulatedBackups] = {}

    def weights(self, head: Tensor) -> Tensor:
        """w (R, ..., K) from the last layer's v (R, ..., K)."""
        mixed = head.flatten(1, -2) @ self.mix
        return mixed.view(head.shape).add(1 / self.basis.count)

    def heads(self, observation: Tensor) -> Tensor:
        """v (R, B, A, K)."""
        return self.trunk(observation).unflatten(-1, (self.actions, self.basis.count))

    def loss(self, batch: Transitions, target: LinearFieldNetwork, noise: Streams) -> Tensor:
        """See ``ReturnNetwork.loss``; up to a constant that no weight of this network changes."""
        with torch.no_grad():
            following = target.weights(of_action(target.heads(batch.next_observation), batch.next_action))
            pull = self._pull(batch, following)
        weights = self.weights(of_action(self.heads(batch.observation), batch.action))
        return (weights * torch.baddbmm(pull, weights, self.gram, beta=-2)).sum(-1).mean(-1)

    def _pull(self, batch: Transitions, following: Tensor) -> Tensor:
        """C w' (R, B, K)."""
        if (backups := self._backups.get(batch.discounts)) is None:
            backups = TabulatedBackups(
                self.basis, self.product, batch.discounts, preserve=self.preserve, like=following
            )
            self._backups[batch.discounts] = backups
        return backups(following, batch.reward, batch.discount)

    def law(self, observation: Tensor, action: Tensor | None = None, *, noise: Streams) -> ReturnLaw:
        """See ``ReturnNetwork.law``."""
        heads = self.heads(observation)
        weights = self.weights(heads if action is None else of_action(heads, action))
        return ReturnLaw(self.basis.centres(weights), weights, self.bandwidth)

    def mean(self, observation: Tensor, *, noise: Streams) -> Tensor:
        """See ``ReturnNetwork.mean``."""
        heads = self.heads(observation)
        if self.normalise:
            # Σwc of w = 1/K + Mv at once
            means = heads.flatten(1, -2) @ self.means
            return means.view(heads.shape[:-1]) + 0.5 * (self.basis.low + self.basis.high)
        weights = self.weights(heads)
        return weights @ self.basis.centres(weights) / weights.sum(-1)
