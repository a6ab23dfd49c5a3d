"""A fitted model inside another one: a score that is followed, a law over latent codes. What both checkpoints share.

The numbers of the inner model lie among those of the outer one under a prefix, its facts under one key of the outer's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from phys_samplers.checkpoint import recipe_name
from phys_samplers.errors import CheckpointError, ConfigurationError
from phys_samplers.options import make_part, part_options
from phys_samplers.sampler import Model, Sampler
from phys_samplers.target import Target


def rows_sampler(sampler: Any, *, offering: str) -> Sampler:
    """The recipe that the option ``sampler`` names, to learn from rows that another sampler makes: ``offering``.

    Raises:
        ConfigurationError: if it needs more than samples.
    """
    recipe: Sampler = make_part("sampler", sampler)
    if further := sorted(recipe.needs - {"samples"}):
        raise ConfigurationError(
            f"sampler is {sampler!r}, which needs {', '.join(further)}; {offering} offer samples only, so expected "
            "a sampler that learns from rows, such as 'bellman' or 'edm'"
        )
    return recipe


def nested_options(value: Any) -> Any:
    """An option that holds a sampler in its JSON form: a fitted model as the recipe that made it, if registered."""
    if isinstance(value, Model):
        known = part_options(value.recipe)
        return known if isinstance(known, Mapping) else value
    return part_options(value)


def nested_tensors(model: Any, prefix: str) -> dict[str, Tensor]:
    """Tensors of the inner model, their names prefixed.

    Raises:
        CheckpointError: if it is not a ``Model``.
    """
    return {prefix + name: tensor for name, tensor in _savable(model).tensors().items()}


def nested_facts(model: Any) -> dict[str, Any]:
    """Facts of the inner model, with the sampler that must restore it.

    Raises:
        CheckpointError: if it is not a ``Model``, or its recipe is not registered.
    """
    savable = _savable(model)
    return {"sampler": recipe_name(savable.recipe), "target": savable.target_name, "facts": dict(savable.facts())}


def restore_nested(
    recipe: Sampler,
    tensors: Mapping[str, Tensor],
    facts: Mapping[str, Any],
    *,
    prefix: str,
    event_shape: tuple[int, ...],
    target: Target | None = None,
    device: torch.device | str = "cpu",
) -> Model:
    """The inner model from the checkpoint of the outer one.

    Args:
        recipe: of the inner model.
        tensors: of the outer checkpoint, the inner ones as ``nested_tensors`` named them.
        facts: what ``nested_facts`` gave.
        prefix: of the inner tensors' names.
        event_shape: of the inner model's samples.
        target: that the inner model asks while sampling, if it does.
        device: where to compute.
    """
    own = {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
    model = recipe.restore(own, facts["facts"], event_shape=event_shape, target=target, device=device)
    model.recipe, model.event_shape, model.target_name = recipe, event_shape, facts["target"]
    return model


def _savable(model: Any) -> Model:
    if not isinstance(model, Model):
        raise CheckpointError(
            f"a {type(model).__name__} inside the model cannot be saved; expected a phys_samplers Model, or a "
            "registered sampler, by its name, that makes one"
        )
    return model
