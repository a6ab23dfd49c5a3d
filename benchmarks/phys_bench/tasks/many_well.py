"""Many wells in 32 dimensions: 65,536 modes whose weights are known."""

from __future__ import annotations

import math

import torch

from phys_bench.tasks.assemble import DRAW_METRICS, TRAIN_SIZE, assemble
from phys_samplers.laws import ManyWell
from phys_samplers.target import Modes, Task

METRICS = ("sliced-w2", "mode-tv", "tvd-e", "delta-std", "energy-distance", "w2", "variance-ratio")
EVAL_SIZE = 2_000
LEFT, RIGHT = -1.7108, 1.7525
"""The minima of a well."""


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
        metrics=METRICS + DRAW_METRICS,
        eval_size=EVAL_SIZE,
    )
