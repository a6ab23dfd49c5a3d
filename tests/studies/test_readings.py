"""The settings that the study draws, the steps it takes along exact fields, and what it makes of its records."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType

import pytest

from phys_bellman.kernels import SliceAverageKernel
from phys_samplers import make
from phys_samplers.laws import GaussianMixture

STUDY = "readings"


@pytest.mark.parametrize("method", ["bellman", "ddpm"])
def test_settings_are_recipes_the_plainest_first(study: ModuleType, method: str) -> None:
    found = study.settings(method)
    assert len(found) == study.TRIES == len({json.dumps(setting) for setting in found})
    assert found == study.settings(method)
    assert found[0] == {name: values[0] for name, values in study.AXES[method].items()}
    for setting in found:
        recipe = study.recipe(method, setting, "abalone")
        assert recipe.learning_rate == setting["learning_rate"]


def test_the_plainest_setting_is_the_preset(study: ModuleType) -> None:
    """But for ε, which a preset gives beside the kernel and the study within it."""
    plain = make("sampler", "bellman-fields", preset="paper-plain").options()
    found = study.recipe("bellman", study.settings("bellman")[0], "moons").options()
    apart = {name for name in plain if plain[name] != found[name]}
    assert apart <= {"kernel", "epsilon", "loss"}
    assert plain["epsilon"] == found["kernel"]["epsilon"]


def test_exact_fields_and_small_steps_keep_a_law(study: ModuleType) -> None:
    """A Gaussian of the widths 1 and .5: W1 to exact draws is near that of exact draws; of the start it is twice it."""
    law = GaussianMixture([[0.0, 0.0]], [[1.0, 0.25]], [1.0])
    found = study.follow(law, SliceAverageKernel(epsilon=0.5), 0.1, 300, 0)
    assert found["w1"] < 1.4 * found["floor"]
    start = study.follow(law, SliceAverageKernel(epsilon=0.5), 1e-6, 1, 0)
    assert start["w1"] > 2 * start["floor"]


def test_the_best_setting_is_that_of_validation(study: ModuleType, tmp_path: Path) -> None:
    """What diverges counts a hundredfold."""
    path = tmp_path / "readings.jsonl"
    lines = [
        {"key": ["search", "ddpm", index, task], "w1": value, "floor": 1.0}
        for index, values in enumerate([(2.0, 2.0), (1.0, None), (1.1, 1.2)])
        for task, value in zip(study.SEARCHED, values, strict=True)
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert study.Records(path).ranked("ddpm") == [2, 0, 1]
