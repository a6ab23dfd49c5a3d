r"""Codes of digits: held-out images to noise and back, what lies between two, and how likely they are.

``edm`` of width 128, 1,000 steps, with no conditions. Pairs are held-out images of two different digits. Between them
lie the images of codes on the great circle, or the mixed pixels; both are asked how sure the task's classifier is, and
how far the nearest training image is, at the middle. The log density is by the probability-flow ODE (Hutchinson's
estimate of the divergence), in nats a pixel, of images as they are and of those with shuffled pixels.

python benchmarks/studies/digit_codes.py --seeds 5 --picture digit-codes.png
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path
from typing import Any

import torch
from tabulate import tabulate
from torch import Tensor

from phys_bench.tasks.classes import digits_by_class
from phys_bench.tasks.images import digits_classifier
from phys_samplers import Samples, make
from phys_samplers.denoisers.inversion import between
from phys_samplers.randomness import make_generator

PAIRS, POINTS = 100, 9


def pairs(rows: Tensor, labels: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """Images of two different digits."""
    order = torch.randperm(len(rows), generator=make_generator(seed, "pairs"))
    first, last = order[: len(order) // 2], order[len(order) // 2 : 2 * (len(order) // 2)]
    apart = labels[first] != labels[last]
    return rows[first[apart][:PAIRS]], rows[last[apart][:PAIRS]]


def sure(x: Tensor) -> float:
    """Mean largest probability of the classifier."""
    return float(digits_classifier()(x.double().flatten(1).unsqueeze(0))[0].softmax(1).amax(1).mean())


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--picture", type=Path)
    arguments = parser.parse_args()
    task = digits_by_class()
    assert task.train is not None
    assert task.heldout is not None
    assert task.conditions is not None
    assert task.conditions.heldout is not None
    begin = time.process_time()
    recipe = make("sampler", "edm", steps=1_000, width=128)
    models = recipe.fit_replicas(Samples(task.train), seeds=list(range(arguments.seeds)))
    cells: dict[str, list[float]] = {}

    def note(name: str, value: float) -> None:
        cells.setdefault(name, []).append(value)

    for seed, model in enumerate(models):
        first, last = pairs(task.heldout, task.conditions.heldout, seed)
        codes = model.encode(first), model.encode(last)
        note("error of encoding and decoding, a pixel", float((model.decode(codes[0]) - first).square().mean().sqrt()))
        note("standard deviation of codes, a pixel", float(codes[0].std()))
        circle = between(*codes, POINTS)
        half = model.decode(circle[POINTS // 2])
        for name, x in (("held-out", first), ("middle of codes", half), ("middle of pixels", (first + last) / 2)):
            note(f"{name}: classifier's confidence", sure(x))
            note(f"{name}: nearest training image", float(nearest(x, task.train)))
        shuffled = first.flatten(1)[:, torch.randperm(64, generator=make_generator(seed, "shuffle"))].view_as(first)
        for name, x in (("held-out", first), ("shuffled pixels", shuffled)):
            note(f"{name}: log density, nats a pixel", float(model.log_prob(x).mean()) / 64)
        if seed == 0 and arguments.picture is not None:
            draw(model, first[:4], circle[:, :4], last[:4], arguments.picture)
    rows = [[name, statistics.fmean(x), statistics.stdev(x) if len(x) > 1 else 0.0] for name, x in cells.items()]
    print(tabulate(rows, headers=["", "mean", "over seeds ±"], floatfmt=".3f"))
    print(f"{time.process_time() - begin:.0f} CPU seconds")


def nearest(x: Tensor, train: Tensor) -> Tensor:
    """Mean distance to the nearest training image."""
    return torch.cdist(x.flatten(1), train.flatten(1)).amin(1).mean()


def draw(model: Any, first: Tensor, circle: Tensor, last: Tensor, path: Path) -> None:
    """Two rows a pair: decoded codes, and mixed pixels; a held-out image at both ends."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(2 * len(first), POINTS + 2, figsize=(POINTS + 2, 2 * len(first)))
    for pair in range(len(first)):
        mixed = [torch.lerp(first[pair], last[pair], k / (POINTS - 1)) for k in range(POINTS)]
        for row, between_them in ((2 * pair, list(model.decode(circle[:, pair]))), (2 * pair + 1, mixed)):
            for column, image in enumerate([first[pair], *between_them, last[pair]]):
                axes[row, column].imshow(image[0], cmap="gray_r", vmin=-1, vmax=1)
                axes[row, column].set_xticks([])
                axes[row, column].set_yticks([])
            axes[row, 0].set_ylabel("codes" if row % 2 == 0 else "pixels", fontsize=9)
    figure.tight_layout(pad=0.3)
    figure.savefig(path, dpi=70)
    plt.close(figure)


if __name__ == "__main__":
    main()
