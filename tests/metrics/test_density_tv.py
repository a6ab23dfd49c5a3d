"""``energy-tv`` against total variation distances in closed form."""

from __future__ import annotations

import math
from statistics import NormalDist
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from phys_samplers.errors import ConfigurationError, MissingCapability
from phys_samplers.metric import Scored
from phys_samplers.metrics.densities import DensityTV
from phys_samplers.randomness import make_generator
from phys_samplers.target import Task


class Normal2D:
    """N(mean, 1) × N(0, 1), without its constant."""

    event_shape = (2,)
    log_z = math.log(2 * math.pi)

    def __init__(self, mean: float = 0.0) -> None:
        self.mean = torch.tensor([mean, 0.0])

    def log_prob(self, x: Tensor) -> Tensor:
        return -0.5 * (x - self.mean).square().sum(1)


TASK = Task(event_shape=(2,), name="normal", law=Normal2D(), view=((-4.0, 4.0), (-4.0, 4.0)))


def model(mean: float) -> Any:
    law = Normal2D(mean)
    return SimpleNamespace(device=torch.device("cpu"), log_prob=lambda x: law.log_prob(x) - law.log_z)


def score(model: Any, task: Task = TASK, **options: Any) -> float:
    rows = torch.zeros(2, *task.event_shape)
    return DensityTV(**options)(
        Scored(samples=rows, reference=rows, target=task, generator=make_generator(0), model=model)
    )


@pytest.mark.parametrize("shift", [0.0, 0.5, 2.0])
def test_shifted_normals(shift: float) -> None:
    # TV(N(0, 1), N(m, 1)) = 2 Φ(m/2) − 1
    assert score(model(shift)) == pytest.approx(2 * NormalDist().cdf(shift / 2) - 1, abs=1e-3)


def test_mass_outside_the_grid_is_mismatch() -> None:
    assert score(model(100.0)) == pytest.approx(1.0, abs=1e-6)


def test_an_unknown_constant_of_the_truth_is_found_on_the_grid() -> None:
    law = Normal2D()
    unknown = Task(event_shape=(2,), name="normal", law=SimpleNamespace(log_prob=law.log_prob), view=TASK.view)
    assert score(model(0.5), unknown) == pytest.approx(score(model(0.5)), abs=1e-4)


def test_what_cannot_be_scored() -> None:
    with pytest.raises(MissingCapability, match="SimpleNamespace"):
        score(SimpleNamespace())
    with pytest.raises(ConfigurationError, match="NaN"):
        score(SimpleNamespace(device="cpu", log_prob=lambda x: x[:, 0] * math.nan))
    wide = Task(event_shape=(3,), name="wide", law=Normal2D())
    with pytest.raises(ConfigurationError, match="one or two coordinates"):
        score(model(0.0), wide)
    with pytest.raises(ConfigurationError, match="points is 1"):
        DensityTV(points=1)
