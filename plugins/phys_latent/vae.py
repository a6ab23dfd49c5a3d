"""The variational autoencoder as a sampler: z ~ N(0, I), x = f(z); its networks, its loss, its recipe and its model.

With q(z|x) = N(m(x), diag s²(x)), p(z) = N(0, I) and p(x|z) = N(f(z), σ² I), the negative evidence bound per row is

    E_q |x − f(z)|²/(2σ²) + D/2 log 2πσ² + KL(q(z|x) ‖ p(z)),    KL = ½ Σ (m² + s² − log s² − 1)

(Kingma & Welling 2014, arXiv:1312.6114, Eq. 3 and App. B). For each f and q the σ² that makes it least is the mean
squared error per coordinate; with that σ² the two terms weigh each other without a factor to tune (Rybkin, Daniilidis &
Levine 2021, arXiv:2006.13202, Sec. 3.2). Dai & Wipf 2019 (arXiv:1903.05789) say why a second model is worth its while:
f learns the manifold of the data long before the codes E_x q(z|x) are spread like p(z).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from phys_samplers.errors import ConfigurationError
from phys_samplers.fields.stacked import MLP, load_weights, weights
from phys_samplers.objective import Loss, Problem, RowsSampler
from phys_samplers.options import draw_option, fit_option
from phys_samplers.randomness import Streams, make_generator
from phys_samplers.sampler import Draw, Model
from phys_samplers.standardise import Standardisation, Standardiser
from phys_samplers.target import Target


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

    kl_weight: float = fit_option(1.0, least=0)

    def __call__(self, module: nn.Module, rows: Tensor, streams: Streams) -> Tensor:
        """See ``Loss``; ``module`` is an ``Autoencoder``."""
        assert isinstance(module, Autoencoder)
        mean, log_variance = module.encode(rows)
        z = posterior_draw(mean, log_variance, streams.normal(*mean.shape[1:], dtype=rows.dtype))
        squared_error = (module.decode(z) - rows).square().mean((1, 2))
        variance = noise_variance(squared_error)
        reconstruction = 0.5 * (squared_error / variance + (2 * math.pi * variance).log())
        return reconstruction + kl_to_normal(mean, log_variance).mean(-1) * (self.kl_weight / rows.shape[-1])


@dataclass(frozen=True, kw_only=True)
class VAE(RowsSampler):
    """Kingma & Welling 2014 (arXiv:1312.6114) with a Gaussian decoder and its likeliest σ², see ``EvidenceBound``.

    Rows of any event shape are flattened; encoder and decoder are perceptrons, sized for images of 28 × 28 pixels. All
    coordinates have one scale (``standardise``), for an image's border pixels hardly vary. A draw is one of p(x|z): the
    mean of that law alone is too narrow.

    Args:
        latent_dim: coordinates L of a code.
        width: units of each hidden layer.
        depth: hidden layers of the encoder, and of the decoder.
        kl_weight: of the divergence in the loss; 1 is the evidence bound.
        noise: draw x from p(x|z), as the model has it; else x is the mean, which is what one looks at in images.
    """

    steps: int = fit_option(3_000, least=1)
    batch_size: int = fit_option(128, least=2)
    learning_rate: float = fit_option(2e-3, above=0)
    standardise: Standardisation = "common"
    latent_dim: int = fit_option(16, least=1)
    width: int = fit_option(256, least=1)
    depth: int = fit_option(2, least=1)
    kl_weight: float = fit_option(1.0, least=0)
    noise: bool = draw_option(True)

    def problem(self, target: Target, rows: Tensor, standardiser: Standardiser, *, streams: Streams) -> Problem:
        """See ``RowsSampler.problem``."""

        def finish(module: nn.Module, seed: int) -> VAEModel:
            assert isinstance(module, Autoencoder)
            model = VAEModel(self, module, standardiser, torch.ones((), device=rows.device), target.event_shape)
            assert target.train is not None
            z = model.codes(target.train, generator=make_generator(seed, "error", device=rows.device))
            with torch.no_grad():
                error = (module.decode(z.unsqueeze(0))[0] - rows).square().mean()
            model.noise = noise_variance(error).sqrt()
            return model

        return Problem(self._module(rows.shape[1], streams), EvidenceBound(kl_weight=self.kl_weight), finish)

    def decoder_noise(self, seed: int, device: torch.device) -> torch.Generator | None:
        """What draws of p(x|z) take their noise from; None if only its mean is wanted."""
        return make_generator(seed, "noise of x", device=device) if self.noise else None

    def restore(
        self,
        tensors: Mapping[str, Tensor],
        facts: Mapping[str, Any],
        *,
        event_shape: tuple[int, ...],
        target: Target | None,
        device: torch.device | str = "cpu",
    ) -> Model:
        """See ``Sampler.restore``."""
        return self.restore_autoencoder(tensors, event_shape, device)

    def restore_autoencoder(
        self, tensors: Mapping[str, Tensor], event_shape: tuple[int, ...], device: torch.device | str
    ) -> VAEModel:
        """The autoencoder that gave ``tensors``, which may hold others too."""
        standardiser = Standardiser.from_tensors(tensors)
        module = load_weights(self._module(len(standardiser.mean), Streams([0], "restore")), tensors, device)
        return VAEModel(self, module, standardiser, tensors["noise"], event_shape)

    def _module(self, dim: int, streams: Streams) -> Autoencoder:
        return Autoencoder(dim, self.latent_dim, width=self.width, depth=self.depth, streams=streams)


class VAEModel(Model):
    """A fitted autoencoder: codes of rows, rows of codes.

    Args:
        recipe: with the sampling options.
        module: a stack of one replica.
        standardiser: between data units and the networks'.
        noise: σ of p(x|z), a scalar in standardised units.
        event_shape: of a sample.
    """

    recipe: VAE

    def __init__(
        self, recipe: VAE, module: Autoencoder, standardiser: Standardiser, noise: Tensor, event_shape: tuple[int, ...]
    ) -> None:
        self.recipe = recipe
        self.module = module
        self.standardiser = standardiser
        self.noise = noise
        self.event_shape = tuple(event_shape)

    @property
    def device(self) -> torch.device:
        """Where the model computes."""
        return self.standardiser.mean.device

    @torch.no_grad()
    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of q(z|x), each (B, L), at rows (B, *event_shape)."""
        mean, log_variance = self.module.encode(self.standardiser.forward(x.to(self.device)).unsqueeze(0))
        return mean[0], log_variance[0]

    def codes(self, x: Tensor, *, generator: torch.Generator) -> Tensor:
        """One draw of q(z|x) (B, L) per row; those of training rows have the law that the decoder was trained on."""
        mean, log_variance = self.encode(x)
        noise = torch.randn(mean.shape, generator=generator, device=mean.device, dtype=mean.dtype)
        return posterior_draw(mean, log_variance, noise)

    @torch.no_grad()
    def decode(self, z: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        """f(z) (B, *event_shape) of codes (B, L); with a generator draws of p(x|z), whose mean that is."""
        flat = self.module.decode(z.to(self.standardiser.mean).unsqueeze(0))[0]
        if generator is not None:
            noise = torch.randn(flat.shape, generator=generator, device=flat.device, dtype=flat.dtype)
            flat = torch.addcmul(flat, noise, self.noise)
        return self.standardiser.inverse(flat, self.event_shape)

    def reconstruct(self, x: Tensor) -> Tensor:
        """f of the mean codes of rows (B, *event_shape)."""
        return self.decode(self.encode(x)[0])

    def draw(self, n: int, *, seed: int = 0, start: Tensor | None = None, **options: Any) -> Draw:
        """``n`` decoded draws of the prior, with nfe 1, the decoder; see ``Model.draw``. There is no chain to start."""
        self.check_draw(n, start)
        if start is not None:
            raise ConfigurationError("start was given, but an autoencoder has no chain to start; leave it out")
        recipe = self.recipe.for_draw(options)
        shape = (n, self.recipe.latent_dim)
        z = torch.randn(shape, generator=make_generator(seed, "prior", device=self.device), device=self.device)
        return Draw(self.decode(z, generator=recipe.decoder_noise(seed, self.device)), 1.0)

    def tensors(self) -> dict[str, Tensor]:
        """Weights, σ and the standardisation."""
        return {**weights(self.module), "noise": self.noise, **self.standardiser.tensors()}


LEAST_NOISE = 0.01
"""Least σ, in units of the standardised data: where codes tell everything, the likelihood would grow without bound."""
