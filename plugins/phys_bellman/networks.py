"""The learned fields: s_φ(x) ≥ 0 and g_θ(x), two stacked networks, or one with g tied to ∇s."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from phys_samplers.fields.stacked import Field
from phys_samplers.randomness import Streams


class FieldNetworks(nn.Module):
    """Scalar and gradient field of R replicas.

    ``s = softplus(·)`` is positive by construction, as √s needs. With ``tied`` the gradient field is ∇s: then
    ``s/∫s`` is stationary whatever was learned, but it is the *blurred* law (MATH: ``(∇q, q)`` keeps q, not p).

    Args:
        field: the spec of either network.
        dim: coordinates D.
        streams: one per replica.
        tied: whether g = ∇s instead of a network of its own.
    """

    def __init__(self, field: Field, dim: int, *, streams: Streams, tied: bool = False) -> None:
        super().__init__()
        self.scalar_network = field.build(dim, 1, streams=streams, out_gain=0.1)
        self.gradient_network = None if tied else field.build(dim, dim, streams=streams, out_gain=0.1)

    @property
    def tied(self) -> bool:
        """Whether g = ∇s."""
        return self.gradient_network is None

    def scalar(self, x: Tensor) -> Tensor:
        """s at x: (R, B, D) → (R, B)."""
        return functional.softplus(self.scalar_network(x).squeeze(-1))

    def scalar_and_slope(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """s (R, B) and ∇s (R, B, D), both detached."""
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            s = self.scalar(x)
            (slope,) = torch.autograd.grad(s.sum(), x)
        return s.detach(), slope

    def gradient(self, x: Tensor) -> Tensor:
        """g at x: (R, B, D) → (R, B, D)."""
        if self.gradient_network is None:
            return self.scalar_and_slope(x)[1]
        return self.gradient_network(x)
