"""The one model of a table, and how it is written: for terminals, as Markdown, as a data frame; HTML is a template."""

from __future__ import annotations

import io
import math
import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from phys_registry.errors import printable

from .statistics import Distance, Estimate

if TYPE_CHECKING:
    import pandas

ARROWS = {"low": "↓", "high": "↑", "zero": "→0", "half": "→½", "one": "→1"}
"""Which way a metric is better."""
LABEL_WIDTH = 24
"""Columns of a terminal within which component texts are wrapped."""
_GAP = 3


@dataclass(frozen=True, slots=True)
class Entry:
    """What stands in one place of a table.

    Args:
        text: the main thing.
        detail: beside it, smaller.
        sub: below it, smaller.
        gap: how far a score is from its floor.
        status: what went wrong.
        tone: ``good``, ``bad`` or empty, of a verdict.
        link: name of the task whose section it leads to.
        name: whether the text is that of a component.
        value: what it sorts by; the text if None.
    """

    text: str = "–"
    detail: str = ""
    sub: str = ""
    gap: Distance | None = None
    status: str = ""
    tone: str = ""
    link: str = ""
    name: bool = False
    value: float | None = None

    def lines(self, newline: str, quote: str = "") -> str:
        """All of it as text, what stands below after ``newline``, and the text of a component between ``quote``s."""
        status = f"({self.status})" if self.status and self.text else self.status
        text = f"{quote}{self.text}{quote}"
        first = " ".join(part for part in (text, self.detail, self.gap.text if self.gap else "", status) if part)
        below = self.sub if newline == "\n" or self.sub[:1] in ("", "[", "±") else f"({self.sub})"
        return first + newline + below if below else first


@dataclass(frozen=True, slots=True)
class Column:
    """The head of a column.

    Args:
        title: what it holds.
        sub: below it, smaller.
        words: whether it holds words, which are flush left and wrap, or numbers.
        link: name of the task whose section it leads to.
    """

    title: str
    sub: str = ""
    words: bool = False
    link: str = ""


