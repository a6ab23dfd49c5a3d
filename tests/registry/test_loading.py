from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from phys_registry import PluginStatus, Registry, UnknownComponent


def rows(registry: Registry) -> dict[str, PluginStatus]:
    return {status.name: status for status in registry.plugins()}


def test_nothing_is_imported_before_the_first_use(plugin, of) -> None:
    registry = of(plugin("lazy_one", "mine"))
    assert "lazy_one" not in sys.modules
    assert registry.names("sampler") == ["mine"]
    assert "lazy_one" in sys.modules
    status = rows(registry)["lazy_one"]
    assert (status.source, status.status, status.components) == ("builtin", "loaded", ("sampler/mine",))
    assert status.location.endswith("lazy_one.py")
    assert registry.owner("sampler", "mine") == "lazy_one"


FAILURES = {
    "missing_dependency": ("import surely_not_there", "ModuleNotFoundError: No module named 'surely_not_there'"),
    "raises": ("raise RuntimeError('two\\nlines')", "RuntimeError: two lines"),
    "exits": ("import sys; sys.exit(3)", "SystemExit: 3"),
    "panics": ("class Panic(BaseException): ...\nraise Panic('native')", "Panic: native"),
    "syntax": ("def (", "SyntaxError"),
    "half_way": (
        "@hookimpl\ndef phys_components():\n"
        "    yield Component('sampler', 'half', 'a:b', summary='')\n    raise RuntimeError('half way')",
        "RuntimeError: half way",
    ),
    "not_component": (
        "@hookimpl\ndef phys_components():\n"
        "    yield Component('sampler', 'half', 'a:b', summary='')\n    yield 'mine'",
        "PluginError: phys_components yielded 'mine' (str), not a Component",
    ),
    "returns_one": (
        "@hookimpl\ndef phys_components():\n    return Component('sampler', 'half', 'a:b', summary='')",
        "it must yield",
    ),
    "returns_none": ("@hookimpl\ndef phys_components():\n    pass", "phys_components returned None"),
    "bad_kind": (
        "@hookimpl\ndef phys_components():\n    yield Component('sampler', 'half', 'a:b', summary='')\n"
        "    yield Component('losss', 'x', 'a:b', summary='')",
        "InvalidComponent: component 'x': unknown kind 'losss'. Did you mean 'loss'?",
    ),
    "bad_name": (
        "@hookimpl\ndef phys_components():\n    yield Component('loss', 'My Loss', 'a:b', summary='')",
        "InvalidComponent: loss 'My Loss': a name begins with",
    ),
    "bad_target": (
        "@hookimpl\ndef phys_components():\n    yield Component('loss', 'x', 'a.b', summary='')",
        "target 'a.b' is not of the form",
    ),
    "twice": (
        "@hookimpl\ndef phys_components():\n    for _ in 'ab':\n"
        "        yield Component('sampler', 'half', 'a:b', summary='')",
        "DuplicateComponent: 'twice' declares sampler 'half' twice",
    ),
    "unmarked": ("def phys_components():\n    return []", "phys_components is not marked; write @hookimpl"),
    "hookless": ("x = 1", "it has no hooks"),
    "misspelt": ("@hookimpl\ndef phys_componets():\n    return []", "unknown hook 'phys_componets'. Did you mean"),
    "bad_argument": ("@hookimpl\ndef phys_run_started(runn):\n    pass", "PluginValidationError"),
    "wrapper": ("@hookimpl(wrapper=True)\ndef phys_run_started():\n    return (yield)", "is a hook wrapper"),
}


@pytest.mark.parametrize("name", FAILURES)
def test_a_plugin_that_fails_leaves_nothing_and_the_others_working(name, plugin, write, of) -> None:
    body, message = FAILURES[name]
    write(name, body)
    registry = of(plugin("before_it", "a"), name, plugin("after_it", "b"))
    assert registry.names("sampler") == ["a", "b"]
    status = rows(registry)[name]
    assert status.status == "failed"
    assert message in status.error
    assert "\n" not in status.error
    assert "Traceback" in status.traceback
    assert status.components == ()
    assert registry.emit("phys_run_started", run={}) == []


def test_the_first_owner_keeps_a_duplicate(plugin, of) -> None:
    registry = of(plugin("first_owner", "same"), plugin("second_owner", "other", "same"))
    assert registry.names("sampler") == ["same"]
    assert registry.owner("sampler", "same") == "first_owner"
    error = rows(registry)["second_owner"].error
    assert error.startswith("DuplicateComponent")
    assert "'first_owner'" in error
    assert "'second_owner'" in error


