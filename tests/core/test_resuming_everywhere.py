"""Whatever trains goes on from its checkpoint to the same bits. The registry says what there is.

Fits log every 5 steps, are of 12, and are killed at the 5th, the first one whose state is kept: weights, averages,
streams, chains, lagged networks and whatever else a method has must all come back.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from phys_samplers import catalogue
from phys_samplers.errors import ConfigurationError
from phys_samplers.rl import Control, Prediction, ReturnTask
from phys_samplers.testing.gaussian import gaussian_target
from phys_samplers.testing.subject import reduced
from phys_samplers.training import Callback, TrainingPlan, state

STEPS, KILLED_AT = 12, 5
SMALL = {
    **{"steps": STEPS, "width": 8, "depth": 1, "batch_size": 8, "sampling_steps": 4, "validate_every": 4},
    **{"levels": 2, "steps_per_level": 1},
}
FURTHER: dict[str, dict[str, Any]] = {
    "asinh": {"sampler": "edm[steps=12,width=8,batch_size=8,sampling_steps=4]"},
    "latent": {"sampler": "edm[steps=12,width=8,batch_size=8,sampling_steps=4]"},
    "langevin": {"score": "edm[steps=12,width=8,batch_size=8]"},
    "ebm": {"settle": 2},
    "ebm:vgs": {
        "settle": 2,
        "negatives": "vgs[sampling_steps=4,total_variance=2.0,width=8,draws=2,batch_size=8,minibatches=2,"
        "updates_per_walk=3]",
    },
    # A buffer that is refilled before and after step 5.
    **{
        name: {"rows": 8, "walks": 8, "refill_every": 4, "kept_rounds": 2, "moves": 2}
        for name in ("pis", "dds", "dis", "cmcd")
    },
    **{
        f"idem:{preset}": {
            "walks": 8,
            "refill_every": 4,
            "kept_rounds": 2,
            "moves": 2,
            "estimates": 8,
            "draws": 4,
            **more,
        }
        for preset, more in {"default": {"reuse": 3}, "paper": {}}.items()
    },
    **{
        name: {"walks": 8, "refill_every": 4, "kept_rounds": 2, "interpolation_steps": 3, "horizon": 0.7, "probes": 1}
        for name in ("nets", "pinn")
    },
    "dikl": {"denoiser_batch": 8, "draws": 4},
    "fab": {"walks": 8, "refill_every": 3, "transforms": 1},
    # Walks that are in use at step 5, with values and gradients learned from them.
    "vgs:default": {"draws": 2, "minibatches": 3, "updates_per_walk": 7, "gradient_weight": 0.1},
    "vgs:paper": {"value": {"name": "value-fourier-mlp", "width": 8, "depth": 1, "time_width": 8}},
    "vgs:paper-128": {"value": {"name": "value-fourier-mlp", "width": 8, "depth": 1, "time_width": 8}},
    "vgs:particles": {"value": {"name": "value-mlp", "width": 8, "depth": 1}, "energy_clip": None},
}
"""Of ``name`` or ``name:preset``, beside ``SMALL``."""
SAMPLERS = [
    f"{component.name}:{preset}" if preset else component.name
    for component in catalogue.components("sampler")
    for preset in (component.presets or (None,))
]
UNTRAINED = {
    *(
        "ais",
        "baoab",
        "bellman-density",
        "exact",
        "exact-denoiser",
        "coupled-replicas",
        "hmc",
        "metadynamics",
        "lfis",
        "mala",
        "nuts",
        "parallel-tempering",
        "rdmc",
        "smc",
        "svgd",
        "training-rows",
        "vgs-replay",
    ),
}
"""Samplers that train nothing, or (lfis) in many trainings: there is nothing to resume."""
QUICK = {
    "ebm:vgs",
    "vgs:paper",
    "cmcd:replayed",
    *{case.partition(":")[0]: case for case in reversed(SAMPLERS)}.values(),
}
"""The first preset of each sampler, and those that train otherwise."""
TARGET = gaussian_target()


class KilledError(Exception):
    pass


class KillAt(Callback):
    def __init__(self, step: int) -> None:
        self.step = step

    def logged(self, step: int, values: Mapping[str, Sequence[float]]) -> None:
        if step >= self.step:
            raise KilledError


@pytest.fixture(autouse=True)
def always_saved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state, "SAVE_EVERY", 0.0)
    monkeypatch.setitem(TrainingPlan.__init__.__kwdefaults__, "log_every", KILLED_AT)


def resumes(name: str) -> bool:
    """Whether fitting takes a checkpoint."""
    return "checkpoint" in inspect.signature(catalogue.make("sampler", name).fit).parameters


def sampler(case: str) -> Any:
    name, _, preset = case.partition(":")
    recipe = reduced(catalogue.make("sampler", name, preset=preset or None), SMALL)
    return recipe.with_options(**FURTHER.get(case, FURTHER.get(name, {})))


def assert_same(whole: Any, again: Any) -> None:
    assert getattr(again.report, "history", None) == getattr(whole.report, "history", None)
    assert whole.tensors().keys() == again.tensors().keys()
    for name, tensor in whole.tensors().items():
        assert torch.equal(tensor, again.tensors()[name]), name


def test_all_that_trains_resumes() -> None:
    names = {case.partition(":")[0] for case in SAMPLERS}  # without what other tests register meanwhile
    assert {name for name in names if not resumes(name)} == UNTRAINED - {"lfis"}
    with pytest.raises(ConfigurationError, match="a training of its own"):
        catalogue.make("sampler", "lfis").fit(TARGET, checkpoint="state")


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, marks=[pytest.mark.slow] if case not in QUICK else [])
        for case in SAMPLERS
        if case.partition(":")[0] not in UNTRAINED
    ],
)
def test_a_killed_fit_ends_with_the_same_bits(case: str, tmp_path: Path) -> None:
    recipe = sampler(case)
    whole = recipe.fit(TARGET, seed=4)
    with pytest.raises(KilledError):
        recipe.fit(TARGET, seed=4, checkpoint=tmp_path, callbacks=[KillAt(KILLED_AT)])
    again = recipe.fit(TARGET, seed=4, checkpoint=tmp_path)
    assert_same(whole, again)
    first, second = (model.sample(5, seed=1) for model in (whole, again))
    assert torch.equal(first, second)


@pytest.mark.parametrize("case", ["vgs:default", "ebm:default"])
def test_several_seeds_share_a_folder(case: str, tmp_path: Path) -> None:
    recipe = sampler(case)
    whole = recipe.fit_replicas(TARGET, seeds=[0, 1])
    with pytest.raises(KilledError):
        recipe.fit_replicas(TARGET, seeds=[0, 1], checkpoint=tmp_path, callbacks=[KillAt(KILLED_AT)])
    again = recipe.fit_replicas(TARGET, seeds=[0, 1], checkpoint=tmp_path)
    for one, other in zip(whole, again, strict=True):
        assert_same(one, other)


def chain() -> ReturnTask:
    """Two states, the second of which pays 1 or 0 and ends."""
    states = torch.eye(2)
    prediction = Prediction(
        observation=states[[0, 1, 1]],
        reward=torch.tensor([0.0, 1.0, 0.0]),
        terminal=torch.tensor([False, True, True]),
        next_observation=states[[1, 1, 1]],
        probability=torch.tensor([0.5, 0.25, 0.25]),
        queries=states,
        gamma=0.9,
        returns=(0.0, 1.0),
        updates=STEPS,
        batch_size=8,
    )
    return ReturnTask(event_shape=(2,), name="chain", experience=prediction)


LEARNING = sorted({c.name for c in catalogue.components("return_model")} - {"exact", "law-solve"})


@pytest.mark.parametrize("name", LEARNING)
def test_a_return_model_goes_on_too(name: str, tmp_path: Path) -> None:
    recipe = reduced(catalogue.make("return_model", name), {"width": 8, "depth": 1})
    whole = recipe.fit_replicas(chain(), seeds=[3, 4])
    with pytest.raises(KilledError):
        recipe.fit_replicas(chain(), seeds=[3, 4], checkpoint=tmp_path, callbacks=[KillAt(KILLED_AT)])
    again = recipe.fit_replicas(chain(), seeds=[3, 4], checkpoint=tmp_path)
    for one, other in zip(whole, again, strict=True):
        assert_same(one, other)


def test_an_agent_in_its_environment_refuses(tmp_path: Path) -> None:
    """The state of an environment cannot be saved."""
    control = Control(environment="CartPole-v1", steps=20, learning_starts=10)
    task = ReturnTask(event_shape=(1,), name="agent", experience=control)
    with pytest.raises(ConfigurationError, match=r"does not say what changes while it trains.*leave checkpoint out"):
        catalogue.make("return_model", "dqn", width=8).fit(task, checkpoint=tmp_path)
