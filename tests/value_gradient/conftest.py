"""Targets that several files use."""

from __future__ import annotations

import pytest
import torch

from phys_samplers.laws import GaussianMixture
from phys_samplers.target import Target


@pytest.fixture(autouse=True)
def one_thread():
    """These tensors are too small for more."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def nine_modes() -> Target:
    """GMM-9: means {−5, 0, 5}², variance 0.3, log Z = 0."""
    line = torch.tensor([-5.0, 0.0, 5.0])
    law = GaussianMixture(torch.cartesian_prod(line, line), [0.3] * 9, [1 / 9] * 9)
    return Target(event_shape=(2,), name="nine-modes", law=law)


@pytest.fixture
def three_modes() -> Target:
    """A lopsided 1-D mixture in double precision, for quadrature."""
    means = torch.tensor([[-2.0], [0.5], [3.0]], dtype=torch.float64)
    law = GaussianMixture(means, torch.tensor([0.3, 0.1, 0.6], dtype=torch.float64), [0.2, 0.5, 0.3])
    return Target(event_shape=(1,), name="three-modes", law=law)
