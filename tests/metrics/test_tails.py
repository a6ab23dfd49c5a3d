"""Quantiles and indices of tails, on rows whose values are known."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from phys_samplers.errors import ConfigurationError
from phys_samplers.laws import StudentT
from phys_samplers.metric import Scored
from phys_samplers.metrics.tails import TailIndex, TailQuantiles
from phys_samplers.randomness import make_generator
from phys_samplers.target import Target

LAW = StudentT(4, 1.5)


def draws(n: int, label: str) -> Tensor:
    return LAW.sample(n, make_generator(0, label))


def scored(x: Tensor, y: Tensor) -> Scored:
    target = Target(event_shape=tuple(y.shape[1:]), law=LAW)
    return Scored(samples=x, reference=y, target=target, generator=make_generator(0))


def test_a_factor_counts_eight_times_and_units_do_not() -> None:
    y = draws(20_000, "reference")
    y = torch.cat([y, -y])  # medians are about zero, so that a factor is one of u
    assert TailQuantiles()(scored(y, y)) == 0.0
    assert TailQuantiles()(scored(y / 2, y)) == pytest.approx(8 * math.log(2), rel=1e-3)
    units = torch.tensor([1.0, 10.0, 100.0, 1e3])
    assert TailQuantiles()(scored(y / 2 * units + 7, y * units + 7)) == pytest.approx(8 * math.log(2), rel=0.01)


def test_tails_that_are_cut_off_are_seen_above_the_floor() -> None:
    y, x = draws(50_000, "reference"), draws(10_000, "samples")
    floor = TailQuantiles()(scored(x, y))
    cut = x * (30 / x.norm(dim=1, keepdim=True)).clamp(max=1.0)
    assert floor < 1.0
    assert TailQuantiles()(scored(cut, y)) > floor + 2


def test_the_index_is_that_of_hill() -> None:
    """Standard error of a logarithm: √(1/2,500 + 1/500) = .05; ν = 1.5 against 3 is log 2."""
    y, x = draws(50_000, "reference"), draws(10_000, "samples")
    assert TailIndex()(scored(x, y)) == pytest.approx(0.0, abs=4 * 0.05)
    lighter = StudentT(4, 3.0).sample(10_000, make_generator(0, "lighter"))
    assert TailIndex(share=0.01)(scored(lighter, y)) == pytest.approx(math.log(2), abs=4 * 0.11)
    sizes = torch.arange(1, 1_001, dtype=torch.float64).unsqueeze(1)
    top = [math.log(s / 950.0) for s in range(951, 1_001)]
    assert float(TailIndex()._index(sizes[:, 0])) == pytest.approx(50 / sum(top))


def test_what_has_no_tail_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="holds 2; expected at least 5"):
        TailIndex()(scored(draws(40, "few"), draws(100, "reference")))
    with pytest.raises(ConfigurationError, match="half of the 100 reference rows are equal"):
        TailQuantiles()(scored(draws(40, "few"), torch.ones(100, 4)))
