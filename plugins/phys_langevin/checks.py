"""Checks shared by the recipes of this family: option values, sampling options, lost particles."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor

from phys_samplers.errors import ConfigurationError, DivergenceError
from phys_samplers.sampler import Sampler

Recipe = TypeVar("Recipe", bound=Sampler)

BOUND = 1e6
"""A particle with a coordinate beyond it is lost, as for the integrators."""


def positive(**options: float | None) -> None:
    """Refuse numbers that are not positive and finite; None passes."""
    for name, value in options.items():
        if value is not None and not (value > 0 and math.isfinite(value)):
            raise ConfigurationError(f"{name} is {value!r}; expected a positive finite number")


def at_least(least: int, **options: int) -> None:
    """Refuse integers below ``least``."""
    for name, value in options.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise ConfigurationError(f"{name} is {value!r}; expected an integer of at least {least}")


def for_this_draw(recipe: Recipe, options: Mapping[str, Any], *, fixed: Collection[str]) -> Recipe:
    """The recipe with sampling options changed.

    Args:
        recipe: that fitted the model.
        options: changes.
        fixed: options that only fitting uses, so that changing them now would do nothing.

    Raises:
        ConfigurationError: on an option that does not exist or is fixed.
    """
    if late := sorted(set(options) & set(fixed)):
        raise ConfigurationError(
            f"{', '.join(map(repr, late))} of {type(recipe).__name__} cannot change after fitting; "
            "make a recipe with it (with_options) and fit that"
        )
    return recipe.with_options(**options)


def refuse_lost(x: Tensor, *, alive: Tensor | None = None, step: int, total: int, by: str, advice: str) -> None:
    """Raise if particles left the finite numbers; waits for the device once.

    Args:
        x: particles (B, D).
        alive: a further condition (B,) that particles must meet.
        step: steps done.
        total: steps in all.
        by: name of the sampler.
        advice: what the user can do.

    Raises:
        DivergenceError: with the count of lost particles.
    """
    kept = (x.abs() <= BOUND).all(1)  # False for NaN
    if alive is not None:
        kept = kept & alive
    lost = int(torch.count_nonzero(~kept))
    if lost:
        raise DivergenceError(
            f"{lost} of {len(x)} particles are lost (not finite, or beyond ±{BOUND:g}) after step {step} of {total} of "
            f"{by}: {advice}",
            lost=lost,
            total=len(x),
            step=step,
        )
