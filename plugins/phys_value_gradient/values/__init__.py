"""Value networks V^t(z): stacked, with a hand-derived input gradient, and specs that build them.

Names are imported when they are first used, so that listing the components costs no import of torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from phys_value_gradient.values.network import ValueNetwork
    from phys_value_gradient.values.specs import (
        ValueDistances,
        ValueEnvironments,
        ValueField,
        ValueFourierMLP,
        ValueInverseDistances,
        ValueMLP,
    )

__all__ = [
    "ValueDistances",
    "ValueEnvironments",
    "ValueField",
    "ValueFourierMLP",
    "ValueInverseDistances",
    "ValueMLP",
    "ValueNetwork",
]


def __getattr__(name: str) -> Any:
    if name in __all__:
        module = "network" if name == "ValueNetwork" else "specs"
        return getattr(import_module(f"phys_value_gradient.values.{module}"), name)
    raise AttributeError(f"module 'phys_value_gradient.values' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
