"""Checks shared by the recipes of this family: option values, lost particles."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from phys_samplers.errors import ConfigurationError, DivergenceError

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
