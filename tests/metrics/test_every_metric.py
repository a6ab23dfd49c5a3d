"""What holds for each metric, driven from the list that the registry gets."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from phys_registry import Component
from phys_registry.options import facts_of
from phys_samplers.errors import ConfigurationError, MissingCapability
from phys_samplers.metric import BESIDES, Metric, Scored
from phys_samplers.metrics.declared import METRICS
from phys_samplers.randomness import make_generator
from phys_samplers.sampler import Draw
from phys_samplers.target import Target

Score = Callable[..., float]


class FakeModel:
    """A fitted model that knows its density."""

    device = torch.device("cpu")

    def log_prob(self, x: Tensor) -> Tensor:
        return -0.25 * x.flatten(1).square().sum(1)


OF_SAMPLES = [component for component in METRICS if "experience" not in component.needs]
"""The others score return models and agents on tasks of their own; see tests/rl."""

every_metric = pytest.mark.parametrize("component", OF_SAMPLES, ids=lambda component: component.name)
every_metric_of_rows = pytest.mark.parametrize(
    "component", [c for c in OF_SAMPLES if "rows" in c.load()().needs], ids=lambda component: component.name
)


@pytest.fixture
def sets(target: Target) -> tuple[Tensor, Tensor]:
    return (target.sample(150, generator=make_generator(1)) * 1.1, target.sample(120, generator=make_generator(2)))


def build(component: Component) -> tuple[Metric, dict[str, Any]]:
    metric = component.load()()
    facts = {"log_z": 2.0, "elbo": 1.5, "ess": 0.8}
    given: dict[str, Any] = {
        "model": FakeModel(),
        "draw": Draw(torch.zeros(150, 2), 30.0, facts),  # without weights
        "conditions": (torch.zeros(150, dtype=torch.int64), torch.zeros(120, dtype=torch.int64)),
        "costs": {"energy_gradients": 30.0, "energy_densities": 0.0, "seconds": 2.0},
    }
    return metric, {name: value for name, value in given.items() if name in metric.needs}


@pytest.mark.parametrize("component", METRICS, ids=lambda component: component.name)
def test_declaration_agrees_with_class(component: Component) -> None:
    metric, _ = build(component)
    assert isinstance(metric, Metric)
    assert dataclasses.is_dataclass(metric)
    assert component.needs == metric.needs
    assert component.traits["best"] == metric.best
    assert component.summary
    with pytest.raises(dataclasses.FrozenInstanceError):
        metric.anything = 1  # type: ignore[attr-defined]
    for preset in component.presets.values():
        component.load()(**preset)


@every_metric
def test_row_order_does_not_matter(component: Component, sets: tuple[Tensor, Tensor], score: Score) -> None:
    metric, options = build(component)
    x, y = sets
    shuffled = score(metric, x[torch.randperm(150, generator=make_generator(3))], y.flip(0), **options)
    assert shuffled == pytest.approx(score(metric, x, y, **options), rel=1e-6, abs=1e-12)


@every_metric
def test_precision_of_input_does_not_matter(component: Component, sets: tuple[Tensor, Tensor], score: Score) -> None:
    metric, options = build(component)
    x, y = sets
    single = score(metric, x, y, **options)
    assert isinstance(single, float)
    assert score(metric, x.double(), y.double(), **options) == pytest.approx(single, rel=1e-4, abs=1e-6)


@every_metric
def test_inputs_and_global_random_state_are_left_alone(
    component: Component, sets: tuple[Tensor, Tensor], score: Score
) -> None:
    metric, options = build(component)
    x, y = sets
    copies, state = (x.clone(), y.clone()), torch.get_rng_state()
    first = score(metric, x.requires_grad_(), y, **options)
    assert torch.equal(x.detach(), copies[0])
    assert torch.equal(y, copies[1])
    assert torch.equal(torch.get_rng_state(), state)
    assert score(metric, x, y, **options) == first


@every_metric_of_rows
def test_bad_rows_are_refused_by_name(component: Component, sets: tuple[Tensor, Tensor], score: Score) -> None:
    metric, options = build(component)
    x, y = sets
    name = getattr(metric, "metric", component.name)  # one that wraps another passes its words on
    broken = x.clone()
    broken[3, 1] = torch.nan
    with pytest.raises(ConfigurationError, match=rf"{name}: 1 of 150 samples rows hold NaN"):
        score(metric, broken, y, **options)
    with pytest.raises(ConfigurationError, match=rf"{name}: reference has shape \(0, 2\)"):
        score(metric, x, y[:0], **options)
    with pytest.raises(ConfigurationError, match=rf"{name}: .*\(3,\).*\(2,\)"):
        score(metric, torch.zeros(5, 3), y, **options)
    with pytest.raises(ConfigurationError, match=rf"{name}: samples is \(150,\)"):
        score(metric, x[:, 0], y, **options)


@every_metric
def test_what_the_target_lacks_is_named(component: Component, sets: tuple[Tensor, Tensor], score: Score) -> None:
    metric, options = build(component)
    bare = Target(event_shape=(2,), name="bare")
    asked = metric.needs - BESIDES.keys()
    if not asked:
        assert isinstance(score(metric, *sets, target=bare, **options), float)
    for name in asked:
        with pytest.raises(MissingCapability, match=f"{component.name} needs .*{name}.* which target 'bare'"):
            score(metric, *sets, target=bare, **options)
    for name in metric.needs & BESIDES.keys():
        given = {"reference" if name == "rows" else name: None}
        with pytest.raises(MissingCapability, match=f"{component.name} needs {name}; give "):
            score(metric, sets[0], **{"reference": sets[1]} | options | given)


@every_metric
def test_matches_itself_on_tiny_blocks(
    component: Component, sets: tuple[Tensor, Tensor], score: Score, monkeypatch: pytest.MonkeyPatch
) -> None:
    metric, options = build(component)
    whole = score(metric, *sets, **options)
    monkeypatch.setattr("phys_samplers.metrics.two_sample.BLOCK", 1000)
    monkeypatch.setattr("phys_samplers.metrics.transport.DENSE_COSTS", 10)
    assert score(metric, *sets, **options) == pytest.approx(whole, rel=1e-9, abs=1e-12)


@every_metric
@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_device_does_not_matter(
    component: Component, sets: tuple[Tensor, Tensor], target: Target, score: Score
) -> None:
    metric, options = build(component)
    x, y = sets
    on_cpu = score(metric, x, y, **options)
    on_cuda = score(metric, x.cuda(), y.cuda(), **options | {"target": target.to("cuda")})
    assert on_cuda == pytest.approx(on_cpu, rel=1e-5, abs=1e-7)


def test_listing_does_not_import_torch() -> None:
    program = "import sys, phys_samplers.metrics.declared; sys.exit('torch' in sys.modules or 'ot' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True, env={"PYTHONPATH": ":".join(filter(None, sys.path))})


def test_the_form_with_many_arguments_is_refused_and_the_new_one_shown() -> None:
    with pytest.raises(ConfigurationError, match=r"Old takes .*reference.*expected __call__\(self, scored: Scored\)"):

        class Old(Metric):
            def __call__(self, samples: Any, reference: Any, *, target: Any) -> float:  # type: ignore[override]
                return 0.0

    with pytest.raises(ConfigurationError, match=r"sets needs_model; expected .*needs = frozenset.*rows, model, draw"):

        class Flagged(Metric):
            needs_model = True

            def __call__(self, scored: Scored) -> float:
                return 0.0


def test_bounds_of_options_are_checked_when_a_metric_is_made() -> None:
    for component in METRICS:
        cls = component.load()
        for name, facts in facts_of(cls).items():
            if facts.least is not None or facts.above is not None:
                too_small = (facts.least or 0) - 1 if facts.above is None else facts.above
                bad = (too_small,) if isinstance(getattr(cls(), name), tuple) else too_small
                with pytest.raises(ConfigurationError, match=f"{name} is "):
                    cls(**{name: bad})
