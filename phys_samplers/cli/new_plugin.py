"""``new-plugin``: a package to begin with."""

from __future__ import annotations

from pathlib import Path

import click

from phys_samplers.layout import examples


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
