"""Laws given a class: the metric tells a class from another, its floor is of rows of the class, and the runner asks."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from phys_bench import api
from phys_bench.scoring import floor_facts, reference_conditions, reference_rows
from phys_bench.suite import load_suite
from phys_bench.tasks.classes import PLANE_CLASSES, digits_by_class, plane_by_class, plane_given
from phys_samplers import make
from phys_samplers.errors import ConfigurationError, MissingCapability
from phys_samplers.metric import Metric, Scored, floor
from phys_samplers.options import make_part
from phys_samplers.randomness import make_generator
from phys_samplers.target import Task


@pytest.fixture(scope="module")
def plane() -> Task:
    return plane_by_class()


def scored(task: Task, samples: torch.Tensor, n: int) -> Scored:
    return Scored(
        samples=samples,
        reference=reference_rows(task, task.name, n, 0),
        target=task,
        generator=make_generator(0),
        conditions=reference_conditions(task, task.name, n, 0),
    )


def drawn(given: torch.Tensor, seed: int, *, shift: int = 0) -> torch.Tensor:
    """Exact draws given each class, or that ``shift`` away."""
    rows = torch.empty(len(given), 2)
    for k in range(PLANE_CLASSES):
        rows[given == k] = plane_given((k + shift) % PLANE_CLASSES, int((given == k).sum()), seed)
    return rows


# Ten scores of exact draws, none of them among the rows of the task, about the mean of twenty floors: their mean is
# normal about it with the standard error of both, and 4 of these are crossed by chance once in 16,000.
def test_exact_draws_given_the_class_are_at_the_floor_and_others_far_above(plane: Task) -> None:
    metric: Metric = make("metric", "by-class", metric="energy-distance")
    n = 400
    conditions = reference_conditions(plane, plane.name, n, 0)
    assert conditions is not None
    reference = reference_rows(plane, plane.name, n, 0)
    low = floor(metric, plane, n=n, reference=reference, conditions=conditions, repeats=20)
    assert low is not None
    assert low.source == "train"
    own = [metric(scored(plane, drawn(conditions[0], seed), n)) for seed in range(10, 20)]
    error = low.std * (1 / 20 + 1 / 10) ** 0.5
    assert sum(own) / 10 == pytest.approx(low.mean, abs=4 * error)
    ignored = drawn(conditions[0], 9)[torch.randperm(n, generator=make_generator(1))]  # of all rows, exactly
    whole: Metric = make("metric", "energy-distance")
    assert metric(scored(plane, ignored, n)) > 5 * low.mean
    assert metric(scored(plane, drawn(conditions[0], 9, shift=2), n)) > 5 * low.mean
    assert whole(scored(plane, ignored, n)) == pytest.approx(whole(scored(plane, drawn(conditions[0], 9), n)))


def test_it_is_the_mean_of_what_classes_score(plane: Task) -> None:
    metric, inner = make("metric", "by-class"), make("metric", "w2")
    conditions = reference_conditions(plane, plane.name, 200, 0)
    assert conditions is not None
    samples, reference = drawn(conditions[0], 5), reference_rows(plane, plane.name, 200, 0)
    bare = {"target": plane, "generator": make_generator(0)}
    each = [
        inner(Scored(samples=samples[conditions[0] == k], reference=reference[conditions[1] == k], **bare))
        for k in range(PLANE_CLASSES)
    ]
    assert metric(scored(plane, samples, 200)) == pytest.approx(sum(each) / PLANE_CLASSES)
    for k in range(PLANE_CLASSES):
        assert make("metric", "by-class", only=k)(scored(plane, samples, 200)) == pytest.approx(each[k])


def test_what_it_cannot_score_is_refused(plane: Task) -> None:
    metric: Metric = make("metric", "by-class")
    whole = scored(plane, torch.zeros(200, 2), 200)
    assert whole.conditions is not None
    with pytest.raises(
        MissingCapability, match="by-class needs what samples and reference were given; give conditions"
    ):
        metric(dataclasses.replace(whole, conditions=None))
    given, kept = whole.conditions
    for pair, words in (
        ((given.double(), kept), "are covariates"),
        ((given[:5], kept), "expected one class a row"),
        ((given * 0, kept), "expected the same classes"),
    ):
        with pytest.raises(ConfigurationError, match=words):
            metric(dataclasses.replace(whole, conditions=pair))
    with pytest.raises(ConfigurationError, match=r"only is 4, and the reference has rows of \[0, 1, 2, 3\]"):
        make("metric", "by-class", only=4)(whole)
    for other in ("tvd-e", "mode-tv", "nll", "by-class"):
        with pytest.raises(ConfigurationError, match="expected one that looks at rows alone"):
            make("metric", "by-class", metric=other)


def test_a_floor_needs_as_many_training_rows_of_every_class(plane: Task) -> None:
    given = torch.zeros(1_501, dtype=torch.int64)
    assert plane.heldout is not None
    metric: Metric = make("metric", "by-class")
    reference = plane.heldout
    assert floor(metric, plane, n=1_501, reference=reference, conditions=(given, given)) is None
    assert floor(metric, plane, n=10, reference=reference) is None
    assert "does not offer" in floor_facts("by-class", make("task", "moons"), "moons", 10)["error"]


def test_digits_are_given_which(plane: Task) -> None:
    task = digits_by_class()
    assert task.conditions is not None
    assert task.heldout is not None
    assert task.capabilities == plane.capabilities == {"samples", "conditions"}
    reference = reference_rows(task, task.name, 359, 3)
    conditions = reference_conditions(task, task.name, 359, 3)
    assert conditions is not None
    assert torch.equal(conditions[0], conditions[1])
    kept = {
        tuple(row): int(k) for row, k in zip(task.heldout.flatten(1).tolist(), task.conditions.heldout, strict=True)
    }
    assert [kept[tuple(row)] for row in reference.flatten(1).tolist()] == conditions[1].tolist()
    over = reference_conditions(task, task.name, 400, 3)
    assert over is not None
    assert torch.equal(over[0], torch.cat((conditions[0], conditions[0][:41])))


def test_the_runner_asks_for_the_classes_of_the_held_out_rows(tmp_path: Path) -> None:
    suite = {
        "name": "small",
        "tasks": ["plane-by-class"],
        "samplers": [
            "edm[steps=60,sampling_steps=5]",
            "edm[guidance_weight=-1.0,steps=60,sampling_steps=5]",
            "bellman",
        ],
        "seeds": 1,
        "eval_size": 200,
        "metrics": ["by-class", "sliced-w2"],
    }
    results = api.run(suite, out=tmp_path, executor="inline", progress=False, device="cpu")
    asked, ignored, refused = results.records
    assert (asked["status"], ignored["status"], refused["status"]) == ("ok", "ok", "incompatible")
    assert "learns no laws given a condition" in refused["reason"]
    assert asked["floors"]["by-class"]["source"] == "train"
    assert asked["floors"]["by-class"]["mean"] < asked["scores"]["by-class"] < ignored["scores"]["by-class"]


def test_its_suite_names_what_there_is() -> None:
    suite = load_suite("by-class")
    assert suite.metrics is None or not suite.metrics  # the tasks'
    for spec in suite.samplers:
        assert make_part("sampler", spec).takes_conditions
