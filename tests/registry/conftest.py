"""Plugin modules and distributions made on the spot."""

from __future__ import annotations

import importlib
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from phys_registry import Registry
from phys_samplers.catalogue import KINDS

HEADER = "from phys_registry import Component, hookimpl\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on ``sys.path``; modules imported from it are forgotten afterwards."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


@pytest.fixture
def write(folder: Path) -> Callable[[str, str], str]:
    """Write a module (``HEADER`` on top) into the folder; gives its path."""

    def _write(name: str, body: str) -> str:
        path = folder / f"{name}.py"
        path.write_text(HEADER + textwrap.dedent(body))
        importlib.invalidate_caches()
        return str(path)

    return _write


@pytest.fixture
def plugin(write: Callable[[str, str], str]) -> Callable[..., str]:
    """Write a plugin module that declares samplers of the given names; gives the module's name."""

    def _plugin(module: str, *names: str, extra: str = "") -> str:
        body = "\n".join(f"    yield Component('sampler', {name!r}, '{module}:Made', summary='s')" for name in names)
        write(module, f"class Made:\n    pass\n\n@hookimpl\ndef phys_components():\n{body or '    return []'}\n{extra}")
        return module

    return _plugin


@pytest.fixture
def distribution(folder: Path) -> Callable[..., None]:
    """Install a fake distribution whose only content is its metadata."""

    def _distribution(name: str, entry_points: str, version: str = "1.0") -> None:
        info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(textwrap.dedent(entry_points))
        importlib.invalidate_caches()

    return _distribution


@pytest.fixture
def empty() -> Registry:
    return Registry(kinds=KINDS, entry_point_group=None, environment={})


@pytest.fixture
def of() -> Callable[..., Registry]:
    """A registry of built-in modules, with environment variables by keyword."""

    def _of(*builtins: str, **environment: str) -> Registry:
        return Registry(kinds=KINDS, builtins=builtins, entry_point_group=None, environment=environment)

    return _of
