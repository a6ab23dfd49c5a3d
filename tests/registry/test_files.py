from __future__ import annotations

import os
import pickle
import signal
import sys
from pathlib import Path

import pytest

from phys_registry import PluginError, Registry
from phys_samplers.catalogue import KINDS

BODY = """
from dataclasses import dataclass

@dataclass(frozen=True)
class Mine:
    width: int = 1

@hookimpl
def phys_components():
    yield Component("sampler", "mine", f"{__name__}:Mine", summary="s")
"""


def test_a_file_is_a_plugin_and_a_module(write, empty: Registry) -> None:
    path = write("one_file", BODY)
    status = empty.load_file(path)
    assert (status.name, status.source, status.location, status.status) == ("one_file", "file", path, "loaded")
    assert status.components == ("sampler/mine",)
    made = empty.make("sampler", "mine", width=2)
    assert type(made).__module__ == "one_file"
    assert pickle.loads(pickle.dumps(made)) == made


def test_a_file_outside_the_path_is_importable_afterwards(tmp_path: Path, empty: Registry) -> None:
    path = tmp_path / "outside_the_path.py"
    path.write_text("from phys_registry import Component, hookimpl\n" + BODY)
    try:
        empty.load_file(path)
        assert empty.make("sampler", "mine").width == 1
        assert sys.modules["outside_the_path"].__file__ == str(path)
    finally:
        sys.modules.pop("outside_the_path", None)


def test_the_same_path_twice_loads_once(write, empty: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    path = Path(write("loaded_once", BODY + "import sys\nsys._count = getattr(sys, '_count', 0) + 1\n"))
    monkeypatch.chdir(path.parent)
    try:
        first = empty.load_file(path)
        assert empty.load_file(str(path)) == empty.load_file("loaded_once.py") == first
        assert len(empty.plugins()) == 1
        other = Registry(kinds=KINDS, entry_point_group=None, environment={})
        assert other.load_file(path).components == ("sampler/mine",)
        assert sys._count == 1  # type: ignore[attr-defined]
    finally:
        del sys._count  # type: ignore[attr-defined]


def test_a_failed_file_is_tried_again(write, empty: Registry) -> None:
    path = write("mended", "class Mine:\n    pass\n\nraise RuntimeError('not yet')")
    with pytest.raises(PluginError, match=r"mended.py' cannot be loaded: RuntimeError: not yet") as caught:
        empty.load_file(path)
    assert isinstance(caught.value.__cause__, RuntimeError)
    assert "mended" not in sys.modules
    assert [status.status for status in empty.plugins()] == ["failed"]
    write("mended", BODY)
    os.utime(path, (1, 1))  # another time stamp, or the old bytecode would be taken
    empty.load_file(path)
    assert [status.status for status in empty.plugins()] == ["loaded"]
    assert empty.names("sampler") == ["mine"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("absent.py", "there is no file"),
        ("folder.py", "is a folder; give one FILE.py"),
        ("plugin.txt", "is not a Python file"),
        ("my-plugin.py", "rename 'my-plugin.py', for example to 'my_plugin.py'"),
        ("class.py", "for example to 'plugin_class.py'"),
        ("json.py", "would hide the module 'json'"),
        ("sys.py", "would hide the module 'sys'"),
        ("wave.py", "would hide the module 'wave'"),
        ("syntax_error.py", "SyntaxError"),
    ],
)
def test_files_that_cannot_be_plugins(tmp_path: Path, empty: Registry, name: str, message: str) -> None:
    path = tmp_path / name
    if name == "folder.py":
        path.mkdir()
    elif name != "absent.py":
        path.write_text("def (" if name.startswith("syntax") else "")
    with pytest.raises(PluginError) as caught:
        empty.load_file(path)
    assert message in str(caught.value)
    (status,) = empty.plugins()
    assert status.status == "failed"
    assert status.location == str(path)


