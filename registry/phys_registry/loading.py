"""Loading plugins, each by itself and in a fixed order: built-ins, installed ones, files; and what they register."""

from __future__ import annotations

import os
import threading
import traceback
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

import pluggy

from . import sources
from .component import KIND, Component
from .errors import (
    DuplicateComponent,
    InvalidComponent,
    PluginError,
    RenamedWarning,
    UnknownComponent,
    listing,
    one_line,
    suggest,
)
from .hooks import PROJECT, HookSpecs, PluginStatus, check_hooks, declared
from .sources import DENY, Policy, Source


class Loader:
    """Admits plugins, all or nothing, and keeps a report on each.

    Attributes:
        store: The components.
        manager: Where the plugins' hooks are.
        statuses: The reports in the order of loading; the components are filled in by `counted`.
        loading: The plugin whose module is running now: it owns what is registered meanwhile.
        loaded: Whether all plugins are, so that reading needs no lock.
    """

    def __init__(self, builtins: tuple[str, ...], group: str | None, environment: Mapping[str, str]) -> None:
        """Remember where plugins come from; nothing is imported yet.

        Args:
            builtins: Modules that are plugins.
            group: The entry-point group, or ``None``.
            environment: Read at the first use.
        """
        self.store = Store()
        self.manager = pluggy.PluginManager(PROJECT)
        self.manager.add_hookspecs(HookSpecs)
        self.statuses: list[PluginStatus] = []
        self.loading: str | None = None
        self.loaded = False
        self._origin = (builtins, group, environment)
        self._policy = Policy({})
        self._lock = threading.RLock()
        self._pending: list[tuple[Source, str]] | None = None
        self._busy = False

    @contextmanager
    def ready(self) -> Iterator[None]:
        """Hold the lock, with all plugins loaded.

        A plugin that uses the registry while it is being loaded sees what is there so far. An interrupted load (Ctrl-C)
        goes on at the next use.
        """
        with self._lock:
            if not self.loaded and not self._busy:
                self._busy = True
                try:
                    self._load_all()
                finally:
                    self._busy = False
            yield

    def _load_all(self) -> None:
        if self._pending is None:
            builtins, group, environment = self._origin
            self._policy = Policy(environment)
            self._pending = sources.discover(builtins, group, self._policy)
        while self._pending:
            source, refusal = self._pending[0]
            if source.kind == "file":
                self.load_file(source.location)
            else:
                self._admit(source, refusal)
            del self._pending[0]
        self.loaded = True

    def load_file(self, path: str) -> tuple[PluginStatus, BaseException | None]:
        """Load a one-file plugin, unless it is loaded; the report, and the exception if it failed."""
        source = sources.file(os.path.abspath(os.path.expanduser(path)))
        for status in self.statuses:
            if (status.source, status.location, status.status) == ("file", source.location, "loaded"):
                return status, None
        return self._admit(source, self._policy.refusal(source))

    def _admit(self, source: Source, refusal: str) -> tuple[PluginStatus, BaseException | None]:
        """Load a plugin and take its hooks and components, or, when anything fails, none of them."""
        name = source.name
        if self.manager.has_plugin(name):
            name = f"{source.name} ({source.distribution or source.location})"
            name = f"{name} [{source.location}]" if self.manager.has_plugin(name) else name
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
            with sources.bounded(source):
                plugin = source.load()
                self.join(plugin, name)
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

    def _keep(self, status: PluginStatus) -> PluginStatus:
        for index, known in enumerate(self.statuses):
            if (known.source, known.name, known.location) == (status.source, status.name, status.location):
                self.statuses[index] = status  # a file tried again
                return status
        self.statuses.append(status)
        return status

    def counted(self, status: PluginStatus) -> PluginStatus:
        """The report with the components that the plugin has now."""
        if status.status != "loaded":
            return status
        own = sorted(component.key for component in self.store.owned(status.name))
        return replace(status, components=tuple(own))

    def join(self, plugin: object, name: str) -> None:
        """Take an object as the plugin of this name: all of its hooks and components, or none."""
        holder = self.name_of(plugin)
        if holder is not None:
            raise PluginError(f"this is already loaded as the plugin {holder!r}")
        try:
            self.manager.register(plugin, name)
            check_hooks(self.manager, plugin, empty=not self.store.owned(name))
            for component in sorted(declared(self.manager, plugin), key=lambda each: each.kind != KIND):
                existing = self.store.entries.get((component.kind, component.name))
                if existing is not None:  # also if equal: a plugin declares a name once, and no other's
                    raise duplicate(component, name, *existing)
                self.store.add(component, name)
        except BaseException:
            self.leave(plugin, name)
            raise

    def leave(self, plugin: object, name: str) -> None:
        """Drop a plugin, its components included."""
        if self.name_of(plugin) is not None:
            self.manager.unregister(plugin)
        self.store.remove_owner(name)

    def name_of(self, plugin: object) -> str | None:
        """The name an object is a plugin by, if it is one."""
        return next((name for name, known in self.manager.list_name_plugin() if known is plugin), None)

    def subscribers(self) -> dict[str, object]:
        """The plugins that running code brought, by name."""
        loaded = {status.name for status in self.statuses if status.status == "loaded"}
        return {name: plugin for name, plugin in self.manager.list_name_plugin() if name not in loaded}

    def remark(self) -> str:
        """Which plugins are missing, for the message about a component that is not there."""
        failed = [f"{status.name} ({status.error})" for status in self.statuses if status.status == "failed"]
        denied = [f"{status.name} ({status.error})" for status in self.statuses if status.status == "denied"]
        text = f". Plugins that failed to load: {'; '.join(failed)}" if failed else ""
        return text + (f". Plugins not loaded: {'; '.join(denied)}" if denied else "")


