"""From grey images to a task: dequantised to [−1, 1], split like rows, compared by the features of a classifier."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from phys_bench.tasks.assemble import EVAL_SIZE, SPLIT_SEED
from phys_bench.tasks.rows import split
from phys_samplers.randomness import make_generator
from phys_samplers.target import Task


def dequantised_images(name: str, grey: Tensor, *, levels: int) -> Tensor:
    """2 (v + u)/levels − 1 with u ~ U(0, 1), float64 (N, 1, H, W), of grey levels v = 0 … levels − 1 (N, H, W).

    Args:
        name: of the task, the label of the noise.
        grey: images.
        levels: number of grey levels.
    """
    generator = make_generator(SPLIT_SEED, "task", name, "noise")
    noise = torch.rand(grey.shape, generator=generator, dtype=torch.float64)
    return ((grey + noise) * (2.0 / levels) - 1.0).unsqueeze(1)


def image_task(name: str, rows: Tensor, *, features: Callable[[Tensor], Tensor], metrics: tuple[str, ...]) -> Task:
    """The task of images.

    Args:
        name: of the task.
        rows: dequantised images (N, 1, H, W).
        features: of images, for the Fréchet distance.
        metrics: the one that ranks first.
    """
    rows = rows.to(torch.get_default_dtype())
    train, validation, heldout = (rows[index] for index in split(name, len(rows)))
    return Task(
        event_shape=tuple(rows.shape[1:]),
        name=name,
        train=train,
        validation=validation,
        heldout=heldout,
        features=features,
        metrics=metrics,
        eval_size=min(len(heldout), EVAL_SIZE),
        view=((-1.0, 1.0),) * rows[0].numel(),
    )
