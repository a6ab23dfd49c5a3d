"""Targets that several files use."""

from __future__ import annotations

import pytest
import torch

from phys_samplers.laws import GaussianMixture
from phys_samplers.randomness import make_generator
from phys_samplers.target import Target


@pytest.fixture(autouse=True)
def one_thread():
    """These tensors are too small for more."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def two_modes() -> Target:
    """1-D, modes 8 standard deviations apart, weights .3 and .7, with samples and density."""
    law = GaussianMixture([[-2.0], [2.0]], [0.25, 0.25], [0.3, 0.7])
    return Target(
        event_shape=(1,),
        name="two-modes",
        law=law,
        train=law.sample(4000, make_generator(0, "train")),
    )
