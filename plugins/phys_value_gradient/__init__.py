"""The value gradient sampler: a discrete-time sampler of energies whose drift is the gradient of a learned value.

Names are imported when they are first used, so that listing the components costs no import of torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from phys_value_gradient.exact import ExactLandscape
    from phys_value_gradient.model import ValueGradientModel
    from phys_value_gradient.negatives import ValueNegatives
    from phys_value_gradient.policy import Policy, walk
    from phys_value_gradient.process import AuxiliaryProcess
    from phys_value_gradient.recipe import ValueGradientSampler

_HOME = {
    "AuxiliaryProcess": "process",
    "ExactLandscape": "exact",
    "Policy": "policy",
    "ValueGradientModel": "model",
    "ValueGradientSampler": "recipe",
    "ValueNegatives": "negatives",
    "walk": "policy",
}

__all__ = [
    "AuxiliaryProcess",
    "ExactLandscape",
    "Policy",
    "ValueGradientModel",
    "ValueGradientSampler",
    "ValueNegatives",
    "walk",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
