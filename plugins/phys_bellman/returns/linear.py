r"""Bellman fields on a basis: a network gives the weights w(z, a) of Gaussians on a grid.

    loss = wᵀGw − 2 wᵀC w',     C_jk = ⟨N_j, T N_k⟩,

is ∫ (s − T s')² (or of g, of F, of a mixture of them; see ``basis``) up to what does not depend on w, with w' the
lagged network's weights at the next state: quadratic, no grid of returns, no projection of samples. Between the
network's last layer v and the weights stand either two linear maps,

    w = 1/K + P (G + ρI)^{−1/2} v,    P = I − 11ᵀ/K,

whitening, after which the loss is about |v − v*|² whatever the field, and the projection that keeps Σw = 1: mass is a
neutral mode of the operator, which would drift. Or, for *positive* weights,

    w = softmax(βv),

whose fields are those of a law: s is nowhere negative and F rises. The operator is as linear as before; what is no
longer linear is the way from parameters to weights. Its Jacobian J = diag(w) − wwᵀ vanishes where weights do, so that a
law that has become narrow would hardly move again. The gradient given for v is therefore the natural one, in the Fisher
metric of w (Amari 1998), with β left to the learning rate,

    J⁺ (J ∂loss/∂w) = P · 2(Gw − C w'),

as that of C51's cross entropy is: w − w* for ½|w − w*|². The value of the loss is what it was. Expected returns are
Σ w_k c_k, or the ratio Σwc/Σw where mass is free; never the raw sum.

Source: Li et al. 2024 (arXiv:2410.01796), Sec. 4.3; basis, backup and whitening are of this library.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from phys_bellman.returns.basis import FieldProduct, GaussianBasis, TabulatedBackups, gram
from phys_samplers.errors import ConfigurationError
from phys_samplers.options import fit_option
from phys_samplers.randomness import Streams
from phys_samplers.rl.fitted import HeadNetwork
from phys_samplers.rl.law import ReturnLaw
from phys_samplers.rl.recipe import ReturnModel
from phys_samplers.rl.transitions import Transitions


@dataclass(frozen=True, kw_only=True)
class BellmanReturns(ReturnModel):
    """Laws of returns as linear combinations of Gaussians, backed up by the linear distributional Bellman operator.

    Args:
        atoms: K.
        low: centre of the first Gaussian, in units where returns lie between 0 and 1; by default 0 and 1 are centres
            themselves, with two more beyond each.
        high: of the last.
        overlap: bandwidth over spacing; at one half weights are nearly those of atoms, at one they are a smooth law's.
        preserve: whether backups preserve the bandwidth.
        density_weight: of the loss of s.
        gradient_weight: of the loss of g = ∂s/∂x.
        cdf_weight: of the loss of F, a Cramér distance; needs ``normalise``.
        positive: whether weights are a softmax, instead of linear.
        logit_scale: β, of positive weights.
        normalise: whether Σw = 1 is kept, of linear weights.
        whiten: ρ of linear weights, over the mean eigenvalue of G; None for no whitening.
        sharp: whether laws are read as atoms of the weights instead of Gaussians. Under the preserving backup fields
            are those of p * N(0, h²), and Σ w_k δ(c_k) is p with the blur taken off; weights may be negative.
    """

    atoms: int = fit_option(51, least=2)
    low: float = fit_option(-2 / 46, below=1)
    high: float = fit_option(48 / 46, above=0)
    overlap: float = fit_option(0.5, above=0)
    preserve: bool = True
    density_weight: float = fit_option(1.0, least=0)
    gradient_weight: float = fit_option(0.0, least=0)
    cdf_weight: float = fit_option(0.0, least=0)
    positive: bool = False
    logit_scale: float = fit_option(3.0, above=0)
    normalise: bool = True
    whiten: float | None = fit_option(1e-3, above=0)
    sharp: bool = True

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
        if self.positive and not self.normalise:
            raise ConfigurationError("positive is True and normalise False; a softmax sums to one: leave normalise")

    @property
    def basis(self) -> GaussianBasis:
        """The Gaussians."""
        return GaussianBasis(self.atoms, self.low, self.high, self.overlap)

    @property
    def product(self) -> FieldProduct:
        """The products of fields that the loss is made of."""
        return FieldProduct(self.density_weight, self.gradient_weight, self.cdf_weight)

    def build(self, features: int, actions: int, *, streams: Streams) -> FieldNetwork:
        """See ``ReturnModel.build``."""
        kind = PositiveFieldNetwork if self.positive else LinearFieldNetwork
        return kind(self, features, actions, streams=streams)


class FieldNetwork(HeadNetwork):
    """The loss of weights, and the laws that they stand for; see the module. Subclasses say how weights are made.

    Args:
        recipe: the options.
        features: F.
        actions: A.
        streams: for initial weights.
    """

    gram: Tensor

    def __init__(self, recipe: BellmanReturns, features: int, actions: int, *, streams: Streams) -> None:
        super().__init__(recipe.trunk, features, actions, recipe.atoms, streams=streams)
        self.basis, self.product, self.preserve = recipe.basis, recipe.product, recipe.preserve
        self.bandwidth = 0.0 if recipe.sharp else self.basis.bandwidth
        self.register_buffer("gram", stacked(gram(self.basis, self.product), streams), persistent=False)
        self._backups: dict[tuple[float, ...], TabulatedBackups] = {}

    @abstractmethod
    def weights(self, head: Tensor) -> Tensor:
        """w (R, ..., K) from the last layer's v (R, ..., K)."""

    def loss(self, batch: Transitions, target: FieldNetwork, noise: Streams) -> Tensor:
        """See ``ReturnNetwork.loss``; up to a constant that no weight of this network changes."""
        pull = self.pull(batch, target)
        return self.distance(self.heads(batch.observation, batch.action), pull).mean(-1)

    def distance(self, head: Tensor, pull: Tensor) -> Tensor:
        """wᵀGw − 2 wᵀC w' (R, B)."""
        weights = self.weights(head)
        return (weights * torch.baddbmm(pull, weights, self.gram, beta=-2)).sum(-1)

    @torch.no_grad()
    def pull(self, batch: Transitions, target: FieldNetwork) -> Tensor:
        """C w' (R, B, K), with w' of the lagged network."""
        following = target.weights(target.heads(batch.next_observation, batch.next_action))
        if (backups := self._backups.get(batch.discounts)) is None:
            backups = TabulatedBackups(
                self.basis, self.product, batch.discounts, preserve=self.preserve, like=following
            )
            self._backups[batch.discounts] = backups
        return backups(following, batch.reward, batch.discount)

    def law(self, observation: Tensor, action: Tensor | None = None, *, noise: Streams) -> ReturnLaw:
        """See ``ReturnNetwork.law``."""
        weights = self.weights(self.heads(observation, action))
        return ReturnLaw(self.basis.centres(weights), weights, self.bandwidth)


