"""The ``score`` option: a fitted model, or a sampler that is fitted first, whose score is then followed.

The fitted model lies in the checkpoint of the outer one, its tensors under the prefix ``score.``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from phys_samplers.errors import CheckpointError, ConfigurationError
from phys_samplers.nested import nested_facts, nested_options, nested_tensors, restore_nested
from phys_samplers.objective import TrainedSampler
from phys_samplers.parts import Part, make_part
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


def score_options(score: Part | None) -> Any:
    """``score`` in its JSON form: a fitted model as the recipe that made it, if that is registered."""
    return nested_options(score)


def score_tensors(model: Any) -> dict[str, Tensor]:
    """Tensors of the fitted model, prefixed."""
    return nested_tensors(model, PREFIX)


def score_facts(model: Any) -> dict[str, Any]:
    """Facts of the fitted model, with the sampler that must restore it."""
    return nested_facts(model)


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
