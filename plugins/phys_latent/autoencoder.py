"""The networks of a variational autoencoder and its loss, for R replicas at once.

With q(z|x) = N(m(x), diag s²(x)), p(z) = N(0, I) and p(x|z) = N(f(z), σ² I), the negative evidence bound per row is

    E_q |x − f(z)|²/(2σ²) + D/2 log 2πσ² + KL(q(z|x) ‖ p(z)),    KL = ½ Σ (m² + s² − log s² − 1)

(Kingma & Welling 2014, arXiv:1312.6114, Eq. 3 and App. B). For each f and q the σ² that makes it least is the mean
squared error per coordinate; with that σ² the two terms weigh each other without a factor to tune (Rybkin, Daniilidis &
Levine 2021, arXiv:2006.13202, Sec. 3.2). Dai & Wipf 2019 (arXiv:1903.05789) say why a second model is worth its while:
f learns the manifold of the data long before the codes E_x q(z|x) are spread like p(z).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from phys_samplers.fields import MLP
from phys_samplers.losses import Loss
from phys_samplers.randomness import Streams

LEAST_NOISE = 0.01
"""Least σ, in units of the standardised data: where codes tell everything, the likelihood would grow without bound."""


class Autoencoder(nn.Module):
    """Encoder and decoder, each a perceptron.

    Args:
        dim: coordinates D of a row.
        latent_dim: coordinates L of a code.
        width: units of each hidden layer.
        depth: hidden layers.
        streams: one per replica, for the initial weights.
    """

    def __init__(self, dim: int, latent_dim: int, *, width: int, depth: int, streams: Streams) -> None:
        super().__init__()
        field = MLP(width=width, depth=depth, input_gain=1.0)
        self.encoder = field.build(dim, 2 * latent_dim, streams=streams)
        self.decoder = field.build(latent_dim, dim, streams=streams)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """m and log s², each (R, B, L), of rows (R, B, D)."""
        mean, log_variance = self.encoder(x).chunk(2, -1)
        return mean, log_variance

    def decode(self, z: Tensor) -> Tensor:
        """f (R, B, D) at codes (R, B, L)."""
        return self.decoder(z)


def posterior_draw(mean: Tensor, log_variance: Tensor, noise: Tensor) -> Tensor:
    """m + s n for standard normal n; all of one shape."""
    return torch.addcmul(mean, noise, torch.exp(0.5 * log_variance))


def kl_to_normal(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(m, diag s²) ‖ N(0, I)) in nats, summed over the last axis."""
    return 0.5 * (mean.square() + log_variance.exp() - log_variance - 1).sum(-1)


def noise_variance(squared_error: Tensor) -> Tensor:
    """The likeliest σ² for a mean squared error per coordinate, not below ``LEAST_NOISE``²."""
    return squared_error.clamp(min=LEAST_NOISE**2)


@dataclass(frozen=True, kw_only=True)
class EvidenceBound(Loss):
    """The negative evidence bound, in nats per coordinate, with the likeliest σ² of the batch.

    Args:
        kl_weight: of the divergence; 1 is the bound, less gives sharper images and codes further from N(0, I), which
            a sampler of the codes can make up for.
    """

    kl_weight: float = 1.0

    def __call__(self, module: nn.Module, rows: Tensor, streams: Streams) -> Tensor:
        """See ``Loss``; ``module`` is an ``Autoencoder``."""
        assert isinstance(module, Autoencoder)
        mean, log_variance = module.encode(rows)
        z = posterior_draw(mean, log_variance, streams.normal(*mean.shape[1:], dtype=rows.dtype))
        squared_error = (module.decode(z) - rows).square().mean((1, 2))
        variance = noise_variance(squared_error)
        reconstruction = 0.5 * (squared_error / variance + (2 * math.pi * variance).log())
        return reconstruction + kl_to_normal(mean, log_variance).mean(-1) * (self.kl_weight / rows.shape[-1])
