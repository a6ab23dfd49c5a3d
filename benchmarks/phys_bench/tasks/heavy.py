"""Laws with heavy tails, all with exact draws: Student-t laws, the horseshoe, a robust regression."""

from __future__ import annotations

from typing import Any

import torch

from phys_bench.tasks.assemble import drawn
from phys_samplers.laws import Horseshoe, RobustRegression, StudentT
from phys_samplers.target import Task

METRICS = ("tail-quantiles", "tail-index", "energy-distance", "sliced-w2", "ess")
EVAL_SIZE = 2_000
SPARSE = (5.0, -4.0, 3.0, 1.5, -0.8, 0.6, -0.4, 0.2, 0.1, 0.0)
"""Observations of the horseshoe: signals, doubtful ones, noise."""
ROWS = (
    (-1.5, 0.3), (-1.0, -1.1), (-0.7, 0.8), (-0.4, -0.2), (-0.1, 1.4), (0.2, -0.9), (0.5, 0.1), (0.9, -1.6), (1.2, 0.7),
    (1.6, -0.5),
)  # fmt: skip
RESPONSES = (7.5, 0.3, -1.2, 0.2, -0.8, 1.7, 1.1, 3.2, -5.0, 2.7)
"""Of about .5 + x₁ − x₂, but for the first and the last row but one."""


def student(*, dim: int = 10, nu: float = 3.0, radial: bool = True, skewness: float = 1.0) -> Task:
    """A Student-t law; see ``phys_samplers.laws.StudentT``.

    Other options than the default's are in the name: ``student[nu=1.5,radial=false]``.

    Args:
        dim: dimension D, at least 1.
        nu: ν, degrees of freedom; 1 is Cauchy's law.
        radial: spherical, or else a product of laws of the coordinates.
        skewness: γ, of the coordinates of a product.

    Raises:
        ConfigurationError: on a bad option.
    """
    law = StudentT(dim, nu, radial=radial, skewness=skewness)
    given = [
        text
        for text, usual in (
            (f"dim={dim}", dim == 10),
            (f"nu={nu:g}", nu == 3.0),
            (f"radial={str(radial).lower()}", radial),
            (f"skewness={skewness:g}", skewness == 1.0),
        )
        if not usual
    ]
    return _task(f"student[{','.join(given)}]" if given else "student", law, ("log-z-error",))


def horseshoe() -> Task:
    """Ten sparse normal means with their scales, in 21 coordinates; see ``phys_samplers.laws.Horseshoe``."""
    return _task("horseshoe", Horseshoe(torch.tensor(SPARSE)), ("log-z-error",))


def robust_regression() -> Task:
    """Three weights given ten rows with Cauchy noise, two of them outliers, under Cauchy priors; log Z is not known."""
    features = torch.cat([torch.ones(len(ROWS), 1), torch.tensor(ROWS)], 1)
    return _task("robust-regression", RobustRegression(features, torch.tensor(RESPONSES)))


def _task(name: str, law: Any, metrics: tuple[str, ...] = ()) -> Task:
    return Task(
        event_shape=law.event_shape,
        name=name,
        law=law,
        **drawn(name, law),
        metrics=METRICS + metrics,
        eval_size=EVAL_SIZE,
    )
