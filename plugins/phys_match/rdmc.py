r"""RDMC: reverse diffusion with the posterior mean by Monte Carlo; nothing is trained.

Every path asks for its own estimate at every level, either of fresh draws (``inner="importance"``, see ``reverse``) or
of chains in the posterior p̃(x₀) N(x; x₀, σ²), which go on from one level to the next (``inner="chains"``):
Metropolis-adjusted Langevin steps, whose posterior means mix both identities by regression too. Fresh draws fail in
many dimensions, chains where the posterior has several modes.

An importance draw costs one evaluation, so K levels of m draws cost K m + 1 for each sample; a chain costs one a move.

Source: Huang et al. 2024, *Reverse diffusion Monte Carlo* (arXiv:2307.02037), Algorithms 1 and 2. The weights are not
in the paper: given the estimates, steps are Gaussian, so that E[w] = Z holds for noisy ones too.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from phys_match.reverse import Estimator, Moments, check_levels, estimate, levels, reversed_walk
from phys_samplers.chains import mala
from phys_samplers.density import DensityModel, DensitySampler
from phys_samplers.diagnostics import weight_diagnostics
from phys_samplers.errors import ConfigurationError
from phys_samplers.options import draw_option
from phys_samplers.paths import UnitDensity, spread
from phys_samplers.randomness import make_generator
from phys_samplers.sampler import Draw

NUMBERS_AT_ONCE = 2**22
"""Coordinates of draws that are held together."""
ACCEPTANCE, ADAPTS = 0.574, 0.5
"""Of MALA (Roberts & Rosenthal 1998), and how fast logarithms of step sizes follow it."""
CANDIDATES = 8
"""Draws of which each chain's first state is chosen."""


