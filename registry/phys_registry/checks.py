"""What makes an object a good plugin: known hooks, rightly marked, yielding components."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from types import ModuleType
from typing import Any

import pluggy

from .component import Component
from .errors import PluginError, suggest
from .hooks import HOOKS


def check_hooks(manager: pluggy.PluginManager, plugin: object, *, empty: bool) -> None:
    """Refuse a plugin whose hooks could not work.

    Args:
        manager: Where it is registered.
        plugin: The plugin.
        empty: Whether it has registered no component by itself, so that it must have a hook.

    Raises:
        PluginError: A hook is unknown, a wrapper, not marked, or there is none.
    """
    own = list(_implementations(manager, plugin))
    for caller, impl in own:
        if not caller.has_spec() and not impl.optionalhook:
            raise PluginError(
                f"unknown hook {caller.name!r}.{suggest(caller.name, HOOKS)} Hooks are: {', '.join(HOOKS)}"
            )
        if impl.hookwrapper or getattr(impl, "wrapper", False):
            raise PluginError(f"{caller.name} is a hook wrapper; plugins are called one by one, so write a plain hook")
    if own or not empty:
        return
    unmarked = [hook for hook in HOOKS if callable(getattr(plugin, hook, None))]
    if unmarked:
        raise PluginError(f"{unmarked[0]} is not marked; write @hookimpl (from phys_registry) above it")
    raise PluginError("it has no hooks; give it '@hookimpl def phys_components()' (hookimpl is in phys_registry)")


def declared(manager: pluggy.PluginManager, plugin: object) -> list[Component]:
    """Call a plugin's ``phys_components`` to the end.

    Args:
        manager: Where it is registered.
        plugin: The plugin.

    Returns:
        Its components.

    Raises:
        PluginError: It gives something other than components.
    """
    components: list[Component] = []
    for caller, impl in _implementations(manager, plugin):
        if caller.name != "phys_components":
            continue
        result = impl.function()
        if isinstance(result, Component | str) or not isinstance(result, Iterable):
            raise PluginError(f"phys_components returned {result!r}; it must yield (or return a list of) components")
        for item in result:
            if not isinstance(item, Component):
                raise PluginError(f"phys_components yielded {item!r} ({type(item).__name__}), not a Component")
            components.append(item.declared_in(_folder(plugin)))
    return components


def _folder(plugin: object) -> str:
    """Where the module is that a plugin is, or in which its class was written."""
    module = plugin if isinstance(plugin, ModuleType) else sys.modules.get(type(plugin).__module__)
    return os.path.dirname(getattr(module, "__file__", None) or "")


def _implementations(manager: pluggy.PluginManager, plugin: object) -> Iterator[tuple[Any, Any]]:
    for caller in manager.get_hookcallers(plugin) or []:
        for impl in caller.get_hookimpls():
            if impl.plugin is plugin:
                yield caller, impl
