r"""The ``score`` option: a fitted model, or a sampler that is fitted first, whose score is then followed.

The fitted model lies in the checkpoint of the outer one, its tensors under the prefix ``score.``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from phys_samplers.chains import ChainModel, ChainSampler
from phys_samplers.errors import CheckpointError, ConfigurationError
from phys_samplers.nested import nested_facts, nested_tensors, restore_nested
from phys_samplers.objective import TrainedSampler
from phys_samplers.options import Part, make_part
from phys_samplers.sampler import Model, Sampler
from phys_samplers.target import Target
from phys_samplers.training import Callback

PREFIX = "score."


def score_recipe(score: Part) -> Sampler | None:
    """The recipe that ``score`` names or is, None if ``score`` is a fitted model.

    Raises:
        ConfigurationError: if it is neither.
        UnknownComponent: if no sampler has that name.
    """
    if isinstance(score, Sampler):
        return score
    if isinstance(score, str | Mapping):
        return make_part("sampler", score)
    if callable(getattr(score, "score", None)):
        return None
    raise ConfigurationError(
        f"score is {score!r}; expected a fitted model with a method score(x, sigma=None), the name of a sampler, "
        "a mapping with its name and options, or its recipe"
    )


def fit_score(
    score: Part,
    target: Target,
    *,
    seeds: Sequence[int],
    device: torch.device | str,
    callbacks: Sequence[Callback],
    checkpoint: str | Path | None = None,
) -> list[Any]:
    """One model with a score per seed, or the exception that fitting that seed ended with; a fitted model for all.

    Raises:
        ConfigurationError: if the model has no score, another event shape or another device.
    """
    recipe = score_recipe(score)
    if recipe is None:
        check_model(score, target.event_shape, device)
        return [score for _ in seeds]
    kept = {"checkpoint": checkpoint} if isinstance(recipe, TrainedSampler) else {}
    fitted = recipe.fit_replicas(target, seeds=seeds, device=device, callbacks=callbacks, **kept)
    for model in fitted:
        if not isinstance(model, Exception):
            check_model(model, target.event_shape, device)
    return fitted


def check_model(model: Any, event_shape: tuple[int, ...], device: torch.device | str) -> None:
    """Refuse a model that cannot guide particles of ``event_shape`` on ``device``."""
    if not callable(getattr(model, "score", None)):
        raise ConfigurationError(
            f"a {type(model).__name__} has no method score(x, sigma=None); expected a model that gives the score of "
            "what it learned, e.g. one of sampler 'bellman'"
        )
    found = getattr(model, "event_shape", event_shape)
    if tuple(found) != tuple(event_shape):
        raise ConfigurationError(
            f"the model behind score has event shape {tuple(found)}, the target {tuple(event_shape)}; "
            "expected a model fitted to samples of that shape"
        )
    where = getattr(model, "device", torch.device(device))
    if where.type != torch.device(device).type:
        raise ConfigurationError(
            f"the model behind score is on {where}, fitting was asked for on {device}; pass device={str(where)!r}"
        )


def restore_score(
    score: Part,
    tensors: Mapping[str, Tensor],
    facts: Mapping[str, Any],
    *,
    event_shape: tuple[int, ...],
    target: Target | None,
    device: torch.device | str,
) -> Model:
    """The fitted model from the checkpoint of the outer one."""
    recipe = score_recipe(score)
    if recipe is None:
        raise CheckpointError("the recipe holds a fitted model as its score; expected the recipe that made it")
    return restore_nested(recipe, tensors, facts, prefix=PREFIX, event_shape=event_shape, target=target, device=device)


class ModelScore:
    """The score of a fitted model, on flat particles.

    Args:
        model: anything with ``score(x, sigma=None)`` in data units.
        event_shape: of its particles.
    """

    def __init__(self, model: Any, event_shape: tuple[int, ...]) -> None:
        self.model = model
        self.event_shape = event_shape
        self.dim = int(torch.Size(event_shape).numel())
        self.evaluations = 0

    def embed(self, z: Tensor) -> Tensor:
        """Particles (B, *event_shape) of flat ones."""
        return z.unflatten(1, self.event_shape)

    def reduce(self, x: Tensor) -> Tensor:
        """Flat particles."""
        return x.flatten(1)

    def score(self, z: Tensor) -> Tensor:
        """∇log of the learned law (B, D)."""
        self.evaluations += 1
        return self.model.score(self.embed(z)).flatten(1)


class FollowingModel(ChainModel):
    """Chains in the law that ``model`` learned.

    Args:
        recipe: with the sampling options.
        model: whose score is followed.
        target_name: what the model was fitted to.
        event_shape: of the particles.
        dtype: of particles drawn from the prior.
        device: where chains run.
    """

    def __init__(
        self,
        recipe: ChainSampler,
        *,
        model: Any,
        target_name: str,
        event_shape: tuple[int, ...],
        dtype: torch.dtype,
        device: torch.device | str,
    ) -> None:
        check_model(model, event_shape, device)
        self.recipe, self.followed, self.report = recipe, model, getattr(model, "report", None)
        self.target_name, self.event_shape, self.dtype = target_name, tuple(event_shape), dtype
        self._device = torch.device(device)

    @property
    def needs_target(self) -> bool:
        """Whether the model asks its target while sampling."""
        return bool(getattr(self.followed, "needs_target", False))

    def source(self) -> ModelScore:
        """See ``ChainModel.source``."""
        return ModelScore(self.followed, self.event_shape)

    def particle_dtype(self, start: Tensor) -> torch.dtype:
        """A network has one precision."""
        return self.dtype

    @torch.no_grad()
    def score(self, x: Tensor, sigma: float | None = None) -> Tensor:
        """The model's own, at x (B, *event_shape), of the law blurred by ``sigma`` if given."""
        return self.followed.score(x, sigma=sigma)

    def tensors(self) -> dict[str, Tensor]:
        """Those of the model."""
        return nested_tensors(self.followed, PREFIX)

    def facts(self) -> dict[str, Any]:
        """The dtype, and the facts of the model."""
        return {**super().facts(), "score": nested_facts(self.followed)}
