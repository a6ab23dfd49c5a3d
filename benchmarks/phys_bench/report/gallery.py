"""Pictures of samples and fields on a task: the exact samples once, then one picture a sampler."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from phys_bench.cells import Cell, Cells
from phys_bench.shapes import LARGEST_ARRAYS
from phys_bench.statistics import FloatArray
from phys_samplers.reading import read_bytes

from .canvas import STEPS, Look, Picture, sweeps
from .images import image_picture, is_image
from .panels import frame, sample_picture

_ROWS = ("samples", "reference", "nearest", "grid", "g", "score")  # points or vectors; the others are numbers


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
    arrays = {key: v.reshape(len(v), -1) if key in _ROWS else v.reshape(-1) for key, v in arrays.items()}
    missing = [key for key in ("samples", "reference") if key not in arrays]
    if missing:
        return f"the file {name} holds no {' and no '.join(missing)}"
    if arrays["samples"].shape[1] != arrays["reference"].shape[1]:
        return f"the file {name} holds samples and reference rows of different dimension"
    for key in [key for key in ("s", "g", "score") if key in arrays]:
        if "grid" not in arrays or len(arrays[key]) != len(arrays["grid"]):
            del arrays[key]
    return arrays
