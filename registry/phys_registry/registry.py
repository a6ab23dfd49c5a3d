"""`Registry`: the one object through which everything swappable is found and made."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from .component import KIND, Component, module_folder
from .errors import BadOption, PluginError, RegistryError, RenamedWarning, listing, one_line, suggest
from .hooks import HookFailure, PluginStatus, call_each, prepare
from .loading import IN_PROCESS, Loader

if TYPE_CHECKING:
    from .describe import Description

T = TypeVar("T", bound=Callable[..., Any])
GIVEN = "registry"
"""Owner of the kinds that the registry was made with."""


class Registry:
    """Finds components by kind and name, and makes them.

    Plugins are loaded at the first use, each by itself: one that fails is reported by `plugins` and leaves the others
    working. All methods may be called from several threads.

    Example:
        >>> registry = Registry(kinds=[Component("kind", "kernel", object, summary="")], entry_point_group=None)
        >>> @registry.component("kernel", "box", summary="Constant inside the unit ball.")
        ... def box(radius: float = 1.0) -> float:
        ...     return radius
        >>> registry.make("kernel", "box", radius=2.0)
        2.0
    """

    def __init__(
        self,
        *,
        kinds: Iterable[Component] = (),
        builtins: Sequence[str] = (),
        entry_point_group: str | None = "phys_samplers.plugins",
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Say where plugins come from; nothing is imported yet.

        Args:
            kinds: Components of kind ``kind`` that are there from the start; plugins may declare more.
            builtins: Modules that are plugins, loaded first.
            entry_point_group: The group under which installed distributions offer plugins; ``None`` for none.
            environment: Where ``PHYS_SAMPLERS_PLUGINS``, ``PHYS_SAMPLERS_DENY`` and ``PHYS_SAMPLERS_PLUGIN_FILES`` are
                read, at the first use; ``os.environ`` by default.
        """
        variables = os.environ if environment is None else environment
        self._loader = Loader(tuple(builtins), entry_point_group, variables)
        self._store = self._loader.store
        self._warned: set[str] = set()
        for kind in kinds:
            self._store.add(kind, GIVEN)

    # Finding and making

    def kinds(self) -> tuple[str, ...]:
        """The kinds of components, in the order of their declaration; the kind ``kind`` itself is not among them."""
        with self._loader.ready():
            return self._store.kinds()

    def names(self, kind: str) -> list[str]:
        """List the names of a kind, sorted.

        Raises:
            UnknownComponent: There is no such kind.
        """
        with self._loader.ready():
            return self._store.names(kind)

    def components(self, kind: str | None = None) -> list[Component]:
        """List components.

        Args:
            kind: Their kind, or ``None`` for all of `kinds`.

        Returns:
            The components, by kind, then by name.

        Raises:
            UnknownComponent: There is no such kind.
        """
        with self._loader.ready():
            kinds = self._store.kinds() if kind is None else (kind,)
            return [self._store.entries[each, name][0] for each in kinds for name in self._store.names(each)]

    def get(self, kind: str, name: str) -> Component:
        """Look a component up; nothing of it is imported. A former name gives the component, with a `RenamedWarning`.

        Raises:
            UnknownComponent: There is no such kind or name; the message has the nearest names and the failed plugins.
        """
        return self._entry(kind, name)[0]

    def owner(self, kind: str, name: str) -> str:
        """Tell which plugin registered a component.

        Raises:
            UnknownComponent: There is no such kind or name.
        """
        return self._entry(kind, name)[1]

    def describe(self, kind: str, name: str, *, options: bool = True) -> Description:
        """Tell everything about a component.

        Args:
            kind: Its kind.
            name: Its name.
            options: Whether to list its options, for which its target is imported.

        Raises:
            UnknownComponent: There is no such kind or name.
            TargetError: The target cannot be imported.
        """
        from .describe import describe  # late, as in `make`: listing does without

        component, owner = self._entry(kind, name)
        return describe(component, owner, options=options)

    def make(self, kind: str, name: str, /, *, preset: str | None = None, **options: Any) -> Any:
        """Make a component.

        Args:
            kind: Its kind.
            name: Its name.
            preset: A named set of options to begin with.
            **options: Its options; they win over the preset's.

        Returns:
            What the component's target returns. Errors that the target itself raises pass through unchanged.

        Raises:
            UnknownComponent: There is no such kind or name.
            BadOption: An option or the preset does not exist, is missing, or has the wrong type.
            TargetError: The target cannot be imported.
        """
        if kind == KIND:
            raise BadOption(f"the kind {name!r} is declared, not made; list its components by names({name!r})")
        component = self.get(kind, name)
        if component.renamed_options:
            options = _renamed(component, options)
        if preset is not None:
            if preset not in component.presets:
                hint = suggest(str(preset), component.presets)
                others = [c.name for c in self.components(kind) if preset in c.presets and c.name.startswith(name)]
                hint = hint or "".join(f" There is {other}[preset={preset}]." for other in others)
                known = listing(component.presets)
                raise BadOption(f"{component.label} has no preset {preset!r}.{hint} Presets: {known}")
            options = {**component.presets[preset], **options}
        from .options import check_options

        target = component.load()
        check_options(component, target, options)
        return target(**options)

    def base(self, kind: str) -> type:
        """The class that all objects of a kind derive from, imported.

        Raises:
            UnknownComponent: There is no such kind.
            TargetError: The class cannot be imported.
        """
        base: type = self.get(KIND, kind).load()
        return base

    # Registering

    def register(self, component: Component, *, owner: str = IN_PROCESS) -> Component:
        """Register one component from running code.

        Args:
            component: The component; registering an equal one again changes nothing.
            owner: Who registers it. While a plugin is being loaded, the default is that plugin.

        Returns:
            The registered component.

        Raises:
            DuplicateComponent: The name is taken by a different component.
            InvalidComponent: There is no such kind.
        """
        with self._loader.ready():
            return self._store.add(component, (self._loader.loading or owner) if owner == IN_PROCESS else owner)

    def unregister(self, kind: str, name: str) -> None:
        """Remove a component, for example to define another of this name in a notebook.

        Raises:
            UnknownComponent: There is none.
        """
        with self._loader.ready():
            component = self._entry(kind, name)[0]
            del self._store.entries[component.kind, component.name]

    def component(self, kind: str, name: str, *, summary: str, **facts: Any) -> Callable[[T], T]:
        """Register a class or function by a decorator.

        Running the same definition again, as in a notebook cell, replaces it.

        Args:
            kind: Its kind.
            name: The component's name.
            summary: One sentence for listings.
            **facts: The other facts of a `Component`.

        Returns:
            A decorator that returns what it decorates. It raises `DuplicateComponent` when the name is taken, and
            `InvalidComponent` when a fact is wrong.
        """

        def decorate(target: T) -> T:
            component = Component(kind, name, target, summary=summary, **facts).declared_in(module_folder(target))
            with self._loader.ready():
                self._store.add(component, self._loader.loading or IN_PROCESS, replace=True)
            return target

        return decorate

    # Plugins

    def plugins(self) -> list[PluginStatus]:
        """Report on every plugin.

        Returns:
            Reports in the order of loading; then subscribers and what running code registered.
        """
        with self._loader.ready():
            rows = [self._loader.counted(status) for status in self._loader.statuses]
            for name, plugin in self._loader.subscribers().items():
                place = getattr(plugin, "__file__", None) or type(plugin).__module__
                rows.append(self._loader.counted(PluginStatus(name=name, source="in-process", location=str(place))))
            known = {row.name for row in rows if row.status == "loaded"} | {GIVEN}
            for owner in sorted({owner for _, owner in self._store.entries.values()} - known):
                places = sorted({c.target_text.partition(":")[0] for c in self._store.owned(owner)})
                rows.append(
                    self._loader.counted(PluginStatus(name=owner, source="in-process", location=", ".join(places)))
                )
            return rows

    def load_file(self, path: str | os.PathLike[str]) -> PluginStatus:
        """Load a plugin that is one file; it becomes the module of the file's name.

        Args:
            path: The file. The same path twice loads once; after a failure the file is tried again.

        Returns:
            The report on the loaded plugin.

        Raises:
            PluginError: The file does not exist, cannot be imported, or is denied; the report is kept in `plugins`.
        """
        with self._loader.ready():
            status, error = self._loader.load_file(os.fspath(path))
            if status.status != "loaded":
                raise PluginError(f"the plugin file {str(path)!r} cannot be loaded: {status.error}") from error
            return self._loader.counted(status)

    def subscribe(self, plugin: object) -> None:
        """Let an object with ``@hookimpl`` methods (or a module) take part in this process.

        Args:
            plugin: The object; subscribing it again changes nothing.

        Raises:
            RegistryError: It has no hooks, implements them wrongly, or its components are wrong.
        """
        with self._loader.ready():
            if self._loader.name_of(plugin) is not None:
                return
            base = name = str(getattr(plugin, "__name__", type(plugin).__name__))
            number = 1
            while self._loader.manager.has_plugin(name):
                number += 1
                name = f"{base}#{number}"
            try:
                self._loader.join(plugin, name)
            except RegistryError:
                raise
            except Exception as error:
                raise PluginError(f"{base!r} cannot be subscribed: {one_line(error)}") from error

    def unsubscribe(self, plugin: object) -> None:
        """Drop an object that was subscribed, its components included; one that is not subscribed is ignored."""
        with self._loader.ready():
            name = self._loader.name_of(plugin)
            if name is not None and name in self._loader.subscribers():
                self._loader.leave(plugin, name)

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
        with self._loader.ready():
            calls = prepare(self._loader.manager, hook, payload)
        return call_each(hook, calls, self._warned)  # without the lock

    def _entry(self, kind: str, name: str) -> tuple[Component, str]:
        if self._loader.loaded and (found := self._store.entries.get((kind, name))):  # the way of nearly every call
            return found
        with self._loader.ready():
            return self._store.find(kind, name, remark=self._loader.remark())


def _renamed(component: Component, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options under their present names."""
    found: dict[str, Any] = {}
    for name, value in options.items():
        new = component.renamed_options.get(name, name)
        if new != name:
            if new in options:
                raise BadOption(f"{component.label} got {name!r} and {new!r}, which is what {name!r} is called now")
            message = f"the option {name!r} of {component.label} is now called {new!r}; write that"
            warnings.warn(message, RenamedWarning, stacklevel=3)
        found[new] = value
    return found
