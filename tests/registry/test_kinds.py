"""Kinds are open: a plugin declares one, and everything that knows kinds knows it."""

from __future__ import annotations

import pytest

from phys_registry import BadOption, Component, DuplicateComponent, InvalidComponent, Registry, UnknownComponent

PLUGIN = """
class Guide: ...
class Wind(Guide): ...

@hookimpl
def phys_components():
    yield Component("guide", "wind", Wind, summary="blows")  # before its kind: the order does not matter
    yield Component("kind", "guide", Guide, summary="what leads particles")
"""


def test_a_plugin_declares_a_kind(write, empty: Registry) -> None:
    status = empty.load_file(write("guiding", PLUGIN))
    assert status.components == ("guide/wind", "kind/guide")
    assert empty.kinds()[0] == "sampler"
    assert empty.kinds()[-1] == "guide"
    assert empty.names("guide") == ["wind"]
    assert type(empty.make("guide", "wind")).__name__ == "Wind"
    assert empty.base("guide").__name__ == "Guide"
    assert empty.describe("kind", "guide", options=False).summary == "what leads particles"
    assert [component.key for component in empty.components()] == ["guide/wind"]
    with pytest.raises(UnknownComponent, match=r"no guide 'wint'.*Did you mean 'wind'"):
        empty.make("guide", "wint")
    with pytest.raises(UnknownComponent, match=r"unknown kind 'guides'.*Did you mean 'guide'"):
        empty.names("guides")
    with pytest.raises(BadOption, match="declared, not made"):
        empty.make("kind", "guide")


def test_kinds_are_declared_once(empty: Registry) -> None:
    with pytest.raises(DuplicateComponent, match="kind 'sampler' is already registered"):
        empty.register(Component("kind", "sampler", object, summary=""))
    with pytest.raises(InvalidComponent, match="unknown kind 'guide'"):
        empty.register(Component("guide", "wind", object, summary=""))
    empty.register(Component("kind", "guide", object, summary=""))
    empty.register(Component("guide", "wind", object, summary=""))
    assert empty.names("kind")[-2:] == sorted([*empty.kinds()])[-2:]
