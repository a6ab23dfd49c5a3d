"""How objects show themselves: a line for terminals, a small table for notebooks; never a tensor's numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

Facts = Sequence[tuple[str, str]]


class Shown:
    """Gives ``__repr__`` and ``_repr_html_`` to whoever says what it is in ``_title`` and ``_facts``."""

    def _title(self) -> str:
        return type(self).__name__

    def _facts(self) -> Facts:
        return ()

    def __repr__(self) -> str:
        inside = ", ".join(f"{name} {value}" for name, value in self._facts())
        return f"<{self._title()}: {inside}>" if inside else f"<{self._title()}>"

    def _repr_html_(self) -> str:
        return html_table(self._title(), self._facts())


def html_table(title: str, rows: Sequence[Sequence[str]], headings: Sequence[str] = ()) -> str:
    """A small table; everything is escaped."""
    head = "".join(f"<th style='text-align:left'>{escape(cell)}</th>" for cell in headings)
    body = "".join(
        "<tr>" + "".join(f"<td style='text-align:left'>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    return f"<table><caption style='text-align:left'><b>{escape(title)}</b></caption><tr>{head}</tr>{body}</table>"


def size(shape: Sequence[int]) -> str:
    """``1000×2``; ``1`` for a single number."""
    return "×".join(map(str, shape)) or "1"


def number(value: Any) -> str:
    """A number in five digits, a short text as it is, of a list how long it is."""
    if isinstance(value, bool) or value is None:
        return str(value)
    if isinstance(value, int | float):
        return f"{value:,.5g}"
    if isinstance(value, Mapping):
        return f"{{{', '.join(map(str, list(value)[:4]))}{', …' if len(value) > 4 else ''}}}"
    if isinstance(value, list | tuple):
        return f"{len(value)} values" if len(value) > 4 else ", ".join(map(number, value))
    text = " ".join(str(value).split())
    return text if len(text) <= 60 else f"{text[:59]}…"
