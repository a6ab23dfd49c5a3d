"""The suites of equal budgets keep to them: evaluations of the energy, counted in the target, training included."""

from __future__ import annotations

from dataclasses import replace

import pytest

from phys_bench.resolve import make
from phys_bench.suite import expand, load_suite
from phys_registry import ComponentSpec
from phys_samplers.evaluations import Evaluations
from phys_samplers.sampler import Model
from phys_samplers.target import Task

FEW = 260
"""Samples drawn here; costs that all samples share (training, pilot runs) are brought to the number of the suite."""
CASES = [
    pytest.param(budget, spec, id=f"{budget}-{spec.name}")
    for budget in (30, 100, 1000)
    for spec in expand(load_suite(f"energy-budget-{budget}").samplers)
    if spec.name != "exact"
]


@pytest.fixture(scope="module")
def nine() -> Task:
    task: Task = make("task", ComponentSpec("gmm9"))
    return task


@pytest.mark.parametrize(("budget", "spec"), CASES)
def test_a_sampler_keeps_to_its_budget_on_nine_modes(budget: int, spec: ComponentSpec, nine: Task) -> None:
    samples, asked = load_suite(f"energy-budget-{budget}").eval_size, Evaluations()
    assert samples is not None
    recipe = make("sampler", spec)
    steps = getattr(recipe, "steps", 0)
    shared, few = 0.0, 4

    def fitted(steps: int) -> tuple[Model, int]:
        began = asked.copy()
        model = (recipe.with_options(steps=steps) if steps else recipe).fit(replace(nine, evaluations=asked), seed=0)
        spent = asked.since(began)
        return model, spent.gradients + spent.densities

    model, once = fitted(min(steps, few))
    if steps:  # each costs the same, beside what is asked before the first
        shared = once + (fitted(2 * few)[1] - once) / few * (steps - few)
    before = asked.copy()
    draw = model.draw(FEW, seed=0)
    drawn = asked.since(before)
    pilot = FEW * draw.diagnostics.get("pilot_nfe", 0.0)
    cost = (drawn.gradients + drawn.densities - pilot) / FEW + (shared + pilot) / samples
    assert cost == pytest.approx(budget, rel=0.1)
