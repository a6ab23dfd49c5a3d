"""Text for terminals: tables that fit their width, and examples for help pages."""

from __future__ import annotations

import os
import sys
import textwrap
from collections.abc import Mapping, Sequence

import click

from phys_registry.errors import printable

GAP = "  "
UNLIMITED = 10_000
_NARROWEST = 8
_NARROWEST_TERMINAL = 40


def terminal_width(otherwise: int = UNLIMITED) -> int:
    """Columns of the terminal.

    Args:
        otherwise: what to answer where the output goes to no terminal and ``COLUMNS`` is not set. Lines are not broken
            then, so that ``grep`` finds whole ones.
    """
    columns = os.environ.get("COLUMNS", "")
    if columns.isdecimal() and len(columns) < 10:
        return max(_NARROWEST_TERMINAL, int(columns))
    try:
        return max(_NARROWEST_TERMINAL, os.get_terminal_size(sys.stdout.fileno()).columns)
    except (OSError, ValueError, AttributeError):  # a pipe, a file or a buffer; None where standard output is closed
        return otherwise


def table(
    rows: Sequence[Sequence[str]],
    headers: Sequence[str] | None = None,
    *,
    width: int | None = None,
    indent: str = "",
    paint: Mapping[str, str] | None = None,
) -> str:
    """Columns side by side; where they do not fit, the widest ones are wrapped.

    Args:
        rows: cells; all rows of the same length.
        headers: column headings.
        width: to fit into; the terminal's if None.
        indent: before every line.
        paint: colour by the exact text of a cell.

    Returns:
        The lines, without a final newline.
    """
    lines = [list(headers)] if headers else []
    lines += [[printable(cell) for cell in row] for row in rows]
    if not lines:
        return ""
    natural = [max(len(part) for row in lines for part in (row[i].splitlines() or [""])) for i in range(len(lines[0]))]
    room = (terminal_width() if width is None else width) - len(indent) - len(GAP) * (len(natural) - 1)
    widths = _fit(natural, room)
    text = []
    for number, row in enumerate(lines):
        wrapped = [_wrap(cell, size) for cell, size in zip(row, widths, strict=True)]
        for at in range(max(len(cell) for cell in wrapped)):
            parts = []
            for cell, whole, size in zip(wrapped, row, widths, strict=True):
                part = f"{cell[at] if at < len(cell) else '':{size}}"
                colour = (paint or {}).get(whole)
                parts.append(click.style(part, fg=colour) if colour else part)
            line = f"{indent}{GAP.join(parts).rstrip()}"
            text.append(click.style(line, bold=True) if headers and number == 0 else line)
    return "\n".join(text)


def heading(text: str) -> str:
    """A line above a table."""
    return click.style(text, bold=True)


def plural(count: int, noun: str) -> str:
    """``1 task``, ``3 tasks``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def examples(*lines: tuple[str, str]) -> str:
    """The epilog of a help page.

    Args:
        lines: a command and what it does, each.
    """
    size = max(len(command) for command, _ in lines)
    if size > 56:
        body = [f"  # {remark}\n  {command}" for command, remark in lines]
    else:
        body = [f"  {command:{size}}  # {remark}" for command, remark in lines]
    return "\b\nExamples:\n" + "\n".join(body)


def _fit(natural: Sequence[int], room: int) -> list[int]:
    """The widths under the largest common limit that makes them fit, none below what can still be read."""
    for limit in range(max(natural), _NARROWEST - 1, -1):
        widths = [min(size, limit) for size in natural]
        if sum(widths) <= room:
            return widths
    return [min(size, _NARROWEST) for size in natural]


def _wrap(cell: str, size: int) -> list[str]:
    lines = [part for line in cell.splitlines() for part in (textwrap.wrap(line, size, break_on_hyphens=False) or [""])]
    return lines or [""]
