"""Activations together with their derivatives, in place: what a gradient by hand needs of a hidden layer.

Each function takes the pre-activations h, overwrites them with f(h) and writes f'(h) into a second buffer. What costs
time, the exponential, is computed once for both.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from phys_samplers.fields import activation

_ONE = torch.ones(())

SlopedActivation = Callable[[Tensor, Tensor], None]


def _silu(h: Tensor, slope: Tensor) -> None:
    """f = hσ, f' = σ + hσ(1 − σ) = f + σ(1 − f), an interpolation from f to 1."""
    torch.sigmoid(h, out=slope)
    h.mul_(slope)
    torch.lerp(h, _ONE.to(h), slope, out=slope)


def _gelu(h: Tensor, slope: Tensor) -> None:
    """f = hΦ, f' = Φ + hφ with the normal distribution function Φ and density φ."""
    normal = torch.special.ndtr(h)
    torch.square(h, out=slope)
    slope.mul_(-0.5).exp_().mul_(h).mul_(1 / math.sqrt(2 * math.pi)).add_(normal)
    h.mul_(normal)


def _tanh(h: Tensor, slope: Tensor) -> None:
    """f' = 1 − f²."""
    h.tanh_()
    torch.square(h, out=slope)
    slope.neg_().add_(1)


def _softplus(h: Tensor, slope: Tensor) -> None:
    """f' = σ; above 20 torch takes f = h and f' = 1."""
    torch.sigmoid(h, out=slope)
    slope.masked_fill_(h > 20, 1.0)
    h.copy_(functional.softplus(h))


def _relu(h: Tensor, slope: Tensor) -> None:
    """f' = 1 where h > 0, else 0, as autograd has it."""
    h.relu_()
    torch.sign(h, out=slope)


def _elu(h: Tensor, slope: Tensor) -> None:
    """f' = 1 where h > 0, else eʰ = f + 1."""
    functional.elu(h, inplace=True)
    torch.clamp(h, max=0, out=slope)
    slope.add_(1)


def _sin(h: Tensor, slope: Tensor) -> None:
    """f' = cos h."""
    torch.cos(h, out=slope)
    h.sin_()


SLOPED: dict[str, SlopedActivation] = {
    "silu": _silu,
    "gelu": _gelu,
    "tanh": _tanh,
    "softplus": _softplus,
    "relu": _relu,
    "elu": _elu,
    "sin": _sin,
}


def sloped_activation(name: str) -> SlopedActivation:
    """The in-place pair (f, f') of the activation called ``name``.

    Args:
        name: one of those that ``phys_samplers.fields.activation`` knows.

    Raises:
        ConfigurationError: naming the activations there are.
    """
    activation(name)
    return SLOPED[name]
