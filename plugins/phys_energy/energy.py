r"""The energy of standardised coordinates: a network beside a quadratic well, and the law it stands for.

    E(u) = f(u) + τ |u|²/(2 s²),        p(u) = exp(−E(u)/τ)/Z.

A perceptron of the usual activations grows at most linearly, so that the well makes every such p a law: exp(−f/τ) tilts
the Gaussian N(0, s² I). Without it Z need not exist, and chains may leave for good.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from phys_energy.gradients import SLOPES, value_and_gradient
from phys_samplers.fields.mlp import StackedMLP


class Energy(nn.Module):
    """E of one replica.

    Args:
        network: f, a stack of one with one output.
        temperature: τ.
        well: s, in standard deviations of the data; None for no well.
    """

    def __init__(self, network: nn.Module, *, temperature: float, well: float | None) -> None:
        super().__init__()
        self.network = network
        self.temperature = temperature
        self.curvature = 0.0 if well is None else temperature / well**2
        self._by_hand = isinstance(network, StackedMLP) and network.activation in SLOPES and not network.conditioned

    def forward(self, u: Tensor) -> Tensor:
        """E (1, B) at u (1, B, D), with the graph to the weights."""
        energy = self.network(u).squeeze(-1)
        return energy + 0.5 * self.curvature * u.square().sum(-1) if self.curvature else energy

    @torch.no_grad()
    def value(self, u: Tensor) -> Tensor:
        """E (B,) at u (B, D), without a graph."""
        return self(u.unsqueeze(0)).squeeze(0)

    def value_and_gradient(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """E (B,) and ∇E (B, D) at u (B, D), without a graph."""
        if self._by_hand:
            assert isinstance(self.network, StackedMLP)
            value, gradient = value_and_gradient(self.network, u)
            if self.curvature:
                value = torch.add(value, u.square().sum(1), alpha=0.5 * self.curvature)
                gradient = torch.add(gradient, u, alpha=self.curvature)
            return value, gradient
        with torch.enable_grad():
            u = u.detach().requires_grad_()
            value = self(u.unsqueeze(0)).squeeze(0)
            (gradient,) = torch.autograd.grad(value.sum(), u)
        return value.detach(), gradient


class EnergyLaw(nn.Module):
    """exp(−E/τ) as a law to sample from; it follows the weights of the energy as they change.

    Args:
        energy: E; it is shared, not copied.
        dim: coordinates D.
    """

    differentiable = True

    def __init__(self, energy: Energy, dim: int) -> None:
        super().__init__()
        self.energy = energy
        self.event_shape = (dim,)

    def log_prob(self, u: Tensor) -> Tensor:
        """−E/τ (B,) at u (B, D), unnormalised."""
        return self.energy(u.unsqueeze(0)).squeeze(0).div(-self.energy.temperature)

    def score(self, u: Tensor) -> Tensor:
        """−∇E/τ (B, D)."""
        return self.energy.value_and_gradient(u)[1].div(-self.energy.temperature)

    def log_prob_and_score(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """Both from one evaluation."""
        value, gradient = self.energy.value_and_gradient(u)
        return value.div(-self.energy.temperature), gradient.div(-self.energy.temperature)
