"""Energy-based models: a density learned from samples through negative samples of its own.

Names are imported when they are first used, so that listing the components costs no import of torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from phys_energy.contrastive import contrastive_loss
    from phys_energy.energy import Energy, EnergyLaw
    from phys_energy.model import EnergyModel
    from phys_energy.recipe import EnergyBasedModel

_HOME = {
    "Energy": "energy",
    "EnergyBasedModel": "recipe",
    "EnergyLaw": "energy",
    "EnergyModel": "model",
    "contrastive_loss": "contrastive",
}

__all__ = ["Energy", "EnergyBasedModel", "EnergyLaw", "EnergyModel", "contrastive_loss"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
