"""Recipes that run Markov chains, and their model: start, run, keep the last states, diagnose."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from phys_samplers.chains.checks import at_least, positive
from phys_samplers.chains.record import ChainRecord
from phys_samplers.density import FlatDensity
from phys_samplers.errors import CheckpointError, ConfigurationError
from phys_samplers.randomness import make_generator
from phys_samplers.sampler import Draw, Model, Sampler
from phys_samplers.target import Target
from phys_samplers.training import Callback


class Run(NamedTuple):
    """What a run gave besides the states its record holds: gradient evaluations per chain, and facts of the method."""

    evaluations: int
    facts: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class ChainSampler(Sampler):
    """A recipe that runs chains in a density; fitting it trains nothing.

    Args:
        sampling_steps: steps of every chain, warm-up included.
        samples_per_chain: 1 runs one independent chain a sample and takes its last state; m > 1 runs m times fewer
            chains and takes m states of each, evenly spread over the last half of the run, so that samples are
            cheaper but correlated.
        prior_std: standard deviation of the starting points N(0, prior_std² I). Chains hardly cross between modes that
            are far apart, so the weights of such modes are those of their basins under the start.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"log_prob", "score"})
    fixed: ClassVar[frozenset[str]] = frozenset()

    sampling_steps: int = 1_000
    samples_per_chain: int = 1
    prior_std: float = 5.0

    def __post_init__(self) -> None:
        at_least(1, sampling_steps=self.sampling_steps, samples_per_chain=self.samples_per_chain)
        positive(prior_std=self.prior_std)
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

    def fit(
        self, target: Target, *, seed: int = 0, device: torch.device | str = "cpu", callbacks: Sequence[Callback] = ()
    ) -> ChainModel:
        """See ``Sampler.fit``; ``seed`` and ``callbacks`` have nothing to act on."""
        target.require(*self.needs, by=type(self).__name__)
        return ChainModel(self, target=target.to(device), device=device)

    def restore(
        self,
        tensors: Mapping[str, Tensor],
        facts: Mapping[str, Any],
        *,
        event_shape: tuple[int, ...],
        target: Target | None,
        device: torch.device | str = "cpu",
    ) -> ChainModel:
        """The model in the density of ``target``; see ``Sampler.restore``.

        Raises:
            CheckpointError: without a target, or with one of another event shape.
            MissingCapability: if the target has no density or no score.
        """
        if target is None or tuple(target.event_shape) != tuple(event_shape):
            given = "none" if target is None else f"{target.name!r} with event shape {tuple(target.event_shape)}"
            raise CheckpointError(
                f"chains of {type(self).__name__} move in the density of their target: expected target= with "
                f"event shape {tuple(event_shape)}, got {given}"
            )
        model = self.fit(target, device=device)
        model.dtype = getattr(torch, facts["dtype"])
        return model


class ChainModel(Model):
    """Chains ready to run; ``dtype`` is that of particles drawn from the prior.

    Args:
        recipe: with the sampling options.
        target: whose density is followed, on ``device``; also names the model.
        device: where chains run.
    """

    recipe: ChainSampler

    def __init__(self, recipe: ChainSampler, *, target: Target, device: torch.device | str) -> None:
        self.recipe = recipe
        self.target_name, self.event_shape = target.name, tuple(target.event_shape)
        self._target = target
        self._device = torch.device(device)
        self.dtype = torch.get_default_dtype() if target.train is None else target.train.dtype

    @property
    def device(self) -> torch.device:
        """Where chains run."""
        return self._device

    @property
    def needs_target(self) -> bool:
        """The density of the target is asked while sampling."""
        return True

    def source(self) -> Any:
        """A fresh source of scores on flat particles, with nothing counted yet."""
        return FlatDensity(self._target)

    def particle_dtype(self, start: Tensor) -> torch.dtype:
        """Precision of chains that start at ``start``: a density takes any."""
        return start.dtype

    @torch.no_grad()
    def draw(self, n: int, *, seed: int = 0, start: Tensor | None = None, **options: Any) -> Draw:
        """``n`` samples with their cost; see ``Model.draw``.

        Particles have the dtype of ``start``, else of the training rows, else torch's default. ``nfe`` is gradient
        evaluations per sample, warm-up and the evaluation at the start included. Diagnostics: facts of the method,
        ``chains``, and ESS and split-R̂ of a thinned record of the last half (see ``ChainRecord.diagnostics``).
        With several samples per chain only the first rows of ``start`` are used, one a chain.
        """
        self.check_draw(n, start)
        recipe = self.recipe.for_draw(options)
        source = self.source()
        chains = -(-n // recipe.samples_per_chain)
        if start is None:
            generator = make_generator(seed, "prior", device=self._device)
            x = torch.randn(chains, source.dim, generator=generator, device=self._device, dtype=self.dtype)
            x = x.mul_(recipe.prior_std)
        else:
            x = source.reduce(start[:chains].to(self._device, self.particle_dtype(start)))
        record = ChainRecord(recipe.sampling_steps, burn_in=recipe.burn_in, samples_per_chain=recipe.samples_per_chain)
        run = recipe.run(source, x, generator=make_generator(seed, "noise", device=self._device), record=record)
        diagnostics = {**run.facts, "chains": chains, **record.diagnostics()}
        if (effective := diagnostics.get("ess_min")) is not None:
            diagnostics["ess"] = effective / diagnostics["recorded_chains"] * chains / n
        return Draw(source.embed(record.samples(n)), run.evaluations * chains / n, diagnostics)

    @torch.no_grad()
    def score(self, x: Tensor, sigma: float | None = None) -> Tensor:
        """The score of the target, at x (B, *event_shape).

        Raises:
            ConfigurationError: if ``sigma`` is given: there is no blurred law.
        """
        if sigma is not None:
            raise ConfigurationError(
                f"sigma is {sigma!r}, but target {self.target_name!r} gives the score of its own law only; leave sigma "
                "out, or follow a fitted model that knows blurred laws"
            )
        return self._target.score(x)

    def tensors(self) -> dict[str, Tensor]:
        """None: nothing was learned."""
        return {}

    def facts(self) -> dict[str, Any]:
        """The dtype."""
        return {"dtype": str(self.dtype).removeprefix("torch.")}
