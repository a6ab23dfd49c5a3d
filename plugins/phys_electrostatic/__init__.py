"""Poisson flows: PFGM and PFGM++, which follow the lines of an electric field from far away back to the data.

Names are imported when they are first used, so that listing the components costs no import of torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from phys_registry.lazy import lazy

if TYPE_CHECKING:
    from phys_electrostatic.exact import EmpiricalDenoiser as EmpiricalDenoiser
    from phys_electrostatic.exact import empirical_flow as empirical_flow
    from phys_electrostatic.exact import poisson_field as poisson_field
    from phys_electrostatic.flow import PoissonFlowModel as PoissonFlowModel
    from phys_electrostatic.pfgm import PFGM as PFGM
    from phys_electrostatic.pfgm import GeometricSchedule as GeometricSchedule
    from phys_electrostatic.pfgm import PoissonFieldLoss as PoissonFieldLoss
    from phys_electrostatic.pfgmpp import PFGMpp as PFGMpp
    from phys_electrostatic.pfgmpp import PoissonDenoisingLoss as PoissonDenoisingLoss

__getattr__, __dir__ = lazy(__name__)
