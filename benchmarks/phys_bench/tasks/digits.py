"""Handwritten digits of 8 × 8 pixels, and the features that the Fréchet distance compares them by.

Grey levels v = 0 … 16 become 2 (v + u)/17 − 1 with u ~ U(0, 1): a density on [−1, 1]^{1×8×8}.
"""

from __future__ import annotations

from functools import cache

from torch import Tensor

from phys_bench.data import digit_images
from phys_bench.tasks.features import Classifier, fit_classifier
from phys_bench.tasks.images import dequantised_images, image_task
from phys_bench.tasks.rows import split
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
    return image_task("digits", labelled_digits()[0], features=digit_features, metrics=METRICS)


def labelled_digits() -> tuple[Tensor, Tensor]:
    """All dequantised images (1797, 1, 8, 8), float64, and the digits (1797,) they show.

    Raises:
        DataUnavailable: if scikit-learn is not installed.
    """
    grey, labels = digit_images()
    return dequantised_images("digits", grey, levels=LEVELS), labels


def digit_features(images: Tensor) -> Tensor:
    """The last hidden layer (B, 32) of the classifier at ``images`` (B, 1, 8, 8); see ``Classifier.features``."""
    return classifier().features(images)


@cache
def classifier() -> Classifier:
    """A classifier (1, B, 64) → (1, B, 10) fitted to the labelled training rows, once per process."""
    rows, labels = labelled_digits()
    index = split("digits", len(rows))[0]
    return fit_classifier("digits", rows[index], labels[index], hidden=(32, 32), blur=0.5, steps=400)
