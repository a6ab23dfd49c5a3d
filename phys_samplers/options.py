"""Options of recipes and parts: dataclass fields that know when they act and what they may be; checked when made."""

from __future__ import annotations

from typing import Any

from phys_registry.options import draw_option, fit_option, option, value_problem
from phys_samplers.errors import ConfigurationError

__all__ = ["check_values", "draw_option", "fit_option", "option"]


def check_values(instance: Any) -> None:
    """Refuse an instance of a dataclass whose values do not fit their type hints and bounds.

    Raises:
        ConfigurationError: naming the option, its value and what it may be.
    """
    if problem := value_problem(instance):
        raise ConfigurationError(problem)
