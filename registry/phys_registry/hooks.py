"""What a plugin may implement, whether it does so rightly, calling it by itself, and the reports of how that went."""

from __future__ import annotations

import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import pluggy

from .component import Component, module_folder
from .errors import PluginError, PluginWarning, RegistryError, brief, one_line, suggest

PROJECT = "phys_samplers"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


class HookSpecs:
    """The hooks; a plugin implements any of them as functions (or methods) marked ``@hookimpl``.

    An implementation may leave out arguments it does not need. Payloads are plain JSON-like mappings and are not to be
    changed. A hook that raises is reported and set aside; the run and the other plugins go on.
    """

    @hookspec
    def phys_components(self) -> Iterable[Component]:
        """Declare the plugin's components; called once, when the plugin is loaded.

        Returns:
            The components, usually yielded one by one. If any is wrong, none is kept.
        """
        raise NotImplementedError

    @hookspec
    def phys_run_started(self, run: Mapping[str, Any]) -> None:
        """A benchmark or training run begins.

        Args:
            run: What is going to be run.
        """

    @hookspec
    def phys_step_logged(self, cell: Mapping[str, Any], step: int, values: Mapping[str, Any]) -> None:
        """A training loop logged values.

        Args:
            cell: Which (task, method, seed) is training.
            step: The optimiser step, counted from 1.
            values: Scalars by name.
        """

    @hookspec
    def phys_cell_finished(self, record: Mapping[str, Any]) -> None:
        """One (task, method, seed) cell is finished, whether it succeeded or failed.

        Args:
            record: The cell's run record.
        """

    @hookspec
    def phys_run_finished(self, run: Mapping[str, Any]) -> None:
        """A run ends.

        Args:
            run: What was run, with its outcome.
        """


HOOKS: Mapping[str, tuple[str, ...]] = {
    name: function.__code__.co_varnames[1 : function.__code__.co_argcount]
    for name, function in vars(HookSpecs).items()
    if name.startswith("phys_")
}
"""Argument names by hook name."""

LIFECYCLE = tuple(name for name in HOOKS if name != "phys_components")
"""The hooks that `Registry.emit` calls."""

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


MOST_COMPONENTS = 10_000
"""Of one plugin."""


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
            raise PluginError(f"phys_components returned {brief(result)}; it must yield (or list) components")
        for item in result:
            if not isinstance(item, Component):
                raise PluginError(f"phys_components yielded {brief(item)} ({type(item).__name__}), not a Component")
            components.append(item.declared_in(module_folder(plugin)))
            if len(components) > MOST_COMPONENTS:
                raise PluginError(f"phys_components yields more than {MOST_COMPONENTS:,} components; is there an end?")
    return components


def _implementations(manager: pluggy.PluginManager, plugin: object) -> Iterator[tuple[Any, Any]]:
    for caller in manager.get_hookcallers(plugin) or []:
        for impl in caller.get_hookimpls():
            if impl.plugin is plugin:
                yield caller, impl


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


def call_each(hook: str, calls: Iterable[Call], warned: set[str]) -> list[HookFailure]:
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
        warnings.warn(message, PluginWarning, stacklevel=3)
    return failures


def _call(impl: Any, payload: Mapping[str, Any]) -> Callable[[], object]:
    return lambda: impl.function(*[payload[name] for name in impl.argnames])
