from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from phys_registry import Component, Registry, TargetError


def helper() -> None: ...


@dataclass(frozen=True, kw_only=True)
class Base:
    """A base.

    Attributes:
        epsilon: Noise level,
            in units of the data.
    """

    epsilon: float = 0.1


@dataclass(frozen=True, kw_only=True)
class Recipe(Base):
    """A recipe.

    More about it, with a colon: here.

    Attributes:
        steps (int): Number of steps.

    Example:
        tags: not an option's text
    """

    steps: int
    tags: list[str] = field(default_factory=list, metadata={"doc": "Free text."})
    base: Base = field(default_factory=Base)


class Plain:
    def __init__(self, rate, function: Callable[[], None] = helper, **others: int) -> None:
        """Make one.

        Args:
            rate: How fast.
            function: What to call.
            **others: The rest.
        """


def test_options_are_described(empty: Registry) -> None:
    empty.register(Component("sampler", "recipe", Recipe, summary="A recipe."))
    options = empty.describe("sampler", "recipe").options
    assert options is not None
    assert [(o.name, o.type, o.default, o.required, o.doc) for o in options] == [
        ("epsilon", "float", "0.1", False, "Noise level, in units of the data."),
        ("steps", "int", "", True, "Number of steps."),
        ("tags", "list[str]", "[]", False, "Free text."),
        ("base", "Base", "Base()", False, ""),
    ]


def test_plain_classes_are_described_by_init(empty: Registry) -> None:
    empty.register(Component("sampler", "plain", Plain, summary=""))
    options = empty.describe("sampler", "plain").options
    assert options is not None
    assert [(o.name, o.type, o.default, o.doc) for o in options] == [
        ("rate", "", "", "How fast."),
        ("function", "Callable[[], None]", "helper", "What to call."),
    ]


def test_the_facts_and_the_owner_are_there_and_json_like(empty: Registry) -> None:
    facts: dict[str, Any] = {"reference": "Eq. 1", "needs": {"b", "a"}, "citation": "@misc{x}", "version": 2}
    component = Component(
        "sampler", "x", Recipe, summary="s", presets={"paper": {"steps": 1}}, traits={"order": 0.5}, **facts
    )
    empty.register(component, owner="me")
    description = empty.describe("sampler", "x")
    assert description.owner == "me"
    assert description.needs == {"a", "b"}
    plain = json.loads(json.dumps(description.to_dict()))
    assert plain["needs"] == ["a", "b"]
    assert plain["presets"] == {"paper": {"steps": 1}}
    assert plain["traits"] == {"order": 0.5}
    assert plain["version"] == 2
    assert plain["target"].endswith(":Recipe")
    assert plain["options"][1] == {
        "name": "steps",
        "type": "int",
        "default": "",
        "required": True,
        "doc": "Number of steps.",
        "stage": "fit",
        "allowed": "",
    }


def test_without_options_nothing_is_imported(empty: Registry) -> None:
    empty.register(Component("sampler", "x", "nowhere:A", summary="s"))
    description = empty.describe("sampler", "x", options=False)
    assert description.options is None
    assert description.to_dict()["options"] is None
    with pytest.raises(TargetError):
        empty.describe("sampler", "x")
