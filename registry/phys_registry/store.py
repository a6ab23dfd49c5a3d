"""The registered components and their owners."""

from __future__ import annotations

from collections.abc import Iterable

from .component import KINDS, Component, check_kind
from .errors import DuplicateComponent, UnknownComponent, listing, suggest
from .policy import DENY

IN_PROCESS = "in-process"


class Store:
    """Components by kind and name; every name has one owner."""

    def __init__(self) -> None:
        """Begin empty."""
        self._entries: dict[tuple[str, str], tuple[Component, str]] = {}

    def add(self, component: Component, owner: str, *, replace: bool = False) -> Component:
        """Add one component.

        Args:
            component: The component; one equal to the registered one changes nothing.
            owner: Who registers it.
            replace: Let the same owner replace a component whose target has the same qualified name.

        Returns:
            The registered component.

        Raises:
            DuplicateComponent: The name is taken.
        """
        key = (component.kind, component.name)
        existing = self._entries.get(key)
        if existing is not None:
            known, holder = existing
            if known == component:
                return known
            if not (replace and holder == owner and known.target_text == component.target_text):
                raise _duplicate(component, owner, known, holder)
        self._entries[key] = (component, owner)
        return component

    def add_all(self, components: Iterable[Component], owner: str) -> None:
        """Add a plugin's components; a name that is taken, even by an equal component, is an error.

        Args:
            components: The components.
            owner: The plugin's name.

        Raises:
            DuplicateComponent: A name is taken by another owner, or declared twice; what was added before
                it stays until `remove_owner`.
        """
        for component in components:
            existing = self._entries.get((component.kind, component.name))
            if existing is not None:
                raise _duplicate(component, owner, *existing)
            self.add(component, owner)

    def remove(self, component: Component) -> None:
        """Remove a component that is registered.

        Args:
            component: The component.
        """
        self._entries.pop((component.kind, component.name), None)

    def remove_owner(self, owner: str) -> None:
        """Remove all components of an owner.

        Args:
            owner: The owner's name.
        """
        self._entries = {key: entry for key, entry in self._entries.items() if entry[1] != owner}

    def find(self, kind: str, name: str, *, remark: str = "") -> tuple[Component, str]:
        """Look a component up.

        Args:
            kind: Its kind.
            name: Its name.
            remark: Added to the message when there is none.

        Returns:
            The component and its owner.

        Raises:
            UnknownComponent: There is no such kind or name; the message has the nearest.
        """
        entry = self._entries.get((kind, name))
        if entry is not None:
            return entry
        known = self.names(kind)
        hint = suggest(str(name), known) or self._elsewhere(name)
        raise UnknownComponent(f"there is no {kind} {name!r}.{hint} Known: {listing(known)}{remark}")

    def names(self, kind: str) -> list[str]:
        """List the names of a kind.

        Args:
            kind: One of `KINDS`.

        Returns:
            Sorted names.

        Raises:
            UnknownComponent: There is no such kind.
        """
        problem = check_kind(kind)
        if problem:
            raise UnknownComponent(problem)
        return sorted(name for its_kind, name in self._entries if its_kind == kind)

    def components(self, kind: str | None = None) -> list[Component]:
        """List components.

        Args:
            kind: One of `KINDS`, or ``None`` for all.

        Returns:
            The components, by kind in the order of `KINDS`, then by name.

        Raises:
            UnknownComponent: There is no such kind.
        """
        kinds = KINDS if kind is None else (kind,)
        return [self._entries[each, name][0] for each in kinds for name in self.names(each)]

    def owners(self) -> dict[str, list[Component]]:
        """Group the components by owner.

        Returns:
            Components by owner, each group sorted by `Component.key`.
        """
        groups: dict[str, list[Component]] = {}
        for component, owner in self._entries.values():
            groups.setdefault(owner, []).append(component)
        return {owner: sorted(group, key=lambda component: component.key) for owner, group in groups.items()}

    def _elsewhere(self, name: str) -> str:
        kinds = [kind for kind in KINDS if (kind, name) in self._entries]
        return f" There is a {' and a '.join(kinds)} of this name." if kinds else ""


def _duplicate(component: Component, owner: str, known: Component, holder: str) -> DuplicateComponent:
    name = f"{component.kind} {component.name!r}"
    if holder == owner:
        problem = f"{owner!r} declares {name} twice ({known.target_text} and {component.target_text})"
        return DuplicateComponent(f"{problem}; give one another name, or unregister the first")
    in_process = IN_PROCESS in (owner, holder)
    cure = "give yours another name" if in_process else f"rename one, or set {DENY} to one of the two"
    return DuplicateComponent(
        f"{name} is already registered by {holder!r} ({known.target_text}); "
        f"{owner!r} cannot register it too ({component.target_text}); {cure}"
    )
