"""The score of exact samples."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor

from phys_samplers.errors import ConfigurationError, MissingCapability
from phys_samplers.metric import Metric
from phys_samplers.metrics.energy_distance import EnergyDistance
from phys_samplers.metrics.floor import floor
from phys_samplers.metrics.likelihood import NLL
from phys_samplers.metrics.mode_weights import ModeTV
from phys_samplers.metrics.sliced import SlicedW2
from phys_samplers.metrics.wasserstein import W2
from phys_samplers.target import Target


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recorder(Metric):
    """Remembers what it was called with."""

    calls: list[tuple[Tensor, Tensor]] = dataclasses.field(default_factory=list)

    def __call__(self, samples: Tensor, reference: Tensor, **options: object) -> float:  # type: ignore[override]
        self.calls.append((samples, reference))
        return float(len(self.calls))


def test_exact_draws_against_the_given_reference(target: Target) -> None:
    metric, reference = Recorder(), target.heldout
    assert reference is not None
    result = floor(metric, target, n=30, reference=reference, repeats=3, seed=5)
    assert result is not None
    assert result.source == "exact"
    assert result.values == (1.0, 2.0, 3.0)
    assert (result.mean, result.std) == (2.0, 1.0)
    assert all(x.shape == (30, 2) and y is reference for x, y in metric.calls)
    assert not torch.equal(metric.calls[0][0], metric.calls[1][0])


def test_same_seed_same_floor(target: Target) -> None:
    assert target.heldout is not None
    first, again, other = (
        floor(SlicedW2(), target, n=50, reference=target.heldout, repeats=2, seed=seed) for seed in (0, 0, 1)
    )
    assert first == again
    assert first != other


def test_wrong_law_scores_above_the_floor(target: Target) -> None:
    assert target.heldout is not None
    result = floor(W2(), target, n=200, reference=target.heldout[:200], repeats=3)
    assert result is not None
    wrong = W2()(
        target.heldout[200:400] + 1, target.heldout[:200], target=target, generator=torch.Generator().manual_seed(0)
    )
    assert 0 < result.mean + 3 * result.std < wrong


def test_heldout_rows_stand_in_for_an_exact_sampler(target: Target) -> None:
    rows = torch.arange(40.0)[:, None]
    data = Target(event_shape=(1,), heldout=rows)
    metric = Recorder()
    result = floor(metric, data, n=25, reference=rows[:15], repeats=2)
    assert result is not None
    assert result.source == "heldout"
    for x, y in metric.calls:
        assert torch.equal(torch.cat([x, y]).flatten().sort().values, rows.flatten())
        assert (len(x), len(y)) == (25, 15)
    assert floor(metric, data, n=26, reference=rows[:15]) is None
    assert floor(metric, Target(event_shape=(1,)), n=2, reference=rows[:2]) is None


def test_no_floor_for_scores_of_the_model(target: Target) -> None:
    assert target.heldout is not None
    assert floor(NLL(), target, n=10, reference=target.heldout) is None


def test_refusals(target: Target) -> None:
    assert target.heldout is not None
    with pytest.raises(ConfigurationError, match="repeats 1"):
        floor(EnergyDistance(), target, n=10, reference=target.heldout, repeats=1)
    with pytest.raises(MissingCapability, match="ModeTV needs modes"):
        floor(ModeTV(), dataclasses.replace(target, modes=None), n=10, reference=target.heldout)
