"""Diffusion models: DDPM and EDM, two settings of one denoiser, a noise schedule and a way backwards.

Names are imported when they are first used, so that listing the components costs no import of torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_EXPORTS = {"DDPM": "phys_diffusion.recipes", "EDM": "phys_diffusion.recipes"}

__all__ = list(_EXPORTS)


def __getattr__(name: str) -> Any:
    if name in _EXPORTS:
        return getattr(import_module(_EXPORTS[name]), name)
    raise AttributeError(f"module 'phys_diffusion' has no attribute {name!r}")
