"""``list``, ``show`` and ``cite``: what there is, everything about one component, and whose work it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from phys_registry.errors import printable
from phys_samplers.cli.output import Failure, echo_json, json_option, note
from phys_samplers.cli.words import ComponentName, Kind, make, read_spec, singular
from phys_samplers.layout import examples, heading, plural, table

if TYPE_CHECKING:
    from phys_registry import Component, Description
    from phys_samplers.target import Target


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


SPLITS = ("train", "validation", "heldout")


@click.command(
    epilog=examples(
        ("phys-samplers show sampler bellman", "options, presets, reference"),
        ("phys-samplers show task moons", "what it offers, its splits and metrics"),
        ("phys-samplers show task 'normal[dim=10]'", "the same of a variant"),
        ("phys-samplers show sampler mala --no-options", "at once: nothing is imported"),
    ),
)
@click.argument("kind", type=Kind())
@click.argument("name", type=ComponentName())
@click.option("--options/--no-options", "with_options", default=True, help="Import the component for its options.")
@json_option
def show(kind: str, name: str, with_options: bool, as_json: bool) -> None:
    """Show a component: its summary, source, needs, presets and options.

    Of a task also what it offers, its dimension, the sizes of its splits, and the metrics that judge it, the one that
    ranks first.
    """
    from phys_registry import TargetError
    from phys_samplers.catalogue import registry

    spec = read_spec(name, kind)
    description = registry.describe(kind, spec.name, options=False)
    problem: TargetError | None = None
    if with_options:
        try:
            description = registry.describe(kind, spec.name)
        except TargetError as error:  # what is known without the import is shown first
            problem = error
    task = task_facts(make("task", name)) if kind == "task" and with_options and problem is None else {}
    if as_json:
        echo_json({**description.to_dict(), **({"task": task} if task else {})})
    else:
        click.echo("\n\n".join(_blocks(description, task)))
    if problem is not None:
        raise problem


def task_facts(task: Target) -> dict[str, Any]:
    """What a task offers, JSON-like."""
    sizes = {split: getattr(task, split) for split in SPLITS}
    return {
        "name": task.name,
        "version": getattr(task, "version", None),
        "dimension": task.dim,
        "event_shape": list(task.event_shape),
        "offers": sorted(task.capabilities),
        "splits": {split: len(rows) for split, rows in sizes.items() if rows is not None},
        "modes": len(task.modes.weights) if task.modes is not None else 0,
        "metrics": list(getattr(task, "metrics", ())),
        "eval_size": getattr(task, "eval_size", None),
    }


def _blocks(about: Description, task: dict[str, Any]) -> list[str]:
    facts = [
        ("reference", about.reference),
        ("needs", ", ".join(sorted(about.needs))),
        ("owner", about.owner),
        ("target", about.target),
        ("version", str(about.version)),
        ("cite", f"phys-samplers cite {about.kind}/{about.name}" if about.citation else ""),
        *((name, _value(value)) for name, value in about.traits.items()),
        *_task_rows(task),
    ]
    blocks = [heading(f"{about.kind} {about.name}") + f"\n{printable(about.summary)}", _listed(facts)]
    if about.options:
        rows = [(o.name, o.type, "(required)" if o.required else o.default, o.doc) for o in about.options]
        blocks.append(heading("options") + "\n" + table(rows, ("name", "type", "default", "meaning"), indent="  "))
    elif about.options is not None:
        blocks.append("no options")
    if about.presets:
        rows_ = [
            (name, ", ".join(f"{key}={_value(value)}" for key, value in options.items()) or "the defaults")
            for name, options in about.presets.items()
        ]
        blocks.append(heading("presets") + "\n" + table(rows_, indent="  "))
    return blocks


def _task_rows(task: dict[str, Any]) -> list[tuple[str, str]]:
    if not task:
        return []
    return [
        ("offers", ", ".join(task["offers"])),
        ("dimension", str(task["dimension"])),
        ("modes", str(task["modes"] or "")),
        ("splits", ", ".join(f"{split} {size:,}" for split, size in task["splits"].items())),
        ("metrics", ", ".join(task["metrics"])),
        ("scored on", f"{task['eval_size']:,} samples" if task["eval_size"] else ""),
    ]


def _listed(facts: list[tuple[str, str]]) -> str:
    return table([fact for fact in facts if fact[1]], indent="  ")


def _value(value: Any) -> str:
    return value if isinstance(value, str) else repr(value)


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
    from phys_registry.component import entries
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
        click.echo(printable("\n\n".join(found.values())))


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
