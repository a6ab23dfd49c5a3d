"""``plugins``: where the components came from, and what could not be loaded."""

from __future__ import annotations

import click

from phys_samplers.cli.documents import echo_json, json_option
from phys_samplers.layout import examples, table

_COLOURS = {"loaded": "green", "failed": "red", "denied": "yellow"}


@click.command(
    epilog=examples(
        ("phys-samplers plugins", "what is loaded, and what is not, with the reason"),
        ("phys-samplers --plugin mine.py plugins", "the same with a plugin that is one file"),
        ("phys-samplers plugins --json", "with tracebacks"),
    ),
)
@json_option
def plugins(as_json: bool) -> None:
    """Show the plugins: built-in ones, installed packages and single files.

    One that fails is listed with its reason and leaves the others working. PHYS_SAMPLERS_DENY and PHYS_SAMPLERS_PLUGINS
    (comma lists) keep plugins out; PHYS_SAMPLERS_PLUGIN_FILES adds files.
    """
    from phys_samplers.catalogue import registry

    found = registry.plugins()
    if as_json:
        echo_json([status.to_dict() for status in found])
        return
    rows: list[tuple[str, ...]] = []
    for status in found:
        origin = f"{status.distribution} {status.version or ''}".strip() if status.distribution else status.location
        rows.append((status.name, status.source, status.status, str(len(status.components)), origin, status.error))
    if not any(status.error for status in found):
        rows = [row[:-1] for row in rows]
    headers = ("name", "source", "status", "components", "location", "error")
    click.echo(table(rows, headers[: len(rows[0])] if rows else headers, paint=_COLOURS))