@dataclass(frozen=True)
class Table:
    """A table.

    Args:
        title: above it.
        columns: heads.
        rows: entries, one a column.
        fixed: number of leading rows that stay where they are when a reader sorts.
        rule: what its words mean, in a paragraph before it.
        notes: footnotes, numbered from 1.
        remarks: sentences below it.
    """

    title: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Entry]]
    fixed: int = 0
    rule: str = ""
    notes: Sequence[str] = ()
    remarks: Sequence[str] = ()

    def markdown(self, level: int = 3) -> str:
        """The table as GitHub-flavoured Markdown, its title a heading of that level (none at 0); empty without rows."""
        if not self.rows:
            return ""
        heads = [markdown_text(f"{c.title} {c.sub}".rstrip()) for c in self.columns]
        lines = [heads, [":--" if c.words or i == 0 else "--:" for i, c in enumerate(self.columns)]]
        for row in self.rows:
            lines.append([markdown_text(entry.lines(" ", "`" if entry.name else "")) for entry in row])
        parts = [f"{'#' * level} {markdown_text(self.title)}" if self.title and level else "", markdown_text(self.rule)]
        parts.append("\n".join(f"| {' | '.join(cells)} |" for cells in lines))
        parts.append("\n".join(f"{number}. {markdown_text(note)}" for number, note in enumerate(self.notes, 1)))
        parts.append(" ".join(markdown_text(remark) for remark in self.remarks))
        return "\n\n".join(part for part in parts if part)

    def terminal(self, width: int) -> str:
        """The table as text of at most ``width`` columns, in several blocks where needed; empty without rows."""
        if not self.rows:
            return ""
        parts = [textwrap.fill(self.title, width)]
        parts += [self._block(block, width) for block in self._blocks(width)]
        parts += [
            textwrap.fill(f"[{i}] {note}", width, subsequent_indent="    ") for i, note in enumerate(self.notes, 1)
        ]
        parts += [textwrap.fill(remark, width) for remark in self.remarks]
        return "\n\n".join(parts)

    def _cells(self, index: int) -> list[str]:
        """A column as text for a terminal, its head first."""
        column = self.columns[index]
        found = [f"{column.title}\n{column.sub}" if column.sub else column.title]
        for row in self.rows:
            text = row[index].lines("\n")
            found.append(folded(text, LABEL_WIDTH) if row[index].name else text)
        return found

    def _blocks(self, width: int) -> list[list[int]]:
        """Numbers of columns side by side, as far as they fit; the first one leads every block."""
        sizes = [
            max(len(line) for cell in self._cells(i) for line in cell.split("\n")) for i in range(len(self.columns))
        ]
        if any(column.words for column in self.columns[1:]):
            return [list(range(len(sizes)))]  # words give way
        blocks: list[list[int]] = [[0]]
        used = sizes[0]
        for i, size in enumerate(sizes[1:], 1):
            if used + _GAP + size > width and len(blocks[-1]) > 1:
                blocks.append([0])
                used = sizes[0]
            blocks[-1].append(i)
            used += _GAP + size
        return blocks

    def _block(self, block: Sequence[int], width: int) -> str:
        from rich import box
        from rich.console import Console
        from rich.table import Table as RichTable
        from rich.text import Text

        drawn = RichTable(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1))
        columns = [self._cells(i) for i in block]
        for i, cells in zip(block, columns, strict=True):
            words = self.columns[i].words
            flush: Literal["left", "right"] = "left" if words or i == 0 else "right"
            drawn.add_column(
                Text(cells[0]), justify=flush, no_wrap=not words, min_width=14 if words else None, overflow="fold"
            )
        for row in list(zip(*columns, strict=True))[1:]:
            drawn.add_row(*map(Text, row))
        written = io.StringIO()
        Console(file=written, width=width, color_system=None, legacy_windows=False).print(drawn)
        return "\n".join(line.rstrip() for line in written.getvalue().rstrip("\n").split("\n"))

    @property
    def frame(self) -> pandas.DataFrame:
        """The table as a data frame: numbers where a place holds one, else its text."""
        import pandas

        heads = [f"{column.title} {column.sub}".rstrip() for column in self.columns]
        rows = [[entry.lines(" ") if entry.value is None else entry.value for entry in row] for row in self.rows]
        return pandas.DataFrame(rows, columns=heads)


def number(value: float | None) -> str:
    """Three significant digits, thousands separated; a dash for what is not known."""
    if value is None:
        return "–"
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("∞" if value > 0 else "−∞")
    if value == 0:
        return "0"
    size = abs(value)
    if float(value).is_integer() and size < 1e9:
        return f"{int(value):,}"
    if size >= 1000:
        return f"{value:,.0f}" if size < 1e7 else f"{value:.2e}"
    if size < 1e-3:
        return f"{value:.1e}"
    return f"{value:.{max(0, 2 - math.floor(math.log10(size)))}f}"


def interval(value: Estimate | None) -> str:
    """``[low, high]``; empty for a single seed, which has none."""
    return "" if value is None or value.count < 2 else f"[{number(value.low)}, {number(value.high)}]"


def spread(std: float) -> str:
    """``± sd``; empty where there is none."""
    return "" if math.isnan(std) else f"± {number(std)}"


def markdown_text(text: str) -> str:
    """Text that can neither break out of a Markdown table nor become HTML, a link or a picture."""
    text = printable(text)
    for old, new in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("|", "\\|"), ("](", "]\\("), ("]:", "]\\:")):
        text = text.replace(old, new)
    return " ".join(text.split())


class _Wrapper(textwrap.TextWrapper):
    """Breaks component texts after commas."""

    wordsep_simple_re = re.compile(r"(\s+)|(?<=,)")


def folded(text: str, width: int) -> str:
    """Lines of at most ``width`` columns."""
    wrapper = _Wrapper(width, break_on_hyphens=False)
    return "\n".join(part for line in text.split("\n") for part in wrapper.wrap(line))
