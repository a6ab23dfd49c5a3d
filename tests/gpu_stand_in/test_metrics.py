"""Every metric on a device that is not there: nothing meets across devices, and the score is that of the CPU."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from phys_registry import Component
from phys_samplers import make
from phys_samplers.metric import Scored
from phys_samplers.metrics.declared import METRICS
from phys_samplers.randomness import make_generator
from phys_samplers.sampler import Draw
from phys_samplers.target import Task

from .device import stand_in, watched

TASKS = ("gmm9", "dw4", "digits", "moons", "plane-by-class")
"""The first of them that has what a metric needs is the one that it scores."""


@pytest.fixture(scope="module", autouse=True)
def device() -> Iterator[None]:
    with stand_in():
        yield


class FakeModel:
    """A fitted model that knows its density."""

    def __init__(self, device: str) -> None:
        self.device = torch.device(device)

    def log_prob(self, x: Tensor) -> Tensor:
        return -0.25 * x.flatten(1).square().sum(1)


def score(component: Component, task: Task, samples: Tensor, reference: Tensor, device: str) -> float:
    metric: Any = component.load()()
    facts = {"log_z": 2.0, "elbo": 1.5, "ess": 0.8}
    draw = Draw(samples, 30.0, facts, log_weights=samples.flatten(1).sum(1).neg())
    given: dict[str, Any] = {
        "reference": reference,
        "model": FakeModel(device),
        "draw": draw,
        "conditions": tuple(torch.arange(len(x), device=device) % 3 for x in (samples, reference)),
        "costs": {"energy_gradients": 30.0, "energy_densities": 0.0, "seconds": 2.0},
    }
    generator = make_generator(0, "metric", device=device)
    return float(metric(Scored(samples=samples, target=task, generator=generator, **given)))


OF_SAMPLES = [c for c in METRICS if "experience" not in c.needs]


@pytest.mark.parametrize("component", OF_SAMPLES, ids=lambda component: component.name)
def test_a_metric_stays_on_its_device(component: Component) -> None:
    needs = [n for n in component.load()().needs if n not in ("rows", "model", "draw", "costs")]
    tasks = (make("task", name) for name in TASKS)
    task = next((task for task in tasks if not task.missing(needs)), None)
    assert task is not None, f"no task here has {needs}"
    rows = [task.sample(n, generator=make_generator(n)) if task.law is not None else task.train[:n] for n in (150, 120)]
    here = score(component, task, rows[0] * 1.1, rows[1], "cpu")

    def work() -> float:
        moved = task.to("cuda")
        x, y = (r.to("cuda") for r in rows)
        return score(component, moved, x * 1.1, y, "cuda")

    there, log = watched(work)
    assert dict(log.mismatches) == {}
    assert there == pytest.approx(here, rel=1e-9, abs=1e-12)
