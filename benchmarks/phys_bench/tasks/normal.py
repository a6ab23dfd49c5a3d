"""The standard normal law in any dimension: what every sampler must get right."""

from __future__ import annotations

from phys_bench.tasks.assemble import TRAIN_SIZE, assemble, square_view
from phys_samplers.laws import StandardNormal
from phys_samplers.target import Task


def normal(*, dim: int = 2, train_size: int = TRAIN_SIZE) -> Task:
    """N(0, I).

    Args:
        dim: dimension D, at least 1; other dimensions than 2 are named ``normal[dim=D]``.
        train_size: number of training rows.

    Raises:
        ConfigurationError: on a bad option.
    """
    law = StandardNormal(dim)
    name = "normal" if dim == 2 else f"normal[dim={dim}]"
    return assemble(name, law, view=square_view(4.0, dim), train_size=train_size, version=2)