class LinearFieldNetwork(FieldNetwork):
    """w = 1/K + P (G + ρI)^{−1/2} v; see the module, and ``FieldNetwork`` for the arguments."""

    mix: Tensor
    means: Tensor

    def __init__(self, recipe: BellmanReturns, features: int, actions: int, *, streams: Streams) -> None:
        super().__init__(recipe, features, actions, streams=streams)
        self.normalise = recipe.normalise
        mix = torch.eye(recipe.atoms, dtype=torch.float64)
        if recipe.whiten is not None:
            values, vectors = torch.linalg.eigh(gram(self.basis, self.product))
            # −½E|d| is positive on differences of equal mass only; the one direction outside is projected away
            floor = recipe.whiten * values.clamp(min=0).mean()
            mix = (vectors * (values.clamp(min=0) + floor).rsqrt()) @ vectors.T
        if recipe.normalise:
            mix = mix - mix.mean(0)
        means = self.basis.centres() @ mix
        self.register_buffer("mix", stacked(mix.T.contiguous(), streams), persistent=False)
        self.register_buffer("means", stacked(means.unsqueeze(-1), streams), persistent=False)

    def weights(self, head: Tensor) -> Tensor:
        """See ``FieldNetwork.weights``."""
        mixed = head.flatten(1, -2) @ self.mix
        return mixed.view(head.shape).add(1 / self.basis.count)

    def mean(self, observation: Tensor, *, noise: Streams) -> Tensor:
        """See ``ReturnNetwork.mean``."""
        heads = self.heads(observation)
        if self.normalise:
            # Σwc of w = 1/K + Mv at once
            means = heads.flatten(1, -2) @ self.means
            return means.view(heads.shape[:-1]) + 0.5 * (self.basis.low + self.basis.high)
        weights = self.weights(heads)
        return weights @ self.basis.centres(weights) / weights.sum(-1)


class PositiveFieldNetwork(FieldNetwork):
    """w = softmax(βv); see the module, and ``FieldNetwork`` for the arguments."""

    def __init__(self, recipe: BellmanReturns, features: int, actions: int, *, streams: Streams) -> None:
        super().__init__(recipe, features, actions, streams=streams)
        self.logit_scale = recipe.logit_scale

    def weights(self, head: Tensor) -> Tensor:
        """See ``FieldNetwork.weights``."""
        return head.mul(self.logit_scale).softmax(-1)

    def distance(self, head: Tensor, pull: Tensor) -> Tensor:
        """See ``FieldNetwork.distance``; its gradient is the natural one."""
        with torch.no_grad():
            weights = self.weights(head)
            slope = torch.baddbmm(pull, weights, self.gram, beta=-1)
            value = (weights * (slope - pull)).sum(-1)
            slope = slope.mul_(2)
            slope -= slope.mean(-1, keepdim=True)
        natural = (head * slope).sum(-1)
        return value + (natural - natural.detach())

    def mean(self, observation: Tensor, *, noise: Streams) -> Tensor:
        """See ``ReturnNetwork.mean``."""
        weights = self.weights(self.heads(observation))
        return weights @ self.basis.centres(weights)


def stacked(matrix: Tensor, streams: Streams) -> Tensor:
    """The same ``matrix`` for every replica, in single precision."""
    return matrix.to(torch.float32).expand(streams.replicas, *matrix.shape)
