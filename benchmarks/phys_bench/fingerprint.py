"""Which code a component is: the distribution it came with, and a hash of what it runs."""

from __future__ import annotations

import importlib.metadata
import inspect
import textwrap
from collections.abc import Iterable
from functools import cache
from typing import Any

from phys_registry import Component, Registry

from .closure import Closures, folder_of, statements

NOT_PARTS = ("task", "metric")
"""Kinds of components that no option names."""


class Fingerprints:
    """Fingerprints of components; files are read once in the life of the object.

    Args:
        registry: where components and their owners are known.
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._plugins = {status.name: status for status in registry.plugins()}
        self._parts: dict[str, list[Component]] = {}
        tops = {str(__package__), "phys_samplers"}
        for component in registry.components():
            if component.kind not in NOT_PARTS:
                self._parts.setdefault(component.name, []).append(component)
            if self._source_kind(component) in ("builtin", "entry point"):
                tops.add(_module(component).partition(".")[0])
        folders = {top: folder for top in sorted(tops) if (folder := folder_of(top))}
        self.closures = Closures(folders, lambda name: [_module(part) for part in self._parts.get(name, ())])
        self._known: dict[str, dict[str, Any]] = {}

    def component(self, kind: str, name: str) -> dict[str, Any]:
        """What is known of a component's code, JSON-like: ``source`` is the hash of the closure of its module."""
        component = self._registry.get(kind, name)
        if component.key not in self._known:
            self._known[component.key] = {
                "name": name,
                "target": component.target_text,
                "version": component.version,
                "distribution": self._distribution(component),
                "source": self._source(component),
            }
        return self._known[component.key]

    def library(self) -> str | None:
        """Hash of what the cells themselves run of the library, whatever they are about.

        How they run it is not in it: ``PROTOCOL`` stands for the benchmark's own modules, since most decide no score.
        """
        return self.closures.of_module(f"{__package__}.execution", but=str(__package__))

    def parts(self, options: dict[str, Any]) -> dict[str, Any]:
        """Components that option values may name, a kernel for example.

        Whichever component bears the name of an option value counts: too many make a cell run once too often, one too
        few would reuse a record of other code.
        """
        named = sorted({text.partition("[")[0] for text in _texts(options)})
        found = [part for name in named for part in self._parts.get(name, ())]
        return {part.key: self.component(part.kind, part.name) for part in found}

    def plugins(self, keys: Iterable[tuple[str, str]]) -> tuple[str, ...]:
        """The plugins that brought these components, sorted; those that are built in left out."""
        found = [self._registry.get(*key) for key in keys]
        return tuple(sorted({self._registry.owner(c.kind, c.name) for c in found if self._source_kind(c) != "builtin"}))

    def in_process(self, kind: str, name: str) -> bool:
        """Whether the component was registered by running code, so that no other process knows it."""
        return self._source_kind(self._registry.get(kind, name)) == "in-process"

    def _source_kind(self, component: Component) -> str:
        status = self._plugins.get(self._registry.owner(component.kind, component.name))
        return status.source if status else "in-process"

    def _distribution(self, component: Component) -> str | None:
        status = self._plugins.get(self._registry.owner(component.kind, component.name))
        if status is None or status.source in ("file", "in-process"):
            return None
        if status.source == "builtin":
            return f"phys-samplers {_own_version()}"
        return f"{status.distribution} {status.version}"

    def _source(self, component: Component) -> str | None:
        if found := self.closures.of_module(_module(component)):
            return found
        try:
            return statements(textwrap.dedent(inspect.getsource(component.load())))
        except Exception:  # not importable, or typed into an interpreter that keeps no source
            return None


def _module(component: Component) -> str:
    return component.target_text.partition(":")[0]


@cache
def _own_version() -> str:
    try:
        return importlib.metadata.version("phys-samplers")
    except importlib.metadata.PackageNotFoundError:
        return "uninstalled"


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    rows = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else []
    return [text for row in rows for text in _texts(row)]
