"""The tasks with heavy tails, and the budget of their suite."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from phys_bench.resolve import make
from phys_bench.suite import expand, load_suite
from phys_bench.tasks.heavy import horseshoe, robust_regression, student
from phys_registry import ComponentSpec
from phys_samplers.evaluations import Evaluations
from phys_samplers.target import Task

SUITE = load_suite("heavy-tails")


def test_rows_are_the_same_every_time() -> None:
    first, again = student().heldout, student().heldout
    assert first is not None
    assert again is not None
    assert torch.equal(first, again)


@pytest.mark.parametrize("make_task", [student, horseshoe, robust_regression])
def test_a_task_has_exact_rows_that_its_metrics_can_score(make_task: Callable[[], Task]) -> None:
    task = make_task()
    assert task.heldout is not None
    assert {"log_prob", "score", "sample"} <= task.capabilities
    assert ("log-z-error" in task.metrics) == ("log_z" in task.capabilities)
    assert torch.isfinite(task.log_prob(task.heldout)).all()


def test_options_are_in_the_name() -> None:
    assert student().name == "student"
    task = student(dim=2, nu=1.5, radial=False, skewness=2.0)
    assert task.name == "student[dim=2,nu=1.5,radial=false,skewness=2]"
    assert task.event_shape == (2,)


@pytest.mark.parametrize("spec", [s for s in expand(SUITE.samplers) if s.name != "exact"], ids=lambda s: s.name)
def test_a_sampler_keeps_to_160_gradients(spec: ComponentSpec) -> None:
    """On t₃; trajectories of nuts are as long as they find them."""
    few, asked = 260, Evaluations()
    model = make("sampler", spec).fit(replace(student(), evaluations=asked), seed=0)
    draw = model.draw(few, seed=0)
    pilot = few * draw.diagnostics.get("pilot_nfe", 0.0)
    cost = (asked.gradients + asked.densities - pilot) / few + pilot / (SUITE.eval_size or 1)
    assert cost == pytest.approx(160, rel=0.35 if spec.name == "nuts" else 0.1)
