"""Bayesian posteriors: known by their density alone, as a statistician meets them.

No task here has training rows. Held-out and validation rows are exact draws for the Brownian path, and stored ones for
the logistic regressions; the Cox process has none and is scored by log Z.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from phys_bench.data import PinnedFile, Table, uci
from phys_bench.data.observations import INNOVATION_SCALE, OBSERVATION_SCALE, OBSERVATIONS, pine_positions
from phys_bench.data.references import reference_facts, reference_rows
from phys_bench.tasks.assemble import EVAL_SIZE, drawn
from phys_samplers.laws import BrownianMotion, LogGaussianCoxProcess, LogisticRegression
from phys_samplers.laws.arguments import check_count
from phys_samplers.target import Task

LOGISTIC_VALIDATION = 1_000
"""Of the stored rows; the rest is held out."""
METRICS = ("sliced-w2", "mean-error", "delta-std", "energy-distance", "tvd-e", "w2", "log-z-error", "ess")
DRAW_METRICS = ("log-z-error", "ess")
"""Of a posterior without reference rows."""
POSITIVE = {"ionosphere": "g", "sonar": "M", "german-credit": "2"}
"""The class that is labelled one; the other choice would turn the sign of every weight."""
TABLES: dict[str, PinnedFile] = {
    "ionosphere": uci.IONOSPHERE,
    "sonar": uci.SONAR,
    "german-credit": uci.GERMAN_CREDIT,
}
PINES_VARIANCE, PINES_LENGTH = 1.91, 1 / 33
PINES_LOG_Z = {10: 474.42, 20: 490.72, 40: 501.77}
"""By the side of the grid; standard errors .002, .006 and .03, from benchmarks/studies/cox_evidence.py."""


def ionosphere() -> Task:
    """35 weights given 351 radar returns, good or bad; log Z = −111.611 ± .0015.

    One of the 34 features is constant, so that its weight keeps its prior. See ``logistic_posterior``.

    Raises:
        DataUnavailable: if the file cannot be had.
    """
    return _logistic("ionosphere")


def sonar() -> Task:
    """61 weights given 208 sonar echoes of rocks and mines; log Z = −108.384 ± .002. See ``logistic_posterior``.

    Raises:
        DataUnavailable: if the file cannot be had.
    """
    return _logistic("sonar")


def german_credit() -> Task:
    """25 weights given 1,000 debtors, good or bad; log Z = −529.176 ± .0005. See ``logistic_posterior``.

    Raises:
        DataUnavailable: if the file cannot be had.
    """
    return _logistic("german-credit")


def logistic_posterior(name: str, *, log_z: float | None = None) -> LogisticRegression:
    """The posterior of logistic regression of the class on the other columns, weights N(0, 1), the intercept last.

    Features are centred by their mean and divided by their standard deviation, the one with N in the denominator; a
    constant one is centred alone, to zeros. The choice shows in log Z: N − 1 would move that of German credit by .011.

    Args:
        name: ``ionosphere``, ``sonar`` or ``german-credit``.
        log_z: its evidence, if known.

    Raises:
        DataUnavailable: if the file cannot be had.
    """
    table = TABLES[name].read()
    labels = torch.tensor([cell == POSITIVE[name] for cell in table.column("class")])
    return LogisticRegression(design(table), labels, log_z=log_z)


def design(table: Table) -> Tensor:
    """Standardised features with a last column of ones (N, D), in the default dtype but computed in float64."""
    features = table.numbers(table.names[:-1])
    centred = features - features.mean(0)
    spread = features.std(0, correction=0)
    standardised = centred / torch.where(spread > 0, spread, 1.0)
    return torch.cat((standardised, torch.ones(len(features), 1, dtype=features.dtype)), 1).to(
        torch.get_default_dtype()
    )


def brownian_motion(*, known_scales: bool = False) -> Task:
    """log s, log r and the 30 steps of a Brownian path seen through noise, ten of them not seen; log Z = 1.18775.

    The model of Inference Gym: s, r ~ LogNormal(0, 2), here by their logarithms. Its published means for unknown scales
    are not those of this density: they say E[s] = .1198 ± .0006 and E[r] = .1011 ± .0006, where quadrature gives .1155
    and .1127. Those for known scales agree.

    Args:
        known_scales: s = .1 and r = .15 are given: a Gaussian law in 30 dimensions, log Z = 5.61304, named
            ``brownian-motion[known_scales=true]``.
    """
    law = BrownianMotion(OBSERVATIONS, (INNOVATION_SCALE, OBSERVATION_SCALE) if known_scales else None)
    name = "brownian-motion[known_scales=true]" if known_scales else "brownian-motion"
    return Task(
        event_shape=law.event_shape,
        name=name,
        law=law,
        **drawn(name, law),
        metrics=METRICS,
        eval_size=EVAL_SIZE,
    )


def cox_process(*, grid: int = 40) -> Task:
    """The logarithm of the intensity of Finnish pines in grid² cells, a Gaussian field with exponential covariance.

    σ² = 1.91, β = 1/33 and μ = log 126 − σ²/2; the field is not whitened, as in arXiv:2102.07501. The data's constant
    is left out (see ``phys_samplers.laws.LogGaussianCoxProcess``). log Z = 501.77 ± .03 for grid = 40, known for 10 and
    20 too: sequential Monte Carlo from the Laplace approximation and from the prior agree (501.6 from the prior). The
    512.6 that public code carries as a long run's value is not that of this density (Laplace's approximation: 511.2).

    Args:
        grid: cells along a side; others than 40 are named ``cox-process[grid=…]``.

    Raises:
        ConfigurationError: on a bad ``grid``.
        DataUnavailable: if the file cannot be had.
    """
    side = check_count("grid", grid, least=1)
    law = LogGaussianCoxProcess(
        cell_counts(pine_positions(), side),
        mean=math.log(126.0) - 0.5 * PINES_VARIANCE,
        variance=PINES_VARIANCE,
        length_scale=PINES_LENGTH,
        log_z=PINES_LOG_Z.get(side),
    )
    name = "cox-process" if side == 40 else f"cox-process[grid={side}]"
    return Task(event_shape=law.event_shape, name=name, law=law, metrics=DRAW_METRICS, eval_size=EVAL_SIZE)


def cell_counts(positions: Tensor, side: int) -> Tensor:
    """How many of ``positions`` (n, 2) in [0, 1]² are in each cell (side, side); the first coordinate names the row."""
    cells = (positions * side).long().clamp_(max=side - 1)  # a point on the far border belongs to the last cell
    return torch.bincount(cells[:, 0] * side + cells[:, 1], minlength=side**2).reshape(side, side)


def _logistic(name: str) -> Task:
    facts, rows = reference_facts(name), reference_rows(name).to(torch.get_default_dtype())
    law = logistic_posterior(name, log_z=facts["log_z"])
    return Task(
        event_shape=law.event_shape,
        name=name,
        law=law,
        validation=rows[:LOGISTIC_VALIDATION],
        heldout=rows[LOGISTIC_VALIDATION:],
        metrics=METRICS,
        eval_size=EVAL_SIZE,
    )
