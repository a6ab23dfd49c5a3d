"""HTML and numbers as text: everything that reaches the page passes through `escape`."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from phys_bench.statistics import Estimate

from .canvas import data_uri, png
from .standing import Distance
from .view import Floor

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def escape(value: object) -> str:
    """Text that is safe between tags and in quoted attributes."""
    return html.escape(str(value), quote=True)


def label(name: str) -> str:
    """A sampler's label that a narrow column may break before brackets and after commas and equals signs."""
    text = escape(name)
    for sign in (",", "="):
        text = text.replace(sign, f"{sign}<wbr>")
    return text.replace("[", "<wbr>[")


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


def interval(value: Estimate) -> str:
    """``mean [low, high]``, without the interval for a single seed."""
    if value.count == 1:
        return number(value.mean)
    return f"{number(value.mean)} [{number(value.low)}, {number(value.high)}]"


def floor_text(floor: Floor | None) -> str:
    """``mean ± sd`` of a floor."""
    return "–" if floor is None else f"{number(floor.mean)} ± {number(floor.std)}"


def bar(distance: Distance | None) -> str:
    """The distance from the floor as words and a coloured bar."""
    if distance is None:
        return ""
    width = max(4.0, 100 * distance.level)
    return (
        f'<span class="gap {distance.tone}"><span class="bar" aria-hidden="true">'
        f'<i style="width:{width:.0f}%"></i></span>{escape(distance.text)}</span>'
    )


def table(head: Sequence[str], rows: Sequence[Sequence[str]], *, caption: str = "", classes: str = "") -> str:
    """A table in its own scroll box.

    Args:
        head: column titles, as HTML.
        rows: cells, as HTML; the first of each row is its header.
        caption: as text.
        classes: CSS classes of the table.
    """
    top = "".join(f'<th scope="col">{cell}</th>' for cell in head)
    body = "".join(
        f'<tr><th scope="row">{row[0]}</th>' + "".join(f"<td>{cell}</td>" for cell in row[1:]) + "</tr>" for row in rows
    )
    label = f"<caption>{escape(caption)}</caption>" if caption else ""
    return (
        f'<div class="scroll" tabindex="0"><table class="{escape(classes)}">{label}<thead><tr>{top}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def picture(figure: Figure, alt: str, caption: str = "", dpi: int = 120) -> str:
    """A figure as an inlined PNG in its own scroll box; ``caption`` is HTML.

    It is shown at 90 CSS pixels an inch, shrinks with the page to 70 (where its text is still legible), and scrolls in
    its box below that.
    """
    width = figure.get_figwidth()
    below = f"<figcaption>{caption}</figcaption>" if caption else ""
    return (
        f'<figure><div class="scroll paper" tabindex="0"><img src="{data_uri(png(figure, dpi))}" alt="{escape(alt)}" '
        f'style="width:{90 * width:.0f}px;min-width:{70 * width:.0f}px"></div>{below}</figure>'
    )


def details(summary: str, body: str, *, open_: bool = False, classes: str = "") -> str:
    """A fold; both arguments are HTML."""
    return f'<details class="{escape(classes)}"{" open" if open_ else ""}><summary>{summary}</summary>{body}</details>'


def preformatted(text: str) -> str:
    """Text as it is, scrolling in its own box."""
    return f'<pre tabindex="0">{escape(text)}</pre>'


def anchor(text: str) -> str:
    """An HTML id made of ``text``; letters and digits stay, so distinct component names stay distinct."""
    return "".join(c if c.isalnum() and c.isascii() else f"-{ord(c):x}-" for c in text)
