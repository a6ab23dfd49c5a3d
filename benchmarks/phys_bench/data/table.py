"""A table as it was published: named columns, cells not yet interpreted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor


@dataclass(frozen=True)
class Table:
    """Rows of texts or numbers.

    Args:
        names: of the columns.
        rows: each as long as ``names``.
    """

    names: tuple[str, ...]
    rows: tuple[tuple[str | float, ...], ...]

    def __len__(self) -> int:
        return len(self.rows)

    def distinct(self) -> Self:
        """Without exact repetitions of a whole row; the first of each stays where it was."""
        return type(self)(self.names, tuple(dict.fromkeys(self.rows)))

    def column(self, name: str) -> list[str | float]:
        """The cells of one column.

        Raises:
            ValueError: if there is no such column.
        """
        index = self.names.index(name)
        return [row[index] for row in self.rows]

    def numbers(self, names: Sequence[str]) -> Tensor:
        """The named columns as float64 (N, len(names)).

        Raises:
            ValueError: if there is no such column, or a cell is not a number.
        """
        columns = [[float(cell) for cell in self.column(name)] for name in names]
        return torch.tensor(columns, dtype=torch.float64).T.contiguous()
