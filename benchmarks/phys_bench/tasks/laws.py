"""Tasks whose law is known exactly: Gaussians, moons, uniform laws with holes, the funnel, many wells."""

from __future__ import annotations

import math
from dataclasses import replace

import torch

from phys_bench.tasks.assemble import DRAW_METRICS, TRAIN_SIZE, View, assemble, square_view
from phys_samplers.laws import Funnel, GaussianMixture, ManyWell, StandardNormal, TwoMoons, uniform_spans
from phys_samplers.laws import checkerboard as checkerboard_law
from phys_samplers.target import Modes, Task

SPANS = ((-4.5, -3.0), (-1.0, 2.0), (3.0, 4.5))
MANY_WELL_METRICS = ("sliced-w2", "mode-tv", "tvd-e", "delta-std", "energy-distance", "w2", "variance-ratio")
MANY_WELL_EVAL_SIZE = 2_000
RADIUS = 0.283
RING_METRICS = (
    *(f"{name}[radius={RADIUS}]" for name in ("set-modes", "off-mode")),
    *("set-similarity", "set-recall", "set-precision", "set-marginal"),
)
"""Four standard deviations are a mode."""
LEFT, RIGHT = -1.7108, 1.7525
"""The minima of a well."""


def normal(*, dim: int = 2, train_size: int = TRAIN_SIZE) -> Task:
    """N(0, I).

    Args:
        dim: dimension D, at least 1; other dimensions than 2 are named ``normal[dim=D]``.
        train_size: number of training rows.

    Raises:
        ConfigurationError: on a bad option.
    """
    law = StandardNormal(dim)
    name = "normal" if dim == 2 else f"normal[dim={dim}]"
    return assemble(name, law, view=square_view(4.0, dim), train_size=train_size, version=2)


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


def gmm25(*, train_size: int = TRAIN_SIZE) -> Task:
    """Twenty-five equal Gaussians of variance 0.3 at {−10, −5, 0, 5, 10}² (arXiv:2402.05098).

    Args:
        train_size: number of training rows.

    Raises:
        ConfigurationError: on a bad option.
    """
    line = torch.linspace(-10.0, 10.0, 5)
    law = GaussianMixture(torch.cartesian_prod(line, line), [0.3] * 25, [1.0 / 25.0] * 25)
    return _task("gmm25", law, square_view(12.5), train_size)


def ring_sets(*, train_size: int = TRAIN_SIZE) -> Task:
    """Ten equal Gaussians of variance .005 on the unit circle, wanted in sets of ten (Xu 2024, App. B.4.2).

    Args:
        train_size: number of training rows.

    Raises:
        ConfigurationError: on a bad option.
    """
    angles = [2.0 * math.pi * k / 10.0 for k in range(10)]
    law = GaussianMixture([[math.cos(a), math.sin(a)] for a in angles], [0.005] * 10, [0.1] * 10)
    modes = Modes(law.means, law.weights, law.labels)
    task = assemble("ring-sets", law, view=square_view(1.5), modes=modes, train_size=train_size, metrics=RING_METRICS)
    return replace(task, set_size=10)


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


def moons(*, train_size: int = TRAIN_SIZE) -> Task:
    """Two half circles of radius 1 with noise of standard deviation 0.1, as in arXiv:2410.01796, Sec. 6.1 and Fig. 3.

    The modes are the two arcs; a point belongs to the arc that more probably made it.

    Args:
        train_size: number of training rows.

    Raises:
        ConfigurationError: on a bad option.
    """
    law = TwoMoons(noise=0.1)
    modes = Modes(centres=law.centres, weights=law.centres.new_full((2,), 0.5), label=law.labels)
    view = ((-1.75, 2.75), (-1.25, 1.75))
    return assemble("moons", law, view=view, modes=modes, train_size=train_size, version=2)


def spans(*, train_size: int = TRAIN_SIZE) -> Task:
    """The uniform law on three disjoint spans of the line, after arXiv:2410.01796, Sec. 6.1 and Fig. 1.

    The paper prints neither the ends of its spans nor a table; its text names [−1, 2] as part of the support and
    speaks of [−4.5, −0.5] as holding a gap. Chosen here: [−4.5, −3], [−1, 2] and [3, 4.5]. The density is 1/6 on
    all of them, so the modes weigh ¼, ½, ¼; the gaps, of widths 2 and 1, are unequal so that a mirrored law is seen.

    Args:
        train_size: number of training rows.

    Raises:
        ConfigurationError: on a bad option.
    """
    law = uniform_spans(SPANS)
    modes = Modes(centres=law.centres, weights=law.weights, label=law.labels)
    return assemble("spans", law, view=((-6.0, 6.0),), modes=modes, train_size=train_size)


def checkerboard(*, train_size: int = TRAIN_SIZE) -> Task:
    """The uniform law on eight of the sixteen squares of a 4 × 4 board on [−4, 4]².

    Args:
        train_size: number of training rows.

    Raises:
        ConfigurationError: on a bad option.
    """
    law = checkerboard_law(cells=4, half_width=4.0)
    modes = Modes(centres=law.centres, weights=law.weights, label=law.labels)
    return assemble("checkerboard", law, view=square_view(5.0), modes=modes, train_size=train_size)


def funnel(*, train_size: int = TRAIN_SIZE) -> Task:
    """x₁ ~ N(0, 9), x_i ~ N(0, e^{x₁}) for i = 2, …, 10; see ``phys_samplers.laws.Funnel`` for the misprint.

    The true standard deviation of x_i is e^{9/4} = 9.49 and its tails are heavy: read W2 beside its floor.

    Args:
        train_size: number of training rows.

    Raises:
        ConfigurationError: on a bad option.
    """
    law = Funnel(dim=10, scale=3.0)
    return assemble("funnel", law, view=((-9.0, 9.0), *((-20.0, 20.0),) * 9), train_size=train_size, version=2)


def many_well_32(*, train_size: int = TRAIN_SIZE) -> Task:
    """Sixteen pairs of a double well and a normal coordinate; see ``phys_samplers.laws.ManyWell``.

    There are more modes than samples, so a mode here is the number of wells, of sixteen, in which a sample is on the
    right: binomial, with probability .844 each. A sampler that falls into the wells at random scores .87 by
    ``mode-tv``; one that gets each well right but moves them together is seen too.

    Args:
        train_size: number of training rows.

    Raises:
        ConfigurationError: on a bad option.
    """
    law = ManyWell(16)
    count, pairs = torch.arange(law.pairs + 1), law.pairs
    wells = torch.where(torch.arange(pairs) < count.unsqueeze(1), RIGHT, LEFT)
    chances = [math.comb(pairs, k) * law.right**k * (1.0 - law.right) ** (pairs - k) for k in count.tolist()]
    modes = Modes(
        centres=torch.stack([wells, torch.zeros_like(wells)], -1).flatten(1),
        weights=torch.tensor(chances),
        label=law.rights,
    )
    return assemble(
        "many-well-32",
        law,
        view=((-2.5, 2.5), (-3.0, 3.0)) * pairs,
        modes=modes,
        train_size=train_size,
        metrics=MANY_WELL_METRICS + DRAW_METRICS,
        eval_size=MANY_WELL_EVAL_SIZE,
    )
