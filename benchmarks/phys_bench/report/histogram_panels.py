"""Panels of one number a row: histograms of a coordinate, of energies, of distances between particles."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from .canvas import INK, TROUBLE, plain
from .view import FloatArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_POINTS = 2_000
Panel = Callable[["Axes"], None]


def number_panels(arrays: dict[str, FloatArray], colour: str) -> list[Panel]:
    """Histograms of what every row is reduced to: its energy, the distances between its particles.

    Args:
        arrays: ``samples`` and ``reference``; as far as there are, ``energies`` (n,) with ``reference_energies`` (m,),
            and ``particles`` (2,).
        colour: of the generated samples.
    """
    numbers: dict[str, tuple[FloatArray, FloatArray]] = {}
    if "energies" in arrays and "reference_energies" in arrays:
        numbers["energies"] = arrays["reference_energies"], arrays["energies"]
    if "particles" in arrays:
        true, generated = (_distances(arrays[rows], arrays["particles"]) for rows in ("reference", "samples"))
        numbers["distances between particles"] = true, generated
    panels: list[Panel] = []
    for title, (true, generated) in numbers.items():
        true, finite = true[np.isfinite(true)], np.isfinite(generated)
        low, high = np.quantile(true, [0.001, 0.999])
        margin = 0.15 * max(high - low, 1e-6)
        box = np.array([[low - margin, high + margin]])
        rows, lost = generated[finite], int((~finite).sum())
        panels.append(partial(draw_histogram, rows=rows, colour=colour, box=box, title=title, outline=true, lost=lost))
    return panels


def _distances(rows: FloatArray, particles: FloatArray) -> FloatArray:
    """|x_i − x_j| of all pairs i < j in all ``rows`` (n, D), flat; ``particles`` is their number and their space's."""
    n, m = (int(number) for number in particles)
    first, second = np.triu_indices(n, 1)
    at = rows[:MOST_POINTS].reshape(-1, n, m)
    return np.asarray(np.linalg.norm(at[:, first] - at[:, second], axis=-1).ravel(), dtype=np.float64)


def draw_histogram(
    axes: Axes,
    *,
    rows: FloatArray,
    colour: str,
    box: FloatArray,
    title: str,
    outline: FloatArray | None = None,
    lost: int = 0,
) -> None:
    """A histogram of ``rows`` (n,), over that of ``outline`` (m,); ``lost`` rows more have no place in it."""
    plain(axes, title=title)
    bins = int(np.clip(1.5 * np.sqrt(len(rows)), 20, 60))
    edges = np.linspace(box[0, 0], box[0, 1], bins + 1)
    total = max(len(rows) + lost, 1)
    heights = _density(rows, edges, total)
    axes.stairs(heights, edges, fill=True, color=colour, alpha=0.75)
    if outline is not None:
        true = _density(outline, edges, len(outline))
        axes.stairs(true, edges, color=INK, linewidth=1.2, label="true")
        axes.set_ylim(0, 1.25 * max(heights.max(), true.max()))  # room for the legend
        axes.legend(frameon=False, fontsize=9, loc="upper right")
    axes.set_xlim(*box[0])
    axes.set_box_aspect(1)
    axes.locator_params(nbins=5)
    note_outside(axes, int(((rows < box[0, 0]) | (rows > box[0, 1])).sum()) + lost, total)


def _density(rows: FloatArray, edges: FloatArray, total: int) -> FloatArray:
    """Histogram heights such that mass outside the frame is missing rather than spread over the inside."""
    counts, _ = np.histogram(rows, edges)
    return np.asarray(counts / (total * (edges[1] - edges[0])), dtype=np.float64)


def note_outside(axes: Axes, outside: int, total: int) -> None:
    """Say how many points the frame hides; the bulk of a reference always leaves a few outside."""
    if outside > 0.02 * total:
        text = f"{outside:,} of {total:,} outside the frame"
        background = {"facecolor": "white", "alpha": 0.85, "edgecolor": "none", "pad": 2.0}
        axes.text(0.03, 0.03, text, transform=axes.transAxes, fontsize=9, color=TROUBLE, bbox=background)
