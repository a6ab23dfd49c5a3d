"""The denoiser D(x, σ) ≈ E[x₀ | x₀ + σn = x], and what of it the network predicts.

    D(x, σ) = c_skip x + c_out F(c_in x, ¼ log σ),        c_in = 1/√(σ² + σ_d²),

so that the network F sees inputs of unit variance at every noise level (Karras et al. 2022, EDM, arXiv:2206.00364,
Sec. 5 and Table 1). With data of standard deviation σ_d, the parametrisations are

    ``edm``      c_skip = σ_d²/(σ² + σ_d²)   c_out = σ σ_d/√(σ² + σ_d²)   targets of unit variance
    ``v``        the same with −F in place of F: F predicts v (Salimans & Ho 2022, arXiv:2202.00512)
    ``epsilon``  c_skip = 1                  c_out = −σ                   F predicts the noise ε (Ho et al. 2020)
    ``x0``       c_skip = 0                  c_out = σ_d                  F predicts the clean sample, over σ_d

A process x_t = α x₀ + σ_t n is the same thing at x = x_t/α, σ = σ_t/α: for α² + σ_t² = 1 and σ_d = 1 the network
sees c_in x = x_t, and v is the α ε − σ x₀ of the literature. The loss weight 1/c_out² gives F's error unit weight at
every level. The score of the blurred law is ``(D − x)/σ²`` (Tweedie).
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor, nn

from phys_samplers.errors import ConfigurationError
from phys_samplers.fields.mlp import Field
from phys_samplers.randomness import Streams

Parametrisation = Literal["edm", "v", "epsilon", "x0"]


def denoise_at(module: nn.Module, x: Tensor, sigma: float) -> Tensor:
    """D(x, σ) (B, D) at x (B, D) and one level, by a stacked denoiser of one replica."""
    level = torch.full((1, 1), sigma, dtype=x.dtype, device=x.device)
    clean: Tensor = module(x.unsqueeze(0), level).squeeze(0)
    return clean


class Denoiser(nn.Module):
    """A stacked denoiser.

    Args:
        field: the network F.
        dim: coordinates D of a sample.
        sigma_data: standard deviation of the (standardised) data.
        parametrisation: what F predicts.
        streams: one per replica.

    Raises:
        ConfigurationError: if there is no such parametrisation.
    """

    def __init__(
        self,
        field: Field,
        dim: int,
        *,
        streams: Streams,
        sigma_data: float = 1.0,
        parametrisation: Parametrisation = "edm",
    ) -> None:
        super().__init__()
        if parametrisation not in get_args(Parametrisation):
            raise ConfigurationError(
                f"parametrisation is {parametrisation!r}; expected one of {', '.join(get_args(Parametrisation))}"
            )
        self.sigma_data = sigma_data
        self.parametrisation = parametrisation
        self.network = field.build(dim, dim, streams=streams, conditioned=True, out_gain=0.1)

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        """D(x, σ): (R, B, D), (R, B) or (R, 1) → (R, B, D)."""
        s = sigma.unsqueeze(-1)
        scale = (s.square() + self.sigma_data**2).rsqrt()
        raw = self.network(x * scale, sigma.log() * 0.25)
        match self.parametrisation:
            case "epsilon":
                return torch.addcmul(x, raw, s, value=-1)
            case "x0":
                return raw * self.sigma_data
        gain = s * scale * (self.sigma_data if self.parametrisation == "edm" else -self.sigma_data)
        return torch.addcmul(raw * gain, x, (scale * self.sigma_data).square())

    def loss_weight(self, sigma: Tensor) -> Tensor:
        """1/c_out², which gives F unit effective weight at every level (EDM Eq. 8); 1/σ² is Ho et al.'s L_simple."""
        match self.parametrisation:
            case "epsilon":
                return sigma.square().reciprocal()
            case "x0":
                return torch.full_like(sigma, self.sigma_data**-2)
        return (sigma.square() + self.sigma_data**2) / (sigma * self.sigma_data).square()
