"""The score of exact samples."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor

from phys_samplers.errors import ConfigurationError, MissingCapability
from phys_samplers.metric import Metric, Scored, floor
from phys_samplers.metrics.densities import NLL
from phys_samplers.metrics.summaries import ModeTV
from phys_samplers.metrics.transport import W2, SlicedW2
from phys_samplers.metrics.two_sample import EnergyDistance, Memorisation
from phys_samplers.target import Target


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recorder(Metric):
    """Remembers what it was called with."""

    calls: list[tuple[Tensor, Tensor]] = dataclasses.field(default_factory=list)

    def __call__(self, scored: Scored) -> float:
        assert scored.reference is not None
        self.calls.append((scored.samples, scored.reference))
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
        Scored(
            samples=target.heldout[200:400] + 1,
            reference=target.heldout[:200],
            target=target,
            generator=torch.Generator().manual_seed(0),
        )
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


def test_training_rows_stand_in_for_an_exact_sampler() -> None:
    rows = torch.arange(40.0)[:, None]
    data = Target(event_shape=(1,), train=rows + 100.0, heldout=rows)
    metric, reference = Recorder(), rows[:15]
    result = floor(metric, data, n=30, reference=reference, repeats=3)
    assert result is not None
    assert result.source == "train"
    drawn = []
    for x, y in metric.calls:
        assert y is reference
        assert x.shape == (30, 1)
        assert len(x.unique()) == 30
        assert x.min() >= 100.0
        drawn.append(frozenset(x.flatten().tolist()))
    assert len(set(drawn)) == 3
    assert floor(Recorder(), data, n=30, reference=reference, repeats=3) == result
    # more than there are: the held-out rows, which are too few here, and then enough
    assert floor(Recorder(), data, n=41, reference=reference) is None
    more = dataclasses.replace(data, heldout=torch.arange(60.0)[:, None])
    fallback = floor(Recorder(), more, n=41, reference=reference)
    assert fallback is not None
    assert fallback.source == "heldout"


def test_a_metric_that_reads_the_training_rows_is_not_given_them(target: Target) -> None:
    """Training rows would score a memorisation of 0, which no honest sampler gets."""
    data = dataclasses.replace(target, law=None, modes=None)
    assert data.heldout is not None
    result = floor(Memorisation(), data, n=400, reference=data.heldout[:400])
    assert result is not None
    assert result.source == "heldout"
    assert result.mean == pytest.approx(1.0, abs=0.2)
    assert floor(Memorisation(), data, n=600, reference=data.heldout[:600]) is None


def test_training_rows_score_as_exact_draws_do(target: Target) -> None:
    """Both are independent draws of one law; false alarm below 1e-4 for means over 20 repeats."""
    assert target.heldout is not None
    reference = target.heldout[:300]
    data = dataclasses.replace(target, law=None, modes=None)
    exact, train = (floor(SlicedW2(), t, n=300, reference=reference, repeats=20) for t in (target, data))
    assert exact is not None
    assert train is not None
    assert (exact.source, train.source) == ("exact", "train")
    # repeats share the 1,000 training rows, whose own mean is off by their sampling error
    assert abs(exact.mean - train.mean) < 4 * (exact.std**2 / 20 + train.std**2 / 20 + exact.std**2 * 0.3) ** 0.5


def test_no_floor_for_scores_of_the_model(target: Target) -> None:
    assert target.heldout is not None
    assert floor(NLL(), target, n=10, reference=target.heldout) is None


def test_refusals(target: Target) -> None:
    assert target.heldout is not None
    with pytest.raises(ConfigurationError, match="repeats 1"):
        floor(EnergyDistance(), target, n=10, reference=target.heldout, repeats=1)
    with pytest.raises(MissingCapability, match="ModeTV needs modes"):
        floor(ModeTV(), dataclasses.replace(target, modes=None), n=10, reference=target.heldout)
