"""``cite``: the BibTeX of what was used."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from phys_samplers.cli.failure import Failure, note
from phys_samplers.cli.words import ComponentName, singular
from phys_samplers.layout import examples

if TYPE_CHECKING:
    from phys_registry import Component


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
    from phys_registry.citations import entries
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
    found = entries("\n\n".join(component.bibtex for component in chosen))
    if found:
        click.echo("\n\n".join(found.values()))


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
