"""What a cell leaves for pictures: samples, reference rows, energies, nearest images, what was learned on a grid."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from phys_samplers.atomic import write_atomically
from phys_samplers.metrics.pairwise import distances
from phys_samplers.sampler import Model
from phys_samplers.target import Task

from .canonical import digest

MOST_ROWS = 2_000
MOST_NEAREST = 40
GRID_1D, GRID_2D = 400, 40


def grid_of(task: Task) -> Tensor | None:
    """Grid points (G, D) of the task's picture box, first coordinate slowest; None beyond two dimensions."""
    if len(task.view) != task.dim or task.dim not in (1, 2) or len(task.event_shape) != 1:
        return None
    points = GRID_1D if task.dim == 1 else GRID_2D
    axes = [torch.linspace(low, high, points) for low, high in task.view]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), -1).reshape(-1, task.dim)


def learned_fields(model: Model, task: Task) -> dict[str, Tensor]:
    """``grid`` with ``s`` (G,) and ``g`` (G, D) of ``model.fields``, or ``score`` (G, D) of ``model.score``.

    Empty if the model has neither, or they fail: a picture must not cost a result.
    """
    grid = grid_of(task)
    if grid is None:
        return {}
    try:
        points = grid.to(model.device)
        with torch.no_grad():
            if callable(getattr(model, "fields", None)):
                values = dict(model.fields(points))  # type: ignore[attr-defined]
            elif callable(getattr(model, "score", None)):
                values = {"score": model.score(points)}  # type: ignore[attr-defined]
            else:
                return {}
        kept = {
            name: value.detach().to("cpu", torch.float32)
            for name, value in values.items()
            if name in ("s", "g", "score") and isinstance(value, Tensor) and len(value) == len(grid)
        }
    except Exception:
        return {}
    return {"grid": grid, **kept} if kept else {}


def nearest_images(samples: Tensor, task: Task) -> dict[str, Tensor]:
    """``nearest``: the training rows nearest to the first ``MOST_NEAREST`` samples (n, D), where these are images.

    Beside its sample such a row shows what a number cannot: an image learned by heart.
    """
    if len(task.event_shape) != 3 or task.train is None:
        return {}
    train = task.train.detach().cpu().flatten(1)
    return {"nearest": train[distances(samples[:MOST_NEAREST].to(train.dtype), train).argmin(1)]}


def energies(samples: Tensor, reference: Tensor, task: Task) -> dict[str, Tensor]:
    """What a picture shows where coordinates cannot be drawn: numbers of every row, beyond two dimensions.

    ``energies`` (n,) and ``reference_energies`` (m,) of tasks with a density, and the layout ``particles`` (2,) of
    systems of particles. Empty where there is neither, or the density fails.

    Args:
        samples: generated rows (n, D).
        reference: exact rows (m, D).
        task: the task.
    """
    if task.dim <= 2:
        return {}
    layout = {} if task.particles is None else {"particles": torch.tensor(task.particles)}
    if task.missing({"log_prob"}):
        return layout
    try:
        with torch.no_grad():
            values = [-task.log_prob(rows[:MOST_ROWS].unflatten(1, task.event_shape)) for rows in (samples, reference)]
    except Exception:
        return layout
    return {"energies": values[0].cpu(), "reference_energies": values[1].cpu(), **layout}


def write_arrays(
    path: Path, samples: Tensor, reference: Tensor, others: dict[str, Tensor], *, event_shape: tuple[int, ...]
) -> dict[str, Any]:
    """Write the arrays of a cell.

    Args:
        path: the file.
        samples: generated rows; at most ``MOST_ROWS`` are kept.
        reference: exact rows, likewise.
        others: see ``learned_fields``, ``nearest_images`` and ``energies``.
        event_shape: of one sample, whose rows are flat.

    Returns:
        What the record says of the file: its checksum, the shapes in it, and that of a sample.
    """
    rows = {"samples": samples[:MOST_ROWS].cpu(), "reference": reference[:MOST_ROWS].cpu(), **others}
    tensors = {name: value.to(torch.float32).contiguous() for name, value in rows.items()}
    payload = save(tensors)
    write_atomically(path, payload)
    shapes = {name: list(value.shape) for name, value in tensors.items()}
    return {"checksum": digest(payload), "shapes": shapes, "event_shape": list(event_shape)}
