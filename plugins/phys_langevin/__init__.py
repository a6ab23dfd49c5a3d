"""The Langevin family: overdamped, Metropolis-adjusted, underdamped (BAOAB) and annealed with a learned score.

Names are imported when they are first used, so that listing the components costs no import of torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from phys_langevin.annealed import AnnealedLangevin, AnnealedLangevinModel
    from phys_langevin.annealing import AnnealedLangevinDynamics
    from phys_langevin.langevin import LangevinDynamics
    from phys_langevin.metropolis import MALA
    from phys_langevin.overdamped import OverdampedLangevin
    from phys_langevin.underdamped import BAOAB

_HOME = {
    "AnnealedLangevin": "annealed",
    "AnnealedLangevinDynamics": "annealing",
    "AnnealedLangevinModel": "annealed",
    "BAOAB": "underdamped",
    "LangevinDynamics": "langevin",
    "MALA": "metropolis",
    "OverdampedLangevin": "overdamped",
}

__all__ = [
    "BAOAB",
    "MALA",
    "AnnealedLangevin",
    "AnnealedLangevinDynamics",
    "AnnealedLangevinModel",
    "LangevinDynamics",
    "OverdampedLangevin",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
