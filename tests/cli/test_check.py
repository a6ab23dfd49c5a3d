"""check: the conformance checks as a command."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from click.testing import Result

from phys_registry import Component
from phys_samplers.catalogue import registry
from phys_samplers.exact import ExactModel, ExactSampler
from phys_samplers.sampler import Draw
from phys_samplers.testing import check_names

Run = Callable[..., Result]


class CarelessModel(ExactModel):
    def draw(self, n: int, **options: Any) -> Draw:  # type: ignore[override]
        return Draw(samples=torch.randn(n, *self.event_shape), nfe=0.0)


@dataclass(frozen=True, kw_only=True)
class Careless(ExactSampler):
    def fit(self, target: Any, **options: Any) -> CarelessModel:  # type: ignore[override]
        return CarelessModel(self, target, "cpu")


def test_a_sampler_that_keeps_the_contract(run: Run) -> None:
    output = run("check", "exact").output
    results = [line.split() for line in output.splitlines()[: len(check_names())]]
    assert [words[1] for words in results] == check_names()
    assert {words[0] for words in results} <= {"passed", "skipped"}
    assert "exact: " in output.splitlines()[-1]


def test_one_that_does_not(run: Run) -> None:
    registry.register(Component("sampler", "careless", Careless, summary="draws from the global state"))
    try:
        output = run("check", "careless", "--task", "moons", code=1).output
    finally:
        registry.unregister("sampler", "careless")
    failed = [line.split()[1] for line in output.splitlines() if line.startswith("failed")]
    assert {"equal_seeds_give_equal_draws", "global_state_is_untouched"} <= set(failed)
    assert f"{len(failed)} failed" in output.splitlines()[-1]


@pytest.mark.parametrize(("words", "part"), [(["bellmann"], "'bellman'"), (["exact[x=1]"], "'x'")])
def test_bad_samplers(run: Run, words: list[str], part: str) -> None:
    assert part in run("check", *words, code=2).output
