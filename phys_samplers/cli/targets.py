"""What a command may name as a target: a task, a file of rows, or a density in a Python file."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from phys_registry.errors import one_line
from phys_samplers.cli.output import Failure
from phys_samplers.cli.words import Whole, make
from phys_samplers.reading import ROWS

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
        Failure: naming what cannot be read.
    """
    if text.lower().endswith(ROWS):
        return rows_of(Path(text))
    file, colon, name = text.rpartition(":")
    found = _attribute(Path(file), name) if colon and file.endswith(".py") else make("task", text)
    return as_target(found, dim, text, support)


def _attribute(file: Path, name: str) -> Any:
    if not file.is_file():
        raise Failure(f"{str(file)!r} is not a file; expected a task, or FILE.py:NAME")
    spec = importlib.util.spec_from_file_location(f"_density_{file.stem}", file)  # a name that shadows nothing
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses look up their annotations
    try:
        spec.loader.exec_module(module)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # whatever the user's file does, SystemExit included
        raise Failure(f"{str(file)!r} cannot be run: {one_line(error)}") from error
    if not hasattr(module, name):
        public = ", ".join(key for key in vars(module) if not key.startswith("_")) or "nothing"
        raise Failure(f"{str(file)!r} has no {name!r}; it has {public}")
    return getattr(module, name)


def rows_of(path: Path) -> Target:
    """The target that a file of rows is."""
    from phys_samplers.target import Samples

    if not path.is_file():
        raise Failure(f"{str(path)!r} is not a file; expected rows, a task, or FILE.py:NAME")
    return Samples(path, name=path.stem)


def as_target(found: Any, dim: int | None, text: str, support: str | None = None) -> Target:
    """A target from a target, a torch distribution or a function.

    Raises:
        Failure: if it is none of these, a function without ``dim``, or something else with ``support``.
    """
    import torch

    from phys_samplers.target import Density, Target

    if support and isinstance(found, Target | torch.distributions.Distribution):
        raise Failure(f"--support is {support!r}, but {text} is no plain function and has its own; leave it out")
    if isinstance(found, Target):
        return found
    if isinstance(found, torch.distributions.Distribution):
        return Density(found, name=text)
    if not callable(found):
        raise Failure(f"{text} is a {type(found).__name__}; expected a log-density, a torch distribution or a target")
    if dim is None:
        raise Failure(f"{text} is a function; say with --dim how many coordinates its argument (B, D) has")
    each = support.split(",") if support and "," in support else support
    return Density(found, (dim,), support=each, name=text)
