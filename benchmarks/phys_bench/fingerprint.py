"""Which code a component is: the distribution it came with and a hash of the source files it lives among."""

from __future__ import annotations

import importlib.metadata
import inspect
import sys
from functools import cache
from pathlib import Path
from typing import Any

from phys_registry import Component, Registry

from .canonical import digest

NOT_DECISIVE = ("cli", "testing", "scaffold", "bench", "__main__")
"""Parts of the library that no cell ever runs; a change there leaves records valid."""


class Fingerprints:
    """Fingerprints of components; files are read once in the life of the object.

    Args:
        registry: where components and their owners are known.
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._plugins = {status.name: status for status in registry.plugins()}
        self._seen: dict[Path, str] = {}

    def component(self, kind: str, name: str, *, nearest: bool = False) -> dict[str, Any]:
        """What is known of a component's code, JSON-like.

        Args:
            kind: its kind.
            name: its name.
            nearest: hash the package that holds its module rather than the whole top-level package.
        """
        component = self._registry.get(kind, name)
        return {
            "name": name,
            "target": component.target_text,
            "version": component.version,
            "distribution": self._distribution(kind, name),
            "source": self._source(component, nearest=nearest),
        }

    def package(self, name: str) -> str:
        """Hash of an imported package's source files."""
        module = sys.modules[name]
        return self._files(Path(str(module.__file__)).parent)

    def parts(self, options: dict[str, Any]) -> dict[str, Any]:
        """Foreign components that option values may name, a kernel for example.

        Whichever component bears the name of an option value counts: too many make a cell run once too often, one too
        few would reuse a record of other code.
        """
        named = {text.partition("[")[0] for text in _texts(options)}
        found = {}
        for component in self._registry.components():
            builtin = self._source_kind(component.kind, component.name) == "builtin"
            if component.name in named and component.kind not in ("task", "metric") and not builtin:
                found[component.key] = self.component(component.kind, component.name)
        return found

    def in_process(self, kind: str, name: str) -> bool:
        """Whether the component was registered by running code, so that no other process knows it."""
        return self._source_kind(kind, name) == "in-process"

    def _source_kind(self, kind: str, name: str) -> str:
        status = self._plugins.get(self._registry.owner(kind, name))
        return status.source if status else "in-process"

    def _distribution(self, kind: str, name: str) -> str | None:
        status = self._plugins.get(self._registry.owner(kind, name))
        if status is None or status.source in ("file", "in-process"):
            return None
        if status.source == "builtin":
            return f"phys-samplers {_own_version()}"
        return f"{status.distribution} {status.version}"

    def _source(self, component: Component, *, nearest: bool) -> str | None:
        module_name = component.target_text.partition(":")[0]
        top = sys.modules.get(module_name if nearest else module_name.partition(".")[0])
        if nearest and top is not None and not hasattr(top, "__path__") and top.__package__:
            top = sys.modules.get(top.__package__, top)
        file = getattr(top, "__file__", None)
        if file and top is not sys.modules["__main__"]:
            return self._files(Path(file).parent if hasattr(top, "__path__") else Path(file))
        try:
            return digest(inspect.getsource(component.load()).encode())
        except Exception:  # not importable, or typed into an interpreter that keeps no source
            return None

    def _files(self, root: Path) -> str:
        if root not in self._seen:
            paths = sorted(root.rglob("*.py")) if root.is_dir() else [root]
            rows = [[path.relative_to(root.parent).as_posix(), digest(path.read_bytes())] for path in paths]
            idle = tuple(f"phys_samplers/{part}{end}" for part in NOT_DECISIVE for end in (".py", "/"))
            self._seen[root] = digest([row for row in rows if not row[0].startswith(idle)])
        return self._seen[root]


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
