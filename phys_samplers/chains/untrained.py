"""Recipes that train nothing and ask the target's density while they sample, and their models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from phys_samplers.density import FlatDensity
from phys_samplers.errors import CheckpointError, ConfigurationError, DivergenceError
from phys_samplers.sampler import Model, Sampler
from phys_samplers.target import Target
from phys_samplers.training import Callback

BOUND = 1e6
"""A particle with a coordinate beyond it is lost, as for the integrators."""


class DensityModel(Model):
    """A density ready to be sampled from; a subclass draws. ``dtype`` is that of particles drawn from the prior.

    Args:
        recipe: with the sampling options.
        target: whose density is followed, on ``device``; also names the model.
        device: where sampling runs.
    """

    def __init__(self, recipe: Sampler, *, target: Target, device: torch.device | str) -> None:
        self.recipe = recipe
        self.target_name, self.event_shape = target.name, tuple(target.event_shape)
        self._target = target
        self._device = torch.device(device)
        self.dtype = torch.get_default_dtype() if target.train is None else target.train.dtype

    @property
    def device(self) -> torch.device:
        """Where sampling runs."""
        return self._device

    @property
    def needs_target(self) -> bool:
        """The density of the target is asked while sampling."""
        return True

    def source(self) -> Any:
        """A fresh source of scores on flat particles, with nothing counted yet."""
        return FlatDensity(self._target)

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


@dataclass(frozen=True, kw_only=True)
class DensitySampler(Sampler):
    """A recipe that moves in a density as it is given; fitting it trains nothing.

    Attributes:
        model: class of its models.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"log_prob", "score"})
    model: ClassVar[type[DensityModel]]

    def fit(
        self, target: Target, *, seed: int = 0, device: torch.device | str = "cpu", callbacks: Sequence[Callback] = ()
    ) -> DensityModel:
        """See ``Sampler.fit``; ``seed`` and ``callbacks`` have nothing to act on."""
        target.require(*self.needs, by=type(self).__name__)
        return self.model(self, target=target.to(device), device=device)

    def restore(
        self,
        tensors: Mapping[str, Tensor],
        facts: Mapping[str, Any],
        *,
        event_shape: tuple[int, ...],
        target: Target | None,
        device: torch.device | str = "cpu",
    ) -> DensityModel:
        """The model in the density of ``target``; see ``Sampler.restore``.

        Raises:
            CheckpointError: without a target, or with one of another event shape.
            MissingCapability: if the target has no density or no score.
        """
        target = same_target(target, event_shape, by=type(self).__name__)
        model = self.fit(target, device=device)
        model.dtype = getattr(torch, facts["dtype"])
        return model


def refuse_lost(
    x: Tensor, *, alive: Tensor | None = None, steps: int, done: int | None = None, by: str, advice: str
) -> None:
    """Raise if particles left the finite numbers; waits for the device once.

    Args:
        x: particles (B, D).
        alive: a further condition (B,) that particles must meet.
        steps: in all.
        done: steps done, if not all.
        by: name of the sampler.
        advice: what the user can do.

    Raises:
        DivergenceError: with the count of lost particles.
    """
    kept = (x.abs() <= BOUND).all(1)  # False for NaN
    if alive is not None:
        kept = kept & alive
    if lost := int(torch.count_nonzero(~kept)):
        step = steps if done is None else done
        raise DivergenceError(
            f"{lost} of {len(x)} particles are lost (not finite, or beyond ±{BOUND:g}) after step {step} of {steps} of "
            f"{by}: {advice}",
            lost=lost,
            total=len(x),
            step=step,
        )


def same_target(target: Target | None, event_shape: tuple[int, ...], *, by: str) -> Target:
    """The target given to restore a model that asks it while sampling.

    Raises:
        CheckpointError: if there is none, or it has another event shape.
    """
    if target is None or tuple(target.event_shape) != tuple(event_shape):
        given = "none" if target is None else f"{target.name!r} with event shape {tuple(target.event_shape)}"
        raise CheckpointError(
            f"{by} moves in the density of its target: expected target= with event shape {tuple(event_shape)}, got "
            f"{given}"
        )
    return target
