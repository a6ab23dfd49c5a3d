"""Neal's funnel in ten dimensions."""

from __future__ import annotations

from phys_bench.tasks.assemble import TRAIN_SIZE, assemble
from phys_samplers.laws import Funnel
from phys_samplers.target import Task


def funnel(*, train_size: int = TRAIN_SIZE) -> Task:
    """x₁ ~ N(0, 9), x_i ~ N(0, e^{x₁}) for i = 2, …, 10; see ``phys_samplers.laws.Funnel`` for the misprint.

    The true standard deviation of x_i is e^{9/4} = 9.49 and its tails are heavy: read W2 beside its floor.

    Args:
        train_size: number of training rows.

    Raises:
        ConfigurationError: on a bad option.
    """
    law = Funnel(dim=10, scale=3.0)
    return assemble("funnel", law, view=((-9.0, 9.0), *((-20.0, 20.0),) * 9), train_size=train_size, version=2)
