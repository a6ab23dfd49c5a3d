"""Types of command-line words: kinds, component names and component texts, each with its shell completion."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import click
from click.shell_completion import CompletionItem


class Kind(click.ParamType):
    """A kind of component; the plural is accepted too."""

    name = "kind"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Read the word; refuse one that is no kind."""
        from phys_registry import UnknownComponent
        from phys_samplers.catalogue import registry

        kind = singular(str(value))
        try:
            registry.names(kind)
        except UnknownComponent as error:
            self.fail(str(error), param, ctx)
        return kind

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """The kinds."""
        from phys_samplers.catalogue import registry

        return _starting(incomplete, ((kind, "") for kind in registry.kinds()))


class ComponentName(click.ParamType):
    """The name of a component, of the kind that the command's argument KIND says."""

    name = "name"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """The names of that kind, or of all kinds if the command has no such argument."""
        kind = ctx.params.get("kind")
        return _starting(incomplete, _names(singular(kind) if kind else None))


class ComponentText(click.ParamType):
    """A component with options, such as ``bellman[kernel=gaussian,preset=paper]``.

    Args:
        kind: of the component.
    """

    name = "text"

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """The names of the kind; after ``[`` the presets."""
        name, bracket, _ = incomplete.partition("[")
        if not bracket:
            return _starting(incomplete, _names(self.kind))
        from phys_samplers.catalogue import registry

        presets = [p for c in registry.components(self.kind) if c.name == name for p in c.presets]
        return _starting(incomplete, ((f"{name}[preset={preset}]", "") for preset in presets))


def singular(kind: str) -> str:
    """``samplers`` and ``return-models`` as the registry calls them."""
    from phys_samplers.catalogue import registry

    word, known = kind.strip().lower().replace("-", "_"), {*registry.kinds(), "kind"}
    return word[:-1] if word not in known and word.endswith("s") and word[:-1] in known else word


def _names(kind: str | None) -> Iterable[tuple[str, str]]:
    from phys_samplers.catalogue import registry

    if kind is not None and kind not in registry.kinds():
        return []
    return [(component.name, component.summary) for component in registry.components(kind)]


def _starting(incomplete: str, words: Iterable[tuple[str, str]]) -> list[CompletionItem]:
    return [CompletionItem(word, help=remark or None) for word, remark in words if word.startswith(incomplete)]
