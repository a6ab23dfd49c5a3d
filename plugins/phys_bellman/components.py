"""What the Bellman family registers."""

from __future__ import annotations

from collections.abc import Iterable

from phys_registry import Component, hookimpl
from phys_samplers.components import BELLMAN

PAPER = {
    "parametrisation": "networks",
    "loss": "sliced-field-matching",
    "kernel": "sliced",
    "epsilon": 0.5,
    "normalise": False,
    "field": "mlp",
    "width": 45,  # two networks: together as many parameters as the one of the default
    "integrator": "euler-maruyama",
    "sampling_steps": 300,
    "step_size": 0.1,
}
"""Appendix E: plain MLPs, Adam, ε in [0.1, 1] (Table 2 varies it around 0.5), one slice, T = 300, η = 0.1."""

ANNEALED = {"integrator": "exponential-ou"}
"""The annealed SDE: 300 steps that carry particles from any start, where the default takes 77 evaluations."""


@hookimpl
def phys_components() -> Iterable[Component]:
    """The sampler and its losses."""
    yield Component(
        "sampler",
        "bellman",
        "phys_bellman.recipe:BellmanDiffusion",
        summary="learns a scalar and a gradient field of the data, samples by dx = g dt + √s dW",
        reference="arXiv:2410.01796, Algorithms 1 and 2, Eq. 7-13",
        needs={"samples"},
        citation=BELLMAN,
        presets={"default": {}, "annealed": ANNEALED, "paper": PAPER},
    )
    for name, attribute, summary, reference in (
        ("field-matching", "FieldMatching", "field matching with the full trace of the Jacobian", "Eq. 7-8"),
        ("sliced-field-matching", "SlicedFieldMatching", "field matching along random directions", "Eq. 9-11"),
        (
            "denoising-field-matching",
            "DenoisingFieldMatching",
            "field matching for the blurred law, without a Jacobian",
            "Eq. 10 with Tweedie's formula",
        ),
    ):
        yield Component(
            "loss",
            name,
            f"phys_bellman.losses:{attribute}",
            summary=summary,
            reference=f"arXiv:2410.01796, {reference}",
            citation=BELLMAN,
        )
