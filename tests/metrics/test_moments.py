"""The worst mean: by hand, on the floor that its docstring states, and where there is no spread."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from phys_samplers.errors import ConfigurationError
from phys_samplers.metric import Scored
from phys_samplers.metrics.summaries import MeanError
from phys_samplers.randomness import make_generator
from phys_samplers.target import Target


def mean_error(x: Tensor, y: Tensor) -> float:
    target = Target(event_shape=tuple(x.shape[1:]))
    return MeanError()(Scored(samples=x, reference=y, target=target, generator=make_generator(0)))


def test_the_worst_coordinate_decides() -> None:
    y = torch.randn(500, 3, generator=make_generator(0)) * torch.tensor([1.0, 10.0, 0.1])
    shift = torch.tensor([0.5, -1.0, 0.02])
    assert mean_error(y + shift, y) == pytest.approx(0.5 / float(y[:, 0].std()), rel=1e-4)
    assert mean_error(y[:250] * 2.0 - y[:250], y[:250]) == pytest.approx(0.0, abs=1e-6)


def test_the_floor_is_as_stated() -> None:
    n, m, dim = 1000, 3000, 61
    draws = torch.randn(40, n + m, dim, generator=make_generator(1))
    values = [mean_error(some[:n], some[n:]) for some in draws]
    stated = math.sqrt(2 * math.log(2 * dim) * (1 / n + 1 / m))
    assert sum(values) / len(values) == pytest.approx(stated, rel=0.2)


def test_constant_coordinates_are_left_out() -> None:
    y = torch.randn(50, 2, generator=make_generator(2))
    y[:, 1] = 3.0
    assert mean_error(y + 1.0, y) == pytest.approx(1.0 / float(y[:, 0].std()), rel=1e-5)
    with pytest.raises(ConfigurationError, match="mean-error: the 50 reference rows are all equal"):
        mean_error(y, torch.ones(50, 2))
