"""What the diffusion family registers."""

from __future__ import annotations

from collections.abc import Iterable

from phys_registry import Component, hookimpl
from phys_samplers.components import DDPM, EDM


@hookimpl
def phys_components() -> Iterable[Component]:
    """The samplers."""
    yield Component(
        "sampler",
        "edm",
        "phys_diffusion.recipes:EDM",
        summary="preconditioned denoiser trained over log-normal noise levels, sampled by Heun steps (EDM)",
        reference="arXiv:2206.00364, Table 1, Algorithms 1 and 2",
        needs={"samples"},
        citation=EDM,
    )
    yield Component(
        "sampler",
        "ddpm",
        "phys_diffusion.recipes:DDPM",
        summary="noise prediction on a chain of noising steps, sampled by ancestral steps (DDPM)",
        reference="arXiv:2006.11239, Algorithms 1 and 2",
        needs={"samples"},
        citation=DDPM,
    )
