"""What the path samplers register."""

from __future__ import annotations

from collections.abc import Iterable

from phys_registry import Component, hookimpl

WHOLE_PATHS = {"steps": 400, "ema_decay": 0.9}
"""For objectives of whole paths, a step of which costs as much as six of replay."""
LOG_VARIANCE = {"objective": "log-variance", **WHOLE_PATHS}
KL = {"objective": "kl", **WHOLE_PATHS}
"""The objective of the papers of PIS, DDS and CMCD."""


@hookimpl
def phys_components() -> Iterable[Component]:
    """One sampler a process."""
    for name, summary, reference, key in (
        (
            "pis",
            "Brownian motion from a point, steered (PIS)",
            "2111.15141, Eq. 5 and 9",
            "zhang2022pis",
        ),
        ("dds", "reversal of an exact Ornstein-Uhlenbeck chain (DDS)", "2302.13834, Eq. 20", "vargas2023dds"),
        ("dis", "reversal of a diffusion by Euler steps (DIS)", "2211.01364, Eq. 13", "berner2024dis"),
        (
            "cmcd",
            "annealed Langevin moves with a learned correction (CMCD)",
            "2307.01050, Eq. 22",
            "vargas2024cmcd",
        ),
    ):
        yield Component(
            "sampler",
            name,
            f"phys_path.sampler:{name.upper()}",
            summary=summary,
            reference=f"arXiv:{reference}",
            needs={"log_prob", "score"},
            citation=f"{key} richter2024lv",
            presets={
                "default": {},
                "log-variance": LOG_VARIANCE,
                "kl": KL,
                "replayed": {**LOG_VARIANCE, "replayed": True},
            },
        )
