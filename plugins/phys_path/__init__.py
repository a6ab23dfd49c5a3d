"""Path samplers: neural samplers of densities that align a forward and a backward chain (PIS, DDS, DIS, CMCD)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from phys_registry.lazy import lazy

if TYPE_CHECKING:
    from phys_path.sampler import CMCD as CMCD
    from phys_path.sampler import DDS as DDS
    from phys_path.sampler import DIS as DIS
    from phys_path.sampler import PIS as PIS

__getattr__, __dir__ = lazy(__name__)
