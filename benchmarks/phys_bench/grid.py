"""Text tables of a run: columns side by side, component texts wrapped where they read well."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Container, Sequence
from typing import Any

from tabulate import tabulate

ARROWS = {"low": "↓", "high": "↑", "zero": "→0", "half": "→½", "one": "→1"}
"""Which way a metric is better."""
GAP = 2
_NARROWEST = 12
_HEAD = 2  # columns that tabulate keeps for a head beyond what it takes


def grid(rows: Sequence[Sequence[Any]], heads: Sequence[str], fmt: str, left: Container[int] = ()) -> str:
    """A table whose first column, and those numbered in ``left``, are flush left.

    Args:
        rows: cells.
        heads: of the columns.
        fmt: ``terminal`` or ``github``.
        left: numbers of columns of words.
    """
    style = "simple" if fmt == "terminal" else "github"
    align = ["left" if i == 0 or i in left else "right" for i in range(len(heads))]
    return tabulate(rows, heads, tablefmt=style, disable_numparse=True, colalign=align, preserve_whitespace=False)


def fitted(rows: Sequence[Sequence[str]], elastic: set[int], width: int) -> list[list[str]]:
    """Wrap the columns ``elastic`` so that lines fit ``width``, if they can; the first row holds the heads."""
    natural = [
        max(len(line) + _HEAD * (i == 0) for i, cell in enumerate(column) for line in cell.split("\n"))
        for column in zip(*rows, strict=True)
    ]
    sizes = list(natural)
    room = width - GAP * (len(sizes) - 1) - sum(size for i, size in enumerate(sizes) if i not in elastic)
    for left, i in zip(range(len(elastic), 0, -1), sorted(elastic, key=natural.__getitem__), strict=True):
        sizes[i] = max(_NARROWEST, min(natural[i], room // left))  # what a narrow column leaves goes to the wider ones
        room -= sizes[i]
    return [
        [folded(cell, sizes[i] - _HEAD * (n == 0)) if i in elastic else cell for i, cell in enumerate(row)]
        for n, row in enumerate(rows)
    ]


class _Wrapper(textwrap.TextWrapper):
    """Breaks component texts after commas."""

    wordsep_simple_re = re.compile(r"(\s+)|(?<=,)")


def folded(text: str, width: int) -> str:
    """Lines of at most ``width`` columns."""
    wrapper = _Wrapper(width, break_on_hyphens=False)
    return "\n".join(part for line in text.split("\n") for part in wrapper.wrap(line))


def code(name: str, fmt: str) -> str:
    """A component text, marked as code in Markdown."""
    return f"`{name}`" if fmt == "github" else name
