r"""The energy of standardised coordinates: a network beside a quadratic well, and the law it stands for.

    E(u) = f(u) + τ |u|²/(2 s²),        p(u) = exp(−E(u)/τ)/Z.

A perceptron of the usual activations grows at most linearly, so that the well makes every such p a law: exp(−f/τ) tilts
the Gaussian N(0, s² I). Without it Z need not exist, and chains may leave for good.

A perceptron and its gradient take one pass forwards and one back, without an autograd graph. With a_k = W_kᵀ h_{k−1} +
b_k, h_k = φ(a_k) and f = wᵀ h_n + b, the gradient goes back as

    g_n = w,        g_{k−1} = W_k (g_k ∘ φ'(a_k)),        ∇f = g_0,

and a residual layer h_k = h_{k−1} + φ(a_k) adds g_k to g_{k−1}. Nothing is kept for the weights' own gradients, which
is what makes it faster than autograd.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from phys_samplers.fields.stacked import PIECE, StackedLinear, StackedMLP

Slope = Callable[[Tensor], tuple[Tensor, Tensor]]
"""φ(a) and φ'(a), both of the shape of a."""


def _silu(a: Tensor) -> tuple[Tensor, Tensor]:
    sigmoid = a.sigmoid()
    value = a * sigmoid
    return value, torch.addcmul(sigmoid, value, 1 - sigmoid)


def _gelu(a: Tensor) -> tuple[Tensor, Tensor]:
    below = torch.special.ndtr(a)
    density = a.square().mul_(-0.5).exp_().mul_(1 / math.sqrt(2 * math.pi))
    return a * below, torch.addcmul(below, a, density)


def _tanh(a: Tensor) -> tuple[Tensor, Tensor]:
    value = a.tanh()
    return value, 1 - value.square()


def _elu(a: Tensor) -> tuple[Tensor, Tensor]:
    return functional.elu(a), a.clamp(max=0).exp()


SLOPES: dict[Callable[[Tensor], Tensor], Slope] = {
    functional.silu: _silu,
    functional.gelu: _gelu,
    torch.tanh: _tanh,
    functional.softplus: lambda a: (functional.softplus(a), a.sigmoid()),
    functional.relu: lambda a: (a.relu(), (a > 0).to(a.dtype)),
    functional.elu: _elu,
    torch.sin: lambda a: (a.sin(), a.cos()),
}
"""By the activation functions of ``phys_samplers.fields``."""


@torch.no_grad()
def value_and_gradient(network: StackedMLP, x: Tensor) -> tuple[Tensor, Tensor]:
    """f (B,) and ∇f (B, D) at x (B, D).

    Args:
        network: one replica, unconditioned, with one output.
        x: points.
    """
    slope = SLOPES[network.activation]
    layers = [layer for layer in network.hidden if isinstance(layer, StackedLinear)]
    state, slopes = x, []
    for index, layer in enumerate(layers):
        value, derivative = slope(torch.addmm(layer.bias[0], state, layer.weight[0]))
        slopes.append(derivative)
        state = state + value if network.residual and index else value
    out = network.out
    value = torch.addmm(out.bias[0], state, out.weight[0]).squeeze(1)
    gradient = out.weight[0].T
    for index in range(len(slopes) - 1, -1, -1):
        back = (slopes[index] * gradient) @ layers[index].weight[0].T
        gradient = gradient + back if network.residual and index else back
    return value, gradient


COARSE, FINE = {1: 4_001, 2: 301}, {1: 20_001, 2: 701}
"""Points per axis of the grid that finds the mass, and of the one that integrates it."""
NEGLIGIBLE = 30.0
"""Nats below the highest point of the coarse grid, beyond which there is no mass to speak of."""
ROWS = 2**16


def log_normaliser(log_density: Callable[[Tensor], Tensor], dim: int, *, half_width: float) -> float:
    """log ∫ exp(log_density(u)) du over the cube [−half_width, half_width]^dim.

    A coarse grid finds the box that holds the mass, a fine one integrates it by the trapezoidal rule, whose error falls
    faster than any power of the spacing once this is below the width of the narrowest mode.

    Args:
        log_density: (B, dim) → (B,).
        dim: 1 or 2.
        half_width: of the cube.
    """
    low, high = torch.full((dim,), -half_width), torch.full((dim,), half_width)
    axes = [torch.linspace(-half_width, half_width, COARSE[dim]) for _ in range(dim)]
    points, values = _on_grid(log_density, axes)
    inside = points[values > values.max() - NEGLIGIBLE]
    margin = 2 * (high - low) / (COARSE[dim] - 1)
    low, high = torch.maximum(inside.amin(0) - margin, low), torch.minimum(inside.amax(0) + margin, high)
    axes = [torch.linspace(float(a), float(b), FINE[dim]) for a, b in zip(low, high, strict=True)]
    _, values = _on_grid(log_density, axes)
    cell = sum(math.log(float(b - a) / (FINE[dim] - 1)) for a, b in zip(low, high, strict=True))
    return float(values.double().logsumexp(0)) + cell


def _on_grid(log_density: Callable[[Tensor], Tensor], axes: list[Tensor]) -> tuple[Tensor, Tensor]:
    points = torch.cartesian_prod(*axes).reshape(-1, len(axes))
    return points, torch.cat([log_density(rows) for rows in points.split(ROWS)])


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
        if len(u) > PIECE:
            values, gradients = zip(*map(self.value_and_gradient, u.split(PIECE)), strict=True)
            return torch.cat(values), torch.cat(gradients)
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
