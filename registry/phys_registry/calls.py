"""Calling lifecycle hooks, every plugin by itself."""

from __future__ import annotations

import traceback
import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pluggy

from .errors import PluginWarning, RegistryError, one_line, suggest
from .hooks import HOOKS, LIFECYCLE
from .status import HookFailure

Call = tuple[str, Callable[[], object]]


def prepare(manager: pluggy.PluginManager, hook: str, payload: Mapping[str, Any]) -> list[Call]:
    """Find whom to call; making the calls needs no lock.

    Args:
        manager: Where the plugins are registered.
        hook: The hook's name.
        payload: All its arguments.

    Returns:
        Plugin names and calls, in pluggy's order (last loaded first).

    Raises:
        RegistryError: There is no such hook, or the payload is not what it is specified to be.
    """
    if hook not in LIFECYCLE:
        known = ", ".join(LIFECYCLE)
        raise RegistryError(f"there is no lifecycle hook {hook!r}.{suggest(hook, LIFECYCLE)} Hooks are: {known}")
    if payload.keys() != set(HOOKS[hook]):
        raise RegistryError(f"{hook} takes {', '.join(HOOKS[hook])}; got {', '.join(payload) or 'nothing'}")
    return [(impl.plugin_name, _call(impl, payload)) for impl in reversed(getattr(manager.hook, hook).get_hookimpls())]


def run(hook: str, calls: Iterable[Call], warned: set[str]) -> list[HookFailure]:
    """Make prepared calls, each by itself.

    Args:
        hook: The hook's name.
        calls: What `prepare` returned.
        warned: Plugins already warned about; those that fail now for the first time are added.

    Returns:
        The failures.
    """
    failures: list[HookFailure] = []
    for name, call in calls:
        try:
            call()
        except (Exception, SystemExit) as error:
            trace = "".join(traceback.format_exception(error))
            failures.append(HookFailure(plugin=name, hook=hook, error=one_line(error), traceback=trace))
    fresh = [failure for failure in failures if failure.plugin not in warned]
    warned.update(failure.plugin for failure in fresh)
    for failure in fresh:  # after all calls, since a warning may be turned into an error
        message = f"plugin {failure.plugin!r} failed in {hook}: {failure.error} (said once a plugin)"
        warnings.warn(message, PluginWarning, stacklevel=4)
    return failures


def _call(impl: Any, payload: Mapping[str, Any]) -> Callable[[], object]:
    return lambda: impl.function(*[payload[name] for name in impl.argnames])
