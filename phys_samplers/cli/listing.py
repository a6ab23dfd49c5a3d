"""``list``: what there is."""

from __future__ import annotations

import click

from phys_samplers.cli.documents import echo_json, json_option
from phys_samplers.cli.failure import note
from phys_samplers.cli.words import Kind
from phys_samplers.layout import examples, heading, plural, table


@click.command(
    "list",
    epilog=examples(
        ("phys-samplers list", "everything, by kind"),
        ("phys-samplers list samplers", "one kind"),
        ("phys-samplers list task --json", "with all facts, for other programs"),
    ),
)
@click.argument("kind", type=Kind(), required=False)
@json_option
def list_components(kind: str | None, as_json: bool) -> None:
    """List the components: samplers, tasks, metrics, and the parts that samplers are made of.

    KIND is one of those that "list kind" shows, such as sampler or task; all of them if left out. Every name can be
    used in a text such as bellman[kernel=gaussian].
    """
    from phys_samplers.catalogue import registry

    components = registry.components(kind)
    if as_json:
        echo_json([registry.describe(c.kind, c.name, options=False).to_dict() for c in components])
        return
    blocks = []
    for name in registry.kinds() if kind is None else [kind]:
        rows = [(c.name, c.summary) for c in components if c.kind == name]
        if rows:
            blocks.append(f"{heading(name)} ({len(rows)})\n{table(rows, indent='  ')}")
    click.echo("\n\n".join(blocks) or f"no component of kind {kind or 'any'} is registered")
    failed = [status for status in registry.plugins() if status.status == "failed"]
    if failed:
        note(f"{plural(len(failed), 'plugin')} failed to load; see: phys-samplers plugins")
