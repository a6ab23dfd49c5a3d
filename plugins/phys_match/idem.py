r"""iDEM: a denoiser regressed on estimates of the posterior mean, at noised states that it makes itself.

The inner loop draws states of a buffer, noises them to log-uniform levels σ and estimates the posterior's moments there
with ``draws`` evaluations each (``reverse``); what was estimated is kept in a ring and used for ``reuse`` steps, since
the estimates are the dear part and not the network. The state that was noised is one of the draws (``conditional``).
The outer loop refills the buffer with ends of the reversal that follows the denoiser. With c = 1/(1 + σ²),

    m(x, σ) = c x + σ √c (NN + g a),    a = σ/√c ∇log p̃(x) κ,    κ = ω²/(ω² + σ²),
    L = E[|NN + g a − (m̂ − c x)/(σ √c)|²/(D u) + log u + λ (S/v + log v)].

a is what leads to the mean within a mode of width ω, a learned number, and g, another output, says how far to follow
(``guided``; a is cut at 5 √D). Without it small σ ask the network for the place of every mode, with a precision that it
does not reach in minutes. u, learned too, is the error that is expected, so that rows at large σ, whose estimates are
noise for the most part, do not rule the loss. v is the posterior variance of a coordinate: the mean squared distance S
of the weighted draws from m has it as its mean, bias of few effective draws included. Kernels of the reversal have both
moments, so that their weights are those of the best Gaussian steps.

The paper regresses the score by the target score identity, clipped (``estimator="target"``, ``score_clip``), with steps
whose variance is that of the noising, and has neither lead nor known draw (preset ``paper``). Of particles the network
is one of pairs (``pairs``, ``invariant``), and a reversal with less noise (``noise_scale``) trades the tail of the
energy against distances, as in the paper.

Sources: Akhound-Sadegh et al. 2024, *Iterated Denoising Energy Matching* (arXiv:2402.06121), Algorithm 1, Eq. 8; Karras
et al. 2022 (arXiv:2206.00364) for the scales around the network; Bao et al. 2022 (arXiv:2206.07309) for learned
variances.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from phys_match.pairs import PairNetwork
from phys_match.reverse import TINY, Estimator, Moments, check_levels, estimate, levels, reversed_walk
from phys_samplers.diagnostics import weight_diagnostics
from phys_samplers.errors import ConfigurationError
from phys_samplers.fields import make_field
from phys_samplers.objective import Objective
from phys_samplers.options import Part, draw_option, fit_option
from phys_samplers.paths import Replay, Ring, UnitDensity, UnitModel, UnitSampler, spread
from phys_samplers.randomness import Streams, make_generator
from phys_samplers.sampler import Draw
from phys_samplers.target import Target
from phys_samplers.training.state import Counter

SHARE = 0.2
"""λ, of the loss of variances."""
WIDTH = 0.1
"""First guess of a mode's width, in units of the spread."""
LEAST = -5.0
"""log u at least."""
LEAD = 5.0
"""Longest lead of a network by a score, in units of √D."""
NUMBERS_AT_ONCE = 2**24
"""Coordinates of draws or states that are held together."""


