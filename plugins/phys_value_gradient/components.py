"""What this family registers. Nothing here imports torch, so that listing stays instant."""

from __future__ import annotations

from collections.abc import Iterable

from phys_registry import Component, hookimpl
from phys_samplers.components import VALUE_GRADIENT
from phys_value_gradient.values.components import VALUES

PAPER = {
    "value": {"name": "value-fourier-mlp", "time_width": 1_024},
    "width": 1_024,
    "depth": 3,
    "process": "vp",
    "schedule": "quadratic",
    "start_variance": 0.2,
    "total_variance": None,
    "end_variance": 0.1,
    "policy": "taylor",
    "energy_skip": False,
    "initial_rate": 1e-3,
    "backup": "mean",
    "draws": 1,
    "updates_per_walk": 20,
    "target_decay": 0.9,
    "error": "square",
    "steps": 60_000,
    "learning_rate": 1e-4,
    "decay": "constant",
    "ema_decay": 0.0,
    "clip_norm": None,
    "drift_clip": None,
}


@hookimpl
def phys_components() -> Iterable[Component]:
    """The sampler and its value networks."""
    yield Component(
        "sampler",
        "vgs",
        "phys_value_gradient.recipe:ValueGradientSampler",
        summary="few large steps down a learned value function, with path weights for log Z",
        reference="arXiv:2502.13280, Algorithms 1-3",
        needs={"log_prob", "score"},
        citation=VALUE_GRADIENT,
        presets={"default": {}, "paper": PAPER},
    )
    yield from VALUES
