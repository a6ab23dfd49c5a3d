"""Tasks of rows with classes: what is learned, and scored, is the law given each."""

from __future__ import annotations

import dataclasses
import math

import torch
from torch import Tensor

from phys_bench.tasks.assemble import split, square_view
from phys_bench.tasks.images import digits, labelled_digits
from phys_samplers.conditions import Conditions
from phys_samplers.randomness import make_generator
from phys_samplers.target import Task

PLANE_CLASSES, PLANE_WIDTH = 4, 0.5
PLANE_CENTRES = torch.tensor([[2 * math.cos(math.pi * k / 4), 2 * math.sin(math.pi * k / 4)] for k in range(8)])
PLANE_ROWS = {"train": 1_500, "heldout": 400, "validation": 300}
"""Of each class; a split's place is the seed of its draws."""


def plane_given(label: int, n: int, seed: int) -> Tensor:
    """Exact draws (n, 2) of the plane given a class, ½ N(m_k, ¼ I) + ½ N(−m_k, ¼ I).

    Args:
        label: k, one of the four classes.
        n: how many.
        seed: of the draws.
    """
    g = make_generator(seed, "given", label)
    component = label + PLANE_CLASSES * torch.randint(2, (n,), generator=g)
    return PLANE_CENTRES[component] + PLANE_WIDTH * torch.randn(n, 2, generator=g)


def plane_by_class() -> Task:
    """Four classes, each two Gaussians at the ends of a diameter, whose neighbours on the circle are other classes'."""
    rows, labels = {}, {}
    for seed, (part, n) in enumerate(PLANE_ROWS.items()):
        rows[part] = torch.cat([plane_given(k, n, seed) for k in range(PLANE_CLASSES)])
        labels[part] = torch.arange(PLANE_CLASSES).repeat_interleave(n)
    return Task(
        event_shape=(2,),
        name="plane-by-class",
        train=rows["train"],
        validation=rows["validation"],
        heldout=rows["heldout"],
        conditions=Conditions(**labels),
        metrics=("by-class", *(f"by-class[only={k}]" for k in range(PLANE_CLASSES)), "w2", "sliced-w2"),
        eval_size=len(rows["heldout"]),
        view=square_view(4.0),
    )


def digits_by_class() -> Task:
    """The task ``digits``, given the digit.

    Raises:
        DataUnavailable: if scikit-learn is not installed.
    """
    task = digits()
    labels = labelled_digits()[1]
    train, validation, heldout = (labels[index] for index in split("digits", len(labels)))
    return dataclasses.replace(
        task,
        name="digits-by-class",
        conditions=Conditions(train=train, validation=validation, heldout=heldout),
        metrics=("by-class", *(f"by-class[only={k}]" for k in range(10)), "frechet", "w2"),
    )
