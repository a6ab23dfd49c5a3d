r"""Chains in a law that was bent to be explored, with weights that unbend it: metadynamics and coupled replicas.

**Metadynamics** flattens the law of a collective variable s(x). While the chains warm up, where they have been is
filled with kernels of height ω and width σ,

    V ← V + ω/B Σ_b e^{−V(s_b)/(γ−1)} exp(−(s − s_b)²/2σ²),

all B chains filling one V, and they move in p e^{−V}; with the bias factor γ the heights fall where it is full, and V
tends to −(1 − 1/γ) F(s) + const, F = −log p(s). Then V is frozen and the chains go on, by moves that are tested, so
that weights e^{V(s)} are exact for p whatever V has become; a poor V costs effective samples only. The thesis prints
H − ω Σ (Sec. 6.3.1), which would draw the chains to where they were.

**Coupled replicas** move n particles at once in Φ(x_1, …, x_n) Π p(x_i), and a set has the weight 1/Φ.

Source: Laio & Parrinello 2002, *Escaping free-energy minima*; Barducci, Bussi & Parrinello 2008, *Well-tempered
metadynamics*, Eq. 2 and 4; Raiteri et al. 2006 (several walkers); Hummer & Köfinger 2015 (replicas); Xu 2024, *On
physics-inspired generative models*, Sec. 6.3.1.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import torch
from torch import Tensor

from phys_monte_carlo.resampling import systematic
from phys_samplers.chains.chains import ChainModel, ChainRecord, ChainSampler, Run
from phys_samplers.chains.mala import MALAState, step
from phys_samplers.chains.warmup import StepSize, find_start, refuse_unborn
from phys_samplers.denoisers.guidance import Potential
from phys_samplers.density import DensityModel, FlatDensity
from phys_samplers.diagnostics import weight_diagnostics
from phys_samplers.errors import ConfigurationError
from phys_samplers.options import Part, draw_option, make_part
from phys_samplers.randomness import make_generator
from phys_samplers.sampler import Draw

CELLS = 400
"""Of the grid that V is kept on, between whose points it is linear."""


class Bent:
    """p times e^bias on rows of ``together`` particles (R, nK), as a density for tested moves; knows p apart.

    Args:
        source: p, on flat particles (B, K).
        together: particles n in a row, which move or stay as one.

    Attributes:
        plain: log p (R,) and its gradient (R, nK) where it was asked last.
    """

    plain: tuple[Tensor, Tensor]

    def __init__(self, source: FlatDensity, together: int = 1) -> None:
        self.source, self.together = source, together

    def __call__(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """At new points: one evaluation."""
        log_prob, score = self.source.log_prob_and_score(x.view(-1, self.source.dim))
        self.plain = self.joined(log_prob, score)
        return self.mixed(x, *self.plain)

    def joined(self, log_prob: Tensor, score: Tensor) -> tuple[Tensor, Tensor]:
        """Of particles (B,), (B, K), of rows (R,), (R, nK)."""
        return log_prob.view(-1, self.together).sum(1), score.reshape(len(score) // self.together, -1)

    def mixed(self, x: Tensor, log_prob: Tensor, score: Tensor) -> tuple[Tensor, Tensor]:
        """Where log p and its gradient are known."""
        with torch.enable_grad():
            free = x.detach().requires_grad_()
            bias = self.bias(self.source.embed(free.view(-1, self.source.dim)))
            (slope,) = torch.autograd.grad(bias.sum(), free)
        return log_prob + bias.detach(), score + slope

    @abstractmethod
    def bias(self, x: Tensor) -> Tensor:
        """What is added to log p, (R,), at particles (B, *event_shape); differentiable."""

    def seen(self, x: Tensor) -> None:
        """Take in where the particles (B, *event_shape) are, while chains warm up."""

    def facts(self) -> dict[str, Any]:
        """For the diagnostics of a draw."""
        return {}


class BiasedModel(ChainModel):
    """Chains in a bent law, whose states have weights."""

    recipe: BiasedSampler

    @torch.no_grad()
    def draw(self, n: int, *, seed: int = 0, start: Tensor | None = None, **options: Any) -> Draw:
        """``n`` samples, resampled by their weights or with them; see ``ChainModel.draw``.

        Whole sets are run, and what is too much is cut off. ``weight_ess`` is the effective share of the weights, and
        ``ess`` that times the chains' own where these have forgotten their starts.
        """
        self.check_draw(n, start)
        recipe = self.recipe.for_draw(options)
        step = recipe.together * recipe.samples_per_chain
        whole = -(-n // step) * step
        begin = None if start is None else start[torch.arange(whole, device=start.device) % n]
        drawn = super().draw(whole, seed=seed, start=begin, **options)
        log_w = recipe.log_weights(drawn.samples, drawn.diagnostics).double()
        facts = dict(drawn.diagnostics)
        facts["weight_ess"] = weight_diagnostics(log_w).get("ess", math.nan)
        if "ess" in facts:
            facts["ess"] = facts["weight_ess"] * min(facts["ess"], 1.0)
        nfe = drawn.nfe * whole / n
        if not recipe.resample:
            return Draw(drawn.samples[:n], nfe, facts, log_w[:n], drawn.n_chains if whole == n else None)
        uniform = torch.rand((), generator=make_generator(seed, "resample", device=self.device), device=self.device)
        return Draw(drawn.samples[systematic(log_w.softmax(0), n, uniform=uniform)], nfe, facts)


@dataclass(frozen=True, kw_only=True)
class BiasedSampler(ChainSampler):
    """Chains of tested Langevin moves (``mala``) in a law that is bent, and weights that are exact for p.

    Args:
        step_size: h at the start, in scaled coordinates.
        warmup_steps: steps that adapt the step size, and what bends the law, part of ``sampling_steps``.
        target_acceptance: acceptance rate to adapt to.
        ascent_steps: uphill for lost chains, at most, before the warm-up; each costs a gradient.
        resample: by their weights, so that samples stand for themselves (some of them twice); False gives the states
            of the chains, sets together, with ``log_weights``.
    """

    model: ClassVar[type[DensityModel]] = BiasedModel

    step_size: float = draw_option(0.1, above=0)
    warmup_steps: int = draw_option(500, least=0)
    target_acceptance: float = draw_option(0.574, above=0, below=1)
    ascent_steps: int = draw_option(60, least=0)
    resample: bool = draw_option(True)

    @property
    def burn_in(self) -> int:
        """The warm-up."""
        return self.warmup_steps

    @property
    def together(self) -> int:
        """Particles that move as one."""
        return 1

    @abstractmethod
    def bent(self, source: FlatDensity, x: Tensor) -> Bent:
        """The bent law of chains that start at particles x (B, *event_shape)."""

    @abstractmethod
    def log_weights(self, x: Tensor, facts: Mapping[str, Any]) -> Tensor:
        """Of samples (n, *event_shape) of a run with these facts, up to a constant (n,)."""

    def run(self, source: FlatDensity, x: Tensor, *, generator: torch.Generator, record: ChainRecord) -> Run:
        """Warm up, then sample; see ``ChainSampler.run``."""
        start = find_start(source, x, steps=self.ascent_steps if self.warmup_steps else 0)
        density = self.bent(source, source.embed(start.x))
        n, rows = self.together, len(x) // self.together
        plain = density.joined(start.log_prob, start.score)
        at = start.x.reshape(rows, -1)
        state, scale = MALAState(at, *density.mixed(at, *plain)), start.scale.repeat(n)
        step_size = StepSize(self, like=x)
        for index in range(self.sampling_steps):
            noise = torch.randn(state.x.shape, generator=generator, device=x.device, dtype=x.dtype)
            log_uniform = torch.rand(rows, generator=generator, device=x.device, dtype=x.dtype).log_()
            state, info = step(
                state, density, step_size=step_size.now, noise=noise, log_uniform=log_uniform, scale=scale
            )
            particles = state.x.view(len(x), -1)
            step_size.observe(info.acceptance)
            if index < self.warmup_steps:
                log_prob, score = density.plain
                plain = (
                    torch.where(info.accepted, log_prob, plain[0]),
                    torch.where(info.accepted.unsqueeze(1), score, plain[1]),
                )
                density.seen(source.embed(particles))
                state = MALAState(state.x, *density.mixed(state.x, *plain))
            record.observe(particles)
        refuse_unborn(particles, state.log_prob.repeat_interleave(n), steps=self.sampling_steps, by=type(self).__name__)
        return Run(source.evaluations, {**step_size.facts(), "moved": int(start.moved), **density.facts()})


class Flattened(Bent):
    """−V(s(x)), with V on a grid.

    Args:
        source: p.
        recipe: of the run.
        x: where chains start (B, *event_shape).
    """

    def __init__(self, source: FlatDensity, recipe: Metadynamics, x: Tensor) -> None:
        super().__init__(source)
        self.recipe = recipe
        s = recipe.along(x)
        if recipe.bounds is None:
            low, high = s.aminmax()
            least = 1 + s.abs().max()  # of chains that all start at one place
            span = torch.where(high - low > 1e-3 * least, high - low, least)
            low, span = low - 0.5 * span, 2 * span
        else:
            low, span = s.new_tensor(recipe.bounds[0]), s.new_tensor(recipe.bounds[1] - recipe.bounds[0])
        self.grid = low + torch.linspace(0, 1, CELLS, dtype=s.dtype, device=s.device) * span
        width = span / 40 if recipe.width is None else recipe.width
        apart = (self.grid.unsqueeze(1) - self.grid) / width
        self.kernel = (-0.5 * apart.square()).exp()
        self.potential = torch.zeros_like(self.grid)

    def bias(self, x: Tensor) -> Tensor:
        """See ``Bent.bias``."""
        return -on_grid(self.recipe.along(x), self.grid, self.potential)

    def seen(self, x: Tensor) -> None:
        """A kernel where each particle is; those beyond the grid leave none."""
        s = self.recipe.along(x)
        height = torch.full_like(s, self.recipe.height / len(s))
        if self.recipe.bias_factor is not None:
            height *= (-on_grid(s, self.grid, self.potential) / (self.recipe.bias_factor - 1)).exp()
        height = torch.where((s >= self.grid[0]) & (s <= self.grid[-1]), height, 0.0)
        cell = torch.searchsorted(self.grid, s.contiguous()).clamp_(max=CELLS - 1)
        self.potential = self.potential + self.kernel @ torch.zeros_like(self.grid).index_add_(0, cell, height)

    def facts(self) -> dict[str, Any]:
        """The variable on a grid and V there."""
        return {"variable": self.grid.tolist(), "bias": self.potential.tolist()}


def on_grid(s: Tensor, grid: Tensor, values: Tensor) -> Tensor:
    """Values (B,) at s, linear between the points of an even grid and constant beyond; differentiable by s."""
    place = ((s - grid[0]) / (grid[1] - grid[0])).clamp(0, len(grid) - 1)
    below = place.detach().floor().clamp(max=len(grid) - 2).long()
    return torch.lerp(values[below], values[below + 1], place - below)


@dataclass(frozen=True, kw_only=True)
class Metadynamics(BiasedSampler):
    """Well-tempered metadynamics of one collective variable by many walkers, with exact weights; see the module.

    The diagnostics have the grid as ``variable`` and V as ``bias``; see ``free_energy``.

    Args:
        variable: s: the index of a coordinate, or a differentiable function (B, *event_shape) → (B,).
        height: ω of a step, of all chains together, in units of kT. Over the warm-up it must fill the wells, or what
            has not been crossed in time is not in the weights either: read ``rhat_max`` and ``weight_ess``.
        width: σ of the kernels; None for a fortieth of the grid of V.
        bounds: of that grid, beyond which V is constant; by default half the range of the starting points beyond them,
            so that ``prior_std`` must cover what is to be found.
        bias_factor: γ > 1; None for heights that do not fall, so that V tends to −F but does not settle.
    """

    variable: Any = draw_option(0)
    height: float = draw_option(2.0, above=0)
    width: float | None = draw_option(None, above=0)
    bounds: tuple[float, float] | None = draw_option(None)
    bias_factor: float | None = draw_option(10.0, above=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        whole = isinstance(self.variable, int) and not isinstance(self.variable, bool) and self.variable >= 0
        if not (whole or callable(self.variable)):
            raise ConfigurationError(
                f"variable is {self.variable!r}; expected the index of a coordinate or a differentiable function"
            )
        if self.bounds is not None and not self.bounds[0] < self.bounds[1]:
            raise ConfigurationError(f"bounds is {self.bounds}; expected (least, greatest) of the variable")

    def along(self, x: Tensor) -> Tensor:
        """s (B,) of points (B, *event_shape)."""
        if callable(self.variable):
            found: Tensor = self.variable(x)
            return found
        flat = x.flatten(1)
        if self.variable >= flat.shape[1]:
            raise ConfigurationError(f"variable is {self.variable}; expected a coordinate below {flat.shape[1]}")
        return flat[:, self.variable]

    def bent(self, source: FlatDensity, x: Tensor) -> Bent:
        """See ``BiasedSampler.bent``."""
        return Flattened(source, self, x)

    def log_weights(self, x: Tensor, facts: Mapping[str, Any]) -> Tensor:
        """V(s(x))."""
        s = self.along(x).double()
        return on_grid(s, *(torch.tensor(facts[name], dtype=s.dtype, device=s.device) for name in ("variable", "bias")))

    def free_energy(self, facts: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
        """s and −log p(s) up to a constant, on the grid of a draw's diagnostics: −V γ/(γ − 1)."""
        share = 1.0 if self.bias_factor is None else self.bias_factor / (self.bias_factor - 1)
        return torch.tensor(facts["variable"]), -share * torch.tensor(facts["bias"])


