"""The group of all commands: each is imported when it is used, and its errors are translated."""

from __future__ import annotations

import errno
import traceback
from collections.abc import Mapping
from importlib import import_module
from typing import Any

import click

from phys_samplers.cli.failure import Failure

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells give it."""


class Program(click.Group):
    """A group of commands that are imported late, and may raise any ``PhysError``: it becomes a ``Failure``.

    Args:
        commands_at: by name, where a command lives (``module:attribute``) and its line on the group's help page.
        settings: of ``click.Group``.
    """

    def __init__(self, *args: Any, commands_at: Mapping[str, tuple[str, str]], **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.commands_at = commands_at

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order of the table."""
        return list(self.commands_at)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        if cmd_name not in self.commands_at:
            return None
        module, _, attribute = self.commands_at[cmd_name][0].partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; for a misspelt name, the nearest ones."""
        name = args[0]
        if not ctx.resilient_parsing and not name.startswith("-") and name not in self.commands_at:
            from phys_registry.errors import suggest

            hint = suggest(name, self.commands_at)
            raise Failure(f"there is no command {name!r}.{hint} See: {ctx.command_path} --help")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the help page's list without importing the commands."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in self.commands_at.items()])

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
    return None
