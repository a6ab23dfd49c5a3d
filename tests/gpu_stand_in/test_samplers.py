"""Every sampler on a device that is not there: nothing meets across devices, no step waits, the same samples.

What is done in every step is what grows with the number of steps: fits of two lengths are compared, and draws.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from phys_samplers import catalogue, make
from phys_samplers.options import make_part
from phys_samplers.sampler import Draw, Sampler

from .device import DeviceTensor, Log, on_host, stand_in, watched

FIT, DRAW = (6, 10), (8, 12)
AHEAD = (50, 100)
"""Steps of fits whose batches are prepared for so many steps at once."""
SMALL: dict[str, Any] = {
    "validate_every": 1_000,
    "warmup_steps": 2,
    "batch_size": 8,
    "settle": 2,
    "log_z_samples": 20,
    "walks": 16,
    "rows": 40,
    "rounds": 1,
    "refill_every": 1_000,
}
"""Options of every sampler that has them."""
OWN: dict[str, dict[str, Any]] = {
    "asinh": {"sampler": "training-rows"},
    "latent": {"sampler": "training-rows", "latent_dim": 2},
    "vae": {"latent_dim": 2},
    "annealed-langevin": {"levels": 3},
    "vgs-replay": {"value": "value-mlp", "core": None, "start_variance": None},
}
LENGTH = {"parallel-tempering": "sampling_steps", "smc": "temperatures", "annealed-langevin": "steps_per_level"}
"""The option that says how many steps a draw has, where it is not ``sampling_steps``."""
LAUNCHES: dict[str, tuple[float, float]] = {
    "annealed-langevin": (83, 78),
    "baoab": (0, 25),
    "bellman": (39, 47),
    "bellman-density": (0, 157),
    "bellman-fields": (191, 19),
    "cmcd": (552, 396),
    "ddpm": (39, 20),
    "dds": (176, 78),
    "dis": (176, 78),
    "ebm": (410, 0),
    "edm": (39, 46),
    "genphys": (122, 82),
    "hmc": (0, 105),
    "idem": (92, 67),
    "langevin": (0, 13),
    "latent": (98, 0),
    "mala": (0, 43),
    "nets": (180, 0),
    "parallel-tempering": (0, 204),
    "pfgm": (99, 118),
    "pfgmpp": (42, 64),
    "pinn": (203, 0),
    "pis": (176, 78),
    "svgd": (0, 37),
    "vae": (98, 0),
    "vgs": (783, 1047),
}
"""Of a step of training and of sampling: a change that adds launches shows here. Where sampling steps decide the fit,
that of sampling includes what training does for one more of them."""
WAITS: dict[str, tuple[float, float]] = {"ebm": (1, 0), "nuts": (0, 20), "smc": (0, 1)}
"""Of such steps at most. Whether a walk of negative samples diverged is looked at when it ends; trees grow while their
states say so, and so do temperatures."""
MORE = 1.05
"""Versions of torch make some functions of other parts."""
SHORT = ("edm", "mala")


@pytest.fixture(scope="module", autouse=True)
def device() -> Iterator[None]:
    with stand_in():
        yield


def sized(name: str, steps: int, length: int) -> Sampler:
    """A sampler that takes few steps."""
    recipe = make("sampler", name)
    known = {field.name for field in dataclasses.fields(recipe)}  # type: ignore[arg-type]
    wanted = {**SMALL, "steps": steps, LENGTH.get(name, "sampling_steps"): length, **OWN.get(name, {})}
    return recipe.with_options(**{key: value for key, value in wanted.items() if key in known})


def a_step(few: Counter[str], many: Counter[str], more: int) -> dict[str, float]:
    """What ``more`` steps add, once each or oftener."""
    return {what: (n - few[what]) / more for what, n in many.items() if n - few[what] >= more}


def compared(work: Callable[[int], Any], lengths: tuple[int, int], what: str, waits: float) -> tuple[Any, float]:
    """The result of the longer work, and its launches a step; fails on what a GPU would refuse or wait for."""
    logs: list[Log] = []
    for length in lengths:
        result, log = watched(lambda length=length: work(length))
        logs.append(log)
    more = lengths[1] - lengths[0]
    assert dict(logs[1].mismatches) == {}, what
    assert sum(a_step(logs[0].waits, logs[1].waits, more).values()) <= waits, (what, logs[1].waits)
    assert a_step(logs[0].copies, logs[1].copies, more) == {}, what
    return result, (logs[1].launches - logs[0].launches) / more


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(c.name, marks=[] if c.name in SHORT else [pytest.mark.slow])
        for c in catalogue.components("sampler")
    ],
)
def test_a_sampler_stays_on_its_device(name: str) -> None:
    recipe = make("sampler", name)
    task = make("task", "moons" if "samples" in recipe.needs else "gmm9")
    loss = make_part("loss", recipe.loss) if hasattr(recipe, "loss") else None
    lengths = AHEAD if getattr(loss, "prepares", False) else FIT
    model, fitting = compared(
        lambda steps: sized(name, steps, DRAW[0]).fit(task, seed=0, device="cuda"),
        lengths,
        "fit",
        WAITS.get(name, (0, 0))[0],
    )

    def draw(length: int) -> Draw:
        option = LENGTH.get(name, "sampling_steps")
        if option in recipe.options() and option not in recipe.fit_options():
            return model.draw(16, seed=1, **{option: length})
        drawn: Draw = sized(name, lengths[1], length).fit(task, seed=0, device="cuda").draw(16, seed=1)
        return drawn

    drawn, drawing = compared(draw, DRAW, "draw", WAITS.get(name, (0, 0))[1])
    assert isinstance(drawn.samples, DeviceTensor)
    twin = sized(name, lengths[1], DRAW[1]).fit(task, seed=0)
    assert torch.equal(on_host(drawn.samples), twin.draw(16, seed=1).samples)
    for launches, most in zip((fitting, drawing), LAUNCHES.get(name, ()), strict=False):
        assert launches <= MORE * most
