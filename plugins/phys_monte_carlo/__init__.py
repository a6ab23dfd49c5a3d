"""Monte Carlo in a density: Hamiltonian, sequential, annealed, tempered and by interacting particles.

Names are imported when they are first used, so that listing the components costs no import of torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from phys_monte_carlo.ais import AIS
    from phys_monte_carlo.hamiltonian import HMC
    from phys_monte_carlo.smc import SMC
    from phys_monte_carlo.svgd import SVGD
    from phys_monte_carlo.tempering import ParallelTempering

_HOME = {
    "AIS": "ais",
    "HMC": "hamiltonian",
    "ParallelTempering": "tempering",
    "SMC": "smc",
    "SVGD": "svgd",
}

__all__ = ["AIS", "HMC", "SMC", "SVGD", "ParallelTempering"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
