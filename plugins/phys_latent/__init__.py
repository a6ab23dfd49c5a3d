"""Variational autoencoders, and samplers that run in their latent space.

Names are imported when they are first used, so that listing the components costs no import of torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_EXPORTS = {
    "LatentModel": "phys_latent.latent",
    "LatentSampler": "phys_latent.latent",
    "VAE": "phys_latent.vae",
    "VAEModel": "phys_latent.vae",
}

__all__ = list(_EXPORTS)


def __getattr__(name: str) -> Any:
    if name in _EXPORTS:
        return getattr(import_module(_EXPORTS[name]), name)
    raise AttributeError(f"module 'phys_latent' has no attribute {name!r}")
