"""What a cell leaves for pictures: samples, reference rows and what the model learned, on a grid."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from phys_samplers.atomic import write_atomically
from phys_samplers.sampler import Model
from phys_samplers.target import Task

from .canonical import digest

MOST_ROWS = 2_000
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


def write_arrays(path: Path, samples: Tensor, reference: Tensor, fields: dict[str, Tensor]) -> dict[str, Any]:
    """Write the arrays of a cell.

    Args:
        path: the file.
        samples: generated rows; at most ``MOST_ROWS`` are kept.
        reference: exact rows, likewise.
        fields: see ``learned_fields``.

    Returns:
        What the record says of the file: its checksum, and the shapes in it.
    """
    rows = {"samples": samples[:MOST_ROWS].cpu(), "reference": reference[:MOST_ROWS].cpu(), **fields}
    tensors = {name: value.to(torch.float32).contiguous() for name, value in rows.items()}
    payload = save(tensors)
    write_atomically(path, payload)
    return {"checksum": digest(payload), "shapes": {name: list(value.shape) for name, value in tensors.items()}}
