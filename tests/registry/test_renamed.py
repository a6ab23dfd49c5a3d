"""Whatever is renamed answers to its former name, with a warning that says the present one."""

from __future__ import annotations

import warnings
from typing import Any

import pytest

from phys_registry import BadOption, Component, InvalidComponent, Registry, RenamedWarning


def dict_of(step: float = 1.0) -> dict[str, float]:
    return {"step": step}


def make_thing(step: float = 1.0, **more: Any) -> tuple[float, dict[str, Any]]:
    return step, more


@pytest.fixture
def renamed(empty: Registry) -> Registry:
    empty.register(
        Component(
            "sampler",
            "new",
            make_thing,
            summary="",
            renamed_from={"old", "older"},
            renamed_options={"eta": "step"},
        )
    )
    return empty


def test_a_former_name_finds_the_component(renamed: Registry) -> None:
    for name in ("old", "older"):
        with pytest.warns(RenamedWarning, match=f"sampler '{name}' is now called 'new'"):
            assert renamed.get("sampler", name).name == "new"
        with pytest.warns(RenamedWarning):
            assert renamed.make("sampler", name, step=2.0) == (2.0, {})
    assert renamed.names("sampler") == ["new"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert renamed.make("sampler", "new") == (1.0, {})


def test_a_former_option_is_taken_for_the_present_one(renamed: Registry) -> None:
    with pytest.warns(RenamedWarning, match="the option 'eta' of sampler 'new' is now called 'step'"):
        assert renamed.make("sampler", "new", eta=3.0) == (3.0, {})
    with pytest.raises(BadOption, match="'eta' and 'step'"):
        renamed.make("sampler", "new", eta=3.0, step=2.0)


def test_a_component_of_the_former_name_comes_first(renamed: Registry) -> None:
    renamed.register(Component("sampler", "old", dict, summary=""))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert renamed.make("sampler", "old") == {}


def test_an_option_that_is_gone_says_what_to_write_instead(empty: Registry) -> None:
    empty.register(Component("sampler", "plain", dict_of, summary="", gone_options={"twice": "Take sampler 'double'"}))
    with pytest.raises(BadOption, match=r"'plain' has no option 'twice'\. Take sampler 'double'\. Options of"):
        empty.make("sampler", "plain", twice=True)


def test_former_names_are_checked() -> None:
    with pytest.raises(InvalidComponent, match=r"renamed_from must be a set of names.*write renamed_from=\{'old'\}"):
        Component("sampler", "x", dict, summary="", renamed_from="old")
    with pytest.raises(InvalidComponent, match="renamed_options must map a former name to the present one"):
        Component("sampler", "x", dict, summary="", renamed_options={"a": 1})  # type: ignore[dict-item]
    with pytest.raises(InvalidComponent, match="gone_options must map a name to what to write instead"):
        Component("sampler", "x", dict, summary="", gone_options=["a"])  # type: ignore[arg-type]
