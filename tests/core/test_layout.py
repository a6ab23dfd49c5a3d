"""Tables fit their width and lose nothing."""

from __future__ import annotations

import pytest

from phys_samplers.layout import examples, table

ROWS = [("one", "a short text", "x" * 30), ("number-two", "a text that is a good deal longer than the others are", "")]


def test_columns_are_aligned() -> None:
    lines = table(ROWS, ("name", "text", "last"), width=200, indent="> ").splitlines()
    assert len(lines) == 3
    assert all(line.startswith(("> ", "\x1b[1m> ")) for line in lines)
    assert [line.index(word) for line, word in zip(lines[1:], ("a short", "a text"), strict=True)] == [14, 14]


@pytest.mark.parametrize("width", [40, 50, 77])
def test_wrapping_keeps_every_letter(width: int) -> None:
    text = table(ROWS, width=width)
    assert max(map(len, text.splitlines())) <= width
    letters = sorted("".join("".join(row) for row in ROWS).replace(" ", ""))
    assert sorted(text.replace(" ", "").replace("\n", "")) == letters


def test_paint_colours_whole_cells_only() -> None:
    painted = table([("failed", "it failed")], width=80, paint={"failed": "red"})
    assert painted == "\x1b[31mfailed\x1b[0m  it failed"


def test_empty_table() -> None:
    assert table([]) == ""


def test_long_examples_are_broken() -> None:
    assert examples(("short", "why")) == "\b\nExamples:\n  short  # why"
    assert examples(("long " * 20, "why")).startswith("\b\nExamples:\n  # why\n  long")
