"""Monte Carlo in a density: Hamiltonian, sequential, annealed, tempered and by interacting particles.

Names are imported when they are first used, so that listing the components costs no import of torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from phys_registry.lazy import lazy

if TYPE_CHECKING:
    from phys_monte_carlo.ais import AIS as AIS
    from phys_monte_carlo.hmc import HMC as HMC
    from phys_monte_carlo.nuts import NUTS as NUTS
    from phys_monte_carlo.smc import SMC as SMC
    from phys_monte_carlo.svgd import SVGD as SVGD
    from phys_monte_carlo.tempering import ParallelTempering as ParallelTempering

__getattr__, __dir__ = lazy(__name__)
