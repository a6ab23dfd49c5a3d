r"""Overdamped Langevin dynamics, dx = ∇log p(x) dt + √2 dW, which leaves p as it is.

Its Euler–Maruyama step is the unadjusted Langevin algorithm (ULA), x ← x + h∇log p(x) + √(2h) z, whose stationary law
is wrong by O(h): N(0, v) becomes N(0, v/(1 − h/(2v))).

Source: Roberts & Tweedie 1996, Section 1.2 and 1.4.1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from phys_langevin.negatives import ChainNegatives, ContinuedModel, Starts
from phys_langevin.score import FollowingModel, ModelScore, fit_score, restore_score, score_recipe
from phys_samplers.chains.chains import ChainRecord, Run, UntestedChainSampler
from phys_samplers.density import DensityModel, FlatDensity, dtype_named
from phys_samplers.dynamics import Dynamics, Noise
from phys_samplers.errors import ConfigurationError
from phys_samplers.integrators.base import ANY_NOISE, BrownianIncrement, Equation, Integrator, uniform
from phys_samplers.integrators.driver import integrate
from phys_samplers.nested import nested_options
from phys_samplers.options import Part, draw_option, fit_option, make_part
from phys_samplers.sampler import Model
from phys_samplers.target import Target, require
from phys_samplers.training import Callback


class OverdampedLangevin(Dynamics):
    """The equation above on flat particles.

    Args:
        score: ∇log p, (B, D) → (B, D).
        dim: coordinates D.
        duration: time of the run.
        prior_std: standard deviation of the starting points.
    """

    noise: Noise = "additive"

    def __init__(self, score: Callable[[Tensor], Tensor], dim: int, *, duration: float, prior_std: float = 1.0) -> None:
        self.score = score
        self.event_shape = (dim,)
        self.times = (0.0, duration)
        self.prior_std = prior_std

    def drift(self, x: Tensor, t: float) -> Tensor:
        """∇log p(x)."""
        return self.score(x)

    def diffusion(self, x: Tensor, t: float) -> Tensor:
        """√2, of shape (1, 1)."""
        return torch.full((1, 1), math.sqrt(2.0), dtype=x.dtype, device=x.device)

    def prior(self, n: int, generator: torch.Generator) -> Tensor:
        """N(0, prior_std² I)."""
        return torch.randn(n, *self.event_shape, generator=generator, device=generator.device).mul_(self.prior_std)


@dataclass(frozen=True, kw_only=True)
class Observed(Integrator):
    """An integrator whose states are shown to an observer after every step.

    Args:
        inner: does the work.
        observe: called with the new state.
    """

    equation: ClassVar[Equation] = "both"
    evaluations_per_step: ClassVar[int | None] = None
    accepts: ClassVar[frozenset[Noise]] = ANY_NOISE

    inner: Integrator
    observe: Callable[[Tensor], None]

    def __post_init__(self) -> None:
        # class facts of any other integrator, here facts of the one inside
        object.__setattr__(self, "name", self.inner.name or type(self.inner).__name__)
        object.__setattr__(self, "adaptive", self.inner.adaptive)

    def check(self, dynamics: Dynamics) -> None:
        """As the integrator inside says."""
        self.inner.check(dynamics)

    def step(self, dynamics: Dynamics, x: Tensor, t: float, dt: float, noise: BrownianIncrement) -> Tensor:
        """One step of the integrator inside."""
        x = self.inner.step(dynamics, x, t, dt, noise)
        self.observe(x)
        return x


@dataclass(frozen=True, kw_only=True)
class LangevinDynamics(UntestedChainSampler):
    """dx = ∇log p dt + √2 dW; with the default integrator the unadjusted Langevin algorithm (ULA).

    ULA, x ← x + h∇log p(x) + √(2h) z, is biased: a coordinate of variance v ends with v/(1 − h/(2v)), and h ≥ 2v
    diverges. The defaults are untuned: h = 0.005 suits scales of a tenth to a few units (+33 % of variance at v = 0.01,
    +0.8 % at 0.3), and 1,000 steps make a time of 5.

    ``needs`` follows ``score``: the target's density by default, nothing for a fitted model, and for a sampler that is
    fitted first what that one needs.

    Args:
        integrator: of the SDE, by name or object.
        step_size: h.
        score: None for the target's own; or a fitted model that offers ``score(x, sigma=None)``, such as a Bellman
            model; or a sampler, by name, mapping or recipe, that is fitted to the target first.
    """

    integrator: Part = draw_option("euler-maruyama")
    step_size: float = draw_option(0.005, above=0)
    score: Part | None = None
    starts: Starts = "noise"
    buffer_size: int = fit_option(0, least=0)
    restart_rate: float = fit_option(0.05, least=0, most=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.score is not None:
            recipe = score_recipe(self.score)
            object.__setattr__(self, "needs", frozenset() if recipe is None else recipe.needs)

    def run(
        self, source: FlatDensity | ModelScore, x: Tensor, *, generator: torch.Generator, record: ChainRecord
    ) -> Run:
        """Integrate; see ``ChainSampler.run``."""
        integrator = Observed(inner=make_part("integrator", self.integrator), observe=record.observe)
        duration = self.sampling_steps * self.step_size
        dynamics = OverdampedLangevin(source.score, x.shape[1], duration=duration, prior_std=self.prior_std)
        grid = uniform(*dynamics.times, self.sampling_steps)
        integrate(dynamics, x, integrator=integrator, grid=grid, generator=generator)
        return Run(source.evaluations, {"integrator": integrator.name, "step_size": self.step_size})

    def negatives(self, target: Target, *, seed: int, device: torch.device | str = "cpu") -> ChainNegatives:
        """Chains of ``sampling_steps`` steps in an energy under training; see ``SuppliesNegatives``.

        Raises:
            MissingCapability: if the target has no score, or chains start at data and it has none.
            ConfigurationError: if the recipe follows a fitted model.
        """
        if self.score is not None:
            raise ConfigurationError(
                f"score is {self.score!r}, but negative samples follow the energy under training; leave score out"
            )
        require(target, *self.needs, by=type(self).__name__)
        return ChainNegatives(
            self,
            target,
            starts=self.starts,
            buffer_size=self.buffer_size,
            restart_rate=self.restart_rate,
            seed=seed,
            device=device,
        )

    def fit(
        self,
        target: Target,
        *,
        seed: int = 0,
        device: torch.device | str = "cpu",
        callbacks: Sequence[Callback] = (),
        checkpoint: str | Path | None = None,
    ) -> DensityModel:
        """Fit the sampler behind ``score``, if there is one; see ``Sampler.fit``, and its own for ``checkpoint``."""
        (result,) = self.fit_replicas(target, seeds=[seed], device=device, callbacks=callbacks, checkpoint=checkpoint)
        if isinstance(result, Exception):
            raise result
        assert isinstance(result, DensityModel)
        return result

    def fit_replicas(
        self,
        target: Target,
        *,
        seeds: Sequence[int],
        device: torch.device | str = "cpu",
        callbacks: Sequence[Callback] = (),
        checkpoint: str | Path | None = None,
    ) -> list[Model | Exception]:
        """One model per seed; the sampler behind ``score`` trains its own replicas stacked, if it can."""
        if self.score is None:
            return [super(LangevinDynamics, self).fit(target, device=device) for _ in seeds]
        require(target, *self.needs, by=type(self).__name__)
        fitted = fit_score(self.score, target, seeds=seeds, device=device, callbacks=callbacks, checkpoint=checkpoint)
        dtype = torch.get_default_dtype() if target.train is None else target.train.dtype
        shape = target.event_shape
        results: list[Model | Exception] = []
        for model in fitted:
            if not isinstance(model, Exception):
                model = FollowingModel(
                    self, model=model, target_name=target.name, event_shape=shape, dtype=dtype, device=device
                )
                model.columns = target.columns
            results.append(model)
        return results

    def restore(
        self,
        tensors: Mapping[str, Tensor],
        facts: Mapping[str, Any],
        *,
        event_shape: tuple[int, ...],
        target: Target | None,
        device: torch.device | str = "cpu",
    ) -> DensityModel:
        """See ``Sampler.restore``; with a ``score`` the model behind it is restored from the same checkpoint."""
        if self.score is None:
            chains = super().restore(tensors, facts, event_shape=event_shape, target=target, device=device)
            if target is None or "states" not in tensors:
                return chains
            return ContinuedModel(self, target=target.to(device), device=device, states=tensors["states"])
        model = restore_score(
            self.score, tensors, facts["score"], event_shape=event_shape, target=target, device=device
        )
        dtype = dtype_named(facts["dtype"])
        return FollowingModel(
            self, model=model, target_name="", event_shape=tuple(event_shape), dtype=dtype, device=device
        )

    def options(self) -> dict[str, Any]:
        """See ``Sampler.options``; a fitted model appears as the recipe that made it."""
        return {**super().options(), "score": nested_options(self.score)}
