"""`Registry`: the one object through which everything swappable is found and made."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from .component import Component
from .errors import PluginError
from .loader import Loader
from .lookup import Lookup
from .status import HookFailure, PluginStatus
from .store import IN_PROCESS

T = TypeVar("T", bound=Callable[..., Any])


class Registry(Lookup):
    """Finds components by kind and name, and makes them.

    Plugins are loaded at the first use, each by itself: one that fails is reported by `plugins` and leaves the others
    working. All methods may be called from several threads.

    Example:
        >>> registry = Registry(entry_point_group=None)
        >>> @registry.component("kernel", "box", summary="Constant inside the unit ball.")
        ... def box(radius: float = 1.0) -> float:
        ...     return radius
        >>> registry.make("kernel", "box", radius=2.0)
        2.0
    """

    def __init__(
        self,
        *,
        builtins: Sequence[str] = (),
        entry_point_group: str | None = "phys_samplers.plugins",
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Say where plugins come from; nothing is imported yet.

        Args:
            builtins: Modules that are plugins, loaded first.
            entry_point_group: The group under which installed distributions offer plugins; ``None`` for none.
            environment: Where ``PHYS_SAMPLERS_PLUGINS``, ``PHYS_SAMPLERS_DENY`` and ``PHYS_SAMPLERS_PLUGIN_FILES`` are
                read, at the first use; ``os.environ`` by default.
        """
        variables = os.environ if environment is None else environment
        super().__init__(Loader(tuple(builtins), entry_point_group, variables))

    def register(self, component: Component, *, owner: str = IN_PROCESS) -> Component:
        """Register one component from running code.

        Args:
            component: The component; registering an equal one again changes nothing.
            owner: Who registers it. While a plugin is being loaded, the default is that plugin.

        Returns:
            The registered component.

        Raises:
            DuplicateComponent: The name is taken by a different component.
        """
        with self._loader.ready() as host:
            return host.store.add(component, (host.loading or owner) if owner == IN_PROCESS else owner)

    def unregister(self, kind: str, name: str) -> None:
        """Remove a component, for example to define another of this name in a notebook.

        Args:
            kind: Its kind.
            name: Its name.

        Raises:
            UnknownComponent: There is none.
        """
        with self._loader.ready() as host:
            host.store.remove(host.find(kind, name)[0])

    def component(self, kind: str, name: str, *, summary: str, **facts: Any) -> Callable[[T], T]:
        """Register a class or function by a decorator.

        Running the same definition again, as in a notebook cell, replaces it.

        Args:
            kind: One of `KINDS`.
            name: The component's name.
            summary: One sentence for listings.
            **facts: The other facts of a `Component`.

        Returns:
            A decorator that returns what it decorates. It raises `DuplicateComponent` when the name is taken, and
            `InvalidComponent` when a fact is wrong.
        """

        def decorate(target: T) -> T:
            declared = Component(kind, name, target, summary=summary, **facts).declared_in(_folder(target))
            with self._loader.ready() as host:
                host.store.add(declared, host.loading or IN_PROCESS, replace=True)
            return target

        return decorate

    def load_file(self, path: str | os.PathLike[str]) -> PluginStatus:
        """Load a plugin that is one file; it becomes the module of the file's name.

        Args:
            path: The file. The same path twice loads once; after a failure the file is tried again.

        Returns:
            The report on the loaded plugin.

        Raises:
            PluginError: The file does not exist, cannot be imported, or is denied; the report is kept in `plugins`.
        """
        with self._loader.ready() as host:
            status, error = self._loader.load_file(os.fspath(path))
            if status.status != "loaded":
                raise PluginError(f"the plugin file {str(path)!r} cannot be loaded: {status.error}") from error
            return host.counted(status)

    def subscribe(self, plugin: object) -> None:
        """Let an object with ``@hookimpl`` methods (or a module) take part in this process.

        Args:
            plugin: The object; subscribing it again changes nothing.

        Raises:
            RegistryError: It has no hooks, implements them wrongly, or its components are wrong.
        """
        with self._loader.ready() as host:
            host.subscribe(plugin)

    def unsubscribe(self, plugin: object) -> None:
        """Drop an object that was subscribed, its components included.

        Args:
            plugin: The object; one that is not subscribed is ignored.
        """
        with self._loader.ready() as host:
            host.unsubscribe(plugin)

    def emit(self, hook: str, **payload: Any) -> list[HookFailure]:
        """Call a lifecycle hook on every plugin, each by itself.

        Args:
            hook: For example ``"phys_cell_finished"``.
            **payload: All arguments of the hook.

        Returns:
            The plugins' failures; each plugin's first is also warned about (`PluginWarning`).

        Raises:
            RegistryError: There is no such lifecycle hook, or the payload does not fit it.
        """
        with self._loader.ready() as host:
            calls = host.prepare(hook, payload)
        return host.run(hook, calls)


def _folder(target: object) -> str:
    """Where the module is in which a class or function was written."""
    module = sys.modules.get(getattr(target, "__module__", None) or "")
    return os.path.dirname(getattr(module, "__file__", None) or "")
