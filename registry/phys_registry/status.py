"""Reports about plugins: what became of each, and which of their hooks failed."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

PluginSource = Literal["builtin", "entry point", "file", "in-process"]
PluginState = Literal["loaded", "failed", "denied"]


@dataclass(frozen=True, kw_only=True)
class PluginStatus:
    """What became of one plugin.

    Attributes:
        name: The plugin's name: module, entry point, file stem, or in-process owner.
        source: The door it came by.
        location: File it was loaded from, or what was to be imported if that failed.
        distribution: The installed distribution that offers it, or ``None``.
        version: That distribution's version, or ``None``.
        status: ``"loaded"``, ``"failed"`` or ``"denied"`` (by the environment).
        error: Why it is not loaded, on one line; empty if it is.
        traceback: The full traceback of a failure; empty otherwise.
        components: Its components as ``kind/name``, sorted.
    """

    name: str
    source: PluginSource
    location: str
    distribution: str | None = None
    version: str | None = None
    status: PluginState = "loaded"
    error: str = ""
    traceback: str = ""
    components: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Turn the report into JSON-like values.

        Returns:
            Field values by name; ``components`` as a list.
        """
        return {**asdict(self), "components": list(self.components)}


@dataclass(frozen=True, kw_only=True)
class HookFailure:
    """One plugin's lifecycle hook that raised.

    Attributes:
        plugin: The plugin's name.
        hook: The hook's name.
        error: What went wrong, on one line.
        traceback: The full traceback.
    """

    plugin: str
    hook: str
    error: str
    traceback: str
