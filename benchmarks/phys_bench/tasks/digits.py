"""Handwritten digits of 8 × 8 pixels, and the features that the Fréchet distance compares them by.

Grey levels v = 0 … 16 become 2 (v + u)/17 − 1 with u ~ U(0, 1): a density on [−1, 1]^{1×8×8}.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

from phys_bench.data import digit_images
from phys_bench.tasks.assemble import EVAL_SIZE, SPLIT_SEED
from phys_bench.tasks.features import Classifier, fit_classifier
from phys_bench.tasks.rows import split
from phys_samplers.randomness import make_generator
from phys_samplers.target import Task

LEVELS = 17
METRICS = ("frechet", "w2", "sliced-w2", "1nn", "variance-ratio", "memorisation", "mmd2")


def digits() -> Task:
    """1,797 handwritten digits; ``frechet`` compares the features of a small classifier, ``digit_features``.

    These tell shapes and shares of the digits, not fine grain: blur of standard deviation 0.3 hardly moves them, so
    ``w2`` is there beside them.

    Raises:
        DataUnavailable: if scikit-learn is not installed.
    """
    rows, _ = labelled_digits()
    rows = rows.to(torch.get_default_dtype())
    train_rows, validation, heldout = (rows[index] for index in split("digits", len(rows)))
    return Task(
        event_shape=(1, 8, 8),
        name="digits",
        train=train_rows,
        validation=validation,
        heldout=heldout,
        features=digit_features,
        metrics=METRICS,
        eval_size=min(len(heldout), EVAL_SIZE),
        view=((-1.0, 1.0),) * 64,
    )


def labelled_digits() -> tuple[Tensor, Tensor]:
    """All dequantised images (1797, 1, 8, 8), float64, and the digits (1797,) they show.

    Raises:
        DataUnavailable: if scikit-learn is not installed.
    """
    grey, labels = digit_images()
    generator = make_generator(SPLIT_SEED, "task", "digits", "noise")
    noise = torch.rand(grey.shape, generator=generator, dtype=grey.dtype)
    return ((grey + noise) * (2.0 / LEVELS) - 1.0).unsqueeze(1), labels


def digit_features(images: Tensor) -> Tensor:
    """The last hidden layer (B, 32) of the classifier at ``images`` (B, 1, 8, 8); see ``Classifier.features``."""
    return classifier().features(images)


@cache
def classifier() -> Classifier:
    """A classifier (1, B, 64) → (1, B, 10) fitted to the labelled training rows, once per process."""
    rows, labels = labelled_digits()
    index = split("digits", len(rows))[0]
    return fit_classifier("digits", rows[index], labels[index], hidden=(32, 32), blur=0.5, steps=400)
