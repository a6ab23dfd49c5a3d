"""The task of sets: what it offers, what exact sets score, and that its suite can be planned."""

from __future__ import annotations

import math

import pytest

from phys_bench.suite import load_suite
from phys_samplers import make
from phys_samplers.metric import floor
from phys_samplers.options import make_part


def test_the_ring_wants_sets_of_ten() -> None:
    task = make("task", "ring-sets")
    assert task.set_size == 10
    assert {"sets", "modes", "samples", "sample", "score"} <= task.capabilities
    assert task.eval_size % task.set_size == 0
    assert all("sets" in make_part("metric", text).needs for text in task.metrics)


def test_exact_sets_find_what_the_combinatorics_say() -> None:
    """10 (1 − .9¹⁰) = 6.513 (Proposition 4 of the thesis): the mean of 10 × 100 sets, to 5 standard errors."""
    task = make("task", "ring-sets")
    found = floor(make_part("metric", task.metrics[0]), task, n=1_000, reference=task.heldout[:1_000], repeats=10)
    assert found is not None
    assert found.mean == pytest.approx(10 * (1 - 0.9**10), abs=5 * 0.98 / math.sqrt(1_000))


def test_its_suite_names_what_there_is() -> None:
    suite = load_suite("sets")
    assert list(suite.tasks) == ["ring-sets"]
