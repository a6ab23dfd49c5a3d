"""Bellman Diffusion: a law learned as its scalar field s and gradient field g, sampled by dx = g dt + √s dW.

Li et al. 2024, arXiv:2410.01796. See ``docs/mathematics.md`` for the derivations and the errata of the source.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_EXPORTS = {
    "AnnealedBellmanDynamics": "phys_bellman.annealed",
    "AnnealedBellmanModel": "phys_bellman.annealed",
    "BellmanDiffusion": "phys_bellman.recipe",
    "BellmanDynamics": "phys_bellman.dynamics",
    "ExactFields": "phys_bellman.exact",
    "FieldNetworks": "phys_bellman.networks",
    "BellmanModel": "phys_bellman.model",
    "DenoisingFieldMatching": "phys_bellman.losses",
    "FieldMatching": "phys_bellman.losses",
    "SlicedFieldMatching": "phys_bellman.losses",
}

__all__ = list(_EXPORTS)


def __getattr__(name: str) -> Any:
    if name in _EXPORTS:
        return getattr(import_module(_EXPORTS[name]), name)
    raise AttributeError(f"module 'phys_bellman' has no attribute {name!r}")
