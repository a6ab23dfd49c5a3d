"""The registered components, their owners, and the kinds there are."""

from __future__ import annotations

import warnings

from .component import KIND, Component
from .errors import DuplicateComponent, InvalidComponent, RenamedWarning, UnknownComponent, listing, suggest
from .sources import DENY

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
