"""Diffusion models: DDPM and EDM, two settings of one denoiser, a noise schedule and a way backwards.

Names are imported when they are first used, so that listing the components costs no import of torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from phys_registry.lazy import lazy

if TYPE_CHECKING:
    from phys_diffusion.disco import DisCo as DisCo
    from phys_diffusion.recipes import DDPM as DDPM
    from phys_diffusion.recipes import EDM as EDM

__getattr__, __dir__ = lazy(__name__)
