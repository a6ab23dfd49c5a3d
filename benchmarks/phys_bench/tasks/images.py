"""Images as tasks: dequantised to [−1, 1], split like rows, compared by the features of a small classifier.

Grey levels v = 0 … L − 1 become 2 (v + u)/L − 1 with u ~ U(0, 1): a density on [−1, 1]^{1×H×W}, of digits of 8 × 8
pixels (L = 17) and of MNIST's of 28 × 28 (L = 256).

MNIST's rows are the 10,000 images of the published *test* part, split anew; the 60,000 training images are not used.
Scores, and Fréchet distances above all, are therefore not those of the usual split: fewer rows to learn from, other
rows to compare with, and other features than an Inception network's.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

from phys_bench.data import digit_images, mnist_images
from phys_bench.tasks.assemble import EVAL_SIZE, SPLIT_SEED, split
from phys_bench.tasks.features import Classifier, fit_classifier
from phys_samplers.randomness import make_generator
from phys_samplers.target import Task

DIGITS_METRICS = ("frechet", "w2", "sliced-w2", "1nn", "variance-ratio", "memorisation", "mmd2")
MNIST_METRICS = ("frechet", "sliced-w2", "1nn", "delta-std", "memorisation")
"""No ``variance-ratio``: that of a border pixel which one stroke in a thousand crosses is nothing but noise. No ``w2``:
with 1,000 rows of 784 pixels a blurred image is nearer to held-out ones than a true one is, so that smooth decoders
score below the floor."""


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


def digits() -> Task:
    """1,797 handwritten digits; ``frechet`` compares the features of a small classifier, ``digit_features``.

    These tell shapes and shares of the digits, not fine grain: blur of standard deviation 0.3 hardly moves them, so
    ``w2`` is there beside them.

    Raises:
        DataUnavailable: if scikit-learn is not installed.
    """
    return image_task("digits", labelled_digits()[0], features=digit_features, metrics=DIGITS_METRICS)


def labelled_digits() -> tuple[Tensor, Tensor]:
    """All dequantised images (1797, 1, 8, 8), float64, and the digits (1797,) they show.

    Raises:
        DataUnavailable: if scikit-learn is not installed.
    """
    grey, labels = digit_images()
    return dequantised_images("digits", grey, levels=17), labels


def digit_features(images: Tensor) -> Tensor:
    """The last hidden layer (B, 32) of the classifier at ``images`` (B, 1, 8, 8); see ``Classifier.features``."""
    return digits_classifier().features(images)


@cache
def digits_classifier() -> Classifier:
    """A classifier (1, B, 64) → (1, B, 10) fitted to the labelled training rows, once per process."""
    rows, labels = labelled_digits()
    index = split("digits", len(rows))[0]
    return fit_classifier("digits", rows[index], labels[index], hidden=(32, 32), blur=0.5, steps=400)


def mnist() -> Task:
    """10,000 handwritten digits; ``frechet`` compares the features of a small classifier, ``mnist_features``.

    Raises:
        DataUnavailable: if the files are not at hand and cannot be downloaded.
    """
    return image_task("mnist", labelled_mnist()[0], features=mnist_features, metrics=MNIST_METRICS)


def labelled_mnist() -> tuple[Tensor, Tensor]:
    """All dequantised images (10000, 1, 28, 28), float64, and the digits (10000,) they show.

    Raises:
        DataUnavailable: if the files are not at hand and cannot be downloaded.
    """
    grey, labels = mnist_images()
    return dequantised_images("mnist", grey, levels=256), labels


def mnist_features(images: Tensor) -> Tensor:
    """The last hidden layer (B, 32) of the classifier at ``images`` (B, 1, 28, 28); see ``Classifier.features``."""
    return mnist_classifier().features(images)


@cache
def mnist_classifier() -> Classifier:
    """A classifier (1, B, 784) → (1, B, 10) fitted to the labelled training rows, once per process."""
    rows, labels = labelled_mnist()
    index = split("mnist", len(rows))[0]
    return fit_classifier(
        "mnist", rows[index], labels[index], hidden=(256, 32), blur=0.5, steps=1_200, learning_rate=3e-3
    )