class PosteriorNet(nn.Module):
    """Both moments by one stacked network.

    Args:
        network: (R, N, D) and times (R, N) or (R, 1) to (R, N, D + 2), or D + 3 if it is led.
        widest: σ at time 1.
        finest: σ at time 0.
        guided: whether scores lead it.
    """

    def __init__(self, network: nn.Module, *, widest: float, finest: float, guided: bool = False) -> None:
        super().__init__()
        self.network, self.finest, self.span = network, finest, math.log(widest / finest)
        first = next(network.parameters())
        self.log_width = nn.Parameter(first.new_full((len(first), 1), math.log(WIDTH))) if guided else None

    def outputs(self, x: Tensor, sigma: Tensor, score: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """NN (R, N, D), log v and log u (R, N) at states (R, N, D) and σ (R, N) or (R, 1).

        Args:
            x: states.
            sigma: σ.
            score: ∇log p̃ (R, N, D) there, for networks that are led.
        """
        shrink, dim = 1 / (1 + sigma.square()), x.shape[-1]
        found = self.network(shrink.sqrt().unsqueeze(-1) * x, (sigma / self.finest).log() / self.span)
        out, log_variance = found[..., :dim], found[..., dim] + (shrink * sigma.square()).log()
        log_missed = found[..., dim + 1].clamp(min=LEAST)
        if self.log_width is not None and score is not None:
            local = 1 / (1 + (sigma / self.log_width.exp()).square())
            lead = (local * sigma / shrink.sqrt()).unsqueeze(-1) * score
            norm = lead.norm(dim=-1, keepdim=True).clamp(min=TINY)
            out = out + found[..., dim + 2 :] * lead * (LEAD * math.sqrt(dim) / norm).clamp(max=1.0)
        return out, log_variance, log_missed

    def forward(self, x: Tensor, sigma: Tensor, score: Tensor | None = None) -> Moments:
        """The posterior's moments."""
        out, log_variance, _ = self.outputs(x, sigma, score)
        shrink, wide = (1 / (1 + sigma.square())).unsqueeze(-1), sigma.unsqueeze(-1)
        return Moments(shrink * x + wide * shrink.sqrt() * out, log_variance.clamp(-30, 5).exp())


class IDEMModel(UnitModel[PosteriorNet]):
    """A fitted denoiser: independent reversed paths, with the weights that make their ends exact."""

    recipe: IDEM

    @torch.no_grad()
    def draw(self, n: int, *, seed: int = 0, start: Tensor | None = None, **options: Any) -> Draw:
        """``n`` ends of independent paths with their weights, at one evaluation of the density each.

        Diagnostics: ``log_z``, ``log_z_std``, ``elbo``, ``ess``. ``nfe`` counts calls of the network and the
            evaluation.

        Raises:
            ConfigurationError: on ``start``: every path starts in the widest level.
        """
        self.check_draw(n, start)
        if start is not None:
            raise ConfigurationError("start was given, but paths start in the widest level; leave it out")
        recipe = self.recipe.for_draw(options)
        density, generator = UnitDensity(self._target, self.scale), make_generator(seed, "paths", device=self.device)
        sigmas = levels(recipe.sampling_steps, recipe.widest, recipe.finest)
        ends: list[Tensor] = []
        weights: list[Tensor] = []
        for begin in range(0, n, NUMBERS_AT_ONCE // density.dim):
            shape = (1, min(NUMBERS_AT_ONCE // density.dim, n - begin), density.dim)

            def normal(shape: tuple[int, ...] = shape) -> Tensor:
                return torch.randn(shape, generator=generator, device=self.device)

            scale = recipe.noise_scale

            def moments(x: Tensor, sigma: Tensor) -> Moments:
                return self._moments(x, sigma, density)

            walked = reversed_walk(moments, sigmas, normal(), normal, density=density, noise_scale=scale)
            assert walked.log_weights is not None
            ends.append(walked.ends[0])
            weights.append(walked.log_weights[0])
        log_weights = torch.cat(weights)
        samples = density.flat.embed(torch.cat(ends) * self.scale)
        calls = recipe.sampling_steps * (2 if recipe.guided else 1)
        return Draw(samples, float(calls + 1), weight_diagnostics(log_weights), log_weights)

    def _moments(self, x: Tensor, sigma: Tensor, density: UnitDensity) -> Moments:
        score = density.score(x) if self.recipe.guided else None
        found: Moments = self.network(x, sigma.view(1, 1), score)
        return found

    @torch.no_grad()
    def score(self, x: Tensor, sigma: float | None = None) -> Tensor:
        """The score of the law blurred by ``sigma`` in data units; of the target itself without one."""
        if sigma is None:
            return super().score(x)
        density, level = UnitDensity(self._target, self.scale), sigma / self.scale
        z = density.flat.reduce(x.to(torch.float32)) / self.scale
        found = self._moments(z.unsqueeze(0), z.new_full((), level), density).mean[0]
        return density.flat.embed((found - z) / (level**2 * self.scale))


@dataclass(frozen=True, kw_only=True)
class IDEM(UnitSampler):
    """Iterated denoising energy matching.

    Args:
        estimator: identity of the regression's targets; see ``reverse``.
        draws: evaluations of an estimate.
        conditional: whether the state that was noised is one of the draws of its estimate.
        score_clip: largest norm of an estimated score, in units of the spread; None for none.
        field: network, by name or object.
        invariant: whether the network of particles is one of pairs, which knows of no order or direction (``pairs``).
        guided: whether the network is led by ∇log p̃(x), at a gradient a level of every path.
        width: units of each hidden layer, unless ``field`` is an object; None for the field's own.
        depth: hidden layers, likewise.
        batch_size: rows of a step.
        estimates: rows estimated together.
        reuse: steps between estimates.
        kept_estimates: rows that are kept.
        walks: ends that refill the buffer.
        refill_every: steps until then.
        kept_rounds: refills that are kept.
        weighted: whether ends are chosen by their weights.
        moves: MALA steps of ends in the density; the paper has none.
        widest: σ_0, in units of the spread.
        finest: σ_{K−1}.
        scale: spread of the target, the unit; None finds it by importance sampling.
        sampling_steps: K, levels of a draw.
        noise_scale: by which the noise of a draw's steps is multiplied.
    """

    model: ClassVar[type[IDEMModel]] = IDEMModel
    needs = frozenset({"log_prob", "score"})

    estimator: Estimator = fit_option("optimal")
    draws: int = fit_option(128, least=2)
    conditional: bool = fit_option(True)
    score_clip: float | None = fit_option(None, above=0)
    field: Part = fit_option("fourier-mlp")
    invariant: bool = fit_option(True)
    guided: bool = fit_option(True)
    width: int | None = fit_option(128, least=1)
    depth: int | None = fit_option(None, least=1)
    batch_size: int = fit_option(512, least=2)
    estimates: int = fit_option(512, least=2)
    reuse: int = fit_option(12, least=1)
    kept_estimates: int = fit_option(16_384, least=2)
    walks: int = fit_option(512, least=2)
    refill_every: int = fit_option(100, least=1)
    kept_rounds: int = fit_option(8, least=1)
    weighted: bool = fit_option(False)
    moves: int = fit_option(0, least=0)
    widest: float = fit_option(2.0, above=0)
    finest: float = fit_option(0.02, above=0)
    scale: float | None = fit_option(None, above=0)
    steps: int = fit_option(2_500, least=1)
    learning_rate: float = fit_option(2e-3, above=0)
    sampling_steps: int = draw_option(100, least=1)
    noise_scale: float = draw_option(1.0, above=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_levels(self.finest, self.widest)

    def denoiser(self, target: Target, streams: Streams) -> PosteriorNet:
        """The stacked network, which begins at zero."""
        field = make_field(self.field, width=self.width, depth=self.depth)
        dim = target.flat_dim
        network: nn.Module
        if self.invariant and target.particles is not None:
            network = PairNetwork(field, target, numbers=2 + self.guided, streams=streams)
        else:
            network = field.build(dim, dim + 2 + self.guided, streams=streams, conditioned=True, out_gain=0.0)
        return PosteriorNet(network, widest=self.widest, finest=self.finest, guided=self.guided)

    def training_objective(self, target: Target, *, seeds: Sequence[int], device: torch.device | str) -> Objective:
        """See ``TrainedSampler.training_objective``."""
        scale = self.scale or spread(target)
        density, noise = UnitDensity(target, scale), Streams(seeds, "noise", device=device)
        denoiser = self.denoiser(target, Streams(seeds, "weights", device="cpu")).to(device)
        dim, turn = density.dim, Counter()
        ends = Replay(density, noise, size=self.walks, rounds=self.kept_rounds, moves=self.moves, step=self.finest**2)
        ring = Ring(noise, capacity=self.kept_estimates, columns=4 * dim + 2)
        coarse = levels(max(1, self.sampling_steps // 2), self.widest, self.finest)

        def moments(x: Tensor, sigma: Tensor) -> Moments:
            found: Moments = denoiser(x, sigma.view(1, 1), density.score(x) if self.guided else None)
            return found

        @torch.no_grad()
        def refill() -> None:
            asked = density if self.weighted else None

            def kick() -> Tensor:
                return noise.normal(self.walks, dim)

            if turn.value == 0:
                wide = math.sqrt(1 + self.widest**2)
                first, weights = wide * kick(), None
            else:
                first, weights = reversed_walk(moments, coarse, kick(), kick, density=asked)
            ends.add(first, torch.zeros_like(first[..., 0]) if weights is None else weights)

        @torch.no_grad()
        def learn_more() -> None:
            clean, _ = ends.draw(self.estimates)
            sigma = self.finest * (noise.uniform(self.estimates) * denoiser.span).exp()
            x = torch.addcmul(clean, sigma.unsqueeze(-1), noise.normal(self.estimates, dim))
            rows, found = max(1, NUMBERS_AT_ONCE // (len(seeds) * self.draws * dim)), []
            for part, wide, start in zip(*(each.split(rows, 1) for each in (x, sigma, clean)), strict=True):
                kicks, known = noise.normal(part.shape[1], self.draws, dim), start if self.conditional else None
                found.append(estimate(density, part, wide, kicks, self.estimator, clean=known))
            mean = torch.cat([part.mean for part in found], 1)
            if self.score_clip is not None:
                score = (mean - x) / sigma.square().unsqueeze(-1)
                norm = score.norm(dim=-1, keepdim=True).clamp(min=1e-12)
                mean = torch.lerp(x, mean, (self.score_clip / norm).clamp(max=1.0))
            drawn, variance = (torch.cat([part.draws[i] for part in found], 1) for i in range(2))
            score = density.score(x) if self.guided else torch.zeros_like(x)
            ring.add(torch.cat((x, sigma.unsqueeze(-1), mean, drawn, variance.unsqueeze(-1), score), -1))

        def loss() -> Tensor:
            if turn.value % self.refill_every == 0:
                refill()
            if turn.value % self.reuse == 0:
                learn_more()
            turn.value += 1
            x, sigma, mean, drawn, variance, score = ring.draw(self.batch_size).split((dim, 1, dim, dim, 1, dim), -1)
            out, log_v, log_u = denoiser.outputs(x, sigma.squeeze(-1), score if self.guided else None)
            shrink = 1 / (1 + sigma.square())
            unit = sigma * shrink.sqrt()
            found = (shrink * x + unit * out).detach()
            spread_of = variance.squeeze(-1) + (drawn - found).square().mean(-1)
            missed = (out - (mean - shrink * x) / unit).square().mean(-1) * (-log_u).exp() + log_u
            return (missed + SHARE * (spread_of * (-log_v).exp() + log_v)).mean(1)

        def finish(module: nn.Module, seed: int) -> IDEMModel:
            assert isinstance(module, PosteriorNet)
            return IDEMModel(self, module, target, scale=scale, device=device)

        return Objective(denoiser, loss, finish, state=(noise, turn, ends, ring))

    def stacked(self, target: Target, streams: Streams) -> PosteriorNet:
        """See ``UnitSampler.stacked``."""
        return self.denoiser(target, streams)
