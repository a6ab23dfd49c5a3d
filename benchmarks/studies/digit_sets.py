"""Sets of four digits: how alike they are against how sure a classifier is, with guidance and with temperature.

One EDM network a seed (width 128, 1,000 steps), 100 sets of four a setting by ancestral steps. Guidance repels by
pixels or by the features of the task's classifier, with the median bandwidth, where λ ≥ .3; temperature τ divides the
score. Scored by that classifier: mean cosine of the features of two images of a set, its mean largest probability, and
the number of different digits among four (3.44 of exact draws with equal shares), and by the distance to the nearest
training image. Guidance by features is judged by the
network that it follows; guidance by pixels is not.

python benchmarks/studies/digit_sets.py --seeds 5 --picture digit-sets.png
"""

from __future__ import annotations

import argparse
import copy
import math
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from tabulate import tabulate
from torch import Tensor
from torch.nn import functional

from phys_bench.tasks.assemble import split
from phys_bench.tasks.images import digits_classifier, labelled_digits
from phys_samplers import Samples, make
from phys_samplers.denoisers.guidance import Repulsion

SETS, SIZE, STEPS = 100, 4, 30
STRENGTHS, TEMPERATURES = (10.0, 30.0, 100.0, 300.0), (0.7, 0.85, 1.15, 1.3)


def features(x: Tensor) -> Tensor:
    """The classifier's last hidden layer (B, 32), differentiable."""
    found: Tensor = digits_classifier().embed(x.double().flatten(1).unsqueeze(0))[0]
    return found


def scores(x: Tensor, real: Tensor) -> tuple[float, float, float, float]:
    """Similarity, confidence, different digits and distance to real images of sets that follow one another."""
    with torch.no_grad():
        logits = digits_classifier()(x.double().flatten(1).unsqueeze(0))[0]
        directions = functional.normalize(features(x), dim=1).view(-1, SIZE, 32)
    cosines = directions @ directions.transpose(1, 2)
    similar = (float(cosines.sum((1, 2)).mean()) - SIZE) / (SIZE * (SIZE - 1))
    far = float(torch.cdist(x.flatten(1), real.flatten(1)).amin(1).mean())
    seen = functional.one_hot(logits.argmax(1), 10).view(-1, SIZE, 10).amax(1).sum(1)
    return similar, float(logits.softmax(1).amax(1).mean()), float(seen.double().mean()), far


def tempered(model: Any, temperature: float) -> Any:
    """The model whose score is divided by τ."""
    twin, plain = copy.copy(model), model.denoise

    def denoise(u: Tensor, level: float) -> Tensor:
        return torch.lerp(u, plain(u, level), 1 / temperature)

    twin.denoise = denoise
    return twin


def settings(model: Any) -> Iterator[tuple[str, str, Any, Any]]:
    """Kind, name, model and guidance."""
    yield "independent", "independent", model, None
    for kind, mapped in (("pixels", "euclidean"), ("features", features)):
        for strength in STRENGTHS:
            guidance = Repulsion(features=mapped, strength=strength, set_size=SIZE, lowest=0.3)
            yield kind, f"{kind}, α = {strength:g}", model, guidance
    for temperature in TEMPERATURES:
        yield "temperature", f"τ = {temperature:g}", tempered(model, temperature), None


def main() -> None:
    """Train, draw, score."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--picture", type=Path)
    arguments = parser.parse_args()
    begin = time.process_time()
    images = labelled_digits()[0]
    train, _, heldout = split("digits", len(images))
    real = images[train].float()
    recipe = make("sampler", "edm", width=128, steps=1_000, integrator="ddim[eta=1]", sampling_steps=STEPS)
    models = recipe.fit_replicas(Samples(real), seeds=range(arguments.seeds))
    found: dict[str, tuple[str, list[tuple[float, ...]]]] = {}
    for seed, model in enumerate(models):
        for kind, name, one, guidance in settings(model):
            x = one.sample(SETS * SIZE, seed=seed, guidance=guidance)
            found.setdefault(name, (kind, []))[1].append(scores(x, real))
    rows = images[heldout][: len(heldout) // SIZE * SIZE].float()
    found["held-out images"] = ("held-out", [scores(rows, real)])
    table = [
        [name, *(f"{statistics.fmean(c):.3f} ± {spread(c):.3f}" for c in zip(*values, strict=True))]
        for name, (_, values) in found.items()
    ]
    print(
        tabulate(table, headers=["", "similarity in a set", "confidence", "different digits", "to the nearest image"])
    )
    print(f"{time.process_time() - begin:.0f} CPU seconds")
    if arguments.picture is not None:
        draw(found, arguments.picture)


def spread(values: tuple[float, ...]) -> float:
    """Standard deviation, 0 of one value."""
    return statistics.stdev(values) if len(values) > 1 else math.nan


def draw(found: dict[str, tuple[str, list[tuple[float, ...]]]], path: Path) -> None:
    """The frontier."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(9, 3.6))
    for axis, at, name in zip(axes, (1, 3), ("classifier's confidence", "distance to the nearest image"), strict=True):
        for kind in dict.fromkeys(kind for kind, _ in found.values()):
            means = [[statistics.fmean(c) for c in zip(*v, strict=True)] for k, v in found.values() if k == kind]
            means.sort()
            style = "-o" if len(means) > 1 else "s"
            axis.plot([m[0] for m in means], [m[at] for m in means], style, ms=4, lw=1, label=kind)
        axis.set(xlabel="mean cosine of features in a set of four", ylabel=name)
    axes[0].legend(frameon=False, fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
