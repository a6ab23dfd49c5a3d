"""Table tasks: five of the UCI repository, in the dimensions of arXiv:2410.01796, Table 1, and four of scikit-learn.

The paper says neither which columns it keeps nor how it prepares them. Here, of a table with more measures than the
paper's dimension, the column with the largest absolute correlation with an earlier column is dropped, one after
another, until that dimension is left (judged on the training rows); the mushrooms keep the five attributes of largest
entropy.

From rows to a task: exact repetitions of a whole published row are dropped first, so that no held-out row was trained
on. A recorded value v is rounded to the resolution r of its column, the smallest gap between distinct values;
v + r(u − ½), u ~ U(0, 1), has a density, without which no distance between a sampler's law and the data would be small.
Last, each column is standardised by the mean and the standard deviation of the training rows, so that scores weigh
columns alike; they are therefore in other units than the paper's.
"""

from __future__ import annotations

from collections import Counter

import torch
from torch import Tensor

from phys_bench.data import PinnedFile, Table, bundled_table, uci
from phys_bench.tasks.assemble import EVAL_SIZE, SPLIT_SEED, split, square_view
from phys_samplers.randomness import make_generator
from phys_samplers.standardise import Standardiser
from phys_samplers.target import Task

TABLE_METRICS = ("w1", "w2", "mmd2", "energy-distance", "sliced-w2", "1nn", "variance-ratio", "memorisation")


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


PARKINSONS = (
    "MDVP:Fo(Hz)",
    "MDVP:Fhi(Hz)",
    "MDVP:Flo(Hz)",
    "MDVP:Jitter(%)",
    "MDVP:Jitter(Abs)",
    "MDVP:Shimmer",
    "MDVP:APQ",
    "NHR",
    "HNR",
    "RPDE",
    "DFA",
    "spread1",
    "spread2",
    "D2",
    "PPE",
)
"""Dropped: Shimmer:DDA and Jitter:DDP (multiples of others), Shimmer:APQ3, RAP, Shimmer(dB), Shimmer:APQ5, PPQ."""
RED_WINE = (
    "fixed acidity",
    "volatile acidity",
    "citric acid",
    "residual sugar",
    "chlorides",
    "free sulfur dioxide",
    "total sulfur dioxide",
    "density",
    "sulphates",
    "alcohol",
)
"""Dropped: pH, which fixed acidity tells."""
MUSHROOM = ("cap-color", "odor", "gill-color", "spore-print-color", "habitat")


def abalone() -> Task:
    """The 7 measures of 4,177 abalones (length, diameter, height and four weights); not sex and rings.

    Raises:
        DataUnavailable: if the file cannot be had.
    """
    table = _published(uci.ABALONE)
    return table_task("abalone", table.numbers(table.names[1:8]))


def telemonitoring() -> Task:
    """The 16 voice measures of 5,875 recordings of people with Parkinson's disease.

    Recordings of one person are on both sides of the split: the law is that of recordings, not of people. Two measures
    are multiples of others up to rounding (DDP of RAP, DDA of APQ3), so the law is nearly degenerate.

    Raises:
        DataUnavailable: if the file cannot be had.
    """
    table = _published(uci.TELEMONITORING)
    return table_task("telemonitoring", table.numbers(table.names[6:]))


def parkinsons() -> Task:
    """15 of the 22 voice measures of 195 recordings, 147 of them of people with Parkinson's disease.

    Raises:
        DataUnavailable: if the file cannot be had.
    """
    return table_task("parkinsons", _published(uci.PARKINSONS).numbers(PARKINSONS))


def mushroom() -> Task:
    """Five categorical attributes of 8,124 mushrooms, each coded by the rank of the category's frequency.

    The commonest category of the training rows is 0, the next 1, …; equally common ones in alphabetical order. The law
    is uniform on unit cubes: it has neither neighbourhoods nor tails, only weights.

    Raises:
        DataUnavailable: if the file cannot be had.
    """
    table = _published(uci.MUSHROOM)
    train = split("mushroom", len(table))[0].tolist()
    codes = [_frequency_ranks(table.column(name), train) for name in MUSHROOM]
    return table_task("mushroom", torch.stack(codes, 1))


def red_wine() -> Task:
    """10 of the 11 measures of red wines: 1,359 rows once 240 repetitions are dropped.

    Raises:
        DataUnavailable: if the file cannot be had.
    """
    return table_task("red-wine", _published(uci.RED_WINE).numbers(RED_WINE))


def wine() -> Task:
    """The 13 measures of 178 Italian wines of three cultivars.

    Raises:
        DataUnavailable: if scikit-learn is not installed.
    """
    return _bundled("wine", bundled_table("wine"))


def breast_cancer() -> Task:
    """The 30 measures of 569 images of cell nuclei (Wisconsin, diagnostic); many nearly depend on others.

    Raises:
        DataUnavailable: if scikit-learn is not installed.
    """
    return _bundled("breast-cancer", bundled_table("breast_cancer"))


def diabetes() -> Task:
    """The 10 measures of 442 people with diabetes, as recorded; sex, of two values, becomes two uniform pieces.

    Raises:
        DataUnavailable: if scikit-learn is not installed.
    """
    return _bundled("diabetes", bundled_table("diabetes", scaled=False))


def iris() -> Task:
    """The 4 measures of 149 irises of three species: 150 less a repetition.

    Raises:
        DataUnavailable: if scikit-learn is not installed.
    """
    return _bundled("iris", bundled_table("iris"))


def _published(file: PinnedFile) -> Table:
    return file.read().distinct()


def _bundled(name: str, table: Table) -> Task:
    """Of all columns but the last, the class or response."""
    return table_task(name, table.distinct().numbers(table.names[:-1]))


def _frequency_ranks(cells: list[str | float], train: list[int]) -> Tensor:
    """Each cell (N,) as the rank of its category's frequency among the rows ``train``, float64."""
    counts = Counter(cells[index] for index in train)
    ranks = {cell: rank for rank, cell in enumerate(sorted(set(cells), key=lambda cell: (-counts[cell], cell)))}
    return torch.tensor([ranks[cell] for cell in cells], dtype=torch.float64)
