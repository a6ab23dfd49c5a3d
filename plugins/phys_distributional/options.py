"""Checks of options that several models here have."""

from __future__ import annotations

import math

from phys_samplers.errors import ConfigurationError


def check_count(name: str, value: int, least: int) -> None:
    """Refuse integers below ``least``.

    Raises:
        ConfigurationError: naming the option.
    """
    if value < least:
        raise ConfigurationError(f"{name} is {value}; expected an integer of at least {least}")


def check_kappa(kappa: float, *, zero: bool) -> None:
    """Refuse what is no threshold of Huber's function.

    Args:
        kappa: κ.
        zero: whether κ = 0, the absolute error, is one.

    Raises:
        ConfigurationError: naming the value.
    """
    if not (math.isfinite(kappa) and (kappa > 0 or (zero and kappa == 0))):
        least = "of at least 0" if zero else "above 0, or None for the squared error"
        raise ConfigurationError(f"kappa is {kappa}; expected a finite number {least}; returns lie between 0 and 1")
