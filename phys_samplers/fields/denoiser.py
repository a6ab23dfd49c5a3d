"""The preconditioned denoiser D(x, σ) ≈ E[x₀ | x₀ + σn = x] of Karras et al. 2022 (EDM, arXiv:2206.00364, Sec. 5).

    D(x, σ) = c_skip x + c_out F(c_in x, ¼ log σ),
    c_skip = σ_d²/(σ² + σ_d²),  c_out = σ σ_d/√(σ² + σ_d²),  c_in = 1/√(σ² + σ_d²),

so that the network F sees unit-variance inputs and targets at every noise level. The score of the blurred law is
``(D − x)/σ²`` (Tweedie).
"""

from __future__ import annotations

from torch import Tensor, nn

from phys_samplers.fields.mlp import Field
from phys_samplers.randomness import Streams


class Denoiser(nn.Module):
    """A stacked preconditioned denoiser.

    Args:
        field: the network F.
        dim: coordinates D of a sample.
        sigma_data: standard deviation of the (standardised) data.
        streams: one per replica.
    """

    def __init__(self, field: Field, dim: int, *, streams: Streams, sigma_data: float = 1.0) -> None:
        super().__init__()
        self.sigma_data = sigma_data
        self.network = field.build(dim, dim, streams=streams, conditioned=True, out_gain=0.1)

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        """D(x, σ): (R, B, D), (R, B) → (R, B, D)."""
        s = sigma.unsqueeze(-1)
        variance = s.square() + self.sigma_data**2
        scale = variance.rsqrt()
        raw = self.network(x * scale, sigma.log() * 0.25)
        return x * (self.sigma_data**2 / variance) + raw * (s * self.sigma_data * scale)

    def loss_weight(self, sigma: Tensor) -> Tensor:
        """λ(σ) = (σ² + σ_d²)/(σ σ_d)², which gives F unit effective weight at every level (EDM Eq. 8)."""
        return (sigma.square() + self.sigma_data**2) / (sigma * self.sigma_data).square()
