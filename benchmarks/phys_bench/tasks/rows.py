"""From published rows to a task: a fixed split, no atoms, unit scale.

Exact repetitions of a whole published row are dropped first, so that no held-out row was trained on. A recorded value
v is rounded to the resolution r of its column, the smallest gap between distinct values; v + r(u − ½), u ~ U(0, 1),
has a density, without which no distance between a sampler's law and the data would be small. Last, each column is
standardised by the mean and the standard deviation of the training rows, so that scores weigh columns alike.
"""

from __future__ import annotations

import torch
from torch import Tensor

from phys_bench.tasks.assemble import EVAL_SIZE, SPLIT_SEED, square_view
from phys_samplers.randomness import make_generator
from phys_samplers.standardise import Standardiser
from phys_samplers.target import Task

TRAIN_SHARE, VALIDATION_SHARE = 0.7, 0.1
"""The rest, a fifth, is held out."""
TABLE_METRICS = ("w1", "w2", "mmd2", "energy-distance", "sliced-w2", "1nn", "variance-ratio", "memorisation")


def split(name: str, n: int) -> tuple[Tensor, Tensor, Tensor]:
    """Indices of the training, validation and held-out rows: a fixed permutation of n rows, cut 70/10/20.

    Args:
        name: of the task, the label of its stream.
        n: number of rows.
    """
    order = torch.randperm(n, generator=make_generator(SPLIT_SEED, "task", name, "split"))
    train, validation = round(TRAIN_SHARE * n), round(VALIDATION_SHARE * n)
    return order[:train], order[train : train + validation], order[train + validation :]


def resolution(values: Tensor) -> Tensor:
    """Smallest gap (D,) between distinct values of each column of ``values`` (N, D)."""
    return torch.stack([torch.unique(column).diff().amin() for column in values.T])


def dequantised(name: str, values: Tensor) -> Tensor:
    """``values`` (N, D) with uniform noise as wide as the resolution of each column; the mean is kept."""
    generator = make_generator(SPLIT_SEED, "task", name, "noise")
    noise = torch.rand(values.shape, generator=generator, dtype=values.dtype)
    return torch.addcmul(values, resolution(values), noise - 0.5)


def table_task(name: str, values: Tensor) -> Task:
    """The task of a table.

    Args:
        name: of the task.
        values: float64 (N, D), the columns to learn, as recorded; no row twice in the published table.
    """
    values = dequantised(name, values)
    parts = [values[index] for index in split(name, len(values))]
    standardiser = Standardiser.fit(parts[0])
    train, validation, heldout = (standardiser.forward(part).to(torch.get_default_dtype()) for part in parts)
    return Task(
        event_shape=tuple(values.shape[1:]),
        name=name,
        train=train,
        validation=validation,
        heldout=heldout,
        metrics=TABLE_METRICS,
        eval_size=min(len(heldout), EVAL_SIZE),
        view=square_view(4.0, values.shape[1]),
    )
