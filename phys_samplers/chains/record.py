"""What is kept of running chains: the samples asked for, and a thinned, bounded record for diagnostics."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from phys_samplers.diagnostics import ess, split_rhat

STATES, CHAINS, NUMBERS = 64, 256, 2**22
"""At most so many states of so many chains, and at most so many numbers in all, are held for diagnostics."""
FEWEST = 8
"""States below which split chains say nothing."""


class ChainRecord:
    """Fed the state after every step; takes a copy of a few, and never waits for the device.

    Both the samples and the record are spread evenly over the steps after ``burn_in``, the last step included.

    Args:
        steps: steps of the run.
        burn_in: steps before the window, during which nothing is kept; at least half of ``steps``.
        samples_per_chain: states of every chain kept as samples.
    """

    def __init__(self, steps: int, *, burn_in: int = 0, samples_per_chain: int = 1) -> None:
        burn_in = max(burn_in, steps // 2)
        self._kept_at = _spread(burn_in, steps, samples_per_chain)
        self._thinned_at = _spread(burn_in, steps, STATES)
        self._step = 0
        self._kept: list[Tensor] = []
        self._thinned: list[Tensor] = []

    def observe(self, x: Tensor) -> None:
        """Note the state (B, D) after the next step; ``x`` must not be changed afterwards."""
        self._step += 1
        if self._step in self._kept_at:
            self._kept.append(x)
        if self._step in self._thinned_at:
            # every so many chains, so that a sorted start is represented too
            few = max(1, min(CHAINS, len(x), NUMBERS // (STATES * x.shape[1])))
            self._thinned.append(x[:: len(x) // few][:few].clone())

    def samples(self, n: int) -> Tensor:
        """``n`` kept states (n, D), the latest first."""
        return torch.cat(self._kept[::-1])[:n]

    def diagnostics(self) -> dict[str, Any]:
        """ESS (smallest and mean over coordinates) and the largest split-R̂ of the record, and the size of the record.

        Read them together: chains that stay in the modes they started in have a large R̂ and few effective draws,
        even if every one of them started in the right place. None where a number is not finite.
        """
        size = {"recorded_states": len(self._thinned), "recorded_chains": len(self._thinned[0])}
        if len(self._thinned) < FEWEST:
            return size
        chains = torch.stack(self._thinned)
        effective = ess(chains)
        return {
            "ess_min": _finite(effective.min()),
            "ess_mean": _finite(effective.mean()),
            "rhat_max": _finite(split_rhat(chains).max()),
            **size,
        }


def _spread(begin: int, end: int, count: int) -> frozenset[int]:
    """At most ``count`` step numbers in (begin, end], evenly spread, ``end`` included."""
    count = min(count, end - begin)
    return frozenset(end - (end - begin) * k // count for k in range(count))


def _finite(value: Tensor) -> float | None:
    number = float(value)
    return number if math.isfinite(number) else None
