"""The picture of one (task, sampler) whose samples are images: true | generated | nearest training images."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from phys_bench.statistics import FloatArray

from .canvas import GRID, INK, Picture, new_figure

COLUMNS, ROWS = 8, 5
IMAGE_INCHES = 0.45  # side of one image; 40 pixels of the page, enough to read a digit
GAP, TOP, EDGE = 0.25, 0.3, 0.05  # inches between panels, above and around them


def is_image(event_shape: tuple[int, ...]) -> bool:
    """Whether samples of this shape are images (channels, height, width)."""
    return len(event_shape) == 3


def image_picture(
    arrays: dict[str, FloatArray], *, shape: tuple[int, ...], task: str, sampler: str, truth: bool = False
) -> Picture:
    """Draw grids of images, all in the scale of the true ones.

    Args:
        arrays: ``samples`` (n, C·H·W), ``reference`` (m, C·H·W), and, if known, ``nearest`` (k, C·H·W), the training
            rows nearest to the first samples, at the same places of their grid.
        shape: (C, H, W); three channels are red, green and blue, of any other number the first is shown in grey.
        task: for the description.
        sampler: for the description.
        truth: draw the true images instead of the generated ones.

    Raises:
        ValueError: if rows do not have that shape.
    """
    reference = arrays["reference"]
    scale = float(np.nanmin(reference)), float(np.nanmax(reference))
    panels = [("true images", reference)] if truth else [("generated images", arrays["samples"])]
    if "nearest" in arrays and not truth:
        panels.append(("nearest training images of the generated", arrays["nearest"]))
    tiled = [(title, _tiled(rows[: COLUMNS * ROWS], shape, scale)) for title, rows in panels]
    side = COLUMNS * IMAGE_INCHES
    heights = [side * tiles.shape[0] / tiles.shape[1] for _, tiles in tiled]
    width = len(tiled) * side + (len(tiled) - 1) * GAP + 2 * EDGE
    height = max(heights) + TOP + EDGE
    figure = new_figure(width, height, layout=None)
    for i, ((title, tiles), tall) in enumerate(zip(tiled, heights, strict=True)):
        _draw(figure, tiles, title, (EDGE + i * (side + GAP), height - TOP - tall, side, tall))
    if truth:
        return Picture(figure, f"{task}. Image grid: true images.")
    return Picture(figure, f"{task}, {sampler}. Image grids from left to right: {'; '.join(t for t, _ in tiled)}.")


def _draw(figure: Figure, tiles: FloatArray, title: str, place: tuple[float, float, float, float]) -> None:
    """One grid at left, bottom, width and height in inches."""
    width, height = figure.get_size_inches()
    left, bottom, wide, tall = place
    axes = figure.add_axes((left / width, bottom / height, wide / width, tall / height))
    axes.imshow(tiles, interpolation="nearest", aspect="auto")
    axes.set_axis_off()
    axes.set_title(title, fontsize=11, loc="left", color=INK)


def _tiled(rows: FloatArray, shape: tuple[int, ...], scale: tuple[float, float]) -> FloatArray:
    """Rows (n, C·H·W) as one image (·, ·, 3) in [0, 1], ``COLUMNS`` side by side with a margin around each."""
    channels, high, wide = shape
    images = rows.reshape(len(rows), channels, high, wide)
    images = images if channels == 3 else images[:, :1].repeat(3, axis=1)
    low, top = scale
    images = np.nan_to_num((images - low) / (top - low if top > low else 1.0)).clip(0, 1).transpose(0, 2, 3, 1)
    margin = max(1, round(wide / 16))
    lines = max(1, math.ceil(len(rows) / COLUMNS))
    full = (lines * (high + margin) + margin, COLUMNS * (wide + margin) + margin, 3)
    canvas = np.empty(full)
    canvas[:] = to_rgb(GRID)
    for i, image in enumerate(images):
        y, x = divmod(i, COLUMNS)
        y, x = y * (high + margin) + margin, x * (wide + margin) + margin
        canvas[y : y + high, x : x + wide] = image
    return canvas
