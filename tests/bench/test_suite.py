from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from phys_bench.resolve import Resolver
from phys_bench.suite import Budget, Suite, expand, list_suites, load_suite
from phys_registry import SpecError
from phys_samplers.errors import ConfigurationError

MINIMAL: dict[str, Any] = {"name": "mine", "tasks": ["moons"], "samplers": ["exact"]}


def test_the_quick_suite_is_shipped_and_names_registered_components() -> None:
    from phys_samplers import catalogue

    quick = load_suite("quick")
    assert quick.name in [suite.name for suite in list_suites()]
    assert quick.seeds == (0, 1, 2)
    assert quick.tasks == ("spans", "mixture-2d", "moons", "gmm9")
    assert [spec.name for spec in expand(quick.tasks) if spec.name not in catalogue.names("task")] == []
    assert [spec.name for spec in expand(quick.samplers) if spec.name not in catalogue.names("sampler")] == []


def test_a_suite_survives_the_round_trip_through_a_file_and_a_mapping(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text(
        'name = "own"\ntasks = ["moons"]\nsamplers = ["bellman[kernel=gaussian,sliced]"]\nseeds = [4, 7]\n'
        'metrics = ["w2", "w1"]\neval_size = 50\n[budget]\nseconds = 5\n'
        '[[overrides]]\ntask = "moo*"\nsampler = "bellman"\noptions = { steps = 10, hidden = [8, 8] }\nseconds = 9\n'
    )
    suite = load_suite(path)
    assert suite.seeds == (4, 7)
    assert suite.budget == Budget(seconds=5.0)
    assert suite.overrides[0].options == {"steps": 10, "hidden": (8, 8)}
    assert Suite.from_dict(suite.to_dict()) == suite
    assert [str(spec) for spec in expand(suite.samplers)] == ["bellman[kernel=gaussian]", "bellman[kernel=sliced]"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sampler": ["exact"]}, "no key 'sampler'.*Did you mean 'samplers'"),
        ({"budget": {"secnds": 3}}, r"no key 'secnds' in \[budget\].*Did you mean 'seconds'"),
        ({"budget": {"seconds": -1}}, "budget.seconds is -1; expected a positive number"),
        ({"overrides": [{"tasks": "x"}]}, r"no key 'tasks' in \[overrides\[0\]\].*Did you mean 'task'"),
        ({"overrides": [{"sampler": "exact", "eval_size": 10}]}, r"overrides\[0\].eval_size is set for one sampler"),
        ({"overrides": [{"options": {"a": {"b": 1}}}]}, r"overrides\[0\].options.a is"),
        ({"seeds": 0}, "seeds is 0"),
        ({"seeds": [1, 1]}, "every seed once"),
        ({"seeds": [True]}, "non-negative integers"),
        ({"tasks": "moons"}, "tasks is 'moons'; expected a list"),
        ({"tasks": []}, "tasks is"),
        ({"eval_size": 1}, "eval_size is 1"),
        ({"name": "a/b"}, "name is 'a/b'"),
    ],
)
def test_a_wrong_suite_names_the_key_and_what_is_allowed(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Suite.from_dict({**MINIMAL, **change})


def test_a_missing_key_an_unknown_suite_and_a_file_that_is_not_toml(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="the key 'tasks' is missing"):
        Suite.from_dict({"name": "mine", "samplers": ["exact"]})
    with pytest.raises(ConfigurationError, match=r"no suite 'quik'.*Did you mean 'quick'"):
        load_suite("quik")
    broken = tmp_path / "broken.toml"
    broken.write_text("name = ")
    with pytest.raises(ConfigurationError, match=r"broken\.toml is not TOML"):
        load_suite(broken)


def test_what_would_never_end_is_refused_at_once(tmp_path: Path) -> None:
    many = ",".join(f"o{i}=0,1" for i in range(40))
    with pytest.raises(SpecError, match="stands for 1,099,511,627,776 components; expected at most 10,000"):
        expand([f"exact[{many}]"])
    rest: dict[str, Any] = {"name": "x", "tasks": ["moons"], "samplers": ["exact"]}
    with pytest.raises(ConfigurationError, match="seeds is 1,000,000,000; expected at most 100,000 seeds"):
        Suite.from_dict({**rest, "seeds": 10**9})
    wide = {**rest, "samplers": [f"exact[a={','.join(map(str, range(100)))}]"], "seeds": 50_000}
    with pytest.raises(ConfigurationError, match="suite 'x' has 5,000,000 cells; expected at most 1,000,000"):
        Resolver(Suite.from_dict(wide), "cpu").cells()
