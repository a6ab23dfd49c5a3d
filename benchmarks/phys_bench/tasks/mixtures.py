"""Gaussian mixtures of the plane."""

from __future__ import annotations

import math

import torch

from phys_bench.tasks.assemble import TRAIN_SIZE, View, assemble, square_view
from phys_samplers.laws import GaussianMixture
from phys_samplers.target import Modes, Task


def mixture_2d(*, train_size: int = TRAIN_SIZE) -> Task:
    """Three Gaussians with weights .45, .45 and .1, after arXiv:2410.01796, Sec. 6.1 and Fig. 2.

    The paper prints the weights only. Chosen here: centres (−2, −2), (2, 2), (2, −2) and variance ¼ per coordinate, so
    that neighbours are 8 standard deviations apart: no local sampler crosses, and a recovered weight was learned.

    Args:
        train_size: number of training rows.

    Raises:
        ConfigurationError: on a bad option.
    """
    law = GaussianMixture([[-2.0, -2.0], [2.0, 2.0], [2.0, -2.0]], [0.25] * 3, [0.45, 0.45, 0.1])
    return _task("mixture-2d", law, square_view(4.5), train_size, version=2)


def gmm9(*, train_size: int = TRAIN_SIZE) -> Task:
    """Nine equal Gaussians of variance 0.3 at {−5, 0, 5}² (arXiv:2502.13280, App. E.1).

    Args:
        train_size: number of training rows.

    Raises:
        ConfigurationError: on a bad option.
    """
    line = torch.tensor([-5.0, 0.0, 5.0])
    law = GaussianMixture(torch.cartesian_prod(line, line), [0.3] * 9, [1.0 / 9.0] * 9)
    return _task("gmm9", law, square_view(7.5), train_size, version=2)


def eight_gaussians(*, train_size: int = TRAIN_SIZE) -> Task:
    """Eight equal Gaussians of standard deviation 0.25 on a circle of radius 4.

    Args:
        train_size: number of training rows.

    Raises:
        ConfigurationError: on a bad option.
    """
    angles = [2.0 * math.pi * k / 8.0 for k in range(8)]
    centres = [[4.0 * math.cos(a), 4.0 * math.sin(a)] for a in angles]
    law = GaussianMixture(centres, [0.25**2] * 8, [1.0 / 8.0] * 8)
    return _task("8gaussians", law, square_view(5.5), train_size, version=2)


def gmm40(*, train_size: int = TRAIN_SIZE) -> Task:
    """Forty equal Gaussians with centres uniform on [−40, 40]² and standard deviation softplus(1) = 1.313.

    The variant of Midgley et al. (2023), "Flow annealed importance sampling bootstrap", which iDEM, DiKL and others
    share: centres 80 (u − ½), with u the first 80 numbers of torch's CPU generator seeded with 0. Other papers use the
    same name for other seeds or other scales; their numbers are of another law.

    Args:
        train_size: number of training rows.

    Raises:
        ConfigurationError: on a bad option.
    """
    u = torch.rand(40, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float32)
    variance = math.log1p(math.e) ** 2
    law = GaussianMixture(80.0 * (u - 0.5), [variance] * 40, [1.0 / 40.0] * 40)
    return _task("gmm40", law, square_view(45.0), train_size)


def _task(name: str, law: GaussianMixture, view: View, train_size: int, version: int = 1) -> Task:
    modes = Modes(centres=law.means, weights=law.weights, label=law.labels)
    return assemble(name, law, view=view, modes=modes, train_size=train_size, version=version)
