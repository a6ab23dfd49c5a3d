"""``plugins``, ``new-plugin`` and ``check``: the plugins there are, a new one, and the test of a sampler."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import click

from phys_registry.errors import printable
from phys_samplers.cli.output import echo_json, json_option
from phys_samplers.cli.words import ComponentText, choose_device, make, settings_option
from phys_samplers.layout import examples, table, terminal_width

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


@click.command(
    "new-plugin",
    epilog=examples(
        ("phys-samplers new-plugin mine", "writes phys-mine/"),
        ("phys-samplers new-plugin mine --out plugins/mine", "writes it there"),
        ("pip install -e phys-mine --no-deps", "installs it: 'mine' is in the list from then on"),
    ),
)
@click.argument("name")
@click.option("--out", metavar="DIR", type=click.Path(path_type=Path), help="Folder to write.  [default: phys-NAME]")
def new_plugin(name: str, out: Path | None) -> None:
    """Write an installable package with a small sampler that works, and its tests.

    NAME is the sampler's name: lower-case words joined by hyphens, such as mirror-langevin. The sampler fits a Gaussian
    with independent coordinates; put your own method in its place.
    """
    from phys_samplers.scaffold import PluginNames, write_plugin

    names = PluginNames.of(name)
    folder = out if out is not None else Path(names.distribution)
    for file in write_plugin(names, folder):
        click.echo(f"  {file}")
    click.echo(
        f"\n{names.distribution} is written. Next:\n"
        f"  pip install -e {folder} --no-deps\n"
        f"  phys-samplers show sampler {names.component}\n"
        f"  phys-samplers check {names.component}\n"
        f"  pytest {folder}"
    )


_OUTCOMES = {"passed": "green", "failed": "red", "skipped": "yellow"}
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
        status = click.style(f"{result.status:{_STATUS_WIDTH}}", fg=_OUTCOMES[result.status])
        click.echo(f"{status}{_beside(result.name, printable(result.detail), size)}")
    parts = [f"{counts[name]} {name}" for name in _OUTCOMES if counts[name]]
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
