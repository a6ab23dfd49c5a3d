"""Uniform laws with holes: spans of the line and the checkerboard of the plane."""

from __future__ import annotations

from phys_bench.tasks.assemble import TRAIN_SIZE, assemble, square_view
from phys_samplers.laws import checkerboard as checkerboard_law
from phys_samplers.laws import uniform_spans
from phys_samplers.target import Modes, Task

SPANS = ((-4.5, -3.0), (-1.0, 2.0), (3.0, 4.5))


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