IN_PROCESS = "in-process"


class Store:
    """Components by kind and name; every name has one owner.

    Attributes:
        entries: Component and owner by kind and name.
    """

    def __init__(self) -> None:
        """Begin empty."""
        self.entries: dict[tuple[str, str], tuple[Component, str]] = {}

    def kinds(self) -> tuple[str, ...]:
        """The kinds, in the order of their declaration."""
        return tuple(name for kind, name in self.entries if kind == KIND)

    def names(self, kind: str) -> list[str]:
        """The names of a kind, sorted; `UnknownComponent` if there is no such kind."""
        if problem := self.unknown_kind(kind):
            raise UnknownComponent(problem)
        return sorted(name for its_kind, name in self.entries if its_kind == kind)

    def unknown_kind(self, kind: str) -> str:
        """Say what is wrong with a kind; empty if it is known."""
        if kind == KIND or (KIND, kind) in self.entries:
            return ""
        kinds = self.kinds()
        return f"unknown kind {kind!r}.{suggest(str(kind), kinds)} Kinds are: {', '.join(kinds)}"

    def add(self, component: Component, owner: str, *, replace: bool = False) -> Component:
        """Add one component; one equal to the registered one changes nothing.

        With ``replace`` an owner may replace a component whose target has the same qualified name.
        """
        if problem := self.unknown_kind(component.kind):
            raise InvalidComponent(f"component {component.name!r}: {problem}")
        key = (component.kind, component.name)
        existing = self.entries.get(key)
        if existing is not None:
            known, holder = existing
            if known == component:
                return known
            if not (replace and holder == owner and known.target_text == component.target_text):
                raise duplicate(component, owner, known, holder)
        self.entries[key] = (component, owner)
        return component

    def remove_owner(self, owner: str) -> None:
        """Remove all components of an owner."""
        self.entries = {key: entry for key, entry in self.entries.items() if entry[1] != owner}

    def find(self, kind: str, name: str, *, remark: str = "") -> tuple[Component, str]:
        """A component and its owner, also by a former name; `remark` ends the message when there is none."""
        entry = self.entries.get((kind, name))
        if entry is not None:
            return entry
        for component, owner in self.entries.values():
            if component.kind == kind and name in component.renamed_from:
                message = f"{kind} {name!r} is now called {component.name!r}; write that"
                warnings.warn(message, RenamedWarning, stacklevel=4)
                return component, owner
        known = self.names(kind)
        hint = suggest(str(name), known)
        if not hint and (others := [each for each in self.kinds() if (each, name) in self.entries]):
            hint = f" There is a {' and a '.join(others)} of this name."
        raise UnknownComponent(f"there is no {kind} {name!r}.{hint} Known: {listing(known)}{remark}")

    def owned(self, owner: str) -> list[Component]:
        """The components of an owner."""
        return [component for component, holder in self.entries.values() if holder == owner]


def duplicate(component: Component, owner: str, known: Component, holder: str) -> DuplicateComponent:
    """The error when a name is taken."""
    name = component.label
    if holder == owner:
        problem = f"{owner!r} declares {name} twice ({known.target_text} and {component.target_text})"
        return DuplicateComponent(f"{problem}; give one another name, or unregister the first")
    in_process = IN_PROCESS in (owner, holder)
    cure = "give yours another name" if in_process else f"rename one, or set {DENY} to one of the two"
    return DuplicateComponent(
        f"{name} is already registered by {holder!r} ({known.target_text}); "
        f"{owner!r} cannot register it too ({component.target_text}); {cure}"
    )
