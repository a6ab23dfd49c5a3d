"""Systems of particles: energies that do not change when all particles move, turn or swap names.

Scores of raw coordinates see little here: two sets of 2,000 right LJ-13 rows are W2 = 4.17 apart, which is what the
publications report of their samplers. So histograms of energies and of distances rank. Both binnings of the
publications are scored: 200 bins over (−100, 100), the ``fixed`` one, and 200 over the reference's range; their floors
differ by a factor of two to ten.
"""

from __future__ import annotations

from phys_bench.data.references import lj13_rows
from phys_bench.tasks.assemble import DRAW_METRICS, TRAIN_SIZE, assemble, square_view
from phys_samplers.laws import DoubleWell, LennardJones
from phys_samplers.target import Task

METRICS = ("tvd-e[preset=fixed]", "tvd-d[preset=fixed]", "tvd-e", "tvd-d", "w2")
EVAL_SIZE = 2_000
"""As in the publications, whose floors these are."""
LJ13_VALIDATION = 2_000
"""Of the 10,000 rows there are; the rest is held out."""


def dw4(*, train_size: int = TRAIN_SIZE) -> Task:
    """Four particles in the plane with a double-well pair potential; see ``phys_samplers.laws.DoubleWell``.

    All rows are exact draws. The files that most papers score against (those of iDEM, and a validation set drawn from
    them) are biased: their mean energy is −22.48 where −22.542 is right, and their spread 1.817 for 1.846.

    Args:
        train_size: number of training rows.

    Raises:
        ConfigurationError: on a bad option.
    """
    law, view = DoubleWell(), square_view(6.0, 8)
    metrics = METRICS + DRAW_METRICS
    return assemble("dw4", law, view=view, train_size=train_size, metrics=metrics, eval_size=EVAL_SIZE)


def lj13() -> Task:
    """Thirteen particles in space with a Lennard-Jones potential; see ``phys_samplers.laws.LennardJones``.

    Neither log Z nor an exact sampler is known. Held-out and validation rows are states of 256 long Hamiltonian Monte
    Carlo chains, in random order; there are no training rows.

    Raises:
        DataUnavailable: if the file of the package was changed.
    """
    law, rows = LennardJones(), lj13_rows()
    return Task(
        event_shape=law.event_shape,
        name="lj13",
        law=law,
        validation=rows[:LJ13_VALIDATION],
        heldout=rows[LJ13_VALIDATION:],
        metrics=(*METRICS, "ess"),
        eval_size=EVAL_SIZE,
        view=square_view(3.0, 39),
    )
