from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from phys_samplers.conditions import Conditions
from phys_samplers.metric import Metric, Scored
from phys_samplers.randomness import make_generator
from phys_samplers.target import Modes, Target


class TwoGaussians:
    """½ N(−2, 1) + ½ N(2, 1) on the first coordinate, N(0, 1) on the second; only what the tests need.

    The two coordinates also pass for two particles on a line.
    """

    event_shape = (2,)
    particles = (2, 1)
    log_z = math.log(2) + math.log(2 * math.pi)

    def log_prob(self, x: Tensor) -> Tensor:
        first = torch.logaddexp(-0.5 * (x[:, 0] + 2).square(), -0.5 * (x[:, 0] - 2).square())
        return first - 0.5 * x[:, 1].square()

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        x = torch.randn(n, 2, generator=generator, device=generator.device)
        sign = torch.randint(2, (n,), generator=generator, device=generator.device) * 2 - 1
        x[:, 0] += 2 * sign
        return x


@pytest.fixture(scope="session")
def target() -> Target:
    """A target that offers everything a metric can ask for."""
    law = TwoGaussians()
    modes = Modes(centres=torch.tensor([[-2.0, 0.0], [2.0, 0.0]]), weights=torch.tensor([0.5, 0.5]))
    draws = [law.sample(1000, make_generator(0, split)) for split in ("train", "heldout")]
    one = Conditions(train=torch.zeros(1000, dtype=torch.int64))  # one class, which is all rows
    return Target(event_shape=(2,), name="two", law=law, train=draws[0], heldout=draws[1], modes=modes, conditions=one)


@pytest.fixture
def score(target: Target) -> Callable[..., float]:
    """Call a metric with the defaults that most tests do not care about."""

    def call(metric: Metric, samples: Tensor, reference: Tensor | None, **options: object) -> float:
        given: dict[str, Any] = {"target": target, "generator": make_generator(0, "metric")} | options
        return metric(Scored(samples=samples, reference=reference, **given))

    return call


def normal(n: int, dim: int, *labels: str | int) -> Tensor:
    return torch.randn(n, dim, generator=make_generator(7, *labels), dtype=torch.float64)


@pytest.fixture(scope="session")
def draw() -> Callable[..., Tensor]:
    """``draw(n, dim, *labels)``: standard normal rows of a named stream."""
    return normal
