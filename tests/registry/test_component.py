from __future__ import annotations

import copy
import dataclasses
import json
import pickle

import pytest

from phys_registry import Component, InvalidComponent, Registry, RegistryError, TargetError


def made(**facts: object) -> Component:
    return Component("sampler", "mine", "collections:OrderedDict", **{"summary": "s", **facts})  # type: ignore[arg-type]


def test_facts_are_frozen_and_default_to_nothing() -> None:
    component = made()
    assert (component.reference, component.needs, component.citation, component.version) == ("", frozenset(), "", 1)
    assert component.presets == {}
    assert component.traits == {}
    with pytest.raises(dataclasses.FrozenInstanceError):
        component.name = "other"  # type: ignore[misc]


@pytest.mark.parametrize(
    "needs", [{"samples", "score"}, ["samples", "score", "score"], (n for n in ("score", "samples"))]
)
def test_needs_takes_any_iterable(needs: object) -> None:
    assert made(needs=needs).needs == frozenset({"samples", "score"})


def test_mappings_are_copied_and_read_only() -> None:
    options = {"epsilon": 0.1}
    component = made(presets={"paper": options}, traits={"equation": "sde", "strong_order": 0.5})
    options["epsilon"] = 9.0
    assert component.presets["paper"]["epsilon"] == 0.1
    for mapping in (component.presets, component.presets["paper"], component.traits):
        with pytest.raises(TypeError, match="read-only"):
            mapping["x"] = 1  # type: ignore[index]
        with pytest.raises(TypeError, match="read-only"):
            mapping.update(x=1)  # type: ignore[union-attr]


def test_component_copies_pickles_hashes_and_serialises() -> None:
    component = made(presets={"paper": {"epsilon": 0.1}}, traits={"orders": [1, 2]}, needs={"samples"})
    for other in (pickle.loads(pickle.dumps(component)), copy.deepcopy(component), dataclasses.replace(component)):
        assert other == component
        assert hash(other) == hash(component)
    assert json.loads(json.dumps(component.traits)) == {"orders": [1, 2]}
    assert dataclasses.asdict(component)["presets"] == {"paper": {"epsilon": 0.1}}
    assert dataclasses.replace(component, version=2) != component


def test_unknown_kind_is_refused_with_the_nearest(empty: Registry) -> None:
    with pytest.raises(InvalidComponent, match=r"unknown kind 'samplers'.*Did you mean 'sampler'.*Kinds are: sampler"):
        empty.register(Component("samplers", "mine", "a:b", summary=""))
    with pytest.raises(InvalidComponent, match="a kind begins with"):
        Component("Sampler!", "mine", "a:b", summary="")


@pytest.mark.parametrize("name", ["", "Mine", "-mine", "my name", "mine\n", "a.b", 3])
def test_bad_names_are_refused(name: object) -> None:
    with pytest.raises(InvalidComponent, match="a name begins with"):
        Component("sampler", name, "a:b", summary="")  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["mine", "0", "dpm++_2m", "a-b"])
def test_good_names_are_accepted(name: str) -> None:
    assert Component("sampler", name, "a:b", summary="").name == name


@pytest.mark.parametrize("target", ["a.b", "a:", ":b", "a:b:c", "a b:c", "a..b:c", "", "a:1"])
def test_malformed_targets_are_refused(target: str) -> None:
    with pytest.raises(InvalidComponent, match=r"package\.module:attribute"):
        Component("sampler", "mine", target, summary="")


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"needs": "samples"}, r"write needs=\{'samples'\}"),
        ({"needs": [1]}, "iterable of strings, got 1"),
        ({"version": 0}, "positive integer"),
        ({"version": True}, "positive integer"),
        ({"summary": None}, "summary must be a string"),
        ({"traits": {"f": print}}, "trait 'f' is not JSON-like"),
        ({"traits": [1]}, "traits must map"),
        ({"presets": {"paper": 3}}, "preset 'paper' must map"),
        ({"presets": ["paper"]}, "presets must map"),
    ],
)
def test_bad_facts_are_refused(facts: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidComponent, match=message) as caught:
        made(**facts)
    assert isinstance(caught.value, RegistryError)
    assert "sampler 'mine'" in str(caught.value)


def test_a_target_that_is_not_callable_is_refused() -> None:
    with pytest.raises(InvalidComponent, match="class or function, got 3"):
        Component("sampler", "mine", 3, summary="")  # type: ignore[arg-type]


def test_load_imports_the_target() -> None:
    import collections

    assert made().load() is collections.OrderedDict
    assert (
        Component("sampler", "x", "collections:OrderedDict.fromkeys", summary="").load()
        == collections.OrderedDict.fromkeys
    )
    assert Component("sampler", "x", dict, summary="").load() is dict


def test_load_names_a_missing_module(write) -> None:
    with pytest.raises(TargetError, match=r"sampler 'x' \(target 'nowhere.at.all:A'\): no module 'nowhere'"):
        Component("sampler", "x", "nowhere.at.all:A", summary="").load()
    write("needs_much", "import surely_not_installed")
    with pytest.raises(TargetError, match="needs the module 'surely_not_installed', which is not installed"):
        Component("sampler", "x", "needs_much:A", summary="").load()


def test_load_names_a_missing_attribute_and_the_nearest() -> None:
    with pytest.raises(TargetError, match=r"no attribute 'OrderedDic'.*Did you mean 'OrderedDict'") as caught:
        Component("sampler", "x", "collections:OrderedDic", summary="").load()
    assert isinstance(caught.value, ImportError)


def test_load_wraps_any_import_error_and_refuses_what_cannot_be_called(write) -> None:
    write("breaks", "raise RuntimeError('no GPU')")
    with pytest.raises(TargetError, match="importing 'breaks' failed: RuntimeError: no GPU"):
        Component("sampler", "x", "breaks:A", summary="").load()
    write("constant", "A = 3")
    with pytest.raises(TargetError, match="it is a int; point the target to a class or function"):
        Component("sampler", "x", "constant:A", summary="").load()


def test_target_text() -> None:
    assert made().target_text == "collections:OrderedDict"
    assert Component("sampler", "x", made, summary="").target_text.endswith(":made")
