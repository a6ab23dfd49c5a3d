"""Poisson flows: PFGM and PFGM++, which follow the lines of an electric field from far away back to the data.

Names are imported when they are first used, so that listing the components costs no import of torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from phys_electrostatic.denoising import PoissonDenoisingLoss
    from phys_electrostatic.pfgmpp import PFGMpp, PFGMppModel

_HOME = {
    "PFGMpp": "pfgmpp",
    "PFGMppModel": "pfgmpp",
    "PoissonDenoisingLoss": "denoising",
}

__all__ = ["PFGMpp", "PFGMppModel", "PoissonDenoisingLoss"]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"phys_electrostatic.{_HOME[name]}"), name)
    raise AttributeError(f"module 'phys_electrostatic' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
