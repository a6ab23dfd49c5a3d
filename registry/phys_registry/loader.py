"""Lazy, thread-safe loading of plugins in a fixed order: built-ins, installed ones, files."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from . import sources
from .errors import PluginError, suggest
from .host import PluginHost
from .policy import ALLOW, Policy
from .sources import Source
from .status import PluginStatus


class Loader:
    """Owns the plugin host and the lock around it."""

    def __init__(self, builtins: tuple[str, ...], group: str | None, environment: Mapping[str, str]) -> None:
        """Remember where plugins come from; nothing is imported yet.

        Args:
            builtins: Modules that are plugins.
            group: The entry-point group, or ``None``.
            environment: Read at the first use.
        """
        self._builtins = builtins
        self._group = group
        self._environment = environment
        self._host = PluginHost()
        self._policy = Policy({})
        self._lock = threading.RLock()
        self._pending: list[tuple[Source, str]] | None = None
        self._loading = False

    @contextmanager
    def ready(self) -> Iterator[PluginHost]:
        """Hold the lock, with all plugins loaded.

        A plugin that uses the registry while it is being loaded sees what is there so far. An interrupted load (Ctrl-C)
        goes on at the next use.

        Yields:
            The plugin host.
        """
        with self._lock:
            if self._pending != [] and not self._loading:
                self._loading = True
                try:
                    self._load_all()
                finally:
                    self._loading = False
            yield self._host

    def load_file(self, path: str) -> tuple[PluginStatus, BaseException | None]:
        """Load a one-file plugin, unless it is loaded; call it with the lock held.

        Args:
            path: The file.

        Returns:
            The report, and the exception if it failed.
        """
        source = sources.file(os.path.abspath(os.path.expanduser(path)))
        for status in self._host.statuses:
            if (status.source, status.location, status.status) == ("file", source.location, "loaded"):
                return status, None
        return self._host.admit(source, self._refusal(source))

    def _load_all(self) -> None:
        if self._pending is None:
            self._policy = Policy(self._environment)
            self._pending = self._discover()
        while self._pending:
            source, refusal = self._pending[0]
            if source.kind == "file":
                self.load_file(source.location)
            else:
                self._host.admit(source, refusal)
            del self._pending[0]

    def _discover(self) -> list[tuple[Source, str]]:
        known = [sources.builtin(module) for module in self._builtins]
        if self._group is not None:
            known += sources.installed(self._group)
        found = [(source, self._refusal(source)) for source in known]
        names = [name for source in known for name in (source.name, *source.aliases)]
        if self._group is not None:
            found += [(_absent(entry, names), "") for entry in self._policy.absent(names)]
        files = [sources.file(path) for path in self._policy.files]
        return found + [(source, "") for source in files]

    def _refusal(self, source: Source) -> str:
        return self._policy.refusal((source.name, *source.aliases), installed=source.kind == "entry point")


def _absent(entry: str, names: list[str]) -> Source:
    def load() -> None:
        raise PluginError(f"{ALLOW} names {entry!r}, but no such plugin is installed.{suggest(entry, names)}")

    return Source(name=entry, kind="entry point", location="not installed", load=load)
