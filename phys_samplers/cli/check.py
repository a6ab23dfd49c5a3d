"""``check``: does a sampler keep the contract?"""

from __future__ import annotations

from collections import Counter

import click

from phys_samplers.cli.making import choose_device, make, settings_option
from phys_samplers.cli.words import ComponentText
from phys_samplers.layout import examples, terminal_width

_COLOURS = {"passed": "green", "failed": "red", "skipped": "yellow"}
_STATUS_WIDTH = 9


@click.command(
    epilog=examples(
        ("phys-samplers check bellman", "every check, with short training"),
        ("phys-samplers check 'bellman-fields[preset=paper]' --full", "with the recipe as it is"),
        ("phys-samplers --plugin mine.py check mine --task moons", "a plugin that is one file"),
    ),
)
@click.argument("sampler", type=ComponentText("sampler"))
@click.option("--task", type=ComponentText("task"), help="Task to fit to instead of a 2-D Gaussian.")
@click.option("--full", is_flag=True, help="Train and sample as the recipe says, not shortened.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="cpu", show_default=True)
@settings_option
@click.pass_context
def check(
    ctx: click.Context, sampler: str, task: str | None, full: bool, device: str, settings: tuple[str, ...]
) -> None:
    """Check that SAMPLER keeps the contract: shapes, seeds, saving and loading, clear errors, a Gaussian reproduced.

    The same checks run under pytest: subclass phys_samplers.testing.SamplerConformance. Exit code 1 if one fails.
    """
    recipe = make("sampler", sampler, settings)
    target = make("task", task) if task is not None else None
    from phys_samplers.testing import check_names, iter_checks

    size = max(map(len, check_names()))
    counts: Counter[str] = Counter()
    for result in iter_checks(recipe, target=target, device=choose_device(device), quick=not full):
        counts[result.status] += 1
        status = click.style(f"{result.status:{_STATUS_WIDTH}}", fg=_COLOURS[result.status])
        click.echo(f"{status}{_beside(result.name, result.detail, size)}")
    parts = [f"{counts[name]} {name}" for name in _COLOURS if counts[name]]
    click.secho(f"\n{sampler}: {', '.join(parts)}", fg="red" if counts["failed"] else "green")
    ctx.exit(1 if counts["failed"] else 0)


def _beside(name: str, detail: str, size: int) -> str:
    """The name and, wrapped beside it, the detail."""
    import textwrap

    left = f"{name:{size}}  "
    margin = _STATUS_WIDTH + len(left)
    room = max(30, terminal_width() - margin)
    lines = textwrap.wrap(" ".join(detail.split()), room, break_on_hyphens=False)
    return (left + f"\n{' ' * margin}".join(lines)).rstrip()
