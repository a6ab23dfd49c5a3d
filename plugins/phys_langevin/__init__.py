"""The Langevin family: overdamped, Metropolis-adjusted, underdamped (BAOAB) and annealed with a learned score.

Names are imported when they are first used, so that listing the components costs no import of torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from phys_registry.lazy import lazy

if TYPE_CHECKING:
    from phys_langevin.annealed import AnnealedLangevin as AnnealedLangevin
    from phys_langevin.annealed import AnnealedLangevinDynamics as AnnealedLangevinDynamics
    from phys_langevin.annealed import AnnealedLangevinModel as AnnealedLangevinModel
    from phys_langevin.baoab import BAOAB as BAOAB
    from phys_langevin.langevin import LangevinDynamics as LangevinDynamics
    from phys_langevin.langevin import OverdampedLangevin as OverdampedLangevin
    from phys_langevin.mala import MALA as MALA

__getattr__, __dir__ = lazy(__name__)
