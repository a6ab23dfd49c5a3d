"""Overdamped Langevin dynamics as a recipe: any SDE integrator, the score of the target or of a fitted model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, get_args

import torch
from torch import Tensor

from phys_langevin.followed import FollowingModel, ModelScore
from phys_langevin.negatives import ChainNegatives, ContinuedModel, Starts
from phys_langevin.nested import fit_score, restore_score, score_options, score_recipe
from phys_langevin.overdamped import Observed, OverdampedLangevin
from phys_samplers.chains.chains import ChainSampler, Run
from phys_samplers.chains.checks import at_least, positive
from phys_samplers.chains.record import ChainRecord
from phys_samplers.chains.untrained import DensityModel
from phys_samplers.density import FlatDensity
from phys_samplers.errors import ConfigurationError
from phys_samplers.integrators import integrate, uniform
from phys_samplers.parts import Part, make_part
from phys_samplers.sampler import Model
from phys_samplers.target import Target
from phys_samplers.training import Callback


@dataclass(frozen=True, kw_only=True)
class LangevinDynamics(ChainSampler):
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

    fixed: ClassVar[frozenset[str]] = frozenset({"score", "starts", "buffer_size", "restart_rate"})

    integrator: Part = "euler-maruyama"
    step_size: float = 0.005
    score: Part | None = None
    starts: Starts = "noise"
    buffer_size: int = 0
    restart_rate: float = 0.05

    def __post_init__(self) -> None:
        super().__post_init__()
        positive(step_size=self.step_size)
        at_least(0, buffer_size=self.buffer_size)
        if self.starts not in get_args(Starts):
            raise ConfigurationError(f"starts is {self.starts!r}; expected one of {', '.join(get_args(Starts))}")
        if not 0 <= self.restart_rate <= 1:
            raise ConfigurationError(f"restart_rate is {self.restart_rate}; expected a share between 0 and 1")
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
        solution = integrate(dynamics, x, integrator=integrator, grid=grid, generator=generator)
        return Run(solution.nfe, {"integrator": integrator.name, "step_size": self.step_size})

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
        target.require(*self.needs, by=type(self).__name__)
        return ChainNegatives(self, target, seed=seed, device=device)

    def fit(
        self, target: Target, *, seed: int = 0, device: torch.device | str = "cpu", callbacks: Sequence[Callback] = ()
    ) -> DensityModel:
        """Fit the sampler behind ``score``, if there is one; see ``Sampler.fit``."""
        (result,) = self.fit_replicas(target, seeds=[seed], device=device, callbacks=callbacks)
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
    ) -> list[Model | Exception]:
        """One model per seed; the sampler behind ``score`` trains its own replicas stacked, if it can."""
        if self.score is None:
            return [super(LangevinDynamics, self).fit(target, device=device) for _ in seeds]
        target.require(*self.needs, by=type(self).__name__)
        fitted = fit_score(self.score, target, seeds=seeds, device=device, callbacks=callbacks)
        dtype = torch.get_default_dtype() if target.train is None else target.train.dtype
        shape = target.event_shape
        return [
            model
            if isinstance(model, Exception)
            else FollowingModel(
                self, model=model, target_name=target.name, event_shape=shape, dtype=dtype, device=device
            )
            for model in fitted
        ]

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
        dtype = getattr(torch, facts["dtype"])
        return FollowingModel(
            self, model=model, target_name="", event_shape=tuple(event_shape), dtype=dtype, device=device
        )

    def options(self) -> dict[str, Any]:
        """See ``Sampler.options``; a fitted model appears as the recipe that made it."""
        return {**super().options(), "score": score_options(self.score)}
