"""The test images of MNIST, 28 × 28 pixels, as a data set of their own.

Grey levels v = 0 … 255 become 2 (v + u)/256 − 1 with u ~ U(0, 1): a density on [−1, 1]^{1×28×28}. The rows are the
10,000 images of the published *test* part, split anew; the 60,000 training images are not used. Scores, and Fréchet
distances above all, are therefore not those of the usual split: fewer rows to learn from, other rows to compare with,
and other features than an Inception network's.
"""

from __future__ import annotations

from functools import cache

from torch import Tensor

from phys_bench.data import mnist_images
from phys_bench.tasks.features import Classifier, fit_classifier
from phys_bench.tasks.images import dequantised_images, image_task
from phys_bench.tasks.rows import split
from phys_samplers.target import Task

LEVELS = 256
METRICS = ("frechet", "sliced-w2", "1nn", "delta-std", "memorisation")
"""No ``variance-ratio``: that of a border pixel which one stroke in a thousand crosses is nothing but noise. No ``w2``:
with 1,000 rows of 784 pixels a blurred image is nearer to held-out ones than a true one is, so that smooth decoders
score below the floor."""


def mnist() -> Task:
    """10,000 handwritten digits; ``frechet`` compares the features of a small classifier, ``mnist_features``.

    Raises:
        DataUnavailable: if the files are not at hand and cannot be downloaded.
    """
    return image_task("mnist", labelled_mnist()[0], features=mnist_features, metrics=METRICS)


def labelled_mnist() -> tuple[Tensor, Tensor]:
    """All dequantised images (10000, 1, 28, 28), float64, and the digits (10000,) they show.

    Raises:
        DataUnavailable: if the files are not at hand and cannot be downloaded.
    """
    grey, labels = mnist_images()
    return dequantised_images("mnist", grey, levels=LEVELS), labels


def mnist_features(images: Tensor) -> Tensor:
    """The last hidden layer (B, 32) of the classifier at ``images`` (B, 1, 28, 28); see ``Classifier.features``."""
    return classifier().features(images)


@cache
def classifier() -> Classifier:
    """A classifier (1, B, 784) → (1, B, 10) fitted to the labelled training rows, once per process."""
    rows, labels = labelled_mnist()
    index = split("mnist", len(rows))[0]
    return fit_classifier(
        "mnist", rows[index], labels[index], hidden=(256, 32), blur=0.5, steps=1_200, learning_rate=3e-3
    )
