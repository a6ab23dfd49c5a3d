"""What a command may name as a target: a task, a file of rows, or a density in a Python file."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from phys_samplers.cli.words import Whole, make
from phys_samplers.own_targets import as_target, own_spec, own_target

if TYPE_CHECKING:
    from phys_samplers.target import Target


def density_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options ``--dim`` and ``--support``, which say what a plain function does not."""
    dim = click.option("--dim", type=Whole(min=1), help="Coordinates of a plain function FILE.py:NAME.")
    support = click.option(
        "--support",
        metavar="SUPPORT",
        help="Where a plain function has density: positive, LOW:HIGH, circle, simplex; a comma between coordinates.",
    )
    return dim(support(command))


def find_target(text: str, dim: int | None = None, support: str | None = None) -> Target:
    """A task by name, the rows of a table, or what a Python file holds; ``dim`` and ``support`` go with a function.

    Args:
        text: a task with options, ``rows.csv`` (or another file of rows), or ``FILE.py:NAME``.
        dim: coordinates (D,) of the argument of a plain function.
        support: where it has density.

    Raises:
        PhysError: naming what cannot be read.
    """
    spec = own_spec(text, dim, support)
    if spec is not None:
        return own_target(spec, text)
    found: Target = make("task", text)
    return as_target(found, dim, text, support)
