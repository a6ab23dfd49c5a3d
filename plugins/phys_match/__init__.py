"""Neural samplers of densities that match an estimated score, or satisfy an equation along an interpolant."""

from __future__ import annotations

from typing import TYPE_CHECKING

from phys_registry.lazy import lazy

if TYPE_CHECKING:
    from phys_match.dikl import DiKL as DiKL
    from phys_match.fab import FAB as FAB
    from phys_match.idem import IDEM as IDEM
    from phys_match.lfis import LFIS as LFIS
    from phys_match.nets import NETS as NETS
    from phys_match.nets import PINN as PINN
    from phys_match.rdmc import RDMC as RDMC

__getattr__, __dir__ = lazy(__name__)
