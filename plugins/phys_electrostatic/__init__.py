"""Poisson flows: PFGM and PFGM++, which follow the lines of an electric field from far away back to the data.

Names are imported when they are first used, so that listing the components costs no import of torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from phys_electrostatic.denoising import PoissonDenoisingLoss
    from phys_electrostatic.exact import EmpiricalDenoiser, empirical_flow, poisson_field
    from phys_electrostatic.field_matching import PoissonFieldLoss
    from phys_electrostatic.model import PoissonFlowModel
    from phys_electrostatic.pfgm import PFGM
    from phys_electrostatic.pfgmpp import PFGMpp
    from phys_electrostatic.schedule import GeometricSchedule

_HOME = {
    "PFGM": "pfgm",
    "EmpiricalDenoiser": "exact",
    "GeometricSchedule": "schedule",
    "PFGMpp": "pfgmpp",
    "PoissonDenoisingLoss": "denoising",
    "PoissonFieldLoss": "field_matching",
    "PoissonFlowModel": "model",
    "empirical_flow": "exact",
    "poisson_field": "exact",
}

__all__ = [
    "PFGM",
    "EmpiricalDenoiser",
    "GeometricSchedule",
    "PFGMpp",
    "PoissonDenoisingLoss",
    "PoissonFieldLoss",
    "PoissonFlowModel",
    "empirical_flow",
    "poisson_field",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"phys_electrostatic.{_HOME[name]}"), name)
    raise AttributeError(f"module 'phys_electrostatic' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
