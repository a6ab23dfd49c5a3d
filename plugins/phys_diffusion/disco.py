"""DisCo-Diff: EDM with discrete latents; see ``phys_samplers.denoisers.discrete``."""

from __future__ import annotations

from dataclasses import dataclass

from phys_diffusion.recipes import EDM
from phys_samplers.denoisers.discrete import DiscreteLatents


@dataclass(frozen=True, kw_only=True)
class DisCo(DiscreteLatents, EDM):
    """Xu et al. 2024 (arXiv:2407.03300; thesis, ch. 4): EDM whose denoiser is told discrete latents of the row.

    See ``DiscreteLatents`` for the options of the latents and ``DenoiserSampler`` for the others.
    """
