"""What this family registers. Nothing here imports torch, so that listing stays instant."""

from __future__ import annotations

from collections.abc import Iterable

from phys_registry import Component, hookimpl


@hookimpl
def phys_components() -> Iterable[Component]:
    """None yet."""
    yield from ()
