"""Tuning: equal trials, on validation rows alone, recorded and resumable."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from phys_bench import api
from phys_bench.tuning import WORK, Search, Vary, read_vary, tune, usual_space
from phys_samplers import make
from phys_samplers.errors import ConfigurationError, MissingCapability
from phys_samplers.randomness import make_generator
from phys_samplers.sampler import Model
from phys_samplers.target import Task


@pytest.fixture
def task(toys: Path) -> Task:
    made = make("task", "toy-normal")
    return replace(made, validation=made.law.sample(200, make_generator(0, "validation")))


def test_the_usual_space_is_about_what_the_recipe_has() -> None:
    recipe = make("sampler", "edm")
    space = {one.name: one for one in usual_space(recipe)}
    assert not WORK & set(space)
    assert space["learning_rate"].low == pytest.approx(recipe.learning_rate / 8)
    assert space["learning_rate"].high == pytest.approx(recipe.learning_rate * 8)
    assert space["learning_rate"].log
    assert recipe.standardise in space["standardise"].choices
    decay = space["ema_decay"]
    assert 0 < decay.low < recipe.ema_decay < decay.high < 1
    for one in space.values():  # the ends keep the bounds of the options
        for value in one.choices or (one.low, one.high):
            recipe.with_options(**{one.name: int(value) if one.whole else value})


def test_what_is_varied_is_read_from_texts() -> None:
    recipe = make("sampler", "edm")
    found = read_vary("learning_rate=1e-4:1e-2", recipe)
    assert found == Vary(name="learning_rate", low=1e-4, high=1e-2, log=True)
    assert read_vary("steps=10:20", recipe) == Vary(name="steps", low=10, high=20, whole=True)
    assert read_vary("standardise=whiten,none", recipe).choices == ("whiten", "none")
    with pytest.raises(ConfigurationError, match=r"no option 'lerning_rate' to vary\..*learning_rate"):
        read_vary("lerning_rate", recipe)
    with pytest.raises(ConfigurationError, match="is no range"):
        read_vary("learning_rate=1:0", recipe)


def test_without_optuna_it_says_how_to_have_it(task: Task) -> None:
    try:
        import optuna
    except ImportError:
        with pytest.raises(MissingCapability, match=r"pip install 'phys-samplers\[tune\]'"):
            tune(make("sampler", "toy-good"), task, trials=2)
    else:
        assert optuna


@dataclass
class Seen:
    """A recipe that keeps what it is shown."""

    targets: list[Any]

    def watch(self, monkeypatch: pytest.MonkeyPatch, recipe: Any) -> None:
        fit = type(recipe).fit

        def watched(self_: Any, target: Any, **options: Any) -> Model:
            self.targets.append(target)
            return fit(self_, target, **options)

        monkeypatch.setattr(type(recipe), "fit", watched)


def test_trials_find_what_is_better_on_validation_rows_alone(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("optuna", reason="optuna is not installed")
    recipe, seen = make("sampler", "toy-good", shift=1.0), Seen([])
    seen.watch(monkeypatch, recipe)
    # Held-out rows that would draw the search elsewhere: it must not know of them.
    misleading = replace(task, heldout=task.heldout + 1.0)
    search = tune(recipe, misleading, trials=15, vary=["shift=-1:1"])
    assert all(target.heldout is None for target in seen.targets)
    assert len(search.trials) == len(seen.targets) == 15
    assert search.trials[0].options == {}
    assert abs(search.chosen.options["shift"]) < 0.35
    assert search.chosen.score < search.trials[0].score
    assert tune(recipe, misleading, trials=15, vary=["shift=-1:1"]) == search
    assert Search.from_dict(search.to_dict()) == search


def test_a_trial_that_fails_costs_itself(task: Task) -> None:
    pytest.importorskip("optuna", reason="optuna is not installed")
    search = tune(make("sampler", "edm", steps=2), task, trials=3, vary=["batch_size=-3,16"])
    assert [trial.score is None for trial in search.trials] == ["-3" in str(t.options) for t in search.trials]
    assert search.chosen.score is not None
    with pytest.raises(MissingCapability, match="has no validation rows"):
        tune(make("sampler", "toy-good"), replace(task, validation=None), trials=2)


def test_a_suite_is_tuned_recorded_and_not_searched_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("optuna", reason="optuna is not installed")
    monkeypatch.chdir(tmp_path)
    samplers = ["exact", "langevin[sampling_steps=40]", "mala[sampling_steps=40,warmup_steps=10]"]
    suite = {"name": "s", "tasks": ["normal"], "samplers": samplers, "metrics": ["delta-std"], "eval_size": 50}
    said: list[str] = []
    options: dict[str, Any] = {"seeds": 1, "executor": "inline", "progress": False, "announce": said.append}
    results = api.tune(suite, trials=4, **options)
    searches = results.head["tuning"]["searches"]
    assert [one["sampler"] for one in searches] == samplers[1:]
    assert [len(one["trials"]) for one in searches] == [4, 4]
    for one, cell in zip(searches, results.cells[1:], strict=True):
        assert cell.ok
        identity = results.records[results.cells.index(cell)]["identity"]
        assert one["chosen"].items() <= identity["options"].items()
    assert len(said) == 8
    assert any("chosen by 4 trials" in note for note in results.notes)
    api.tune(suite, trials=4, **options)
    assert len(said) == 8
    assert torch.is_grad_enabled()
