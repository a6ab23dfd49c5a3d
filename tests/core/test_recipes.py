"""What every recipe and model has from its base class."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest
import torch

from phys_samplers import make
from phys_samplers.errors import ConfigurationError, DivergenceError
from phys_samplers.exact import ExactSampler
from phys_samplers.sampler import Sampler
from phys_samplers.testing import gaussian_target


def test_with_options_changes_a_copy() -> None:
    recipe = make("sampler", "bellman", steps=7)
    changed = recipe.with_options(steps=8, width=3)
    assert (recipe.steps, changed.steps, changed.width) == (7, 8, 3)
    assert recipe.with_options() == recipe
    with pytest.raises(ConfigurationError, match=r"BellmanDiffusion has no option 'colour', 'stepz'; it has steps, "):
        recipe.with_options(stepz=3, colour=1)
    with pytest.raises(ConfigurationError, match="batch_size is 1"):
        recipe.with_options(batch_size=1)


def test_recipes_are_frozen_and_comparable() -> None:
    assert make("sampler", "bellman") == make("sampler", "bellman")
    assert make("sampler", "bellman") != make("sampler", "bellman", steps=3)
    assert hash(make("sampler", "bellman")) == hash(make("sampler", "bellman"))
    with pytest.raises(dataclasses.FrozenInstanceError):
        make("sampler", "bellman").steps = 3


def test_options_list_every_field_by_name() -> None:
    recipe = make("sampler", "bellman")
    assert list(recipe.options()) == [field.name for field in dataclasses.fields(recipe)]


@pytest.mark.parametrize("n", [0, -3, 2.0, True, None, "5"])
def test_bad_sizes(n: Any) -> None:
    with pytest.raises(ConfigurationError, match=rf"n is {n!r}; expected the number of samples"):
        ExactSampler().fit(gaussian_target()).check_draw(n, None)


def test_bad_starts() -> None:
    model = ExactSampler().fit(gaussian_target())
    model.check_draw(3, torch.zeros(3, 2))
    with pytest.raises(ConfigurationError, match=r"shape \(3, 3\); expected finite particles of shape \(3, 2\)"):
        model.check_draw(3, torch.zeros(3, 3))
    with pytest.raises(ConfigurationError, match="finite"):
        model.check_draw(1, torch.tensor([[0.0, math.inf]]))


def test_replicas_by_default_are_single_fits_and_keep_arithmetic_errors() -> None:
    class Fragile(ExactSampler):
        def fit(self, target: Any, *, seed: int = 0, **options: Any) -> Any:
            if seed == 1:
                raise DivergenceError("lost", lost=1, total=2, step=3)
            if seed == 9:
                raise KeyError("a mistake in the code")
            return super().fit(target, seed=seed, **options)

    good, bad, other = Fragile().fit_replicas(gaussian_target(), seeds=[0, 1, 2])
    assert isinstance(bad, DivergenceError)
    assert good.sample(2).shape == other.sample(2).shape == (2, 2)
    with pytest.raises(KeyError):
        Fragile().fit_replicas(gaussian_target(), seeds=[9])


def test_divergence_errors_travel_between_processes() -> None:
    """Workers send them by the protocol that copies objects too; the counts must not be lost."""
    import copy

    error = copy.copy(DivergenceError("3 of 10 are lost", lost=3, total=10, step=50))
    assert (str(error), error.lost, error.total, error.step) == ("3 of 10 are lost", 3, 10, 50)


def test_a_recipe_must_say_how_to_fit_and_restore() -> None:
    with pytest.raises(TypeError, match="abstract"):
        Sampler()  # type: ignore[abstract]
