"""The variational autoencoder as a sampler: z ~ N(0, I), x = f(z)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from phys_latent.autoencoder import Autoencoder, EvidenceBound, noise_variance, posterior_draw
from phys_samplers.errors import ConfigurationError
from phys_samplers.randomness import Streams, make_generator
from phys_samplers.sampler import Draw, Model
from phys_samplers.standardise import Standardisation, Standardiser
from phys_samplers.target import Target
from phys_samplers.trained import Problem, TrainedSampler


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
        weights = {f"module.{name}": tensor for name, tensor in self.module.state_dict().items()}
        return {**weights, "noise": self.noise, **self.standardiser.tensors()}


@dataclass(frozen=True, kw_only=True)
class VAE(TrainedSampler):
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

    fixed: ClassVar[frozenset[str]] = TrainedSampler.fixed | {"latent_dim", "width", "depth", "kl_weight"}

    steps: int = 3_000
    batch_size: int = 128
    learning_rate: float = 2e-3
    standardise: Standardisation = "common"
    latent_dim: int = 16
    width: int = 256
    depth: int = 2
    kl_weight: float = 1.0
    noise: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("latent_dim", "width", "depth"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ConfigurationError(f"{name} is {value!r}; expected an integer of at least 1")
        if not self.kl_weight >= 0:
            raise ConfigurationError(f"kl_weight is {self.kl_weight}; expected 0 or more, 1 for the evidence bound")

    def problem(self, target: Target, rows: Tensor, standardiser: Standardiser, *, streams: Streams) -> Problem:
        """See ``TrainedSampler.problem``."""

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
        module = self._module(len(standardiser.mean), Streams([0], "restore"))
        module.load_state_dict({k.removeprefix("module."): v for k, v in tensors.items() if k.startswith("module.")})
        module = module.to(device).requires_grad_(False)
        return VAEModel(self, module, standardiser, tensors["noise"], event_shape)

    def _module(self, dim: int, streams: Streams) -> Autoencoder:
        return Autoencoder(dim, self.latent_dim, width=self.width, depth=self.depth, streams=streams)
