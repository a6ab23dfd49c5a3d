"""The picture of one (task, sampler): scalar field | gradient field | generated samples; and that of true samples.

The layout of Figs. 1-3 of the Bellman Diffusion paper (arXiv:2410.01796), with the true samples of a task drawn once.
Panels share their axes, so that they can be compared by eye; generated points outside the frame are counted in the
panel. In one dimension the samples are histograms and the fields are curves; in more than two the first two coordinates
are drawn, a panel of marginals covers the others, and where there is a density a histogram of energies follows. Of
systems of particles, whose coordinates say little, energies and distances are drawn (Fig. 3 of the Value Gradient
Sampler paper, arXiv:2502.13280). A sampler without fields has no field panels.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from numpy.typing import NDArray

from phys_bench.statistics import FloatArray

from .canvas import FIELD_MAP, GRID, INK, REFERENCE, TROUBLE, Picture, new_figure, plain

PANEL_INCHES = 2.6  # side of a square panel
LEFT, GAP, BOTTOM, TOP, SCALE = 0.45, 0.52, 0.3, 0.33, 0.38  # inches around panels; SCALE: room of a colour scale
MOST_MARGINALS = 16
MOST_POINTS = 2_000
ARROWS_PER_SIDE = 17
Panel = Callable[[Axes], None]


def sample_picture(
    arrays: dict[str, FloatArray],
    *,
    task: str,
    sampler: str,
    colour: str,
    box: FloatArray | None = None,
    truth: bool = False,
) -> Picture:
    """Draw the panels of one (task, sampler), or the true samples of a task.

    Args:
        arrays: ``samples`` (n, D), ``reference`` (m, D), optionally ``grid`` (G, D) with ``s`` (G,) and ``g`` or
            ``score`` (G, D), ``energies`` (n,) with ``reference_energies`` (m,), and ``particles`` (2,).
        task: for the description.
        sampler: for the description.
        colour: of the generated samples.
        box: limits (2, 2) of the first two coordinates, see `frame`.
        truth: draw the true samples instead of the generated ones and of fields.
    """
    scale = False
    panels: list[Panel]
    if "particles" in arrays:
        panels = number_panels(arrays, colour)
    else:
        reference = arrays["reference"][:MOST_POINTS]
        dim = reference.shape[1]
        box = frame(reference, arrays.get("grid")) if box is None else box
        scale = dim > 1 and not truth and "s" in arrays and "grid" in arrays
        panels = [partial(samples_panel, arrays=arrays, colour=colour, box=box, truth=truth)]
        if not truth:
            panels = [*(_field_panels_1d if dim == 1 else _field_panels_2d)(arrays, box), *panels]
        if dim > 2 and not truth:
            samples = _finite(arrays["samples"][:MOST_POINTS])
            panels.append(partial(_marginals, reference=reference, samples=samples, colour=colour))
            panels += number_panels(arrays, colour)
    figure, names = _lay_out(panels, after_scale=1 if scale else len(panels))
    if truth:
        return Picture(figure, f"{task}. Panel: {names[0]}.")
    return Picture(figure, f"{task}, {sampler}. Panels from left to right: {'; '.join(names)}.")


def samples_panel(
    axes: Axes, *, arrays: dict[str, FloatArray], colour: str, box: FloatArray, truth: bool = False
) -> None:
    """Generated samples, or the true ones: a histogram in one dimension, else points by their first two coordinates."""
    reference, drawn = arrays["reference"][:MOST_POINTS], arrays["samples"][:MOST_POINTS]
    dim, rows = reference.shape[1], reference if truth else _finite(drawn)
    lost = 0 if truth else len(drawn) - len(rows)
    title = ("true samples" if truth else "generated samples") + ("" if dim <= 2 else f", x₁x₂ of {dim}")
    paint = REFERENCE if truth else colour
    if dim == 1:
        outline = None if truth else reference[:, 0]
        draw_histogram(axes, rows=rows[:, 0], colour=paint, box=box, title=title, outline=outline, lost=lost)
    else:
        _scatter(axes, rows=rows, colour=paint, box=box, title=title, lost=lost)


def _finite(rows: FloatArray) -> FloatArray:
    return rows[np.isfinite(rows).all(axis=1)]


def _lay_out(panels: list[Panel], after_scale: int) -> tuple[Figure, list[str]]:
    """Square panels side by side, placed in inches: half the time of a layout engine, and equal over pictures.

    Args:
        panels: from left to right.
        after_scale: index of the panel before which there is room for a colour scale.
    """
    lefts = [LEFT + i * (PANEL_INCHES + GAP) + (SCALE if i >= after_scale else 0.0) for i in range(len(panels))]
    width, height = lefts[-1] + PANEL_INCHES + 0.12, BOTTOM + PANEL_INCHES + TOP
    figure = new_figure(width, height, layout=None)
    names = []
    for left, panel in zip(lefts, panels, strict=True):
        axes = figure.add_axes((left / width, BOTTOM / height, PANEL_INCHES / width, PANEL_INCHES / height))
        panel(axes)
        names.append(axes.get_title(loc="left"))
    return figure, names


def frame(reference: FloatArray, grid: FloatArray | None) -> FloatArray:
    """Limits (2, 2) of the first two coordinates: the field grid's extent, else the bulk of the reference rows.

    Args:
        reference: exact rows (m, D).
        grid: grid points (G, D) of any sampler of the task, so that all its pictures share their axes.
    """
    columns = min(2, reference.shape[1])
    if grid is not None and len(grid) and np.isfinite(grid).all():
        low, high = grid[:, :columns].min(axis=0), grid[:, :columns].max(axis=0)
        if (high > low).all():
            return np.stack([low, high], axis=1)
    low, high = np.quantile(reference[:, :columns], [0.005, 0.995], axis=0)
    margin = 0.15 * np.maximum(high - low, 1e-6)
    return np.stack([low - margin, high + margin], axis=1)


def _scatter(axes: Axes, *, rows: FloatArray, colour: str, box: FloatArray, title: str, lost: int = 0) -> None:
    plain(axes, title=title)
    size = 7.0 if len(rows) <= 1_000 else 4.0
    axes.scatter(rows[:, 0], rows[:, 1], s=size, c=colour, alpha=0.45, linewidths=0)
    _frame_axes(axes, box)
    outside = ((rows[:, :2] < box[:, 0]) | (rows[:, :2] > box[:, 1])).any(axis=1)
    note_outside(axes, int(outside.sum()) + lost, len(rows) + lost)


def _frame_axes(axes: Axes, box: FloatArray) -> None:
    axes.set_xlim(*box[0])
    axes.set_ylim(*box[1])
    axes.set_box_aspect(1)
    axes.locator_params(nbins=5)


def _marginals(axes: Axes, *, reference: FloatArray, samples: FloatArray, colour: str) -> None:
    """Median and 5-95 % range of every coordinate, true beside generated."""
    dim = reference.shape[1]
    shown = min(dim, MOST_MARGINALS)
    plain(axes, title="marginals, 5–95 %" + ("" if shown == dim else f", first {shown}"))
    for rows, shift, paint, label in ((reference, -0.17, REFERENCE, "true"), (samples, 0.17, colour, "generated")):
        if not len(rows):
            continue
        low, middle, high = np.quantile(rows[:, :shown], [0.05, 0.5, 0.95], axis=0)
        at = np.arange(1, shown + 1) + shift
        axes.vlines(at, low, high, color=paint, linewidth=3.0, alpha=0.8, label=label)
        axes.scatter(at, middle, s=16, color="white", edgecolors=paint, linewidths=1.2, zorder=3)
    low, high = np.quantile(reference[:, :shown], [0.05, 0.95], axis=0)
    room = max(float(high.max() - low.min()), 1e-6)
    axes.set_ylim(low.min() - 0.5 * room, high.max() + 0.7 * room)  # the legend is at the top
    axes.locator_params(axis="x", integer=True, nbins=8)
    axes.set_box_aspect(1)
    axes.legend(frameon=False, fontsize=9, loc="upper right", ncols=2)


def _field_panels_1d(arrays: dict[str, FloatArray], box: FloatArray) -> list[Panel]:
    panels: list[Panel] = []
    if "grid" not in arrays:
        return panels
    x = arrays["grid"][:, 0]
    if "s" in arrays:
        panels.append(partial(draw_curve, x=x, y=arrays["s"], box=box, title="scalar field s(x)"))
    if (vector := vector_name(arrays)) is not None:
        title = "gradient field g(x)" if vector == "g" else "score field"
        panels.append(partial(draw_curve, x=x, y=arrays[vector][:, 0], box=box, title=title, zero=True))
    return panels


def _field_panels_2d(arrays: dict[str, FloatArray], box: FloatArray) -> list[Panel]:
    panels: list[Panel] = []
    if "grid" not in arrays:
        return panels
    xy = arrays["grid"][:, :2]
    if "s" in arrays:
        panels.append(partial(draw_scalar, xy=xy, s=arrays["s"], box=box))
    if (vector := vector_name(arrays)) is not None:
        panels.append(partial(draw_quiver, xy=xy, v=arrays[vector][:, :2], s=arrays.get("s"), box=box, name=vector))
    return panels


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


def vector_name(arrays: dict[str, FloatArray]) -> str | None:
    """Which vector field the arrays hold: ``g``, ``score`` or none."""
    return next((name for name in ("g", "score") if name in arrays), None)


def as_mesh(xy: FloatArray, values: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray] | None:
    """Bring grid points in any order to a rectangular mesh.

    Args:
        xy: (G, 2).
        values: (G, ...).

    Returns:
        x (W,), y (H,) and values (H, W, ...), or None if the points are not a full rectangular grid.
    """
    x, column = np.unique(np.round(xy[:, 0], 9), return_inverse=True)
    y, row = np.unique(np.round(xy[:, 1], 9), return_inverse=True)
    if len(x) < 2 or len(y) < 2 or len(x) * len(y) != len(xy) or len(np.unique(row * len(x) + column)) != len(xy):
        return None
    mesh = np.empty((len(y), len(x), *values.shape[1:]))
    mesh[row, column] = values
    return x, y, mesh


def draw_curve(axes: Axes, *, x: FloatArray, y: FloatArray, box: FloatArray, title: str, zero: bool = False) -> None:
    """A field of one coordinate as a curve."""
    plain(axes, title=title)
    order = np.argsort(x)
    if zero:
        axes.axhline(0.0, color=GRID, linewidth=1.2)
    axes.plot(x[order], y[order], color=INK, linewidth=1.6)
    axes.set_xlim(*box[0])
    axes.set_box_aspect(1)
    axes.locator_params(nbins=5)


def draw_scalar(axes: Axes, *, xy: FloatArray, s: FloatArray, box: FloatArray) -> None:
    """A scalar field of two coordinates as an image with its colour scale."""
    plain(axes, title="scalar field s(x)")
    image = _paint(axes, xy, s)
    _frame_axes(axes, box)
    inset = axes.inset_axes((1.03, 0.0, 0.045, 1.0))
    bar = axes.figure.colorbar(image, cax=inset)
    bar.ax.tick_params(labelsize=8, colors=INK)
    bar.ax.locator_params(nbins=4)
    bar.ax.ticklabel_format(scilimits=(-2, 3), useMathText=True)
    bar.ax.yaxis.get_offset_text().set_fontsize(8)
    bar.outline.set_visible(False)


def draw_quiver(axes: Axes, *, xy: FloatArray, v: FloatArray, s: FloatArray | None, box: FloatArray, name: str) -> None:
    """A vector field of two coordinates as arrows; behind them the scalar field, or the field's own length.

    Arrow lengths are compressed (square root): a score grows without bound away from the data, and would leave
    nothing to see where the mass is.
    """
    plain(axes, title="gradient field g(x)" if name == "g" else "score field")
    length = np.hypot(v[:, 0], v[:, 1])
    _paint(axes, xy, length if s is None else s)
    at, arrows = _thin(xy, v)
    size = np.hypot(arrows[:, 0], arrows[:, 1])
    top = float(np.quantile(size, 0.98)) if len(size) else 0.0
    if top > 0:
        shown = arrows / np.maximum(size, 1e-300)[:, None] * np.sqrt(np.minimum(size / top, 1.0))[:, None]
        keep = size > 2e-3 * top  # shorter ones would be dots
        axes.quiver(
            at[keep, 0], at[keep, 1], shown[keep, 0], shown[keep, 1],
            color="white", edgecolor=INK, linewidth=0.5, angles="xy", scale=ARROWS_PER_SIDE * 0.8, scale_units="width",
            width=0.010, pivot="mid", headwidth=3.2, headlength=3.6, headaxislength=3.2,
        )  # fmt: skip
    _frame_axes(axes, box)


def _paint(axes: Axes, xy: FloatArray, values: FloatArray) -> ScalarMappable:
    finite = values[np.isfinite(values)]
    low, high = np.quantile(finite, [0.005, 0.995]) if len(finite) else (0.0, 1.0)
    high = high if high > low else low + 1.0
    options: dict[str, Any] = {"cmap": FIELD_MAP, "vmin": low, "vmax": high}
    mesh = as_mesh(xy, values)
    if mesh is None:
        return axes.tripcolor(xy[:, 0], xy[:, 1], np.nan_to_num(values), shading="gouraud", **options)
    x, y, table = mesh
    steps = np.diff(x), np.diff(y)
    if not all(np.allclose(step, step[0], rtol=1e-3) for step in steps):
        return axes.pcolormesh(x, y, table, shading="gouraud", **options)
    half_x, half_y = steps[0][0] / 2, steps[1][0] / 2  # pixels are centred on grid points
    extent = (x[0] - half_x, x[-1] + half_x, y[0] - half_y, y[-1] + half_y)
    return axes.imshow(table, origin="lower", extent=extent, interpolation="bilinear", aspect="auto", **options)


def _thin(xy: FloatArray, v: FloatArray) -> tuple[FloatArray, FloatArray]:
    """At most about `ARROWS_PER_SIDE`² arrows, evenly spread."""
    finite = np.asarray(np.isfinite(v).all(axis=1))
    mesh = as_mesh(xy, np.concatenate([xy, np.where(finite[:, None], v, 0.0)], axis=1))
    if mesh is None:
        step = max(1, len(xy) // ARROWS_PER_SIDE**2)
        return xy[finite][::step], v[finite][::step]
    x, y, table = mesh
    picked = table[np.ix_(_spread(len(y)), _spread(len(x)))].reshape(-1, 4)
    return picked[:, :2], picked[:, 2:]


def _spread(n: int) -> NDArray[np.intp]:
    """At most `ARROWS_PER_SIDE` indices below ``n``, half a step away from both ends."""
    count = min(n, ARROWS_PER_SIDE)
    return np.floor((np.arange(count) + 0.5) * n / count).astype(np.intp)
