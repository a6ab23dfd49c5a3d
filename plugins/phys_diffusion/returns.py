r"""Diffusion models of returns: conditional denoisers trained on bootstrapped samples, sampled by the probability flow.

``edm`` is trained at levels of a log-normal law; ``ddpm`` predicts the noise on the chain

    x_t = √ᾱ_t u + √(1 − ᾱ_t) ε,   ᾱ_t = Π_{i ≤ t} (1 − β_i),   β from 10⁻⁴ to 0.02 in T = 1,000 steps,

with u the standardised return: x_t/√ᾱ_t is a return at level σ_t = s√(1/ᾱ_t − 1). It is trained at all steps of the
chain; draws pass those nearest to levels falling from σ_max to σ_min, deterministically as DDIM does: ancestral steps
are for long chains. At levels above σ_max the law is as good as a point.

Source: Karras et al. 2022 (arXiv:2206.00364), Sec. 5; Ho et al. 2020 (arXiv:2006.11239), Eq. 4 and 14; sub-chains: Song
et al. 2021 (arXiv:2010.02502), Sec. 4.2. Conditioning and bootstrapping are of this library.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from phys_samplers.errors import ConfigurationError
from phys_samplers.options import fit_option
from phys_samplers.randomness import Streams
from phys_samplers.rl.denoised import DenoisedReturns, DenoisingNetwork, FlowNetwork
from phys_samplers.rl.sampled import SPREAD


@dataclass(frozen=True, kw_only=True)
class EDMReturns(DenoisedReturns):
    """EDM as a model of returns; see ``DenoisedReturns`` for the options."""

    def build(self, features: int, actions: int, *, streams: Streams) -> FlowNetwork:
        """See ``ReturnModel.build``."""
        return FlowNetwork(self, features, actions, streams=streams)


@dataclass(frozen=True, kw_only=True)
class DDPMReturns(DenoisedReturns):
    """DDPM as a model of returns; see ``DenoisedReturns`` for the other options.

    Args:
        chain: T, whose levels cover those of sampling.
        beta_min: β_1.
        beta_max: β_T.
    """

    chain: int = fit_option(1000, least=1)
    beta_min: float = fit_option(1e-4, above=0, below=1)
    beta_max: float = fit_option(0.02, above=0, below=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.beta_min <= self.beta_max:
            raise ConfigurationError(
                f"beta_min is {self.beta_min} and beta_max {self.beta_max}; expected the lower first"
            )
        if len(set(self.levels)) < self.sampling_steps or self.levels[0] < 0.9 * self.sigma_max:
            raise ConfigurationError(
                f"chain is {self.chain}, with levels up to {float(self.sigmas[-1]):.3g}; expected more steps, or fewer "
                f"than sampling_steps = {self.sampling_steps} between sigma_max = {self.sigma_max} and sigma_min"
            )

    @property
    def sigmas(self) -> Tensor:
        """σ_1..σ_T (T,), rising, in double precision."""
        beta = torch.linspace(self.beta_min, self.beta_max, self.chain, dtype=torch.float64)
        return SPREAD * torch.expm1(-torch.log1p(-beta).cumsum(0)).sqrt()

    @property
    def levels(self) -> tuple[float, ...]:
        """Those of the chain that are nearest, on the logarithmic scale, to a constant factor apart."""
        wanted = torch.tensor(super().levels, dtype=torch.float64)
        nearest = (self.sigmas.log() - wanted.log().unsqueeze(1)).abs().argmin(1)
        return tuple(self.sigmas[nearest].tolist())

    def build(self, features: int, actions: int, *, streams: Streams) -> ChainNetwork:
        """See ``ReturnModel.build``."""
        return ChainNetwork(self, features, actions, streams=streams)


class ChainNetwork(DenoisingNetwork):
    """Noise prediction at the levels of a chain; see ``SampledNetwork`` for the arguments."""

    parametrisation: ClassVar[Literal["edm", "epsilon"]] = "epsilon"
    sigmas: Tensor

    def __init__(self, recipe: DDPMReturns, features: int, actions: int, *, streams: Streams) -> None:
        super().__init__(recipe, features, actions, streams=streams)
        sigmas = recipe.sigmas.float().expand(streams.replicas, -1)
        self.register_buffer("sigmas", sigmas, persistent=False)

    def training_levels(self, y: Tensor, noise: Streams) -> Tensor:
        """Those of steps drawn uniformly from the chain."""
        return self.sigmas[0][noise.integers(self.sigmas.shape[1], *y.shape[1:])]
