"""Pictures of samples and fields on a task: the exact samples once, then one picture a sampler; images as grids."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from phys_bench.cells import Cell, Cells
from phys_bench.shapes import LARGEST_ARRAYS
from phys_bench.statistics import FloatArray
from phys_samplers.reading import read_bytes

from .canvas import GRID, INK, STEPS, Look, Picture, new_figure, sweeps
from .panels import frame, sample_picture

POINTS = ("samples", "reference", "nearest", "grid", "g", "score")  # points or vectors; the others are numbers
COLUMNS, ROWS = 8, 5
IMAGE_INCHES = 0.45  # side of one image; 40 pixels of the page, enough to read a digit
GAP, TOP, EDGE = 0.25, 0.3, 0.05  # inches between panels, above and around them


@dataclass(frozen=True)
class Exhibit:
    """A picture in the gallery, or why there is none.

    Args:
        sampler: label; empty for the exact samples.
        seed: that is shown.
        picture: what was drawn, or a sentence.
    """

    sampler: str
    seed: int
    picture: Picture | str


def gallery(run: Cells, task: str, look: Mapping[str, Look]) -> tuple[list[Exhibit], str]:
    """The pictures of a task, the first seed of each sampler, and a note on those left out.

    Return models have none: the samples of agents are returns of episodes, with nothing to hold them against.
    """
    finished = [cell for cell in run.select(task) if cell.ok and cell.kind != "return_model"]
    between = {sampler for sweep in sweeps(finished) for sampler in sweep.samplers[1:-1]}
    first = {cell.sampler: cell for cell in reversed(finished)}
    cells = [first[sampler] for sampler in run.order(task) if sampler in first and sampler not in between]
    exhibits: list[Exhibit] = []
    box: FloatArray | None = None
    truth = False
    loaded = [(cell, read_arrays(cell)) for cell in cells]
    whole = [arrays for _, arrays in loaded if not isinstance(arrays, str)]
    if whole:  # one frame for all pictures, so that they can be compared by eye
        box = frame(whole[0]["reference"], next((arrays["grid"] for arrays in whole if "grid" in arrays), None))
    for cell, arrays in loaded:
        if isinstance(arrays, str):
            exhibits.append(Exhibit(cell.sampler, cell.seed, f"no picture, {arrays}."))
            continue
        try:
            if not truth and "particles" not in arrays:
                exhibits.insert(0, Exhibit("", cell.seed, _draw(cell, arrays, look[cell.sampler], box, truth=True)))
                truth = True
            drawn: Picture | str = _draw(cell, arrays, look[cell.sampler], box)
        except (ValueError, IndexError, ArithmeticError) as error:  # odd arrays cost their own picture only
            drawn = f"the picture could not be drawn: {error}"
        exhibits.append(Exhibit(cell.sampler, cell.seed, drawn))
    note = f"Of samplers that differ in {STEPS} alone, those with the fewest and most are shown."
    return exhibits, note if between else ""


def _draw(
    cell: Cell, arrays: dict[str, FloatArray], look: Look, box: FloatArray | None, *, truth: bool = False
) -> Picture:
    if is_image(cell.event_shape):
        return image_picture(arrays, shape=cell.event_shape, task=cell.task, sampler=cell.sampler, truth=truth)
    return sample_picture(arrays, task=cell.task, sampler=cell.sampler, colour=look.colour, box=box, truth=truth)


def read_arrays(cell: Cell) -> dict[str, FloatArray] | str:
    """Samples and fields of a cell, or a sentence saying why there are none.

    Args:
        cell: a finished cell.

    Returns:
        ``samples`` (n, D) and ``reference`` (m, D); for images ``nearest`` (k, D), the training rows nearest to the
        first samples; where the sampler has fields, ``grid`` (G, D) with ``s`` (G,) and ``g`` or ``score`` (G, D);
        beyond two dimensions ``energies`` (n,) and ``reference_energies`` (m,) where the task has a density, and the
        layout ``particles`` (2,) of systems of particles.
    """
    if cell.arrays_path is None:
        return "the run kept no samples of this cell"
    name = cell.arrays_path.name
    if cell.arrays_problem:
        return f"the file {name} is not used: {cell.arrays_problem}"
    from safetensors.numpy import load

    try:
        loaded = load(read_bytes(cell.arrays_path, LARGEST_ARRAYS))
    except Exception as error:  # safetensors raises several kinds, none of them public
        return f"the file {name} cannot be read: {error}"
    arrays = {key: np.asarray(value, dtype=np.float64) for key, value in loaded.items() if value.size}
    arrays = {key: v.reshape(len(v), -1) if key in POINTS else v.reshape(-1) for key, v in arrays.items()}
    missing = [key for key in ("samples", "reference") if key not in arrays]
    if missing:
        return f"the file {name} holds no {' and no '.join(missing)}"
    if arrays["samples"].shape[1] != arrays["reference"].shape[1]:
        return f"the file {name} holds samples and reference rows of different dimension"
    for key in [key for key in ("s", "g", "score") if key in arrays]:
        if "grid" not in arrays or len(arrays[key]) != len(arrays["grid"]):
            del arrays[key]
    return arrays


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
        _draw_grid(figure, tiles, title, (EDGE + i * (side + GAP), height - TOP - tall, side, tall))
    if truth:
        return Picture(figure, f"{task}. Image grid: true images.")
    return Picture(figure, f"{task}, {sampler}. Image grids from left to right: {'; '.join(t for t, _ in tiled)}.")


def _draw_grid(figure: Figure, tiles: FloatArray, title: str, place: tuple[float, float, float, float]) -> None:
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
