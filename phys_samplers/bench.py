"""The benchmark's Python face: ``phys_samplers.bench.run("quick")``. Resolved late: the library does not need it."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    return getattr(import_module("phys_bench.api"), name)


def __dir__() -> list[str]:
    return sorted(import_module("phys_bench.api").__all__)
