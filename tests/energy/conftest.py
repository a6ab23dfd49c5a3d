"""Surroundings and targets that several files use."""

from __future__ import annotations

import pytest
import torch

from phys_samplers.laws import GaussianMixture
from phys_samplers.randomness import make_generator
from phys_samplers.target import Task


@pytest.fixture(autouse=True)
def one_thread():
    """These tensors are too small for more."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def two_modes() -> Task:
    """2-D, two modes 4 standard deviations apart, with samples and density."""
    law = GaussianMixture([[-1.0, 0.0], [1.0, 0.0]], [0.25, 0.25], [0.5, 0.5])
    return Task(
        event_shape=(2,),
        name="two-modes",
        law=law,
        train=law.sample(2000, make_generator(0, "train")),
        view=((-3.0, 3.0), (-3.0, 3.0)),
    )
