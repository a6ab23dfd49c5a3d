"""Scores of sets on sets that can be counted by hand; independent samples; refusals."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from phys_samplers import make
from phys_samplers.errors import ConfigurationError, MissingCapability
from phys_samplers.metric import Scored, floor
from phys_samplers.randomness import make_generator
from phys_samplers.sampler import Draw
from phys_samplers.target import Modes, Target

CENTRES = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])
TARGET = Target(event_shape=(2,), modes=Modes(CENTRES, torch.full((3,), 1 / 3)), set_size=2)
ROWS = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0], [0.1, 0.0]])


def score(name: str, samples: Tensor, *, set_size: int = 1, target: Target = TARGET, reference: Tensor = ROWS) -> float:
    draw = Draw(samples, nfe=0.0, diagnostics={"set_size": set_size})
    metric = make("metric", name.partition("[")[0], **_options(name))
    return float(
        metric(Scored(samples=samples, target=target, reference=reference, draw=draw, generator=make_generator(0)))
    )


def _options(name: str) -> dict[str, float]:
    inside = name.partition("[")[2].rstrip("]")
    return {key: float(value) for key, _, value in (part.partition("=") for part in inside.split(",") if part)}


def test_modes_and_strays() -> None:
    """Sets {mode 0, mode 1}, {mode 2, off}, {mode 0, mode 0}: 2, 1 and 1 modes; the default radius is 5."""
    samples = torch.tensor([[0.2, 0.0], [9.0, 1.0], [0.0, 9.0], [6.0, 6.0], [1.0, 0.0], [0.0, -1.0]])
    assert score("set-modes", samples, set_size=2) == pytest.approx(4 / 3)
    assert score("off-mode", samples, set_size=2) == pytest.approx(1 / 6)
    assert score("set-modes[radius=0.5]", samples) == pytest.approx(1 / 3)
    assert score("off-mode[radius=0.5]", samples) == pytest.approx(5 / 6)


def test_similarity_recall_precision_marginal() -> None:
    samples = torch.tensor([[0.0, 0.0], [3.0, 4.0], [10.0, 0.0], [10.0, 0.0]])
    assert score("set-similarity[bandwidth=25]", samples) == pytest.approx((math.exp(-1) + 1) / 2)
    # rows within 1 of {0, (3, 4)}: the first and the fourth; of {(10, 0)}: the second
    assert score("set-recall[radius=1]", samples) == pytest.approx((2 / 4 + 1 / 4) / 2)
    assert score("set-precision[radius=1]", samples) == pytest.approx(3 / 4)
    assert score("set-marginal", ROWS) == pytest.approx(0.0, abs=1e-9)


def test_independent_samples_stand_at_the_defaults() -> None:
    """Half of the rows are recalled and .95 of the samples precise, which is how the radii are chosen."""
    rows = torch.randn(600, 2, generator=make_generator(1))
    target = Target(event_shape=(2,), heldout=torch.randn(1_200, 2, generator=make_generator(2)), set_size=5)
    assert score("set-recall", rows, target=target, reference=target.heldout[:600]) == pytest.approx(0.5, abs=0.06)
    assert score("set-precision", rows, target=target, reference=target.heldout[:600]) == pytest.approx(0.95, abs=0.05)
    found = floor(make("metric", "set-recall"), target, n=600, reference=target.heldout[:600])
    assert found is not None
    assert found.mean == pytest.approx(0.5, abs=0.05)


def test_sets_are_not_scored_as_points() -> None:
    with pytest.raises(MissingCapability, match="w2 compares independent samples, and these come in sets of 2"):
        score("w2", ROWS, set_size=2)
    assert score("w2", ROWS) == pytest.approx(0.0, abs=1e-9)
    with pytest.raises(MissingCapability, match="set-similarity needs sets"):
        score("set-similarity", ROWS, target=Target(event_shape=(2,)))


def test_sets_must_be_those_of_the_task() -> None:
    with pytest.raises(ConfigurationError, match="in sets of 4; expected whole sets of 2"):
        score("set-similarity", ROWS, set_size=4)
    with pytest.raises(ConfigurationError, match="3 samples in sets of 1"):
        score("set-similarity", ROWS[:3])
