"""The plugin system: components, hooks, discovery and lookup; it knows nothing of samplers and imports no torch.

A plugin is a module with one marked function:

    from phys_registry import Component, hookimpl

    @hookimpl
    def phys_components():
        yield Component("sampler", "mine", "mine:Mine", summary="My sampler.", needs={"samples"})
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .component import KINDS, Component
from .errors import (
    BadOption,
    DuplicateComponent,
    InvalidComponent,
    PhysError,
    PluginError,
    PluginWarning,
    RegistryError,
    SpecError,
    TargetError,
    UnknownComponent,
)
from .hooks import PROJECT, HookSpecs, hookimpl, hookspec
from .registry import Registry
from .status import HookFailure, PluginStatus

if TYPE_CHECKING:
    from .describe import Description
    from .options import OptionInfo
    from .spec import ComponentSpec, parse_spec

__all__ = [
    "KINDS",
    "PROJECT",
    "BadOption",
    "Component",
    "ComponentSpec",
    "Description",
    "DuplicateComponent",
    "HookFailure",
    "HookSpecs",
    "InvalidComponent",
    "OptionInfo",
    "PhysError",
    "PluginError",
    "PluginStatus",
    "PluginWarning",
    "Registry",
    "RegistryError",
    "SpecError",
    "TargetError",
    "UnknownComponent",
    "hookimpl",
    "hookspec",
    "parse_spec",
]

_LATE = {"Description": "describe", "OptionInfo": "options", "ComponentSpec": "spec", "parse_spec": "spec"}


def __getattr__(name: str) -> Any:
    """Import what listing does not need when it is first asked for, so that the command line starts at once."""
    if name not in _LATE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_LATE[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names, those not imported yet included."""
    return __all__
