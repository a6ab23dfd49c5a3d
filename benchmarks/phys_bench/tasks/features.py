"""The features that the Fréchet distance compares images by: the last hidden layer of a small classifier.

It is fitted in float64, so that the order in which a machine sums does not show in the features, and to images with
noise on them, so that it treats rows it saw and rows it did not see alike.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from phys_bench.tasks.assemble import SPLIT_SEED
from phys_samplers.errors import TrainingDiverged
from phys_samplers.fields.stacked import StackedLinear
from phys_samplers.randomness import Streams
from phys_samplers.training import TrainingPlan, train

CLASSES = 10


class Classifier(nn.Module):
    """A perceptron of flattened images, (1, B, D) → (1, B, 10), in float64.

    Args:
        widths: units of the input and of each hidden layer; the last are the features.
        streams: of the initial weights, one replica.
    """

    def __init__(self, widths: Sequence[int], *, streams: Streams) -> None:
        super().__init__()
        self.hidden = nn.ModuleList(
            StackedLinear(a, b, streams=streams, gain=math.sqrt(3.0)) for a, b in pairwise(widths)
        )
        self.out = StackedLinear(widths[-1], CLASSES, streams=streams)
        self.double()

    def forward(self, x: Tensor) -> Tensor:
        """Logits (1, B, 10) of rows (1, B, D)."""
        return self.out(self.embed(x))

    def embed(self, x: Tensor) -> Tensor:
        """The last hidden layer (1, B, F) at rows (1, B, D)."""
        for layer in self.hidden:
            x = functional.silu(layer(x))
        return x

    @torch.no_grad()
    def features(self, images: Tensor) -> Tensor:
        """The last hidden layer (B, F) at ``images`` (B, …): float64, on the CPU.

        Where the images are does not matter: scores are computed on one yardstick.
        """
        return self.embed(images.detach().to("cpu", torch.float64).flatten(1).unsqueeze(0))[0]


@torch.inference_mode(False)  # a metric may be called where gradients are switched off
@torch.enable_grad()
def fit_classifier(
    name: str,
    rows: Tensor,
    labels: Tensor,
    *,
    hidden: Sequence[int],
    blur: float,
    steps: int,
    batch_size: int = 64,
    learning_rate: float = 5e-3,
) -> Classifier:
    """The classifier of a task, the same on every run.

    Args:
        name: of the task, the label of its streams.
        rows: training images (N, …), float64.
        labels: (N,), integers below 10.
        hidden: units of each hidden layer.
        blur: standard deviation of the noise on its training images.
        steps: of training.
        batch_size: images of each.
        learning_rate: at the start.

    Raises:
        TrainingDiverged: if its loss is not finite.
    """
    rows = rows.flatten(1)
    streams = Streams([SPLIT_SEED], "task", name, "classifier")
    batches, noise = streams.child("batches"), streams.child("noise")
    network = Classifier((rows.shape[1], *hidden), streams=streams.child("weights"))

    def loss() -> Tensor:
        (batch,) = batches.integers(len(rows), batch_size)
        images = torch.add(rows[batch], noise.normal(batch_size, rows.shape[1], dtype=rows.dtype), alpha=blur)
        return functional.cross_entropy(network(images)[0], labels[batch]).unsqueeze(0)

    plan = TrainingPlan(steps=steps, learning_rate=learning_rate, ema_decay=0.99)
    (report,) = train(network, loss, plan, description=f"{name} features")
    if isinstance(report, TrainingDiverged):
        raise report
    return network.requires_grad_(False)
