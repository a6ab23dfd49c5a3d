"""What this family registers. Nothing here imports torch, so that listing stays instant."""

from __future__ import annotations

from collections.abc import Iterable

from phys_registry import Component, hookimpl

SHORT = "langevin[sampling_steps=10,step_size=0.002,prior_std=1.0]"
"""Chains of ten steps from noise: as many as the walks of the value gradient sampler beside it have."""
WALKS = (
    "vgs[sampling_steps=10,total_variance=2.0,end_variance=0.005,policy=mean,width=64,depth=2,draws=2,batch_size=64,"
    "updates_per_walk=1]"
)
"""In standardised coordinates, down to modes of a standard deviation of 0.07."""

ALIKE = {"depth": 2, "batch_size": 128, "well": 1.0, "noise_share": 0.1, "learning_rate": 1.5e-3, "settle": 50}
"""What the two have in common: an energy that moves slowly enough for values to follow it."""


@hookimpl
def phys_components() -> Iterable[Component]:
    """The sampler."""
    yield Component(
        "sampler",
        "ebm",
        "phys_energy.ebm:EnergyBasedModel",
        summary="an energy learned by contrastive divergence, negatives from Langevin chains or a learned sampler",
        reference="arXiv:2502.13280, Sec. 5 and Algorithm 3; Hinton 2002",
        needs={"samples"},
        presets={
            "default": {},
            "short-run": {**ALIKE, "negatives": SHORT},
            "vgs": {**ALIKE, "negatives": WALKS},
        },
        citation="hinton2002training tieleman2008training nijkamp2019learning nijkamp2020anatomy du2019implicit "
        "yoon2025vgs",
    )
