from __future__ import annotations

import warnings
from typing import Any

import pytest

from phys_registry import (
    PROJECT,
    Component,
    DuplicateComponent,
    HookSpecs,
    PluginError,
    PluginWarning,
    Registry,
    RegistryError,
    hookimpl,
)

PAYLOADS: dict[str, dict[str, Any]] = {
    "phys_run_started": {"run": {"suite": "quick"}},
    "phys_step_logged": {"cell": {"seed": 0}, "step": 3, "values": {"loss": 0.5}},
    "phys_cell_finished": {"record": {"status": "ok"}},
    "phys_run_finished": {"run": {"suite": "quick"}},
}


class Listener:
    def __init__(self) -> None:
        self.heard: list[tuple[Any, ...]] = []

    @hookimpl
    def phys_step_logged(self, values: Any, step: int) -> None:
        self.heard.append((step, values))

    @hookimpl
    def phys_run_finished(self) -> None:
        self.heard.append(("finished",))


class Broken:
    @hookimpl
    def phys_run_finished(self) -> None:
        raise RuntimeError("disk\nfull")


class Exits:
    @hookimpl
    def phys_run_finished(self) -> None:
        raise SystemExit(1)


def test_every_hook_is_specified_and_documented() -> None:
    hooks = [name for name in vars(HookSpecs) if name.startswith("phys_")]
    assert PROJECT == "phys_samplers"
    assert set(hooks) == {"phys_components", *PAYLOADS}
    assert all(getattr(HookSpecs, name).__doc__ for name in hooks)


@pytest.mark.parametrize("hook", PAYLOADS)
def test_every_lifecycle_hook_reaches_a_plugin_that_is_a_file(hook: str, write, empty: Registry) -> None:
    arguments = ", ".join(PAYLOADS[hook])
    path = write(
        f"hears_{hook}", f"heard = []\n@hookimpl\ndef {hook}({arguments}):\n    heard.append(({arguments},))\n"
    )
    empty.load_file(path)
    assert empty.emit(hook, **PAYLOADS[hook]) == []
    import sys

    assert sys.modules[f"hears_{hook}"].heard == [tuple(PAYLOADS[hook].values())]


def test_a_plugin_takes_only_the_arguments_it_wants(empty: Registry) -> None:
    listener = Listener()
    empty.subscribe(listener)
    empty.subscribe(listener)
    for hook, payload in PAYLOADS.items():
        assert empty.emit(hook, **payload) == []
    assert listener.heard == [(3, {"loss": 0.5}), ("finished",)]
    empty.unsubscribe(listener)
    empty.unsubscribe(listener)
    empty.emit("phys_run_finished", run={})
    assert len(listener.heard) == 2
    assert empty.plugins() == []


def test_failures_are_isolated_returned_and_announced_once(empty: Registry) -> None:
    before, after = Listener(), Listener()
    for plugin in (before, Broken(), Exits(), after):
        empty.subscribe(plugin)
    with pytest.warns(PluginWarning, match=r"plugin '(Broken|Exits)' failed in phys_run_finished") as warned:
        failures = empty.emit("phys_run_finished", run={})
    assert len(warned) == 2
    assert warned[0].filename == __file__
    assert sorted((f.plugin, f.hook, f.error) for f in failures) == [
        ("Broken", "phys_run_finished", "RuntimeError: disk full"),
        ("Exits", "phys_run_finished", "SystemExit: 1"),
    ]
    assert "RuntimeError: disk" in "".join(f.traceback for f in failures)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(empty.emit("phys_run_finished", run={})) == 2
    assert before.heard == after.heard == [("finished",)] * 2


def test_warnings_as_errors_do_not_break_the_isolation(empty: Registry) -> None:
    listener = Listener()
    empty.subscribe(listener)
    empty.subscribe(Broken())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(PluginWarning):
            empty.emit("phys_run_finished", run={})
    assert listener.heard == [("finished",)]


def test_an_interrupt_is_the_users(empty: Registry) -> None:
    class Interrupts:
        @hookimpl
        def phys_run_finished(self) -> None:
            raise KeyboardInterrupt

    empty.subscribe(Interrupts())
    with pytest.raises(KeyboardInterrupt):
        empty.emit("phys_run_finished", run={})


@pytest.mark.parametrize("hook", ["phys_run_stared", "phys_components", "register"])
def test_unknown_hooks_are_refused(empty: Registry, hook: str) -> None:
    with pytest.raises(RegistryError, match="no lifecycle hook"):
        empty.emit(hook)


@pytest.mark.parametrize("payload", [{}, {"runs": {}}, {"run": {}, "more": 1}])
def test_wrong_payloads_are_refused(empty: Registry, payload: dict[str, Any]) -> None:
    with pytest.raises(RegistryError, match="phys_run_started takes run; got"):
        empty.emit("phys_run_started", **payload)


def test_subscribers_are_reported_and_named_apart(empty: Registry) -> None:
    empty.subscribe(Listener())
    empty.subscribe(Listener())
    assert [(s.name, s.source, s.status) for s in empty.plugins()] == [
        ("Listener", "in-process", "loaded"),
        ("Listener#2", "in-process", "loaded"),
    ]


def test_a_subscriber_may_bring_components_all_or_nothing(empty: Registry) -> None:
    class Brings:
        def __init__(self, *names: str) -> None:
            self.names = names

        @hookimpl
        def phys_components(self) -> Any:
            return [Component("loss", name, "a:b", summary="") for name in self.names]

    brings = Brings("a", "b")
    empty.subscribe(brings)
    assert empty.names("loss") == ["a", "b"]
    assert empty.owner("loss", "a") == "Brings"
    with pytest.raises(DuplicateComponent, match=r"'Brings'.*'Brings#2'"):
        empty.subscribe(Brings("c", "b"))
    assert empty.names("loss") == ["a", "b"]
    empty.unsubscribe(brings)
    assert empty.names("loss") == []


def test_an_object_without_hooks_cannot_subscribe(empty: Registry) -> None:
    class Wrong:
        @hookimpl
        def phys_run_started(self, runs: Any) -> None: ...

    for plugin in (object(), Wrong()):
        with pytest.raises(PluginError):
            empty.subscribe(plugin)
    assert empty.plugins() == []


def test_loaded_plugins_cannot_be_unsubscribed(plugin, of) -> None:
    import sys

    registry = of(plugin("stays_loaded", "a"))
    registry.names("sampler")
    registry.unsubscribe(sys.modules["stays_loaded"])
    assert registry.names("sampler") == ["a"]
