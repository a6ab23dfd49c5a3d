"""The plugins themselves: each is admitted by itself, all or nothing."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pluggy

from . import calls
from .checks import check_hooks, declared
from .component import Component
from .errors import PluginError, RegistryError, one_line
from .hooks import PROJECT, HookSpecs
from .sources import Source
from .status import HookFailure, PluginStatus
from .store import Store


class PluginHost:
    """Admits plugins, keeps a report on each, and calls their lifecycle hooks.

    Attributes:
        store: The components.
        statuses: The reports, in the order of loading; the components are filled in by `counted`.
        loading: The plugin whose module is running now: it owns what is registered meanwhile.
    """

    def __init__(self) -> None:
        """Begin without plugins."""
        self.store = Store()
        self.statuses: list[PluginStatus] = []
        self.loading: str | None = None
        self._warned: set[str] = set()
        self._manager = pluggy.PluginManager(PROJECT)
        self._manager.add_hookspecs(HookSpecs)

    def admit(self, source: Source, refusal: str = "") -> tuple[PluginStatus, BaseException | None]:
        """Load a plugin and take its hooks and components, or, when anything fails, none of them.

        Args:
            source: The plugin.
            refusal: Why it may not be loaded, or an empty string.

        Returns:
            The report, which is also kept, and the exception if it failed.
        """
        name = self._free_name(source)
        status = PluginStatus(
            name=name,
            source=source.kind,
            location=source.location,
            distribution=source.distribution,
            version=source.version,
        )
        if refusal:
            return self._keep(replace(status, status="denied", error=refusal)), None
        outer, self.loading = self.loading, name
        try:
            plugin = source.load()
            self._join(plugin, name)
        except KeyboardInterrupt:  # the user's, not the plugin's
            self.store.remove_owner(name)
            raise
        except BaseException as error:  # SystemExit and what native extensions raise included
            self.store.remove_owner(name)
            trace = "".join(traceback.format_exception(error))
            return self._keep(replace(status, status="failed", error=one_line(error), traceback=trace)), error
        finally:
            self.loading = outer
        location = None if source.kind == "file" else getattr(plugin, "__file__", None)
        return self._keep(replace(status, location=location or source.location)), None

    def subscribe(self, plugin: object) -> None:
        """Take an object as a plugin.

        Args:
            plugin: The object; one that is a plugin already is ignored.

        Raises:
            RegistryError: It has no hooks, implements them wrongly, or its components are wrong.
        """
        if self._name_of(plugin) is not None:
            return
        base = name = str(getattr(plugin, "__name__", type(plugin).__name__))
        number = 1
        while self._manager.has_plugin(name):
            number += 1
            name = f"{base}#{number}"
        try:
            self._join(plugin, name)
        except RegistryError:
            raise
        except Exception as error:
            raise PluginError(f"{base!r} cannot be subscribed: {one_line(error)}") from error

    def unsubscribe(self, plugin: object) -> None:
        """Drop a subscribed object, its components included.

        Args:
            plugin: The object; anything else, loaded plugins included, is ignored.
        """
        name = self._name_of(plugin)
        if name is not None and name in self._subscribers():
            self._leave(plugin, name)

    def find(self, kind: str, name: str) -> tuple[Component, str]:
        """Look a component up.

        Args:
            kind: Its kind.
            name: Its name.

        Returns:
            The component and its owner.

        Raises:
            UnknownComponent: There is none; the message also tells which plugins are missing.
        """
        failed = [f"{status.name} ({status.error})" for status in self.statuses if status.status == "failed"]
        denied = [f"{status.name} ({status.error})" for status in self.statuses if status.status == "denied"]
        remark = f". Plugins that failed to load: {'; '.join(failed)}" if failed else ""
        remark += f". Plugins not loaded: {'; '.join(denied)}" if denied else ""
        return self.store.find(kind, name, remark=remark)

    def report(self) -> list[PluginStatus]:
        """Report on every plugin, those that came from running code last.

        Returns:
            The reports, with components.
        """
        names = {status.name for status in self.statuses if status.status == "loaded"}
        owners = self.store.owners()
        rows = [self.counted(status) for status in self.statuses]
        for name, plugin in self._subscribers().items():
            module = getattr(plugin, "__file__", None) or type(plugin).__module__
            rows.append(self.counted(PluginStatus(name=name, source="in-process", location=str(module))))
            names.add(name)
        for owner in sorted(owners.keys() - names):
            modules = sorted({component.target_text.partition(":")[0] for component in owners[owner]})
            rows.append(self.counted(PluginStatus(name=owner, source="in-process", location=", ".join(modules))))
        return rows

    def counted(self, status: PluginStatus) -> PluginStatus:
        """Fill in the components that a plugin has now.

        Args:
            status: Its report.

        Returns:
            The report with components.
        """
        own = self.store.owners().get(status.name, []) if status.status == "loaded" else []
        return replace(status, components=tuple(component.key for component in own))

    def prepare(self, hook: str, payload: Mapping[str, Any]) -> list[calls.Call]:
        """Find whom a lifecycle hook calls.

        Args:
            hook: The hook's name.
            payload: All its arguments.

        Returns:
            The calls, for `run`.

        Raises:
            RegistryError: There is no such hook, or the payload does not fit it.
        """
        return calls.prepare(self._manager, hook, payload)

    def run(self, hook: str, prepared: list[calls.Call]) -> list[HookFailure]:
        """Make prepared calls; call it without the lock.

        Args:
            hook: The hook's name.
            prepared: What `prepare` returned.

        Returns:
            The failures.
        """
        return calls.run(hook, prepared, self._warned)

    def _join(self, plugin: object, name: str) -> None:
        holder = self._name_of(plugin)
        if holder is not None:
            raise PluginError(f"this is already loaded as the plugin {holder!r}")
        try:
            self._manager.register(plugin, name)
            check_hooks(self._manager, plugin, empty=name not in self.store.owners())
            self.store.add_all(declared(self._manager, plugin), name)
        except BaseException:
            self._leave(plugin, name)
            raise

    def _leave(self, plugin: object, name: str) -> None:
        if self._name_of(plugin) is not None:
            self._manager.unregister(plugin)
        self.store.remove_owner(name)

    def _name_of(self, plugin: object) -> str | None:
        return next((name for name, known in self._manager.list_name_plugin() if known is plugin), None)

    def _subscribers(self) -> dict[str, object]:
        loaded = {status.name for status in self.statuses if status.status == "loaded"}
        return {name: plugin for name, plugin in self._manager.list_name_plugin() if name not in loaded}

    def _free_name(self, source: Source) -> str:
        if not self._manager.has_plugin(source.name):
            return source.name
        name = f"{source.name} ({source.distribution or source.location})"
        return name if not self._manager.has_plugin(name) else f"{name} [{source.location}]"

    def _keep(self, status: PluginStatus) -> PluginStatus:
        for index, known in enumerate(self.statuses):
            if (known.source, known.name, known.location) == (status.source, status.name, status.location):
                self.statuses[index] = status  # a file tried again
                return status
        self.statuses.append(status)
        return status
