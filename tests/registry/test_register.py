from __future__ import annotations

import pytest

from phys_registry import Component, DuplicateComponent, Registry, UnknownComponent


def box(radius: float = 1.0) -> float:
    return radius


def tent() -> None: ...


def schedule(name: str = "box", target: object = box, **facts: object) -> Component:
    return Component("schedule", name, target, **{"summary": "s", **facts})  # type: ignore[arg-type]


def test_registering_an_equal_component_again_changes_nothing(empty: Registry) -> None:
    first = empty.register(schedule())
    assert empty.register(schedule()) is first
    assert empty.register(schedule(), owner="someone else") is first
    assert empty.owner("schedule", "box") == "in-process"


def test_a_conflicting_duplicate_names_both_owners_and_targets(empty: Registry) -> None:
    empty.register(schedule(), owner="first")
    with pytest.raises(DuplicateComponent, match=r"schedule 'box'.*'first'.*:box.*'second'.*:tent.*rename") as caught:
        empty.register(schedule(target=tent), owner="second")
    assert "\n" not in str(caught.value)
    assert empty.get("schedule", "box").target is box


def test_listing_is_sorted_and_by_kind(empty: Registry) -> None:
    for name in ("b", "a"):
        empty.register(schedule(name))
    empty.register(Component("sampler", "z", box, summary=""))
    assert empty.names("schedule") == ["a", "b"]
    assert empty.names("loss") == []
    assert [component.key for component in empty.components()] == ["sampler/z", "schedule/a", "schedule/b"]
    assert [component.name for component in empty.components("schedule")] == ["a", "b"]


def test_unknown_names_and_kinds_get_the_nearest(empty: Registry) -> None:
    empty.register(schedule("gaussian"))
    with pytest.raises(UnknownComponent, match=r"no schedule 'gausian'.*Did you mean 'gaussian'.*Known: gaussian"):
        empty.get("schedule", "gausian")
    with pytest.raises(UnknownComponent, match=r"no schedule 'Gaussian'.*Did you mean 'gaussian'"):
        empty.owner("schedule", "Gaussian")
    with pytest.raises(UnknownComponent, match=r"no loss 'gaussian'. There is a schedule of this name. Known: none"):
        empty.make("loss", "gaussian")
    for call in (empty.names, empty.components):
        with pytest.raises(UnknownComponent, match=r"unknown kind 'schedules'.*Did you mean 'schedule'"):
            call("schedules")
    assert issubclass(UnknownComponent, LookupError)


def test_the_decorator_registers_and_returns_the_target(empty: Registry) -> None:
    @empty.component("schedule", "box", summary="A box.", reference="E1", needs={"samples"}, traits={"smooth": False})
    def mine(radius: float = 1.0) -> float:
        return radius

    assert mine(2.0) == 2.0
    assert empty.make("schedule", "box", radius=3.0) == 3.0
    component = empty.get("schedule", "box")
    assert (component.summary, component.reference, component.traits) == ("A box.", "E1", {"smooth": False})


CELL = """
@registry.component("schedule", "box", summary="{summary}")
def {function}():
    return {value!r}
"""


def test_running_a_definition_again_replaces_it(empty: Registry) -> None:
    for value in (1, 2):
        namespace = {"registry": empty, "__name__": "__main__"}
        exec(CELL.format(summary=f"v{value}", function="mine", value=value), namespace)
    assert empty.make("schedule", "box") == 2
    assert empty.get("schedule", "box").summary == "v2"


def test_another_definition_of_the_name_is_an_error_until_the_first_is_unregistered(empty: Registry) -> None:
    namespace = {"registry": empty, "__name__": "__main__"}
    exec(CELL.format(summary="", function="mine", value=1), namespace)
    with pytest.raises(DuplicateComponent, match=r"twice \(__main__:mine and __main__:other\).*unregister"):
        exec(CELL.format(summary="", function="other", value=2), namespace)
    empty.unregister("schedule", "box")
    exec(CELL.format(summary="", function="other", value=2), namespace)
    assert empty.make("schedule", "box") == 2


def test_the_decorator_does_not_take_over_a_plugins_component(plugin, of) -> None:
    registry = of(plugin("owner_one", "mine"))
    with pytest.raises(DuplicateComponent, match=r"'owner_one'.*'in-process'"):
        registry.component("sampler", "mine", summary="")(tent)


def test_in_process_owners_are_reported(empty: Registry) -> None:
    empty.register(schedule("a"))
    empty.register(schedule("b"), owner="notebook")
    rows = {status.name: status for status in empty.plugins()}
    assert rows["in-process"].components == ("schedule/a",)
    assert rows["notebook"].components == ("schedule/b",)
    assert {status.source for status in rows.values()} == {"in-process"}
    assert __name__.rpartition(".")[2] in rows["notebook"].location
