"""Pictures of what a benchmark found, each on matplotlib axes: ``phys_samplers.plots.leaderboard(results, task)``.

The functions are those of `phys_bench.report.plots`. Resolved late: the library does not need the benchmark.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    return getattr(import_module("phys_bench.report.plots"), name)


def __dir__() -> list[str]:
    return sorted(import_module("phys_bench.report.plots").__all__)
