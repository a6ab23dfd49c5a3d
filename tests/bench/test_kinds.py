"""A suite whose samplers are made of components of a kind that a plugin declares."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from phys_bench import api
from phys_registry import UnknownComponent
from phys_samplers import catalogue

SUITE: dict[str, Any] = {
    "name": "guided",
    "tasks": ["mixture-2d"],
    "samplers": ["guided-in-test", "guided-in-test[guide=wind,wind[force=9.0]]"],
    "metrics": ["mean-error"],
    "eval_size": 64,
    "seeds": 1,
}


@pytest.fixture(scope="module")
def guides() -> Iterator[None]:
    registry = catalogue.registry
    registry.load_file(Path(__file__).with_name("guided_plugin.py"))
    yield
    for kind, name in [("sampler", "guided-in-test"), ("guide", "wind"), ("guide", "still"), ("kind", "guide")]:
        registry.unregister(kind, name)


def run(out: Path, **changes: Any) -> api.Results:
    return api.run({**SUITE, **changes}, out=out, executor="inline", progress=False, device="cpu")


def test_records_know_the_parts_of_a_kind_that_a_plugin_declares(guides: None, tmp_path: Path) -> None:
    results = run(tmp_path)
    assert results.samplers == ["guided-in-test", "guided-in-test[guide=wind]", "guided-in-test[guide=wind[force=9.0]]"]
    assert all(cell.ok for cell in results.cells)
    still, calm, storm = ({c.sampler: c for c in results.cells}[name] for name in results.samplers)
    assert still.scores == calm.scores, "a wind without force is none"
    assert storm.scores["mean-error"] > still.scores["mean-error"] + 1
    assert [cell.parts for cell in (still, calm, storm)] == [("guide/still",), ("guide/wind",), ("guide/wind",)]
    assert len({cell.id for cell in results.cells}) == 3
    assert [*run(tmp_path).records] == [*results.records], "nothing is run again"


def test_a_part_that_the_kind_does_not_have_is_named(guides: None, tmp_path: Path) -> None:
    with pytest.raises(UnknownComponent, match=r"no guide 'wint'.*Did you mean 'wind'"):
        run(tmp_path, samplers=["guided-in-test[guide=wint]"])
