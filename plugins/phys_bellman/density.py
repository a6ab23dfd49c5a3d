r"""Bellman diffusion as a sampler of a given density: where tails are heavy, with a mobility that grows like them.

In u = F⁻¹(x − m), with a centre m, a factor F and a growth c that are frozen when the warm-up ends, chains take steps
of the diffusion of ``mobility``, each tested by Metropolis' rule, so that the law is exact. What is adapted reads
medians and quantiles of the chains, which laws without moments have too, and gradients at the chains, which know a tail
before chains are in it: a Student-t law has

    −u·∇log p = u²/(a(1 + cu²)),        c = 1/ν,  a = ν/(ν + 1),

in each coordinate or along the radius (a = ν/(ν + D) then), and a Gaussian the same with c = 0, where every mobility is
constant, and the sampler MALA. Of the kernels that one is taken to whose own law, with this score, the target is
nearest in the metric of its diffusion: the one with the least misfit E|M^{1/2}(∇log p − ∇log p_k)|²/E|M^{1/2}∇log p|².
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from phys_bellman.mobility import MOBILITIES, Flat, Mobility, step
from phys_samplers.chains import mala
from phys_samplers.chains.chains import ChainRecord, ChainSampler, Run
from phys_samplers.chains.mala import MALAInfo, MALAState
from phys_samplers.chains.warmup import StepSize, find_start, refuse_unborn
from phys_samplers.density import FlatDensity
from phys_samplers.options import draw_option

NORMAL = 0.6745
"""Median of |x| for a standard normal x."""
MANY, FEWEST, FEW = 4_096, 64, 8
"""Chains that are enough to read a frame from; those below which coordinates share a growth, or keep their frame."""
LARGEST = 10.0
"""Growth at most: half of the chains move by factors then."""
SCATTER = 20
"""Iterations of the estimate of scatter."""
READINGS = 4
"""How often kernels are read during the warm-up: at its start, and after each of its quarters but the last."""


class Frame(NamedTuple):
    """x = m + Fu: centre (D,), and factor, the diagonal (D,) of one or a triangular matrix (D, D)."""

    centre: Tensor
    factor: Tensor

    def read(self, x: Tensor, *, full: bool) -> Frame:
        """Centre and scales from medians of chains (B, D), and if ``full`` a matrix from their scatter.

        Where chains are few or do not differ, this frame; a matrix needs two chains for each coordinate.
        """
        x = x[:: max(1, len(x) // MANY)]
        centre = x.quantile(0.5, 0)
        scale = (x - centre).abs().quantile(0.5, 0) / NORMAL
        if len(x) < FEW or not bool((scale > 0).all()):
            return self
        if not full or len(x) < 2 * x.shape[1]:
            return Frame(centre, scale)
        v = (x - centre) / scale
        factor = scatter_factor(v)
        size = torch.linalg.solve_triangular(factor, v.T, upper=False).abs().quantile(0.5, 1).mean() / NORMAL
        return Frame(centre, scale.unsqueeze(1) * factor * size)

    def inward(self, x: Tensor) -> Tensor:
        """u (B, D) of x."""
        if self.factor.ndim == 1:
            return (x - self.centre) / self.factor
        return torch.linalg.solve_triangular(self.factor, (x - self.centre).T, upper=False).T

    def outward(self, u: Tensor) -> Tensor:
        """X (B, D) of u."""
        return self.centre + (self.factor * u if self.factor.ndim == 1 else u @ self.factor.T)

    def slope(self, score: Tensor) -> Tensor:
        """∇_u log p (B, D) of ∇_x log p."""
        return self.factor * score if self.factor.ndim == 1 else score @ self.factor


def scatter_factor(v: Tensor) -> Tensor:
    """The Cholesky factor (D, D) of the scatter of rows (B, D) about the origin; its size depends on their law.

    No moment need exist: the maximum-likelihood fit of a multivariate Cauchy law, as Kent & Tyler 1991 iterate it.
    """
    factor = torch.eye(v.shape[1], dtype=v.dtype, device=v.device)
    for _ in range(SCATTER):
        squares = torch.linalg.solve_triangular(factor, v.T, upper=False).square().sum(0)
        weighted = v * ((1 + v.shape[1]) / (1 + squares) / len(v)).sqrt().unsqueeze(1)
        seen, fault = torch.linalg.cholesky_ex(weighted.T @ weighted)
        factor = torch.where(fault == 0, seen, factor)
    return factor


def growth_of(squares: Tensor, works: Tensor) -> tuple[Tensor, Tensor]:
    """c and a, each (K,), for which −u·∇log p = u²/(a(1 + cu²)), as of a Student-t law; c = 0 for a Gaussian.

    The ratio of both sides' means below the median of u², and between its .8 and .95 quantiles: no moment of a tail
    comes in. States that do not differ say nothing, and c is 0.

    Args:
        squares: u² (N, K).
        works: −u·∇log p there (N, K).
    """
    middle, low, high = squares.quantile(torch.tensor([0.5, 0.8, 0.95]).to(squares), 0)
    inner, outer = (squares <= middle).to(squares), ((squares >= low) & (squares <= high)).to(squares)
    near, far = ((squares * part).sum(0) / part.sum(0).clamp(min=1) for part in (inner, outer))
    strong, weak = ((works * part).sum(0) / (squares * part).sum(0) for part in (inner, outer))
    ratio = strong / weak
    growth = torch.where(far > ratio * near, (ratio - 1) / (far - ratio * near), LARGEST).clamp(0.0, LARGEST)
    growth = torch.where((strong > 0) & (weak > 0) & (far > near), growth, 0.0).nan_to_num(0.0)
    return growth, 1 / (strong * (1 + growth * near))


def read_mobility(name: str, u: Tensor, score: Tensor, growth: float | None = None) -> tuple[Mobility, Tensor]:
    """The mobility ``name`` that suits chains u (B, D) and gradients there, and how far the target is from its law.

    Args:
        name: of the mobility.
        u: chains.
        score: ∇log p there.
        growth: c, if it is not to be read.
    """
    few = max(1, len(u) // MANY)
    u, score = u[::few], score[::few]
    squares, works = u.square(), -u * score
    if name != "coordinate":
        squares, works = squares.sum(1, keepdim=True), works.sum(1, keepdim=True)
    elif len(u) < FEWEST:
        squares, works = squares.view(-1, 1), works.view(-1, 1)
    seen, weight = growth_of(squares, works)
    if growth is not None:
        seen = torch.full_like(seen, growth)
    wide = squares.view(len(u), -1)
    own = -u / (weight * (1 + seen * wide))
    mobility = MOBILITIES[name](seen.expand(u.shape[1]) if name == "coordinate" else seen.squeeze(0))
    apart, whole = (mobility.root(u, part).square().sum(1).mean() for part in (score - own, score))
    return mobility, apart / whole


@dataclass(frozen=True, kw_only=True)
class BellmanDensity(ChainSampler):
    """Metropolis-adjusted Bellman diffusion in a density: unbiased, for heavy tails, with a mobility that grows.

    Lost chains are first led uphill (``chains.warmup``), with scales from gradients. Four times during the warm-up
    kernel and growth are read anew (see the module), centre and scales at all but the first, before which chains are
    where they were put; one step size serves all chains and follows the acceptance rate by dual
    averaging. Then all is frozen, and only states after the warm-up are kept.

    Args:
        kernel: ``radial``, ``coordinate``, ``rank-one`` or ``growing`` (see ``mobility``); ``auto`` takes the first or
            the second.
        frame: ``diagonal`` scales coordinates; ``full`` turns them too, for correlated ones.
        growth: c, in scaled coordinates; None reads it from gradients, 0 is MALA.
        step_size: h at the start, in scaled coordinates; with ``warmup_steps=0`` for the whole run.
        warmup_steps: steps that adapt, part of ``sampling_steps``. With 0 coordinates stay as they are, and kernel and
            growth are read at the start.
        target_acceptance: acceptance rate to adapt to.
        ascent_steps: uphill for lost chains, at most, before the warm-up; each costs a gradient.
    """

    kernel: Literal["auto", "radial", "coordinate", "rank-one", "growing"] = draw_option("auto")
    frame: Literal["diagonal", "full"] = draw_option("diagonal")
    growth: float | None = draw_option(None, least=0)
    step_size: float = draw_option(0.1, above=0)
    warmup_steps: int = draw_option(200, least=0)
    target_acceptance: float = draw_option(0.574, above=0, below=1)
    ascent_steps: int = draw_option(60, least=0)

    @property
    def burn_in(self) -> int:
        """The warm-up."""
        return self.warmup_steps

    def run(self, source: FlatDensity, x: Tensor, *, generator: torch.Generator, record: ChainRecord) -> Run:
        """Warm up, then sample; see ``ChainSampler.run``."""
        warm = self.warmup_steps
        start = find_start(source, x, steps=self.ascent_steps if warm else 0)
        chains = Chains(source, MALAState(*start[:3]), Frame(torch.zeros_like(start.scale), start.scale))
        step_size = StepSize(self, like=x)
        readings = {quarter * warm // READINGS for quarter in range(READINGS)}
        for index in range(self.sampling_steps):
            if index in readings:
                chains.read(self, frame=index > 0)
            noise = torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)
            log_uniform = torch.rand(len(x), generator=generator, device=x.device, dtype=x.dtype).log_()
            info = chains.move(step_size=step_size.now, noise=noise, log_uniform=log_uniform)
            step_size.observe(info.acceptance)
            record.observe(chains.at.x)
        end, most = chains.at, torch.finfo(x.dtype).max
        refuse_unborn(end.x, end.log_prob, steps=self.sampling_steps, by="bellman-density", bound=most)
        facts = {
            **step_size.facts(),
            "kernel": chains.mobility.name,
            "growth": float(chains.mobility.growth.mean()),
            "misfit": {name: float(value) for name, value in chains.misfit.items()},
            "moved": int(start.moved),
        }
        return Run(source.evaluations, facts)


class Chains:
    """States of all chains, in coordinates x and in those they move in.

    Args:
        source: of log p and its gradient.
        at: positions x (B, D), log p and its gradient there.
        frame: to begin with.

    Attributes:
        mobility: of the steps.
        misfit: of every kernel that was tried, at the last reading.
    """

    mobility: Mobility
    _state: MALAState

    def __init__(self, source: FlatDensity, at: MALAState, frame: Frame) -> None:
        self._source, self.at, self._frame = source, at, frame
        self.misfit: dict[str, Tensor] = {}

    def read(self, recipe: BellmanDensity, *, frame: bool) -> None:
        """Frame, kernel and growth from where chains are; waits for the device."""
        if frame:
            self._frame = self._frame.read(self.at.x, full=recipe.frame == "full")
        u, score = self._frame.inward(self.at.x), self._frame.slope(self.at.score)
        names = ("radial", "coordinate") if recipe.kernel == "auto" else (recipe.kernel,)
        found = {name: read_mobility(name, u, score, recipe.growth) for name in names}
        self.misfit = {name: misfit for name, (_, misfit) in found.items()}
        self.mobility = found[min(names, key=lambda name: float(self.misfit[name]))][0]
        self._state = self._lifted(u, self.at.log_prob, score)

    def move(self, *, step_size: Tensor, noise: Tensor, log_uniform: Tensor) -> MALAInfo:
        """One step of all chains, one evaluation; see ``mobility.step``."""
        there = self.at

        def log_density(y: Tensor) -> tuple[Tensor, Tensor]:
            nonlocal there
            u = self.mobility.outward(y) if isinstance(self.mobility, Flat) else y
            x = self._frame.outward(u)
            there = MALAState(x, *self._source.log_prob_and_score(x))
            return self._lifted(u, there.log_prob, self._frame.slope(there.score))[1:]

        draws = {"step_size": step_size, "noise": noise, "log_uniform": log_uniform}
        if isinstance(self.mobility, Flat):
            self._state, info = mala.step(self._state, log_density, **draws)
        else:
            self._state, info = step(self._state, log_density, self.mobility, **draws)
        moved = info.accepted.unsqueeze(1)
        self.at = MALAState(
            torch.where(moved, there.x, self.at.x),
            torch.where(info.accepted, there.log_prob, self.at.log_prob),
            torch.where(moved, there.score, self.at.score),
        )
        return info

    def _lifted(self, u: Tensor, log_prob: Tensor, score: Tensor) -> MALAState:
        """The state in the coordinates of the steps."""
        if isinstance(self.mobility, Flat):
            return MALAState(self.mobility.inward(u), *self.mobility.lift(u, log_prob, score))
        return MALAState(u, log_prob, score)