def test_an_unknown_name_tells_which_plugins_are_missing(plugin, write, of) -> None:
    write("fails_here", "import surely_not_there")
    registry = of("fails_here", plugin("denied_here", "x"), PHYS_SAMPLERS_DENY="denied_here")
    with pytest.raises(UnknownComponent) as caught:
        registry.get("sampler", "mine")
    assert "failed to load: fails_here (ModuleNotFoundError: No module named 'surely_not_there')" in str(caught.value)
    assert "not loaded: denied_here (denied by PHYS_SAMPLERS_DENY)" in str(caught.value)


@pytest.mark.parametrize(
    ("denied", "left"),
    [("deny_a", ["b"]), ("deny-A, deny_b", []), ("deny", ["a", "b"]), ("", ["a", "b"])],
)
def test_builtins_may_be_denied(plugin, of, denied: str, left: list[str]) -> None:
    registry = of(plugin("deny_a", "a"), plugin("deny_b", "b"), PHYS_SAMPLERS_DENY=denied, PHYS_SAMPLERS_PLUGINS="")
    assert registry.names("sampler") == left
    assert {s.status for s in registry.plugins() if s.name.endswith(("a", "b")) and not s.components} <= {"denied"}


def test_a_package_name_denies_its_modules(folder, plugin, of) -> None:
    (folder / "phys_pack").mkdir()
    (folder / "phys_pack" / "__init__.py").touch()
    plugin("phys_pack/components")
    assert of("phys_pack.components", PHYS_SAMPLERS_DENY="phys_pack").plugins()[0].status == "denied"
    assert of("phys_pack.components", PHYS_SAMPLERS_DENY="phys").plugins()[0].status == "loaded"


def test_what_a_plugin_registers_while_loading_belongs_to_it(write, empty: Registry) -> None:
    sys.modules["shared_registry_for_test"] = type(sys)("shared_registry_for_test")
    sys.modules["shared_registry_for_test"].registry = empty  # type: ignore[attr-defined]
    body = (
        "from shared_registry_for_test import registry\n"
        "@registry.component('loss', 'mine', summary='')\ndef mine():\n    return 1\n"
    )
    try:
        status = empty.load_file(write("decorated", body))
        assert status.components == ("loss/mine",)
        assert empty.owner("loss", "mine") == "decorated"
        with pytest.raises(Exception, match="late"):
            empty.load_file(write("decorated_late", body.replace("'mine'", "'late'") + "raise RuntimeError('late')"))
        assert empty.names("loss") == ["mine"]
    finally:
        del sys.modules["shared_registry_for_test"]


def test_an_interrupted_load_goes_on_at_the_next_use(plugin, write, of) -> None:
    write(
        "interrupted",
        "import sys\nif not hasattr(sys, '_seen_by_test'):\n    sys._seen_by_test = True\n    raise KeyboardInterrupt\n"
        "@hookimpl\ndef phys_components():\n    yield Component('sampler', 'slow', 'a:b', summary='')",
    )
    registry = of(plugin("quick_one", "quick"), "interrupted")
    try:
        with pytest.raises(KeyboardInterrupt):
            registry.names("sampler")
        assert registry.names("sampler") == ["quick", "slow"]
        assert len(registry.plugins()) == 2
    finally:
        del sys._seen_by_test  # type: ignore[attr-defined]


def test_threads_load_once_and_all_see_everything(plugin, write, of) -> None:
    write(
        "slow_plugin",
        "import sys, time\ntime.sleep(0.05)\nsys._loads_in_test = getattr(sys, '_loads_in_test', 0) + 1\n"
        "@hookimpl\ndef phys_components():\n    yield Component('sampler', 'slow', 'a:b', summary='')",
    )
    registry = of("slow_plugin", plugin("after_slow", "quick"))
    seen: list[list[str]] = []
    threads = [threading.Thread(target=lambda: seen.append(registry.names("sampler"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    try:
        assert seen == [["quick", "slow"]] * 8
        assert sys._loads_in_test == 1  # type: ignore[attr-defined]
    finally:
        del sys._loads_in_test  # type: ignore[attr-defined]


def test_threads_register_and_list_at_once(empty: Registry) -> None:
    stop = time.monotonic() + 0.2
    errors: list[BaseException] = []

    def work(number: int) -> None:
        try:
            count = 0
            while time.monotonic() < stop:
                empty.component("loss", f"l{number}-{count % 50}", summary="")(work)
                empty.components()
                count += 1
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert not errors


def test_the_package_imports_nothing_heavy() -> None:
    code = (
        "import sys; before = set(sys.modules); import phys_registry\n"
        "heavy = {'torch', 'numpy', 'importlib.metadata', 'asyncio', 'email', 'phys_samplers'}\n"
        "found = heavy & (set(sys.modules) - before)\n"
        "sys.exit(str(found) if found else 0)"
    )
    path = str(Path(sys.modules["phys_registry"].__file__ or "").parents[1])
    environment = {**os.environ, "PYTHONPATH": path}
    result = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
