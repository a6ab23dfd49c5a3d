"""Where plugins come from (built-in modules, entry points of installed distributions, files), and which are allowed."""

from __future__ import annotations

import importlib
import keyword
import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any, NoReturn

from .errors import PluginError, one_line, suggest
from .hooks import PluginSource

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint


ALLOW = "PHYS_SAMPLERS_PLUGINS"
DENY = "PHYS_SAMPLERS_DENY"
FILES = "PHYS_SAMPLERS_PLUGIN_FILES"


@dataclass(frozen=True, kw_only=True)
class Source:
    """A plugin that may be loaded.

    Attributes:
        name: The plugin's name.
        kind: The door it comes by.
        location: What will be imported.
        load: Imports it.
        distribution: The installed distribution that offers it.
        version: That distribution's version.
        aliases: Other names the environment may call it by.
    """

    name: str
    kind: PluginSource
    location: str
    load: Callable[[], Any]
    distribution: str | None = None
    version: str | None = None
    aliases: tuple[str, ...] = ()


class Policy:
    """What three environment variables say.

    ``PHYS_SAMPLERS_PLUGINS``: a comma list; of the installed plugins only these are loaded (empty: none; unset: all).
    ``PHYS_SAMPLERS_DENY``: a comma list; never loaded, built-ins included. A package name covers its modules.
    ``PHYS_SAMPLERS_PLUGIN_FILES``: files to load at start, separated as in ``PATH``.

    Names are entry-point, distribution, module or file-stem names; case, ``-``, ``_`` and ``.`` do not matter.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        """Read the variables.

        Args:
            environment: The environment.
        """
        allowed = environment.get(ALLOW)
        self.allowed: list[str] | None = None if allowed is None else _split(allowed)
        self.denied: list[str] = _split(environment.get(DENY, ""))
        self.files: list[str] = [path for path in environment.get(FILES, "").split(os.pathsep) if path.strip()]

    def refusal(self, source: Source) -> str:
        """Say why a plugin is not to be loaded; empty when it may be. The allow list applies to installed ones."""
        known = (source.name, *source.aliases)
        if any(_covers(entry, name) for entry in self.denied for name in known):
            return f"denied by {DENY}"
        if source.kind == "entry point" and self.allowed is not None:
            if any(_covers(entry, name) for entry in self.allowed for name in known):
                return ""
            return f"not listed in {ALLOW}"
        return ""

    def absent(self, names: Iterable[str]) -> list[str]:
        """Find allowed names that no plugin goes by, for example misspelt ones.

        Args:
            names: The names of all plugins found.

        Returns:
            Entries of the allow list without a plugin.
        """
        known = list(names)
        return [entry for entry in self.allowed or [] if not any(_covers(entry, name) for name in known)]


def discover(builtins: Iterable[str], group: str | None, policy: Policy) -> list[tuple[Source, str]]:
    """Find all plugins, in the order of loading.

    Args:
        builtins: Modules that are plugins.
        group: The entry-point group, or ``None``.
        policy: What the environment says.

    Returns:
        Sources, each with the reason why it may not be loaded, or an empty string.
    """
    known = [*map(builtin, builtins), *(installed(group) if group is not None else ())]
    names = [name for source in known for name in (source.name, *source.aliases)]
    absent = [_absent(entry, names) for entry in policy.absent(names)] if group is not None else []
    return [
        *((source, policy.refusal(source)) for source in known),
        *((source, "") for source in absent),
        *((file(path), "") for path in policy.files),
    ]


IMPORT_PROCESSOR_SECONDS, IMPORT_SECONDS = 60.0, 600.0
"""How long the import of a plugin that is not built in may take: processor time, and the clock."""


@contextmanager
def bounded(source: Source) -> Iterator[None]:
    """Let the import and the registration of a foreign plugin neither end this process nor take for ever.

    The time is bounded in the main thread of systems with interval timers, unless somebody else uses these.

    Args:
        source: The plugin that is imported meanwhile.

    Raises:
        PluginError: In the middle of it, if it calls ``os._exit``, takes too long, or raises a Ctrl-C of its own.
    """
    if source.kind == "builtin":
        yield
        return

    def refuse(code: int = 0) -> NoReturn:
        raise PluginError(f"it called os._exit({code}) while it was imported")

    def stop(number: int, frame: object) -> NoReturn:
        kind = "of processor time" if number == signal.SIGPROF else "on the clock"
        limit = IMPORT_PROCESSOR_SECONDS if number == signal.SIGPROF else IMPORT_SECONDS
        raise PluginError(f"its import was stopped after {limit:g} s {kind}")

    pressed = False

    def interrupt(number: int, frame: object) -> NoReturn:
        nonlocal pressed
        pressed = True
        raise KeyboardInterrupt

    leave, os._exit = os._exit, refuse  # type: ignore[assignment]
    timers = []
    main = threading.current_thread() is threading.main_thread()
    deaf = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    if watched := main and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, interrupt)
    if main and hasattr(signal, "setitimer"):
        for timer, number, seconds in (
            (signal.ITIMER_PROF, signal.SIGPROF, IMPORT_PROCESSOR_SECONDS),
            (signal.ITIMER_REAL, signal.SIGALRM, IMPORT_SECONDS),
        ):
            if signal.getitimer(timer) == (0.0, 0.0):
                timers.append((timer, number, signal.signal(number, stop)))
                signal.setitimer(timer, seconds)
    try:
        yield
    except KeyboardInterrupt:
        if pressed or not (watched or deaf):
            raise
        raise PluginError("it raised KeyboardInterrupt, and nobody pressed Ctrl-C") from None
    finally:
        os._exit = leave
        if watched:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        for timer, number, handler in timers:
            signal.setitimer(timer, 0)
            signal.signal(number, handler)


def builtin(module: str) -> Source:
    """Describe a built-in plugin.

    Args:
        module: Its module's name.

    Returns:
        The source.
    """
    return Source(name=module, kind="builtin", location=module, load=lambda: importlib.import_module(module))


def installed(group: str) -> list[Source]:
    """Find the plugins that installed distributions offer.

    Args:
        group: The entry-point group.

    Returns:
        The sources, sorted by name, then distribution. A distribution whose metadata cannot be read gives a source that
        fails with that error.
    """
    from importlib.metadata import entry_points  # costs more than the rest of this package, and only here

    try:
        found = [_entry_point(point) for point in entry_points(group=group)]
    except Exception:  # one unreadable entry_points.txt spoils the call for all: read them one by one
        found = list(_one_by_one(group))
    return sorted(found, key=lambda source: (source.name, source.distribution or ""))


def file(path: str) -> Source:
    """Describe a plugin that is one file.

    Args:
        path: The file's absolute path.

    Returns:
        The source; its `load` raises `PluginError` when the file cannot become a module.
    """
    return Source(name=_stem(path), kind="file", location=path, load=lambda: _import_file(path))


def _entry_point(point: EntryPoint) -> Source:
    distribution = point.dist
    return Source(
        name=point.name,
        kind="entry point",
        location=point.value,
        load=point.load,
        distribution=distribution.name if distribution else None,
        version=distribution.version if distribution else None,
        aliases=(*([distribution.name] if distribution else []), point.value.partition(":")[0].strip()),
    )


def _one_by_one(group: str) -> Iterator[Source]:
    from importlib.metadata import distributions

    seen: set[str] = set()
    for distribution in distributions():
        name = distribution.name or str(getattr(distribution, "_path", "?"))
        if name in seen:  # shadowed by one earlier on the path
            continue
        seen.add(name)
        try:
            yield from [_entry_point(point) for point in distribution.entry_points.select(group=group)]
        except Exception as error:
            text = distribution.read_text("entry_points.txt") or ""
            if group in text:
                yield _unreadable(name, distribution.version, one_line(error))


def _unreadable(name: str, version: str, problem: str) -> Source:
    def load() -> Any:
        raise PluginError(f"the entry_points.txt of {name!r} cannot be read: {problem}; reinstall it")

    return Source(
        name=name, kind="entry point", location="entry_points.txt", load=load, distribution=name, version=version
    )


def _import_file(path: str) -> ModuleType:
    from importlib.util import module_from_spec, spec_from_file_location

    _check_file(path)
    name = _stem(path)
    known = sys.modules.get(name)
    if known is not None and _same_file(getattr(known, "__file__", None), path):
        return known
    other = (getattr(known, "__file__", None) or "built into Python") if known else _elsewhere(name, path)
    if other:
        raise PluginError(f"'{name}.py' would hide the module {name!r} ({other}); rename the file")
    spec = spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise PluginError(f"{path!r} cannot be imported as a module")
    module = module_from_spec(spec)
    sys.modules[name] = module  # before it runs: dataclasses and pickle look their module up there
    try:
        spec.loader.exec_module(module)
    except BaseException:
        sys.modules.pop(name, None)
        raise
    return module


def _check_file(path: str) -> None:
    if os.path.isdir(path):
        raise PluginError(f"{path!r} is a folder; give one FILE.py, or install the plugin as a package")
    if not os.path.isfile(path):
        raise PluginError(f"there is no file {path!r}")
    if not path.endswith(".py"):
        raise PluginError(f"{path!r} is not a Python file (FILE.py)")
    name = _stem(path)
    if not name.isidentifier() or keyword.iskeyword(name):
        plain = "".join(letter if letter.isalnum() else "_" for letter in name)
        proposal = plain if plain.isidentifier() and not keyword.iskeyword(plain) else f"plugin_{plain}"
        raise PluginError(f"{name!r} is not a valid module name; rename '{name}.py', for example to '{proposal}.py'")


def _elsewhere(name: str, path: str) -> str:
    from importlib.util import find_spec

    try:
        spec = find_spec(name)
    except (ImportError, ValueError):
        return ""
    if spec is None or _same_file(spec.origin, path) or (spec.origin is None and spec.submodule_search_locations):
        return ""  # a namespace package, that is, any folder of this name, does not count
    return spec.origin or "another module"


def _same_file(first: str | None, second: str) -> bool:
    return first is not None and os.path.realpath(first) == os.path.realpath(second)


def _stem(path: str) -> str:
    return os.path.splitext(os.path.basename(path))[0]


def _absent(entry: str, names: list[str]) -> Source:
    def load() -> None:
        raise PluginError(f"{ALLOW} names {entry!r}, but no such plugin is installed.{suggest(entry, names)}")

    return Source(name=entry, kind="entry point", location="not installed", load=load)


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _covers(entry: str, name: str) -> bool:
    if _plain(entry) == _plain(name):
        return True
    wanted, parts = entry.split("."), name.split(".")
    return [_plain(part) for part in wanted] == [_plain(part) for part in parts[: len(wanted)]]


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).casefold()
