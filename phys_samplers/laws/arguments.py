"""What the constructors of laws accept, checked in one place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor

from phys_samplers.errors import ConfigurationError

Numbers: TypeAlias = Tensor | float | Sequence[Any]
"""A tensor or nested sequences of numbers."""


def as_real(name: str, value: Numbers) -> Tensor:
    """``value`` as a finite floating-point tensor; integers and Python numbers take the default dtype.

    Raises:
        ConfigurationError: if it is not a rectangular array of finite numbers.
    """
    try:
        tensor = torch.as_tensor(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ConfigurationError(
            f"{name} is {value!r}; expected a tensor or nested lists of numbers ({error})"
        ) from None
    if not tensor.is_floating_point():
        tensor = tensor.to(torch.get_default_dtype())
    if not torch.isfinite(tensor).all():
        raise ConfigurationError(f"{name} holds NaN or infinite values; expected finite numbers")
    return tensor.detach().clone()


def check_count(name: str, value: Any, *, least: int) -> int:
    """``value`` if it is an integer of at least ``least``.

    Raises:
        ConfigurationError: otherwise.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ConfigurationError(f"{name} is {value!r}; expected an integer of at least {least}")
    return value


def check_positive(name: str, value: Any) -> float:
    """``value`` as a float if it is a positive finite number.

    Raises:
        ConfigurationError: otherwise.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0.0 < value < float("inf"):
        raise ConfigurationError(f"{name} is {value!r}; expected a positive finite number")
    return float(value)
