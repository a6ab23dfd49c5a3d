r"""DiKL: a one-step generator that follows the gradient of a relative entropy averaged over noise levels.

The generator's law q is blurred to q_σ, the target to p_σ; the mean relative entropy Σ_σ w_σ KL(q_σ‖p_σ) of the blurred
laws sees modes that are far apart. Its gradient in the generator's numbers θ is

    Σ_σ w_σ E[ (∇log q_σ(x_σ) − ∇log p_σ(x_σ)) · ∂x/∂θ ],    x_σ = x + σn,    x = G_θ(z),    w_σ = σ^power.

Both scores come from posterior means, ∇log = (E[x₀|x_σ] − x_σ)/σ²: that of q from a denoiser trained on the generator's
own samples along with it, that of p from Monte Carlo (``reverse``). Generator and denoiser make a step each at a time.
The paper draws from the posterior by annealed importance sampling and MALA; here it is plain importance sampling, with
the mixture of least variance, which few dimensions allow.

Samples cost one call of the network and have no weights: the law of a generator is not known.

Source: He et al. 2024, *Training Neural Samplers with Reverse Diffusive KL Divergence* (arXiv:2410.12456), Eq. 9 and
10; of a process that shrinks x by α, the derivative is ∂x_σ/∂θ = α ∂x/∂θ.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from phys_match.idem import PosteriorNet
from phys_match.reverse import Estimator, check_levels, estimate
from phys_samplers.errors import ConfigurationError
from phys_samplers.fields import make_field
from phys_samplers.objective import Objective
from phys_samplers.options import Part, fit_option
from phys_samplers.paths import UnitDensity, UnitModel, UnitSampler, spread
from phys_samplers.randomness import Streams, make_generator
from phys_samplers.sampler import Draw
from phys_samplers.target import Target


class Generator(nn.Module):
    """x = z + NN(z), with the denoiser of what it generates.

    Args:
        network: (R, N, D) to (R, N, D).
        denoiser: of the generator's law.
    """

    def __init__(self, network: nn.Module, denoiser: PosteriorNet) -> None:
        super().__init__()
        self.network, self.denoiser = network, denoiser

    def forward(self, z: Tensor) -> Tensor:
        """States (R, N, D) of standard normal z (R, N, D)."""
        made: Tensor = z + self.network(z)
        return made


def surrogate(x: Tensor, of_q: Tensor, of_p: Tensor, sigma: Tensor, power: float) -> Tensor:
    """What has the gradient of the module, (R, N), from both posterior means at x + σn, which are kept fixed.

    Args:
        x: samples (R, N, D) of the generator, with their graph.
        of_q: E[x₀|x_σ] of the generator's law (R, N, D).
        of_p: of the target.
        sigma: σ (R, N).
        power: of σ in w_σ.
    """
    apart = (of_q - of_p).detach() * (sigma ** (power - 2)).unsqueeze(-1)
    return (apart * x).sum(-1)


class GeneratorModel(UnitModel[Generator]):
    """A fitted generator."""

    recipe: DiKL

    @torch.no_grad()
    def draw(self, n: int, *, seed: int = 0, start: Tensor | None = None, **options: Any) -> Draw:
        """``n`` samples, at one call of the network each and none of the density.

        Raises:
            ConfigurationError: on ``start``: there is nothing to go on from.
        """
        self.check_draw(n, start)
        self.recipe.for_draw(options)
        if start is not None:
            raise ConfigurationError("start was given, but a generator makes samples from noise; leave it out")
        density = UnitDensity(self._target, self.scale)
        z = torch.randn(
            1, n, density.dim, generator=make_generator(seed, "generator", device=self.device), device=self.device
        )
        return Draw(density.flat.embed(self.network(z)[0] * self.scale), 1.0)


@dataclass(frozen=True, kw_only=True)
class DiKL(UnitSampler):
    """One-step generator by reverse diffusive relative entropy.

    Args:
        estimator: identity of the target's posterior means; see ``reverse``.
        draws: evaluations of such an estimate.
        field: both networks, by name or object.
        width: units of each hidden layer, unless ``field`` is an object; None for the field's own.
        depth: hidden layers, likewise.
        batch_size: samples of a generator's step.
        denoiser_batch: samples of a denoiser's step.
        power: of σ in the weights of levels.
        widest: largest σ, in units of the spread.
        finest: smallest σ.
        scale: spread of the target, the unit; None finds it by importance sampling.
    """

    model: ClassVar[type[GeneratorModel]] = GeneratorModel
    needs: ClassVar[frozenset[str]] = frozenset({"log_prob", "score"})

    estimator: Estimator = fit_option("optimal")
    draws: int = fit_option(64, least=2)
    field: Part = fit_option("fourier-mlp")
    width: int | None = fit_option(128, least=1)
    depth: int | None = fit_option(None, least=1)
    batch_size: int = fit_option(256, least=2)
    denoiser_batch: int = fit_option(1_024, least=2)
    power: float = fit_option(1.0)
    widest: float = fit_option(1.5, above=0)
    finest: float = fit_option(0.05, above=0)
    scale: float | None = fit_option(None, above=0)
    steps: int = fit_option(1_800, least=1)
    learning_rate: float = fit_option(5e-3, above=0)
    clip_norm: float | None = fit_option(None, above=0)
    ema_decay: float = fit_option(0.99, least=0, below=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_levels(self.finest, self.widest)

    def generator(self, dim: int, streams: Streams) -> Generator:
        """Both stacked networks; the denoiser begins at zero."""
        field = make_field(self.field, width=self.width, depth=self.depth)
        network = field.build(dim, dim, streams=streams, conditioned=False)
        denoiser = field.build(dim, dim + 2, streams=streams, conditioned=True, out_gain=0.0)
        return Generator(network, PosteriorNet(denoiser, widest=self.widest, finest=self.finest))

    def training_objective(self, target: Target, *, seeds: Sequence[int], device: torch.device | str) -> Objective:
        """See ``TrainedSampler.training_objective``."""
        scale = self.scale or spread(target)
        density, noise = UnitDensity(target, scale), Streams(seeds, "noise", device=device)
        generator, dim = self.generator(density.dim, Streams(seeds, "weights", device="cpu")).to(device), density.dim
        span = math.log(self.widest / self.finest)

        def level(n: int) -> Tensor:
            return self.finest * (noise.uniform(n) * span).exp()

        def loss() -> Tensor:
            with torch.no_grad():
                made = generator(noise.normal(self.denoiser_batch, dim))
            sigma = level(self.denoiser_batch)
            noised = torch.addcmul(made, sigma.unsqueeze(-1), noise.normal(self.denoiser_batch, dim))
            out, _, _ = generator.denoiser.outputs(noised, sigma)
            shrink, wide = (1 / (1 + sigma.square())).unsqueeze(-1), sigma.unsqueeze(-1)
            missed = (out - (made - shrink * noised) / (wide * shrink.sqrt())).square().sum(-1).mean(1)
            x, sigma = generator(noise.normal(self.batch_size, dim)), level(self.batch_size)
            with torch.no_grad():
                noised = torch.addcmul(x, sigma.unsqueeze(-1), noise.normal(self.batch_size, dim))
                of_q = generator.denoiser(noised, sigma).mean
                draws = noise.normal(self.batch_size, self.draws, dim)
                of_p = estimate(density, noised, sigma, draws, self.estimator).mean
            return missed + surrogate(x, of_q, of_p, sigma, self.power).mean(1)

        def finish(module: nn.Module, seed: int) -> GeneratorModel:
            assert isinstance(module, Generator)
            return GeneratorModel(self, module, target, scale=scale, device=device)

        return Objective(generator, loss, finish, state=(noise,))

    def stacked(self, target: Target, streams: Streams) -> Generator:
        """See ``UnitSampler.stacked``."""
        return self.generator(target.flat_dim, streams)
