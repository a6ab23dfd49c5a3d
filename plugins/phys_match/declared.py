"""What the matching samplers register."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec

from phys_registry import Component, hookimpl

PAPER = {"estimator": "target", "score_clip": 70.0, "draws": 500, "reuse": 1, "conditional": False, "guided": False}
"""The published estimator and network; batches of fresh estimates."""
DENSITY = frozenset({"log_prob", "score"})


@hookimpl
def phys_components() -> Iterable[Component]:
    """The samplers; ``fab`` where its flows are installed, as by the extra ``flows``."""
    yield Component(
        "sampler",
        "rdmc",
        "phys_match.rdmc:RDMC",
        summary="reverse diffusion with the posterior mean by Monte Carlo at every step: no training, many evaluations",
        reference="arXiv:2307.02037, Algorithms 1 and 2",
        needs=DENSITY,
        citation="huang2024rdmc",
    )
    yield Component(
        "sampler",
        "idem",
        "phys_match.idem:IDEM",
        summary="a denoiser regressed on Monte Carlo estimates at noised states of its own buffer (iDEM), with weights",
        reference="arXiv:2402.06121, Algorithm 1",
        needs=DENSITY,
        citation="akhoundsadegh2024idem karras2022edm",
        presets={"default": {}, "paper": PAPER},
    )
    yield Component(
        "sampler",
        "nets",
        "phys_match.nets:NETS",
        summary="annealed Langevin walks with a drift fitted to the equation of the interpolant (NETS), with weights",
        reference="arXiv:2410.02711, Eq. 20",
        needs=DENSITY,
        citation="albergo2024nets",
    )
    yield Component(
        "sampler",
        "pinn",
        "phys_match.nets:PINN",
        summary="a flow along the interpolant by residuals of its equation at points of a box and of the flow",
        reference="arXiv:2301.07388, Eq. 6; arXiv:2407.07873",
        needs=DENSITY,
        citation="mate2023learning sun2024dynamical",
    )
    yield Component(
        "sampler",
        "lfis",
        "phys_match.lfis:LFIS",
        summary="the flow of an interpolant trained step by step on its own weighted particles (LFIS)",
        reference="arXiv:2405.06672, Eq. 7",
        needs=DENSITY,
        citation="tian2024lfis",
    )
    yield Component(
        "sampler",
        "dikl",
        "phys_match.dikl:DiKL",
        summary="a one-step generator by relative entropies at many noise levels (DiKL); samples without weights",
        reference="arXiv:2410.12456, Eq. 9",
        needs=DENSITY,
        citation="he2024dikl",
    )
    if find_spec("zuko") is not None:
        yield Component(
            "sampler",
            "fab",
            "phys_match.fab:FAB",
            summary="a spline flow trained on annealed samples of p²/q (FAB), with weights; needs the extra 'flows'",
            reference="arXiv:2208.01893, Eq. 3 and Algorithm 1",
            needs=DENSITY,
            citation="midgley2023fab",
        )
