"""What commands print beside tables and how they fail: JSON, notes, and one way to end with a message."""

from __future__ import annotations

import contextlib
import re
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import click

from phys_registry.errors import printable


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
        with contextlib.suppress(OSError, ValueError):  # of a closed one; the exit code says it too
            if self.details:
                click.echo(printable(self.details), file=file, err=file is None, nl=False)
            click.secho(f"error: {printable(self.message)}", file=file, err=file is None, fg="red")


def check_folder(folder: Path) -> None:
    """Refuse, before the work, a folder that could not be written to after it.

    Raises:
        Failure: naming the folder.
    """
    known = folder
    try:
        while not known.exists() and known != known.parent:
            known = known.parent
        if not known.is_dir():
            raise Failure(f"{folder}: {known} is no folder; give another one")
    except OSError as error:  # of a name that is too long, or a loop of links
        raise Failure(f"{str(folder)[:200]}: {error.strerror}; give another folder") from None
    trial = known / f".{secrets.token_hex(8)}"
    try:
        trial.mkdir()
        trial.rmdir()
    except OSError as error:
        raise Failure(f"{folder}: nothing can be written there ({error.strerror}); give another folder") from None


def note(text: str, colour: str | None = "yellow") -> None:
    """Say something beside the result, on standard error; where nobody can hear it, the result is worth no less."""
    with contextlib.suppress(OSError, ValueError):
        click.secho(printable(text), err=True, fg=colour)


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for other programs.")


def echo_json(value: Any) -> None:
    """Print a value; what JSON does not know is written as text."""
    import json  # seldom needed, and listings must be quick

    text = json.dumps(value, indent=2, ensure_ascii=False, default=_plain)
    click.echo(_UNFIT.sub(lambda found: f"\\u{ord(found[0]):04x}", text))


_UNFIT = re.compile(r"[\x7f-\x9f\ud800-\udfff]")
"""What JSON may leave as it is, and terminals or files cannot take."""


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, set | frozenset):
        return sorted(value)
    return str(value)
