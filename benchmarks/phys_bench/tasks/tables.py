"""Table tasks: five of the UCI repository, in the dimensions of arXiv:2410.01796, Table 1, and four of scikit-learn.

The paper says neither which columns it keeps nor how it prepares them. Here, of a table with more measures than the
paper's dimension, the column with the largest absolute correlation with an earlier column is dropped, one after
another, until that dimension is left (judged on the training rows); the mushrooms keep the five attributes of largest
entropy. How rows become a task is in ``phys_bench.tasks.rows``; scores are therefore in other units than the paper's.
"""

from __future__ import annotations

from collections import Counter

import torch
from torch import Tensor

from phys_bench.data import PinnedFile, Table, bundled_table, uci
from phys_bench.tasks.rows import split, table_task
from phys_samplers.target import Task

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
