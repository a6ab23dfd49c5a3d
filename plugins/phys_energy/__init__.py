"""Energy-based models: a density learned from samples through negative samples of its own.

Names are imported when they are first used, so that listing the components costs no import of torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from phys_registry.lazy import lazy

if TYPE_CHECKING:
    from phys_energy.ebm import EnergyBasedModel as EnergyBasedModel
    from phys_energy.ebm import EnergyModel as EnergyModel
    from phys_energy.ebm import contrastive_loss as contrastive_loss
    from phys_energy.energy import Energy as Energy
    from phys_energy.energy import EnergyLaw as EnergyLaw

__getattr__, __dir__ = lazy(__name__)
