"""Targets of one's own, by a text: a file of rows (``rows.csv``), or ``FILE.py:NAME``, a density or a target.

Commands, suites and the benchmark's tasks ``rows`` and ``density`` read such texts here, so that all mean the same.
"""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from phys_registry.errors import one_line
from phys_registry.spec import ComponentSpec, parse_spec
from phys_samplers.errors import ConfigurationError, FileError
from phys_samplers.reading import ROWS

if TYPE_CHECKING:
    from phys_samplers.target import Target

_CODE = re.compile(r"(?P<file>[^\[\]=]+\.py):(?P<function>[^\W\d]\w*)(?P<options>\[.*\])?", re.DOTALL)


def own_spec(text: str, dim: int | None = None, support: str | None = None) -> ComponentSpec | None:
    """The task that a text of one's own stands for; None for any other text, the name of a component for example.

    ``rows.csv`` is ``rows[file=rows.csv]``, and ``mine.py:f[dim=2]`` is ``density[dim=2,file=mine.py,function=f]``.

    Args:
        text: as a person writes it.
        dim: coordinates of the argument of a function in a Python file.
        support: where it has density.

    Raises:
        SpecError: if what stands in brackets cannot be read.
        ConfigurationError: if it stands for several densities.
    """
    if text.lower().endswith(ROWS) and "[" not in text:
        return ComponentSpec("rows", None, {"file": text})
    found = _CODE.fullmatch(text.strip())
    if found is None:
        return None
    specs = parse_spec(f"density{found['options'] or ''}")
    if len(specs) != 1:
        raise ConfigurationError(f"{text!r} stands for {len(specs)} densities; expected one (write a list as [a,b])")
    given = {"dim": dim, "support": support, "file": found["file"], "function": found["function"]}
    options = {**specs[0].options, **{key: value for key, value in given.items() if value is not None}}
    return ComponentSpec("density", specs[0].preset, options)


def own_target(spec: ComponentSpec, text: str) -> Target:
    """What ``own_spec`` found.

    Args:
        spec: of rows or of a density.
        text: how to name it.

    Raises:
        ConfigurationError: naming what cannot be read, or which option there is not.
    """
    options = dict(spec.options)
    if spec.name == "rows":
        return rows_of(Path(options["file"]))
    file, function = options.pop("file"), options.pop("function")
    unknown = sorted(set(options) - {"dim", "support"}) + ([] if spec.preset is None else ["preset"])
    if unknown:
        raise ConfigurationError(f"{text} has no option {', '.join(unknown)}; expected dim and support")
    return as_target(attribute_of(Path(file), function), options.get("dim"), text, options.get("support"))


def rows_of(path: Path) -> Target:
    """The target that a file of rows is."""
    from phys_samplers.samples import Samples

    if not path.is_file():
        raise FileError(f"{str(path)!r} is not a file; expected rows, a task, or FILE.py:NAME")
    return Samples(path, name=path.stem)


def module_name(file: Path) -> str:
    """Under which name a file is run: one that shadows no module."""
    return f"_density_{file.stem}"


def attribute_of(file: Path, name: str) -> Any:
    """Run a Python file, and give what it calls ``name``.

    Raises:
        ConfigurationError: naming the file that does not exist, cannot be run, or has no such name.
    """
    if not file.is_file():
        raise FileError(f"{str(file)!r} is not a file; expected a task, or FILE.py:NAME")
    spec = importlib.util.spec_from_file_location(module_name(file), file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses look up their annotations
    try:
        spec.loader.exec_module(module)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # whatever the user's file does, SystemExit included
        raise FileError(f"{str(file)!r} cannot be run: {one_line(error)}") from error
    if not hasattr(module, name):
        public = ", ".join(key for key in vars(module) if not key.startswith("_")) or "nothing"
        raise FileError(f"{str(file)!r} has no {name!r}; it has {public}")
    return getattr(module, name)


def as_target(found: Any, dim: int | None, text: str, support: str | None = None) -> Target:
    """A target from a target, a torch distribution or a function.

    Args:
        found: any of these.
        dim: coordinates of the argument (B, D) of a function.
        text: how to name it.
        support: where a function has density; commas between coordinates.

    Raises:
        ConfigurationError: if it is none of these, a function without ``dim``, or something else with ``support``.
    """
    import torch

    from phys_samplers.target import Density, Target

    if support and isinstance(found, Target | torch.distributions.Distribution):
        raise ConfigurationError(
            f"--support is {support!r}, but {text} is no plain function and has its own; leave it out"
        )
    if isinstance(found, Target):
        return found
    if isinstance(found, torch.distributions.Distribution):
        return Density(found, name=text)
    if not callable(found):
        raise ConfigurationError(
            f"{text} is a {type(found).__name__}; expected a log-density, a torch distribution or a target"
        )
    if dim is None:
        raise ConfigurationError(f"{text} is a function; say with --dim how many coordinates its argument (B, D) has")
    each = support.split(",") if support and "," in support else support
    return Density(found, (dim,), support=each, name=text)
