"""``show``: everything about one component."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from phys_samplers.cli.documents import echo_json, json_option
from phys_samplers.cli.making import make, read_spec
from phys_samplers.cli.words import ComponentName, Kind
from phys_samplers.layout import examples, heading, table

if TYPE_CHECKING:
    from phys_registry import Description
    from phys_samplers.target import Target

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
    blocks = [heading(f"{about.kind} {about.name}") + f"\n{about.summary}", _listed(facts)]
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
