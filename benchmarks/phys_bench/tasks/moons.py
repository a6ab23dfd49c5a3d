"""Two interleaved half circles with noise."""

from __future__ import annotations

from phys_bench.tasks.assemble import TRAIN_SIZE, assemble
from phys_samplers.laws import TwoMoons
from phys_samplers.target import Modes, Task


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