class Coupled(Bent):
    """log Φ of a row of particles.

    Args:
        source: p.
        potential: log Φ.
    """

    def __init__(self, source: FlatDensity, potential: Potential) -> None:
        super().__init__(source, potential.set_size)
        self.potential = potential

    def bias(self, x: Tensor) -> Tensor:
        """See ``Bent.bias``."""
        return of_sets(self.potential, x)


def of_sets(potential: Potential, x: Tensor) -> Tensor:
    """log Φ (S,) of particles (S n, *event_shape), at the potential's lowest level."""
    return potential.log_phi(x.unflatten(0, (-1, potential.set_size)), potential.lowest)


@dataclass(frozen=True, kw_only=True)
class CoupledReplicas(BiasedSampler):
    """Sets of replicas that repel each other, with exact weights; see the module.

    Without ``resample`` samples 0 to n − 1 are the first set, and all have its weight.

    Args:
        potential: log Φ, by name or object; its ``set_size`` is n.
    """

    potential: Part = draw_option("repulsion[set_size=4,strength=4.0]")

    def __post_init__(self) -> None:
        super().__post_init__()
        self.part  # noqa: B018 - refused when it is made

    @cached_property
    def part(self) -> Potential:
        """The potential as an object."""
        found: Potential = make_part("potential", self.potential)
        return found

    @property
    def together(self) -> int:
        """See ``BiasedSampler.together``."""
        return self.part.set_size

    def bent(self, source: FlatDensity, x: Tensor) -> Bent:
        """See ``BiasedSampler.bent``."""
        return Coupled(source, self.part)

    def log_weights(self, x: Tensor, facts: Mapping[str, Any]) -> Tensor:
        """−log Φ of the set of each sample."""
        return -of_sets(self.part, x).repeat_interleave(self.together)
