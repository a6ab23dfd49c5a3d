"""The reading half of the registry: find, describe and make components."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .component import Component
from .errors import BadOption, listing, suggest
from .loader import Loader
from .status import PluginStatus

if TYPE_CHECKING:
    from .describe import Description


class Lookup:
    """Finds components by kind and name, describes them and makes them."""

    def __init__(self, loader: Loader) -> None:
        """Read from a loader.

        Args:
            loader: It loads the plugins at the first use.
        """
        self._loader = loader

    def names(self, kind: str) -> list[str]:
        """List the names of a kind.

        Args:
            kind: One of `KINDS`.

        Returns:
            Sorted names.

        Raises:
            UnknownComponent: There is no such kind.
        """
        with self._loader.ready() as host:
            return host.store.names(kind)

    def components(self, kind: str | None = None) -> list[Component]:
        """List components.

        Args:
            kind: One of `KINDS`, or ``None`` for all.

        Returns:
            The components, by kind in the order of `KINDS`, then by name.

        Raises:
            UnknownComponent: There is no such kind.
        """
        with self._loader.ready() as host:
            return host.store.components(kind)

    def get(self, kind: str, name: str) -> Component:
        """Look a component up; nothing of it is imported.

        Args:
            kind: Its kind.
            name: Its name.

        Returns:
            The component.

        Raises:
            UnknownComponent: There is no such kind or name; the message has the nearest names and the failed plugins.
        """
        with self._loader.ready() as host:
            return host.find(kind, name)[0]

    def owner(self, kind: str, name: str) -> str:
        """Tell which plugin registered a component.

        Args:
            kind: Its kind.
            name: Its name.

        Returns:
            The plugin's name.

        Raises:
            UnknownComponent: There is no such kind or name.
        """
        with self._loader.ready() as host:
            return host.find(kind, name)[1]

    def describe(self, kind: str, name: str, *, options: bool = True) -> Description:
        """Tell everything about a component.

        Args:
            kind: Its kind.
            name: Its name.
            options: Whether to list its options, for which its target is imported.

        Returns:
            The description.

        Raises:
            UnknownComponent: There is no such kind or name.
            TargetError: The target cannot be imported.
        """
        from .describe import describe  # late, as in `make`: listing does without

        with self._loader.ready() as host:
            component, owner = host.find(kind, name)
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
        component = self.get(kind, name)
        label = f"{kind} {name!r}"
        if preset is not None:
            if preset not in component.presets:
                hint = suggest(str(preset), component.presets)
                raise BadOption(f"{label} has no preset {preset!r}.{hint} Presets: {listing(component.presets)}")
            options = {**component.presets[preset], **options}
        from .options import check_options

        target = component.load()
        check_options(label, target, options)
        return target(**options)

    def plugins(self) -> list[PluginStatus]:
        """Report on every plugin.

        Returns:
            Reports in the order of loading; then subscribers and what running code registered.
        """
        with self._loader.ready() as host:
            return host.report()
