"""What commands print beside tables and how they fail: JSON, notes, and one way to end with a message."""

from __future__ import annotations

from collections.abc import Mapping
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


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for other programs.")


def echo_json(value: Any) -> None:
    """Print a value; what JSON does not know is written as text."""
    import json  # seldom needed, and listings must be quick

    click.echo(json.dumps(value, indent=2, ensure_ascii=False, default=_plain))


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, set | frozenset):
        return sorted(value)
    return str(value)
