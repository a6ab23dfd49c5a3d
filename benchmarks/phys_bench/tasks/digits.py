"""Handwritten digits of 8 × 8 pixels, and the features that the Fréchet distance compares them by.

Grey levels v = 0 … 16 become 2 (v + u)/17 − 1 with u ~ U(0, 1): a density on [−1, 1]^{1×8×8}.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor
from torch.nn import functional

from phys_bench.data import digit_images
from phys_bench.tasks.assemble import EVAL_SIZE, SPLIT_SEED
from phys_bench.tasks.rows import split
from phys_samplers.errors import TrainingDiverged
from phys_samplers.fields.mlp import MLP, StackedMLP
from phys_samplers.randomness import Streams, make_generator
from phys_samplers.target import Task
from phys_samplers.training import TrainingPlan, train

LEVELS = 17
METRICS = ("frechet", "w2", "sliced-w2", "1nn", "variance-ratio", "memorisation", "mmd2")
BLUR = 0.5
"""Noise on the classifier's training images, so that its features treat rows it saw and rows it did not see alike."""


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
    """The last hidden layer (B, 32) of the classifier at ``images`` (B, 1, 8, 8): float64, on the CPU.

    Where the images are does not matter: scores are computed on one yardstick.
    """
    state = images.detach().to("cpu", torch.float64).flatten(1).unsqueeze(0)
    network = classifier()
    with torch.no_grad():
        for layer in network.hidden:
            state = network.activation(layer(state))
    return state[0]


@cache
@torch.inference_mode(False)  # a metric may be called where gradients are switched off
@torch.enable_grad()
def classifier() -> StackedMLP:
    """A perceptron (1, B, 64) → (1, B, 10) fitted to the labelled training rows, once per process.

    In float64, so that the order in which a machine sums does not show in the features.
    """
    rows, labels = labelled_digits()
    index = split("digits", len(rows))[0]
    rows, labels = rows[index].flatten(1), labels[index]
    streams = Streams([SPLIT_SEED], "task", "digits", "classifier")
    batches, noise = streams.child("batches"), streams.child("noise")
    network = MLP(width=32, depth=2, input_gain=1.0).build(64, 10, streams=streams.child("weights"))
    assert isinstance(network, StackedMLP)
    network.double()

    def loss() -> Tensor:
        (batch,) = batches.integers(len(rows), 64)
        images = torch.add(rows[batch], noise.normal(64, 64, dtype=rows.dtype), alpha=BLUR)
        return functional.cross_entropy(network(images)[0], labels[batch]).unsqueeze(0)

    plan = TrainingPlan(steps=400, learning_rate=5e-3, ema_decay=0.99)
    (report,) = train(network, loss, plan, description="digit features")
    if isinstance(report, TrainingDiverged):
        raise report
    return network.requires_grad_(False)
