"""The ``--json`` option, and how values are written as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

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
