"""``cite``: the BibTeX of what was used."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import click

from phys_samplers.cli.failure import Failure, note
from phys_samplers.cli.layout import examples
from phys_samplers.cli.words import ComponentName, singular

if TYPE_CHECKING:
    from phys_registry import Component

_HEAD = re.compile(r"@\s*\w+\s*\{\s*([^,\s]+)\s*,")


@click.command(
    epilog=examples(
        ("phys-samplers cite bellman", "by name"),
        ("phys-samplers cite sampler/mala metric/ksd", "by kind and name"),
        ("phys-samplers cite --all > samplers.bib", "everything that has a source"),
    ),
)
@click.argument("names", metavar="[NAME]...", nargs=-1, type=ComponentName())
@click.option("--all", "everything", is_flag=True, help="All components.")
def cite(names: tuple[str, ...], everything: bool) -> None:
    """Print the BibTeX entries of components, each entry once.

    A NAME that several kinds share stands for all of them; write kind/name for one.
    """
    from phys_samplers.catalogue import registry

    if bool(names) == everything:
        raise click.UsageError("give component names, or --all")
    known = registry.components()
    chosen = known if everything else list(dict.fromkeys(c for name in names for c in find(name, known)))
    if not everything:
        for component in chosen:
            if not component.citation.strip():
                source = f"; its reference: {component.reference}" if component.reference else ""
                note(f"{component.key} has no BibTeX entry{source}")
    found = entries(component.citation for component in chosen)
    if found:
        click.echo("\n\n".join(found))


def find(text: str, components: Sequence[Component]) -> list[Component]:
    """The components that ``name`` or ``kind/name`` stands for.

    Raises:
        Failure: if there is none, with the nearest names.
    """
    name = text.partition("[")[0]
    kind, slash, rest = name.rpartition("/")
    if slash:
        name, kind = rest, singular(kind)
    matching = [c for c in components if c.name == name and (not slash or c.kind == kind)]
    if not matching:
        from phys_registry.errors import suggest

        hint = suggest(text, [c.key for c in components] if slash else [c.name for c in components])
        raise Failure(f"there is no component {text!r}.{hint} See: phys-samplers list")
    return matching


def entries(texts: Iterable[str]) -> list[str]:
    """The single BibTeX entries in some texts, in order, those of one key once."""
    found: dict[str, str] = {}
    for text in texts:
        for key, entry in _split(text):
            found.setdefault(key, entry)
    return list(found.values())


def _split(text: str) -> Iterator[tuple[str, str]]:
    """Keys and entries; an entry ends where its braces close."""
    at = 0
    while head := _HEAD.search(text, at):
        depth = 0
        for end in range(head.start(), len(text)):
            depth += (text[end] == "{") - (text[end] == "}")
            if depth == 0 and text[end] == "}":
                break
        at = max(end + 1, head.end())
        yield head[1], text[head.start() : at].strip()
