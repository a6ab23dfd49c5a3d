from __future__ import annotations

from collections.abc import Callable

import pytest

from phys_registry import Component, PluginStatus, Registry
from phys_samplers.catalogue import KINDS

GROUP = "phys_samplers.tests_only"  # not the true group, so that what is installed does not matter


def found(*builtins: str, **environment: str) -> Registry:
    return Registry(kinds=KINDS, builtins=builtins, entry_point_group=GROUP, environment=environment)


def rows(registry: Registry) -> dict[str, PluginStatus]:
    return {status.name: status for status in registry.plugins()}


@pytest.fixture
def foreign(plugin: Callable[..., str], distribution: Callable[..., None]) -> None:
    """Two good distributions around a broken one."""
    distribution("alpha-dist", f"[{GROUP}]\nalpha = {plugin('alpha_plugin', 'a')}\n", "1.2")
    distribution("broken-dist", f"[{GROUP}]\nbroken = no_such_module_here\n")
    distribution("zeta-dist", f"[{GROUP}]\nzeta = {plugin('zeta_plugin', 'z')}\n")


@pytest.mark.usefixtures("foreign")
def test_one_broken_entry_point_leaves_the_others() -> None:
    registry = found()
    assert registry.names("sampler") == ["a", "z"]
    alpha, broken = rows(registry)["alpha"], rows(registry)["broken"]
    assert (alpha.source, alpha.distribution, alpha.version) == ("entry point", "alpha-dist", "1.2")
    assert alpha.location.endswith("alpha_plugin.py")
    assert registry.owner("sampler", "a") == "alpha"
    assert (broken.status, broken.distribution, broken.location) == ("failed", "broken-dist", "no_such_module_here")
    assert broken.error == "ModuleNotFoundError: No module named 'no_such_module_here'"
    assert alpha.to_dict()["components"] == ["sampler/a"]


def test_an_entry_point_may_name_an_attribute(write, distribution) -> None:
    write("holder_plugin", "class P:\n    @hookimpl\n    def phys_components(self):\n        return []\np = P()\n")
    distribution("holder", f"[{GROUP}]\ngood = holder_plugin:p\nbad = holder_plugin:q\n")
    assert {name: status.status for name, status in rows(found()).items()} == {"good": "loaded", "bad": "failed"}


@pytest.mark.usefixtures("foreign")
def test_unreadable_metadata_of_one_distribution_leaves_the_others(distribution) -> None:
    distribution("ours-garbled", f"[{GROUP}]\nthis line has no equals sign\n")
    distribution("foreign-garbled", "[another.group]\nthis line has no equals sign\n")
    registry = found()
    assert registry.names("sampler") == ["a", "z"]
    status = rows(registry)["ours-garbled"]
    assert status.status == "failed"
    assert "entry_points.txt of 'ours-garbled' cannot be read" in status.error
    assert "foreign-garbled" not in rows(registry)


@pytest.mark.usefixtures("foreign")
@pytest.mark.parametrize(
    ("environment", "left"),
    [
        ({}, ["a", "built", "z"]),
        ({"PHYS_SAMPLERS_PLUGINS": ""}, ["built"]),
        ({"PHYS_SAMPLERS_PLUGINS": "alpha"}, ["a", "built"]),
        ({"PHYS_SAMPLERS_PLUGINS": "Zeta_Dist , alpha"}, ["a", "built", "z"]),
        ({"PHYS_SAMPLERS_PLUGINS": "zeta_plugin"}, ["built", "z"]),
        ({"PHYS_SAMPLERS_DENY": "alpha"}, ["built", "z"]),
        ({"PHYS_SAMPLERS_DENY": "zeta-dist,built_plugin"}, ["a"]),
        ({"PHYS_SAMPLERS_PLUGINS": "alpha,zeta", "PHYS_SAMPLERS_DENY": "zeta"}, ["a", "built"]),
    ],
    ids=str,
)
def test_the_environment_allows_and_denies(plugin, environment: dict[str, str], left: list[str]) -> None:
    registry = found(plugin("built_plugin", "built"), **environment)
    assert registry.names("sampler") == left


@pytest.mark.usefixtures("foreign")
def test_denied_plugins_are_not_imported_and_say_why() -> None:
    import sys

    status = rows(found(PHYS_SAMPLERS_PLUGINS="zeta"))
    assert status["alpha"].status == status["broken"].status == "denied"
    assert status["alpha"].error == "not listed in PHYS_SAMPLERS_PLUGINS"
    assert "alpha_plugin" not in sys.modules


@pytest.mark.usefixtures("foreign")
def test_an_allowed_name_that_is_not_installed_is_reported() -> None:
    status = rows(found(PHYS_SAMPLERS_PLUGINS="alpa,zeta"))["alpa"]
    assert status.status == "failed"
    assert "names 'alpa', but no such plugin is installed. Did you mean" in status.error


def test_builtins_come_first_and_keep_their_names(plugin, distribution) -> None:
    distribution("aaa", f"[{GROUP}]\naaa = {plugin('aaa_plugin', 'same')}\n")
    registry = found(plugin("zzz_builtin", "same"))
    assert registry.owner("sampler", "same") == "zzz_builtin"
    assert rows(registry)["aaa"].status == "failed"


def test_entry_points_of_one_name_are_told_apart(plugin, distribution) -> None:
    for letter in "ab":
        distribution(f"dist-{letter}", f"[{GROUP}]\nsame = {plugin(f'same_{letter}', letter)}\n")
    registry = found()
    assert [(s.name, s.components) for s in registry.plugins()] == [
        ("same", ("sampler/a",)),
        ("same (dist-b)", ("sampler/b",)),
    ]


def test_one_module_offered_twice_is_loaded_once(plugin, distribution) -> None:
    distribution("dist", f"[{GROUP}]\none = {plugin('offered_twice', 'a')}\ntwo = offered_twice\n")
    registry = found()
    assert registry.names("sampler") == ["a"]
    assert rows(registry)["two"].error == "PluginError: this is already loaded as the plugin 'one'"


@pytest.mark.usefixtures("foreign")
def test_no_group_no_entry_points() -> None:
    registry = Registry(kinds=KINDS, entry_point_group=None, environment={"PHYS_SAMPLERS_PLUGINS": "alpha"})
    assert registry.plugins() == []
    registry.register(Component("sampler", "a", "a:b", summary=""))
