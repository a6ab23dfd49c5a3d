"""Bellman Diffusion: a law learned as its scalar field s and gradient field g, sampled by dx = g dt + √s dW.

Li et al. 2024, arXiv:2410.01796. See ``docs/mathematics.md`` for the derivations and the errata of the source.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from phys_registry.lazy import lazy

if TYPE_CHECKING:
    from phys_bellman.bellman import AnnealedBellmanDynamics as AnnealedBellmanDynamics
    from phys_bellman.bellman import BellmanDiffusion as BellmanDiffusion
    from phys_bellman.bellman import BellmanDiffusionModel as BellmanDiffusionModel
    from phys_bellman.density import BellmanDensity as BellmanDensity
    from phys_bellman.exact import ExactFields as ExactFields
    from phys_bellman.fields import BellmanDynamics as BellmanDynamics
    from phys_bellman.fields import BellmanFields as BellmanFields
    from phys_bellman.fields import BellmanFieldsModel as BellmanFieldsModel
    from phys_bellman.losses import DenoisingFieldMatching as DenoisingFieldMatching
    from phys_bellman.losses import FieldMatching as FieldMatching
    from phys_bellman.losses import SlicedFieldMatching as SlicedFieldMatching
    from phys_bellman.model import BellmanModel as BellmanModel
    from phys_bellman.networks import FieldNetworks as FieldNetworks

__getattr__, __dir__ = lazy(__name__)