def test_another_file_of_the_same_name_is_refused(write, tmp_path: Path, empty: Registry) -> None:
    empty.load_file(write("twin_file", BODY))
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "twin_file.py").write_text("")
    with pytest.raises(PluginError, match=r"would hide the module 'twin_file' \(.*twin_file.py\)"):
        empty.load_file(tmp_path / "sub" / "twin_file.py")
    assert empty.names("sampler") == ["mine"]


def test_a_file_cannot_take_a_builtins_name(write, plugin, of) -> None:
    registry = of(plugin("had_it_first", "mine"))
    with pytest.raises(PluginError, match=r"DuplicateComponent: sampler 'mine'.*'had_it_first'.*'came_later'"):
        registry.load_file(write("came_later", BODY))
    assert registry.owner("sampler", "mine") == "had_it_first"


def test_files_of_the_environment_are_loaded_at_start(write, of) -> None:
    good, bad = write("from_environment", BODY), write("bad_in_environment", "raise RuntimeError('bad')")
    registry = of(PHYS_SAMPLERS_PLUGIN_FILES=os.pathsep.join([bad, good, "", "/no/such/file.py", good]))
    assert registry.names("sampler") == ["mine"]
    assert [(status.name, status.status) for status in registry.plugins()] == [
        ("bad_in_environment", "failed"),
        ("from_environment", "loaded"),
        ("file", "failed"),
    ]
    assert registry.load_file(good).status == "loaded"
    assert len(registry.plugins()) == 3


def test_a_denied_file_is_not_loaded(write, of) -> None:
    path = write("denied_file", BODY)
    for variables in ({}, {"PHYS_SAMPLERS_PLUGIN_FILES": path}):
        registry = of(PHYS_SAMPLERS_DENY="denied_file", **variables)
        with pytest.raises(PluginError, match="denied by PHYS_SAMPLERS_DENY"):
            registry.load_file(path)
        assert [status.status for status in registry.plugins()] == ["denied"]
        assert registry.names("sampler") == []
    assert of(PHYS_SAMPLERS_PLUGINS="").load_file(path).status == "loaded"


MUTE = """
class Mute(BaseException):
    def __str__(self): raise SystemExit(0)
    __repr__ = __str__
"""
HOOK = "from phys_registry import Component, hookimpl\n@hookimpl\ndef phys_components():\n    "


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import os\nos._exit(3)\n", r"it called os._exit\(3\) while it was imported"),
        ("while True:\n    pass\n", "its import was stopped after 0.3 s of processor time"),
        ("raise SystemExit(4)\n", "SystemExit"),
        ("raise KeyboardInterrupt\n", "it raised KeyboardInterrupt, and nobody pressed Ctrl-C"),
        (f"{MUTE}raise Mute\n", "Mute: <Mute whose text raises SystemExit>"),
        (f"{HOOK}while True: pass\n", "its import was stopped after 0.3 s of processor time"),
        (f"{HOOK}import os; os._exit(0); yield\n", r"it called os._exit\(0\) while it was imported"),
        (f"{HOOK}return Mute()\n{MUTE}", "phys_components returned <Mute whose text raises SystemExit>"),
        (
            f"{HOOK}n = 0\n    while (n := n + 1): yield Component('sampler', f'x{{n}}', 'a:b', summary='s')\n",
            "phys_components yields more than 10 components",
        ),
    ],
)
def test_an_import_can_neither_end_the_process_nor_go_on_for_ever(
    write, empty: Registry, monkeypatch: pytest.MonkeyPatch, text: str, message: str
) -> None:
    monkeypatch.setattr("phys_registry.sources.IMPORT_PROCESSOR_SECONDS", 0.3)
    monkeypatch.setattr("phys_registry.hooks.MOST_COMPONENTS", 10)
    before = os._exit, signal.getsignal(signal.SIGPROF), signal.getsignal(signal.SIGINT)
    with pytest.raises(PluginError, match=message):
        empty.load_file(write("endless", text))
    assert (os._exit, signal.getsignal(signal.SIGPROF), signal.getsignal(signal.SIGINT)) == before
    assert signal.getitimer(signal.ITIMER_PROF) == (0.0, 0.0)
