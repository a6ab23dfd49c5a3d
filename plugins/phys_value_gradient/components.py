"""What this family registers. Nothing here imports torch, so that listing stays instant."""

from __future__ import annotations

from collections.abc import Iterable

from phys_registry import Component, hookimpl
from phys_value_gradient.values.components import VALUES


@hookimpl
def phys_components() -> Iterable[Component]:
    """The value networks."""
    yield from VALUES
