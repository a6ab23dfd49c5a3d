"""Recipes that run Markov chains, and their model: start, run, keep the last states, diagnose."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from phys_samplers.chains.warmup import find_start
from phys_samplers.density import DensityModel, DensitySampler, FlatDensity, refuse_without_density
from phys_samplers.diagnostics import ess, split_rhat
from phys_samplers.errors import ConfigurationError
from phys_samplers.options import draw_option
from phys_samplers.randomness import make_generator
from phys_samplers.sampler import Draw

STATES, CHAINS, FEW, NUMBERS = 64, 256, 4, 2**18
"""At most so many states of so many chains are held for diagnostics, and so many numbers in all, if not of few chains:
sorting more costs as much as hundreds of steps."""
FEWEST = 8
"""States below which split chains say nothing."""


class ChainRecord:
    """Fed the state after every step; takes a copy of a few, and never waits for the device.

    Both the samples and the record are spread evenly over the steps after ``burn_in``, the last step included.

    Args:
        steps: steps of the run.
        burn_in: steps before the window, during which nothing is kept; at least half of ``steps``.
        samples_per_chain: states of every chain kept as samples.
    """

    def __init__(self, steps: int, *, burn_in: int = 0, samples_per_chain: int = 1) -> None:
        burn_in = max(burn_in, steps // 2)
        self._kept_at = _spread(burn_in, steps, samples_per_chain)
        self._thinned_at = _spread(burn_in, steps, STATES)
        self._step = 0
        self._kept: list[Tensor] = []
        self._thinned: list[Tensor] = []

    def observe(self, x: Tensor) -> None:
        """Note the state (B, D) after the next step; ``x`` must not be changed afterwards."""
        self._step += 1
        if self._step in self._kept_at:
            self._kept.append(x)
        if self._step in self._thinned_at:
            # every so many chains, so that a sorted start is represented too
            few = min(CHAINS, len(x), max(FEW, NUMBERS // (STATES * x.shape[1])))
            self._thinned.append(x[:: len(x) // few][:few].clone())

    def samples(self, n: int) -> Tensor:
        """``n`` kept states (n, D), the latest first."""
        return torch.cat(self._kept[::-1])[:n]

    def diagnostics(self, log_prob: Callable[[Tensor], Tensor] | None = None) -> dict[str, Any]:
        """ESS (smallest and mean over coordinates) and the largest split-R̂ of the record, and the size of the record.

        ``rhat_rank_max`` is the largest rank-normalised, folded split-R̂, which sees chains that differ in spread only,
        over the coordinates and, if it is given, ``log_prob``, (B, D) → (B,), which sees a narrow and a wide component
        that are never exchanged.

        Read them together: chains that stay in the modes they started in have a large R̂ and few effective draws,
        even if every one of them started in the right place. None where a number is not finite.
        """
        size = {"recorded_states": len(self._thinned), "recorded_chains": len(self._thinned[0])}
        if len(self._thinned) < FEWEST:
            return size
        chains = torch.stack(self._thinned)
        effective = ess(chains)
        ranked = split_rhat(chains, rank_normalised=True).max()
        if log_prob is not None:
            heights = log_prob(chains.flatten(0, 1)).view(*chains.shape[:2], 1)
            if heights.isfinite().all():
                ranked = torch.maximum(ranked, split_rhat(heights, rank_normalised=True).max())
        return {
            "ess_min": _finite(effective.min()),
            "ess_mean": _finite(effective.mean()),
            "rhat_max": _finite(split_rhat(chains).max()),
            "rhat_rank_max": _finite(ranked),
            **size,
        }


def _spread(begin: int, end: int, count: int) -> frozenset[int]:
    """At most ``count`` step numbers in (begin, end], evenly spread, ``end`` included."""
    count = min(count, end - begin)
    return frozenset(end - (end - begin) * k // count for k in range(count))


def _finite(value: Tensor) -> float | None:
    number = float(value)
    return number if math.isfinite(number) else None


UNMIXED = 1.1
"""Split-R̂ above which chains have not forgotten their starts: Gelman and Rubin's bound. Vehtari et al. 2021 ask for
1.01, of few long chains; here one chain gives one sample."""


class Run(NamedTuple):
    """What a run gave besides the states its record holds: gradient evaluations per chain, and facts of the method."""

    evaluations: float
    facts: dict[str, Any]


class ChainModel(DensityModel):
    """Chains ready to run; see ``DensityModel``."""

    recipe: ChainSampler
    diagnose_heights: bool = False
    """Whether R̂ of log p is diagnosed too, at one evaluation of the density for each recorded state."""

    def particle_dtype(self, start: Tensor) -> torch.dtype:
        """Precision of chains that start at ``start``: a density takes any."""
        return start.dtype

    @torch.no_grad()
    def draw(self, n: int, *, seed: int = 0, start: Tensor | None = None, **options: Any) -> Draw:
        """``n`` samples with their cost; see ``Model.draw``.

        Particles have the dtype of ``start``, else of the training rows, else torch's default. ``nfe`` is gradient
        evaluations per sample, warm-up and the evaluation at the start included. Diagnostics: facts of the method,
        ``chains``, and ESS and split-R̂ of a thinned record of the last half (see ``ChainRecord.diagnostics``); ``ess``
        is there only where chains have forgotten their starts, which otherwise are what their states are draws of.
        With several samples per chain only the first rows of ``start`` are used, one a chain.
        """
        self.check_draw(n, start)
        recipe = self.recipe.for_draw(options)
        source = self.source()
        chains = -(-n // recipe.samples_per_chain)
        led: dict[str, Any] = {}
        if start is None:
            generator = make_generator(seed, "prior", device=self._device)
            x = torch.randn(chains, source.dim, generator=generator, device=self._device, dtype=self.dtype)
            x, led = recipe.lead(source, x.mul_(recipe.prior_std))
        else:
            x = source.reduce(start[:chains].to(self._device, self.particle_dtype(start)))
        kept = chains if recipe.samples_per_chain > 1 else None  # of one state each they are independent draws
        record = ChainRecord(recipe.sampling_steps, burn_in=recipe.burn_in, samples_per_chain=recipe.samples_per_chain)
        run = recipe.run(source, x, generator=make_generator(seed, "noise", device=self._device), record=record)
        if recipe.untested:
            refuse_without_density(source, record.samples(n), by=type(recipe).__name__)
        diagnostics = {
            **run.facts,
            **led,
            "chains": chains,
            **record.diagnostics(
                source.log_prob if self.diagnose_heights and isinstance(source, FlatDensity) else None
            ),
        }
        if (diagnostics.get("rhat_max") or math.inf) <= UNMIXED and diagnostics["ess_min"] is not None:
            diagnostics["ess"] = diagnostics["ess_min"] / diagnostics["recorded_chains"] * chains / n
        return Draw(source.embed(record.samples(n)), run.evaluations * chains / n, diagnostics, n_chains=kept)


@dataclass(frozen=True, kw_only=True)
class ChainSampler(DensitySampler):
    """A recipe that runs chains in a density; fitting it trains nothing.

    Args:
        sampling_steps: steps of every chain, warm-up included.
        samples_per_chain: 1 runs one independent chain a sample and takes its last state; m > 1 runs m times fewer
            chains and takes m states of each, evenly spread over the last half of the run, so that samples are
            cheaper but correlated.
        prior_std: standard deviation of the starting points N(0, prior_std² I). Chains hardly cross between modes that
            are far apart, so the weights of such modes are those of their basins under the start.

    Attributes:
        untested: whether moves follow the score and nothing tests them, so that chains may leave the density.
    """

    model: ClassVar[type[DensityModel]] = ChainModel
    untested: ClassVar[bool] = False

    sampling_steps: int = draw_option(1_000, least=1)
    samples_per_chain: int = draw_option(1, least=1)
    prior_std: float = draw_option(5.0, above=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.burn_in < self.sampling_steps:
            raise ConfigurationError(
                f"warmup_steps is {self.burn_in} and sampling_steps {self.sampling_steps}; expected fewer warm-up "
                "steps than steps in all"
            )
        room = self.sampling_steps - max(self.burn_in, self.sampling_steps // 2)
        if self.samples_per_chain > room:
            raise ConfigurationError(
                f"samples_per_chain is {self.samples_per_chain}, but the last half of {self.sampling_steps} steps, "
                f"without warm-up, holds {room}; run more sampling_steps or keep fewer states"
            )

    @property
    def burn_in(self) -> int:
        """Steps of which no state is kept, apart from the first half of the run."""
        return 0

    def lead(self, source: Any, x: Tensor) -> tuple[Tensor, dict[str, Any]]:
        """Starts (B, D) of chains that were put at ``x``, and facts of it; here they are where they were put."""
        return x, {}

    @abstractmethod
    def run(self, source: Any, x: Tensor, *, generator: torch.Generator, record: ChainRecord) -> Run:
        """Run the chains.

        Args:
            source: of scores, on flat particles; a ``FlatDensity`` unless the recipe knows others.
            x: start (B, D).
            generator: of all noise.
            record: to be shown the state after every step.

        Raises:
            DivergenceError: if particles leave the finite numbers.
        """


@dataclass(frozen=True, kw_only=True)
class UntestedChainSampler(ChainSampler):
    """A recipe whose chains follow the score, with no test of their moves.

    Args:
        ascent_steps: uphill for lost chains, at most, before the run; each costs a gradient (``chains.warmup``). Not
            from a ``start`` that was given, nor in the law of a fitted model.
    """

    untested: ClassVar[bool] = True

    ascent_steps: int = draw_option(60, least=0)

    def lead(self, source: Any, x: Tensor) -> tuple[Tensor, dict[str, Any]]:
        """Lost chains uphill; see ``ChainSampler.lead``."""
        if not self.ascent_steps or not isinstance(source, FlatDensity) or not source.has_values:
            return x, {}
        start = find_start(source, x, steps=self.ascent_steps)
        return start.x, {"moved": int(start.moved)}
