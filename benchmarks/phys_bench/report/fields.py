"""Panels of learned fields: a scalar field as an image, a vector field as arrows over it, both as curves in 1-D."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from numpy.typing import NDArray

from phys_bench.statistics import FloatArray

from .canvas import FIELD_MAP, GRID, INK, plain

ARROWS_PER_SIDE = 17


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
    _limits(axes, box)
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
    _limits(axes, box)


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


def _limits(axes: Axes, box: FloatArray) -> None:
    axes.set_xlim(*box[0])
    axes.set_ylim(*box[1])
    axes.set_box_aspect(1)
    axes.locator_params(nbins=5)