class RDMCModel(DensityModel):
    """A density to walk to; see ``RDMC``."""

    recipe: RDMC

    @cached_property
    def found_scale(self) -> float:
        """Spread of the target by importance sampling, looked for when first needed."""
        return spread(self._target)

    @torch.no_grad()
    def draw(self, n: int, *, seed: int = 0, start: Tensor | None = None, **options: Any) -> Draw:
        """``n`` ends of independent paths with their weights; diagnostics ``log_z``, ``log_z_std``, ``elbo``, ``ess``.

        Raises:
            ConfigurationError: on ``start``: every path starts in the widest level.
        """
        self.check_draw(n, start)
        if start is not None:
            raise ConfigurationError("start was given, but paths start in the widest level; leave it out")
        recipe = self.recipe.for_draw(options)
        scale = recipe.scale or self.found_scale
        density, generator = UnitDensity(self._target, scale), make_generator(seed, "paths", device=self.device)
        sigmas = levels(recipe.sampling_steps, recipe.widest, recipe.finest)
        ends: list[Tensor] = []
        weights: list[Tensor] = []
        per_path = recipe.draws if recipe.inner == "importance" else recipe.chains * CANDIDATES
        at_once = max(1, NUMBERS_AT_ONCE // (per_path * density.dim))
        for begin in range(0, n, at_once):
            size = min(at_once, n - begin)

            def normal(*more: int, size: int = size) -> Tensor:
                return torch.randn(
                    1, size, *more, density.dim, generator=generator, device=self.device, dtype=self.dtype
                )

            if recipe.inner == "chains":
                moments = _Chains(density, recipe, normal, generator).moments
            else:

                def moments(x: Tensor, sigma: Tensor, normal: Any = normal) -> Moments:
                    found = estimate(density, x, sigma.expand(x.shape[:2]), normal(recipe.draws), recipe.estimator)
                    return Moments(found.mean, found.draws.variance)

            walked = reversed_walk(moments, sigmas, normal(), normal, density=density)
            assert walked.log_weights is not None
            ends.append(walked.ends[0])
            weights.append(walked.log_weights[0])
        log_weights = torch.cat(weights)
        return Draw(
            density.flat.embed(torch.cat(ends) * scale),
            float(recipe.evaluations),
            weight_diagnostics(log_weights),
            log_weights,
        )


class _Chains:
    """Chains in the posteriors of the paths of one draw, warm from level to level; step sizes follow their widths."""

    def __init__(self, density: UnitDensity, recipe: RDMC, normal: Any, generator: torch.Generator) -> None:
        self.density, self.recipe, self.normal, self.generator = density, recipe, normal, generator
        self.y = self.width = self.log_factor = torch.empty(0)
        self.sigma = torch.tensor(0.0)

    def moments(self, x: Tensor, sigma: Tensor) -> Moments:
        """Moments at x (1, B, D) from C chains a path, after their moves."""
        chains, dim = self.recipe.chains, x.shape[-1]
        if not len(self.y):
            many = x.unsqueeze(2) + sigma * self.normal(CANDIDATES * chains)
            heights = torch.nan_to_num(self.density.log_prob(many)[0], nan=-1e30, neginf=-1e30)
            chosen = torch.multinomial(heights.softmax(-1), chains, True, generator=self.generator)
            self.y = many[0].gather(1, chosen[..., None].expand(-1, -1, dim))
            self.width = (0.1 * sigma.square() / (1 + sigma.square())).expand(x.shape[1], 1)
            self.log_factor = torch.zeros_like(self.width)
        else:  # precisions add up
            self.width = 1 / (1 / self.width + sigma**-2 - self.sigma**-2)
        self.sigma = sigma
        centre = x[0].unsqueeze(1).expand(-1, chains, -1).reshape(-1, dim)

        def posterior(y: Tensor) -> tuple[Tensor, Tensor]:
            value, score = self.density.both(y)
            off = (y - centre) / sigma
            return value - 0.5 * off.square().sum(-1), score - off / sigma

        state = mala.init(self.y.reshape(-1, dim), posterior)
        count = x.shape[1]
        for _ in range(self.recipe.moves):
            noise = self.normal(chains)[0].reshape(-1, dim)
            uniform = torch.rand(count * chains, generator=self.generator, device=x.device, dtype=x.dtype).log_()
            step = (self.width * self.log_factor.exp()).repeat_interleave(chains, 0)
            state, info = mala.step(state, posterior, step_size=step, noise=noise, log_uniform=uniform)
            acceptance = info.acceptance.view(count, chains).mean(1, keepdim=True)
            self.log_factor = self.log_factor + ADAPTS * (acceptance - ACCEPTANCE)
        self.y = state.x.view(count, chains, dim)
        mean = self.y.mean(1)
        off = self.y - mean.unsqueeze(1)
        # x + σ²∇log p̃(y) has the mean of y too: y + σ² ∇log posterior(y).
        lead = sigma**2 * state.score.view(count, chains, dim)
        apart = lead - lead.mean(1, keepdim=True)
        share = -(apart * off).sum((1, 2)) / apart.square().sum((1, 2)).clamp(min=1e-12)
        share = share.clamp(1e-3, 1)
        mean = mean + share.unsqueeze(-1) * lead.mean(1)
        # Within a normal mode a σ² is the variance; few chains may by chance be near each other.
        self.width = (share * sigma**2).unsqueeze(-1)
        variance = torch.maximum(off.square().mean((1, 2)) * (chains / (chains - 1)), share * sigma**2)
        return Moments(mean.unsqueeze(0), variance.unsqueeze(0))


@dataclass(frozen=True, kw_only=True)
class RDMC(DensitySampler):
    """Reverse diffusion Monte Carlo.

    Args:
        inner: how posterior means are found; see the module.
        estimator: identity of importance draws; see ``reverse``.
        draws: of importance sampling, for each path and level.
        chains: of each path.
        moves: of each chain and level.
        sampling_steps: K, levels.
        widest: σ_0, in units of the spread.
        finest: σ_{K−1}.
        scale: spread of the target, the unit; None finds it by importance sampling.
    """

    model: ClassVar[type[DensityModel]] = RDMCModel

    inner: Literal["importance", "chains"] = draw_option("importance")
    estimator: Estimator = draw_option("optimal")
    draws: int = draw_option(200, least=2)
    chains: int = draw_option(8, least=2)
    moves: int = draw_option(4, least=1)
    sampling_steps: int = draw_option(50, least=1)
    widest: float = draw_option(2.0, above=0)
    finest: float = draw_option(0.02, above=0)
    scale: float | None = draw_option(None, above=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_levels(self.finest, self.widest)

    @property
    def evaluations(self) -> int:
        """Of the density, for each sample: values, with gradients where the estimator asks for them."""
        if self.inner == "importance":
            return self.sampling_steps * self.draws + 1
        return self.chains * (CANDIDATES + self.sampling_steps * (self.moves + 1)) + 1
