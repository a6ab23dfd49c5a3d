"""What a command says on standard error: failures, which end it, and notes."""

from __future__ import annotations

from typing import IO, Any

import click


class Failure(click.ClickException):
    """An error that is the user's to put right.

    Args:
        message: what was given, what was expected and what to do.
        details: shown above the message, a traceback for example.
    """

    exit_code = 2

    def __init__(self, message: str, details: str = "") -> None:
        super().__init__(message)
        self.details = details

    def show(self, file: IO[Any] | None = None) -> None:
        """Write to standard error."""
        if self.details:
            click.echo(self.details, file=file, err=file is None, nl=False)
        click.secho(f"error: {self.message}", file=file, err=file is None, fg="red")


def note(text: str) -> None:
    """Say something beside the result, on standard error."""
    click.secho(text, err=True, fg="yellow")
