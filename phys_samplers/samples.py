"""Data as a target: rows, split into training and validation rows, with what they are given."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from phys_samplers.conditions import Conditions, as_condition
from phys_samplers.errors import ConfigurationError
from phys_samplers.randomness import make_generator
from phys_samplers.table import Rows, read
from phys_samplers.target import Target


def Samples(  # noqa: N802 - reads as a constructor: Samples(tensor)
    rows: Rows, *, condition: Any = None, validation_fraction: float = 0.1, seed: int = 0, name: str = "samples"
) -> Target:
    """A target from data: a shuffled split into training and validation rows.

    Args:
        rows: (N, *event_shape) of real numbers: a tensor, an array, a data frame, or the path of a ``.csv``, ``.npy``,
            ``.npz`` or ``.parquet`` file. Names and types of columns are kept: see ``Model.frame``.
        condition: what each row is given, if the law given it is wanted: integers (N,) as class labels, or real numbers
            (N,) or (N, C) as covariates. Samplers that learn such laws draw with ``model.sample(n, condition=…)``.
        validation_fraction: share of the rows kept for early stopping.
        seed: of the shuffle.
        name: for messages.

    Raises:
        ConfigurationError: on what is no table of numbers, where it names the line and column of a file; on conditions
            that are not one a row.
    """
    what = f"the rows of {rows}" if isinstance(rows, str | Path) else "rows"
    found, columns = read(rows)
    if not found.is_floating_point() or found.ndim < 2 or len(found) < 4:
        raise ConfigurationError(
            f"{what} have dtype {found.dtype} and shape {tuple(found.shape)}; "
            "expected at least 4 rows of a floating-point tensor (N, D)"
        )
    if not 0.0 <= validation_fraction < 1.0:
        raise ConfigurationError(f"validation_fraction is {validation_fraction}; expected 0 <= fraction < 1")
    order = torch.randperm(len(found), generator=make_generator(seed, "split")).to(found.device)
    held = round(validation_fraction * len(found))
    if len(found) - held < 2:
        raise ConfigurationError(
            f"validation_fraction is {validation_fraction}, which leaves {len(found) - held} of {len(found)} rows to "
            "train on; expected a fraction that leaves at least 2"
        )
    shuffled, conditions = found[order], None
    if condition is not None:
        given = as_condition(condition)
        if len(given) != len(found):
            raise ConfigurationError(
                f"condition has {len(given):,} entries for {len(found):,} rows; expected one a row"
            )
        given = given.to(found.device)[order]
        conditions = Conditions(train=given[held:], validation=given[:held] if held else None)
    return Target(
        event_shape=tuple(found.shape[1:]),
        name=name,
        train=shuffled[held:],
        validation=shuffled[:held] if held else None,
        columns=columns,
        conditions=conditions,
    )
