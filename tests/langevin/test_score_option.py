"""Langevin dynamics that follow the score of another model: given, or fitted first; and their checkpoints."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from phys_langevin import AnnealedLangevin, LangevinDynamics
from phys_samplers import load, make
from phys_samplers.chains import ChainModel
from phys_samplers.errors import CheckpointError, ConfigurationError, MissingCapability
from phys_samplers.target import Density, Target

TINY: dict[str, Any] = {"name": "annealed-langevin", "steps": 60, "batch_size": 32, "width": 8, "depth": 1}
SHORT: dict[str, Any] = {"sampling_steps": 30, "step_size": 0.02}


class Follower:
    """A stand-in for a fitted model: the score of N(1, 1/4), with its calls counted."""

    def __init__(self) -> None:
        self.calls = 0

    def score(self, x: Tensor, sigma: float | None = None) -> Tensor:
        self.calls += 1
        return 4 * (1.0 - x)


class ScorelessModel(ChainModel):
    """A fitted model that knows no score."""

    score = None  # type: ignore[assignment]


@dataclass(frozen=True, kw_only=True)
class Scoreless(LangevinDynamics):
    def fit_replicas(self, target: Target, *, seeds: Any, device: Any = "cpu", callbacks: Any = ()) -> list[Any]:
        return [ScorelessModel(self, target=target, device=device) for _ in seeds]


def test_needs_follow_the_score() -> None:
    assert LangevinDynamics().needs == {"log_prob", "score"}
    assert LangevinDynamics(score=Follower()).needs == frozenset()
    assert LangevinDynamics(score="annealed-langevin").needs == {"samples"}
    assert LangevinDynamics(score=TINY).needs == {"samples"}
    assert LangevinDynamics(score="exact").needs == {"sample"}
    assert AnnealedLangevin().needs == {"samples"}
    assert AnnealedLangevin(score="exact").needs == {"sample"}
    assert LangevinDynamics(score="exact").with_options(score=None).needs == {"log_prob", "score"}


def test_a_models_score_is_followed_whatever_the_target(two_modes: Target) -> None:
    """Stationary variance 0.25/(1 − h/0.5) = 0.2604 at h = 0.02; 4 standard errors of 5,000 chains are 0.021."""
    follower = Follower()
    model = LangevinDynamics(score=follower, step_size=0.02, sampling_steps=200, prior_std=1.0).fit(two_modes)
    draw = model.draw(5000, seed=1)
    assert draw.nfe == follower.calls == 200
    assert draw.samples.mean().item() == pytest.approx(1.0, abs=0.029)
    assert draw.samples.var().item() == pytest.approx(0.2604, abs=0.021)
    assert not model.needs_target


def test_a_score_given_by_name_is_fitted_saved_and_loaded(two_modes: Target, tmp_path: Any) -> None:
    recipe = make("sampler", "langevin", score=TINY, **SHORT)
    model = recipe.fit(two_modes, seed=3)
    assert model.report is not None
    assert model.report.steps == 60
    model.save(tmp_path)
    again = load(tmp_path)  # no target: the score is in the checkpoint
    assert torch.equal(again.sample(40, seed=1), model.sample(40, seed=1))
    direct = AnnealedLangevin(**{k: v for k, v in TINY.items() if k != "name"}).fit(two_modes, seed=3)
    by_object = LangevinDynamics(score=direct, **SHORT).fit(two_modes)
    assert torch.equal(by_object.sample(40, seed=1), model.sample(40, seed=1))


def test_a_score_given_as_a_fitted_model_is_saved_with_its_recipe(two_modes: Target, tmp_path: Any) -> None:
    inner = AnnealedLangevin(**{k: v for k, v in TINY.items() if k != "name"}).fit(two_modes, seed=3)
    for recipe in (
        LangevinDynamics(score=inner, **SHORT),
        AnnealedLangevin(score=inner, levels=3, steps_per_level=4),
    ):
        model = recipe.fit(two_modes)
        model.save(tmp_path)
        again = load(tmp_path)
        assert torch.equal(again.sample(40, seed=1), model.sample(40, seed=1))


def test_a_score_that_asks_its_target_needs_it_again(two_modes: Target, tmp_path: Any) -> None:
    for recipe in (LangevinDynamics(score="exact", **SHORT), AnnealedLangevin(score="exact", levels=3)):
        model = recipe.fit(two_modes)
        assert model.needs_target
        model.save(tmp_path)
        with pytest.raises(CheckpointError, match="target"):
            load(tmp_path)
        assert torch.equal(load(tmp_path, target=two_modes).sample(9, seed=1), model.sample(9, seed=1))


def test_the_exact_score_is_the_targets_own(two_modes: Target) -> None:
    own = LangevinDynamics(ascent_steps=0, **SHORT).fit(two_modes).sample(20, seed=1)
    exact = LangevinDynamics(score="exact", **SHORT).fit(two_modes).sample(20, seed=1)
    torch.testing.assert_close(own, exact)


def test_stacked_seeds_have_scores_of_their_own(two_modes: Target) -> None:
    first, second = LangevinDynamics(score=TINY, **SHORT).fit_replicas(two_modes, seeds=[0, 1])
    assert not torch.equal(first.sample(9, seed=1), second.sample(9, seed=1))  # type: ignore[union-attr]


def test_refusals(two_modes: Target, tmp_path: Any) -> None:
    with pytest.raises(CheckpointError, match="Follower"):
        LangevinDynamics(score=Follower()).fit(two_modes).save(tmp_path)
    with pytest.raises(MissingCapability, match="LangevinDynamics needs samples"):
        LangevinDynamics(score=TINY).fit(Density(lambda x: -x.square().sum(1), event_shape=(1,)))
    with pytest.raises(LookupError, match="annealed-langevin"):
        LangevinDynamics(score="annealed-langevn")
    inner = LangevinDynamics(**SHORT).fit(two_modes)
    with pytest.raises(ConfigurationError, match=r"event shape \(1,\), the target \(2,\)"):
        LangevinDynamics(score=inner).fit(Density(lambda x: -x.square().sum(1), event_shape=(2,)))
    with pytest.raises(ConfigurationError, match=r"no method score"):
        LangevinDynamics(score=Scoreless()).fit(two_modes)
