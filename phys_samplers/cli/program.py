"""The program: its commands, imported when they are called, its global options, and shell completion."""

from __future__ import annotations

import errno
import io
import os
import re
import sys
import traceback
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

import click

from phys_samplers import __version__
from phys_samplers.cli.output import Failure
from phys_samplers.layout import examples

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells give it."""


class Program(click.Group):
    """A group of commands that are imported late, and may raise any ``PhysError``: it becomes a ``Failure``.

    Args:
        commands_at: by name, where a command lives (``module:attribute``) and its line on the group's help page.
        open_to_plugins: whether components of kind ``command`` are commands of this group, too; own names win.
        settings: of ``click.Group``.
    """

    def __init__(
        self, *args: Any, commands_at: Mapping[str, tuple[str, str]], open_to_plugins: bool = False, **settings: Any
    ) -> None:
        super().__init__(*args, **settings)
        self.commands_at = commands_at
        self.open_to_plugins = open_to_plugins

    def _lines(self) -> dict[str, str]:
        """Names and help lines, own ones first."""
        lines = {name: line for name, (_, line) in self.commands_at.items()}
        if self.open_to_plugins:
            from phys_samplers.catalogue import registry

            brought = {component.name: component.summary for component in registry.components("command")}
            lines = {**lines, **{name: line for name, line in brought.items() if name not in lines}}
        return lines

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order of the table, then those of plugins."""
        return list(self._lines())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        if cmd_name not in self.commands_at:
            if cmd_name not in self._lines():
                return None
            from phys_samplers.catalogue import make

            brought: click.Command = make("command", cmd_name)
            return brought
        module, _, attribute = self.commands_at[cmd_name][0].partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; for a misspelt name, the nearest ones."""
        name = args[0]
        known = self.commands_at
        if not ctx.resilient_parsing and not name.startswith("-") and name not in known and name not in self._lines():
            from phys_registry.errors import suggest

            hint = suggest(name, self._lines())
            raise Failure(f"there is no command {name!r}.{hint} See: {ctx.command_path} --help")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the help page's list without importing the commands."""
        with formatter.section("Commands"):
            formatter.write_dl(list(self._lines().items()))

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; translate what it raises."""
        try:
            return super().invoke(ctx)
        except click.ClickException:
            raise
        except KeyboardInterrupt as error:
            click.echo(f"\n{error}".rstrip() or "\ninterrupted", err=True)
            raise click.exceptions.Exit(INTERRUPTED) from None
        except Exception as error:
            message = _message(error)
            if message is None:
                raise
            details = "".join(traceback.format_exception(error)) if ctx.params.get("traceback") else ""
            raise Failure(message, details) from error


def _message(error: Exception) -> str | None:
    """What to tell the user; None for a defect of the program, whose traceback is worth more."""
    from phys_registry import PhysError

    if isinstance(error, PhysError):
        return str(error) or type(error).__name__
    if isinstance(error, OSError) and error.errno != errno.EPIPE and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    if isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and _NO_MEMORY.search(str(error))):
        return f"there is not enough memory for that: {' '.join(str(error).split())[:300] or 'ask for less'}"
    if isinstance(error, OSError) and error.errno in _OUTPUT:
        return f"the output cannot be written: {error.strerror}"
    return None


_NO_MEMORY = re.compile(r"allocate memory|out of memory|[Ss]torage size calculation overflowed")
_OUTPUT = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EBADF, errno.EFBIG, errno.EROFS)

_PLACES = {
    "bash": "~/.local/share/bash-completion/completions/phys-samplers",
    "zsh": "~/.zfunc/_phys-samplers",
    "fish": "~/.config/fish/completions/phys-samplers.fish",
}
_REMARKS = {"zsh": "\n# with `fpath+=~/.zfunc` before `autoload -Uz compinit && compinit` in ~/.zshrc."}


@click.command(
    epilog=examples(
        ('eval "$(phys-samplers completion bash)"', "for this shell only"),
        *((f"phys-samplers completion {shell} > {place}", "for good") for shell, place in _PLACES.items()),
    ),
)
@click.argument("shell", type=click.Choice(list(_PLACES)))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the completion script of a shell: commands, options and component names complete then."""
    from click.shell_completion import get_completion_class

    made = get_completion_class(shell)
    if made is None:
        raise click.UsageError(f"this version of click cannot complete in {shell}")
    script = made(ctx.find_root().command, {}, "phys-samplers", "_PHYS_SAMPLERS_COMPLETE").source()
    click.echo(script.rstrip())
    remark = _REMARKS.get(shell, "")
    click.echo(f"\n# To install: phys-samplers completion {shell} > {_PLACES[shell]}{remark}")


PLUGIN_FILES = "PHYS_SAMPLERS_PLUGIN_FILES"
"""Environment variable with plugin files; worker processes inherit it."""

COMMANDS = {
    "list": ("phys_samplers.cli.catalogue:list_components", "List samplers, tasks, metrics and parts."),
    "show": ("phys_samplers.cli.catalogue:show", "Show a component: source, needs, options."),
    "fit": ("phys_samplers.cli.fit:fit", "Fit a sampler to a task or to data."),
    "sample": ("phys_samplers.cli.fit:sample", "Draw samples from a fitted model."),
    "tune": ("phys_samplers.cli.tune:tune", "Choose a sampler's options on a task's validation rows."),
    "bench": ("phys_samplers.cli.bench:bench", "Score samplers side by side."),
    "claims": ("phys_samplers.cli.claims:claims", "List what the sources claim, and what became of it."),
    "rl": ("phys_samplers.cli.rl:rl", "Train agents that know the law of their return; watch them."),
    "judge": ("phys_samplers.cli.judge:judge", "Sample a density; say which sampler to trust."),
    "check": ("phys_samplers.cli.plugins:check", "Check that a sampler keeps the contract."),
    "new-plugin": ("phys_samplers.cli.plugins:new_plugin", "Write a plugin package to begin with."),
    "plugins": ("phys_samplers.cli.plugins:plugins", "Show the plugins, and why one failed to load."),
    "cite": ("phys_samplers.cli.catalogue:cite", "Print the BibTeX of components."),
    "completion": ("phys_samplers.cli.program:completion", "Print a shell's completion script."),
}
"""Where each command lives, and its line on the help page."""


@click.group(
    cls=Program,
    commands_at=COMMANDS,
    open_to_plugins=True,
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
    for stream in (sys.stdout, sys.stderr):  # names of files and plugins may hold what the terminal's encoding has not
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
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
    try:
        program.main(args=None if args is None else list(args), prog_name="phys-samplers")
    except OSError as error:  # of a help page, which is written before a command runs
        if (message := _message(error)) is None:
            raise
        click.echo(f"error: {message}", err=True)
        sys.exit(2)
