"""The program: its global options and its commands."""

from __future__ import annotations

import os
from collections.abc import Sequence

import click

from phys_samplers import __version__
from phys_samplers.cli.group import Program
from phys_samplers.layout import examples

PLUGIN_FILES = "PHYS_SAMPLERS_PLUGIN_FILES"
"""Environment variable with plugin files; worker processes inherit it."""

COMMANDS = {
    "list": ("phys_samplers.cli.listing:list_components", "List samplers, tasks, metrics and parts."),
    "show": ("phys_samplers.cli.show:show", "Show a component: source, needs, options."),
    "fit": ("phys_samplers.cli.fit:fit", "Fit a sampler to a task or to data."),
    "sample": ("phys_samplers.cli.sample:sample", "Draw samples from a fitted model."),
    "bench": ("phys_samplers.cli.bench:bench", "Score samplers side by side."),
    "rl": ("phys_samplers.cli.rl:rl", "Train agents that know the law of their return; watch them."),
    "judge": ("phys_samplers.cli.judge:judge", "Sample a density; say which sampler to trust."),
    "check": ("phys_samplers.cli.check:check", "Check that a sampler keeps the contract."),
    "new-plugin": ("phys_samplers.cli.new_plugin:new_plugin", "Write a plugin package to begin with."),
    "plugins": ("phys_samplers.cli.plugins:plugins", "Show the plugins, and why one failed to load."),
    "cite": ("phys_samplers.cli.cite:cite", "Print the BibTeX of components."),
    "completion": ("phys_samplers.cli.completion:completion", "Print a shell's completion script."),
}
"""Where each command lives, and its line on the help page."""


@click.group(
    cls=Program,
    commands_at=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=examples(
        ("phys-samplers list sampler", "what there is"),
        ("phys-samplers fit bellman --task moons -o moons", "train a sampler"),
        ("phys-samplers sample moons -n 1000 -o samples.npy", "draw from it"),
        ("phys-samplers bench run quick", "score samplers side by side"),
        ("phys-samplers --plugin mine.py check mine", "try your own"),
    ),
)
@click.option(
    "--plugin",
    "files",
    metavar="FILE.py",
    multiple=True,
    type=click.Path(dir_okay=False),
    help="Load a plugin that is one file; repeatable.",
)
@click.option("--traceback", is_flag=True, help="Show where an error came from.")
@click.version_option(__version__, prog_name="phys-samplers", message="%(prog)s %(version)s")
@click.pass_context
def program(ctx: click.Context, files: tuple[str, ...], traceback: bool) -> None:
    """Fit, sample and compare physics-inspired samplers; everything they are made of is swapped by name."""
    if os.environ.get("NO_COLOR"):
        ctx.color = False
    if files:
        _load_plugins(ctx, files)


def _load_plugins(ctx: click.Context, files: Sequence[str]) -> None:
    """Load plugin files here, and let the processes that this one starts find them."""
    from phys_registry import PhysError
    from phys_samplers.catalogue import registry

    for file in files:
        try:
            registry.load_file(file)
        except PhysError:
            if ctx.invoked_subcommand != "plugins":  # which is there to tell what is wrong with them
                raise
    before = os.environ.get(PLUGIN_FILES)
    known = [path for path in (before or "").split(os.pathsep) if path]
    os.environ[PLUGIN_FILES] = os.pathsep.join(dict.fromkeys([*known, *map(os.path.abspath, files)]))
    ctx.call_on_close(lambda: _restore(before))


def _restore(before: str | None) -> None:
    if before is None:
        os.environ.pop(PLUGIN_FILES, None)
    else:
        os.environ[PLUGIN_FILES] = before


def main(args: Sequence[str] | None = None) -> None:
    """Run the command line and leave the process with its exit code.

    Args:
        args: the words after the program's name; those of the process if None.

    Raises:
        SystemExit: always: 0; 1 for a failed check; 2 for an error of the user; 130 after Ctrl-C.
    """
    program.main(args=None if args is None else list(args), prog_name="phys-samplers")
