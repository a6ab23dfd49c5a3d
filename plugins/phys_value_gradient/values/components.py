"""The value networks that this family registers. Nothing here imports torch."""

from __future__ import annotations

from phys_registry import Component
from phys_samplers.components import VALUE_GRADIENT

VALUES = tuple(
    Component(
        "field",
        name,
        f"phys_value_gradient.values.specs:{attribute}",
        summary=summary,
        reference=reference,
        citation=VALUE_GRADIENT,
    )
    for name, attribute, summary, reference in (
        ("value-mlp", "ValueMLP", "value network: perceptron with biases of its own for each step", ""),
        (
            "value-fourier-mlp",
            "ValueFourierMLP",
            "value network: ReLU perceptron with a sinusoidal time embedding",
            "arXiv:2502.13280, E.3.1",
        ),
        (
            "value-distances",
            "ValueDistances",
            "value network of n-body systems: invariant perceptron of the sorted pair distances",
            "arXiv:2502.13280, Sec. 4",
        ),
        (
            "value-inverse-distances",
            "ValueInverseDistances",
            "value network of n-body systems: inverse distances, a factor of each step at the last layer",
            "arXiv:2502.13280, E.3.2",
        ),
        (
            "value-environments",
            "ValueEnvironments",
            "value network of n-body systems: sum over particles of a perceptron of their environments",
            "Behler and Parrinello 2007, PRL 98, 146401",
        ),
    )
)
