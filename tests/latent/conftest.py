from __future__ import annotations

import pytest
import torch

from phys_samplers.randomness import make_generator
from phys_samplers.samples import Samples
from phys_samplers.target import Target


def manifold(n: int, seed: int = 0) -> torch.Tensor:
    """A bent sheet in ten dimensions, (n, 10): sines of two uniform coordinates, standard deviations of about 0.7."""
    generator = make_generator(seed, "manifold")
    u = torch.rand(n, 2, generator=generator) * 2 - 1
    directions = torch.randn(2, 10, generator=make_generator(0, "directions"))
    return torch.sin(u @ directions)


@pytest.fixture(scope="session")
def sheet() -> Target:
    return Samples(manifold(1_000), name="sheet")
