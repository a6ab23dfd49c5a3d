"""How each sampler of ``phys_match`` fails when it has too little: ``docs/images/neural-samplers-fail.webp``.

Every panel shows 2,000 draws without weights of a fit that is far shorter than the defaults (or, of ``rdmc``, of far
fewer evaluations), so that what goes wrong first is seen. Rings stand at the modes: black where a mode has between
half and twice its share of the draws, red where it has less, blue where it has more.

python benchmarks/studies/matching_pictures.py [zuko has to be installed for fab]
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib
import torch
from PIL import Image
from torch import Tensor

from phys_samplers import make
from phys_samplers.target import Task

matplotlib.use("Agg")
import matplotlib.pyplot as plt

IMAGE = Path(__file__).resolve().parents[2] / "docs" / "images" / "neural-samplers-fail.webp"
DRAWS, WIDTHS = 2_000, 4.0
"""Draws of a panel; standard deviations of a mode within which a draw is its own."""
PANELS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("rdmc", "gmm40", {"draws": 6}),
    ("idem", "gmm40", {"steps": 200, "guided": False}),
    ("nets", "gmm40", {"steps": 250}),
    ("lfis", "gmm40", {"steps": 25}),
    ("dikl", "gmm9", {"steps": 350}),
    ("fab", "gmm9", {"steps": 60}),
)


def panel(axis: plt.Axes, task: Task, x: Tensor, title: str) -> None:
    """Draws, and what they make of the modes."""
    law: Any = task.law
    centres, width = law.means.float(), float(law.variances.flatten()[0]) ** 0.5
    distance, nearest = torch.cdist(x.float(), centres).min(1)
    inside = distance < WIDTHS * width
    shares = torch.bincount(nearest[inside], minlength=len(centres)) / len(x) * len(centres)
    side = 1.15 * float(centres.abs().max()) + WIDTHS * width
    axis.scatter(x[:, 0], x[:, 1], s=1.5, lw=0, color="#7f8fa6")
    for centre, share in zip(centres.tolist(), shares.tolist(), strict=True):
        colour = "#b03a2e" if share < 0.5 else "#2e5fb0" if share > 2 else "black"
        axis.add_patch(
            plt.Circle(centre, WIDTHS * width, fill=False, color=colour, lw=0.9 if colour == "black" else 1.8)
        )
    lost = 1 - float(inside.float().mean())
    axis.set(xlim=(-side, side), ylim=(-side, side), xticks=(), yticks=(), aspect="equal")
    axis.set_title(f"{title}\nbetween modes {100 * lost:.0f} %", fontsize=8)
    print(title, f"between modes {lost:.3f}, least share {float(shares.min()):.2f}, largest {float(shares.max()):.2f}")


def main() -> None:
    """See the module."""
    torch.set_num_threads(1)
    figure, axes = plt.subplots(2, 3, figsize=(8.4, 6.2), dpi=90, layout="constrained")
    for axis, (name, task_name, options) in zip(axes.flat, PANELS, strict=True):
        task: Task = make("task", task_name)
        model = make("sampler", name, **options).fit(task, seed=100)
        told = ", ".join(f"{key}={value}" for key, value in options.items())
        panel(axis, task, model.sample(DRAWS, seed=100), f"{name}[{told}]")
    figure.canvas.draw()
    picture: Any = figure.canvas
    Image.frombuffer("RGBA", picture.get_width_height(), picture.buffer_rgba()).convert("RGB").save(
        IMAGE, quality=70, method=6
    )


if __name__ == "__main__":
    main()
