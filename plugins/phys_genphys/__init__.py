"""GenPhys: generative models from partial differential equations, and the criterion that tells which can be one.

Names are imported when they are first used, so that listing the components costs no import of torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from phys_registry.lazy import lazy

if TYPE_CHECKING:
    from phys_genphys.classify import classify as classify
    from phys_genphys.equations import EQUATIONS as EQUATIONS
    from phys_genphys.exact import EmpiricalFlow as EmpiricalFlow
    from phys_genphys.genphys import FieldRegression as FieldRegression
    from phys_genphys.genphys import GenPhys as GenPhys
    from phys_genphys.pde import PDE as PDE
    from phys_genphys.pde import Diffusion as Diffusion
    from phys_genphys.pde import FractionalDiffusion as FractionalDiffusion
    from phys_genphys.pde import Poisson as Poisson
    from phys_genphys.screened import Helmholtz as Helmholtz
    from phys_genphys.screened import MixedDiffusionPoisson as MixedDiffusionPoisson
    from phys_genphys.screened import ScreenedPoisson as ScreenedPoisson
    from phys_genphys.wave import DissipativeWave as DissipativeWave

__getattr__, __dir__ = lazy(__name__)
