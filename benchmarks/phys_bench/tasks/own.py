"""Tasks of one's own: the rows of a file, and a density or a target that a Python file holds.

Their records are named by what the file holds (``Task.content``), so that another content under the same name is
another task. Of Python it is the statements of the file and of those beside it that it imports; what code reads when it
runs, a table for example, is not seen.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from phys_bench.canonical import digest, identify
from phys_bench.closure import Closures
from phys_bench.tasks.assemble import EVAL_SIZE, HELD, KSD_MAX_DIM, TRAIN_SIZE, drawn, metrics_for, split
from phys_bench.tasks.tables import TABLE_METRICS
from phys_samplers.errors import ConfigurationError, FileError
from phys_samplers.own_targets import as_target, attribute_of, module_name
from phys_samplers.standardise import Standardiser
from phys_samplers.table import read
from phys_samplers.target import Target, Task

LEAST_ROWS = 20
"""Of which four are held out."""
SPREAD = 4.0
"""Half the width of pictures, in standard deviations."""


def rows(*, file: str) -> Task:
    """The rows of a file: a fixed shuffle, cut into 70 % to train on, 10 % to validate by and 20 % held out.

    Columns are centred and scaled by the training rows, so that scores weigh them alike, and are in other units than
    the file. Rows that repeat are kept: how often is part of the law. Copies may then stand on both sides of the split.

    Args:
        file: ``.csv``, ``.npy``, ``.npz`` or ``.parquet``, as ``Samples`` reads it.

    Raises:
        FileError: if it cannot be read, or has fewer than 20 rows.
    """
    path = Path(file)
    values, _ = read(path)
    if len(values) < LEAST_ROWS:
        raise FileError(f"{file} has {len(values)} rows; expected at least {LEAST_ROWS}, a fifth of which are held out")
    content = digest(identify(values, file))
    return _of_rows(path.name, values, content, scaled=True)


def density(*, file: str, function: str, dim: int | None = None, support: str | None = None) -> Task:
    """What a Python file holds: a log-density, a torch distribution, a ``Target`` or a ``Task``, which stays as it is.

    Samples of a law that can be drawn from exactly are scored against draws. Those of a density alone are judged by
    Stein's discrepancy and by what comes with a draw.

    Args:
        file: the Python file, which is run.
        function: the name in it.
        dim: coordinates of the argument (B, D) of a function.
        support: where a function has density; commas between coordinates.

    Raises:
        ConfigurationError: naming what the file does not hold, or an option that is missing.
    """
    text = f"{Path(file).name}:{function}"
    target = as_target(attribute_of(Path(file), function), dim, text, support)
    content = Closures({}, lambda _: ()).of_module(module_name(Path(file))) or ""
    if isinstance(target, Task):
        return replace(target, content=content)
    if "sample" in target.capabilities:
        return _exact(target, content)
    if target.train is not None:
        parts = [part for part in (target.train, target.validation, target.heldout) if part is not None]
        made = _of_rows(target.name, torch.cat(parts), content, scaled=False)
        return replace(made, law=target.law, columns=target.columns, modes=target.modes, features=target.features)
    if target.missing({"log_prob"}):
        raise ConfigurationError(f"{text} has neither rows nor a density; expected a target with one of them")
    return Task(
        event_shape=target.event_shape,
        name=target.name,
        law=target.law,
        modes=target.modes,
        metrics=_of_draws(target),
        eval_size=EVAL_SIZE,
        content=content,
    )


def _exact(target: Target, content: str) -> Task:
    """A target that can be drawn from: its rows are draws, as those of the laws of the benchmark."""
    law, name = target.law, target.name
    differentiable = "score" in target.capabilities
    names = metrics_for(law, target.modes) if hasattr(law, "differentiable") else _of_law(target, differentiable)
    splits = drawn(name, law, {"train": TRAIN_SIZE, **HELD})
    return Task(
        event_shape=target.event_shape,
        name=name,
        law=law,
        modes=target.modes,
        features=target.features,
        metrics=names,
        eval_size=EVAL_SIZE,
        view=_view(splits["train"]),
        content=content,
        **splits,
    )


def _of_law(target: Target, differentiable: bool) -> tuple[str, ...]:
    """Metrics of rows, and of a density where there is one."""
    names = TABLE_METRICS + (("mode-tv",) if target.modes is not None else ())
    if differentiable:
        names += ("tvd-e", *(("ksd",) if target.dim <= KSD_MAX_DIM else ()), "ess")
    return names + (("log-z-error",) if target.log_z is not None else ())


def _of_draws(target: Target) -> tuple[str, ...]:
    """Metrics that compare with no rows."""
    stein = ("ksd",) if "score" in target.capabilities else ()
    known = ("log-z-error", "elbo-gap") if target.log_z is not None else ()
    return (*stein, "ess", "ess-per-gradient", "ess-per-second", *known)


def _of_rows(name: str, values: Tensor, content: str, *, scaled: bool) -> Task:
    parts = [values[index] for index in split("rows", len(values))]
    if scaled:
        map_ = Standardiser.fit(parts[0])
        parts = [map_.forward(part).reshape(part.shape) for part in parts]
    train, validation, heldout = (part.to(torch.get_default_dtype()) for part in parts)
    return Task(
        event_shape=tuple(values.shape[1:]),
        name=name,
        train=train,
        validation=validation,
        heldout=heldout,
        metrics=TABLE_METRICS,
        eval_size=min(len(heldout), EVAL_SIZE),
        view=_view(train),
        content=content,
    )


def _view(rows_: Tensor) -> tuple[tuple[float, float], ...]:
    """The box that pictures show: some standard deviations about the means; none beyond two coordinates."""
    flat: Any = rows_.flatten(1).to(torch.float64)
    if flat.shape[1] > 2:
        return ()
    centre, spread = flat.mean(0), flat.std(0).clamp(min=1e-6)
    ends = zip((centre - SPREAD * spread).tolist(), (centre + SPREAD * spread).tolist(), strict=True)
    return tuple(ends)
