r"""Diffusion models of returns: conditional denoisers trained on bootstrapped samples, sampled by the probability flow.

``edm`` draws training levels from a log-normal law and passes EDM's levels; ``ddpm`` predicts the noise on the chain

    x_t = √ᾱ_t u + √(1 − ᾱ_t) ε,   ᾱ_t = Π_{i ≤ t} (1 − β_i),   β from 10⁻⁴ to 0.02 in T = 1,000 steps,

with u the standardised return, which is x_t/√ᾱ_t at level σ_t = s√(1/ᾱ_t − 1) in the unit of returns.

Source: Karras et al. 2022 (arXiv:2206.00364), Table 1; Ho et al. 2020 (arXiv:2006.11239), Eq. 4 and 14; quadratic
sub-chains: Song et al. 2021 (arXiv:2010.02502), App. D.2. Conditioning and bootstrapping are of this library.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from phys_samplers.errors import ConfigurationError
from phys_samplers.randomness import Streams
from phys_samplers.rl.denoised import DenoisedReturns, DenoisingNetwork, FlowNetwork
from phys_samplers.rl.sampled import SPREAD, SampledReturns


@dataclass(frozen=True, kw_only=True)
class EDMReturns(DenoisedReturns):
    """EDM as a model of returns; see ``DenoisedReturns`` for the options."""

    def build(self, features: int, actions: int, *, streams: Streams) -> FlowNetwork:
        """See ``ReturnModel.build``."""
        return FlowNetwork(self, features, actions, streams=streams)


@dataclass(frozen=True, kw_only=True)
class DDPMReturns(SampledReturns):
    """DDPM as a model of returns; see ``SampledReturns`` for the other options.

    Args:
        chain: T.
        beta_min: β_1.
        beta_max: β_T.
    """

    chain: int = 1000
    beta_min: float = 1e-4
    beta_max: float = 0.02

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.beta_min <= self.beta_max < 1:
            raise ConfigurationError(
                f"beta_min is {self.beta_min} and beta_max {self.beta_max}; expected 0 < beta_min <= beta_max < 1"
            )
        if self.chain < self.sampling_steps:
            raise ConfigurationError(
                f"chain is {self.chain} and sampling_steps {self.sampling_steps}; expected no more steps than the chain"
            )

    @property
    def sigmas(self) -> Tensor:
        """σ_1..σ_T (T,), rising, in double precision."""
        beta = torch.linspace(self.beta_min, self.beta_max, self.chain, dtype=torch.float64)
        return SPREAD * torch.expm1(-torch.log1p(-beta).cumsum(0)).sqrt()

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

    def sampling_levels(self, recipe: SampledReturns) -> Sequence[float]:
        """Levels t = T (i/n)² of the chain, i = n..1."""
        assert isinstance(recipe, DDPMReturns)
        count = recipe.sampling_steps
        steps = sorted({max(1, round(recipe.chain * (i / count) ** 2)) for i in range(1, count + 1)}, reverse=True)
        return recipe.sigmas[torch.tensor(steps) - 1].tolist()

    def training_levels(self, y: Tensor, noise: Streams) -> Tensor:
        """Those of steps drawn uniformly from the chain."""
        return self.sigmas[0][noise.integers(self.sigmas.shape[1], *y.shape[1:])]
