"""What the family of distributional baselines registers."""

from __future__ import annotations

from collections.abc import Iterable

from phys_registry import Component, hookimpl


@hookimpl
def phys_components() -> Iterable[Component]:
    """Nothing yet."""
    return ()
