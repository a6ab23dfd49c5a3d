"""The plugin system: components, hooks, discovery and lookup; it knows nothing of samplers and imports no torch.

A plugin is a module with one marked function:

    from phys_registry import Component, hookimpl

    @hookimpl
    def phys_components():
        yield Component("sampler", "mine", "mine:Mine", summary="My sampler.", needs={"samples"})
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .component import Component
from .errors import (
    BadOption,
    DuplicateComponent,
    InvalidComponent,
    PhysError,
    PluginError,
    PluginWarning,
    RegistryError,
    RenamedWarning,
    SpecError,
    TargetError,
    UnknownComponent,
)
from .hooks import PROJECT, HookFailure, HookSpecs, PluginStatus, hookimpl, hookspec
from .lazy import lazy
from .registry import Registry

if TYPE_CHECKING:
    from phys_registry.describe import Description as Description
    from phys_registry.describe import OptionInfo as OptionInfo
    from phys_registry.spec import ComponentSpec as ComponentSpec
    from phys_registry.spec import parse_spec as parse_spec

__all__ = [
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
    "RenamedWarning",
    "SpecError",
    "TargetError",
    "UnknownComponent",
    "hookimpl",
    "hookspec",
    "parse_spec",
]

__getattr__, __dir__ = lazy(__name__)
