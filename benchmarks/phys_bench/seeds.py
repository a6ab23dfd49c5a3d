"""Seeds of a cell: derived from (task, seed) alone, so that every sampler of a task meets the same random numbers."""

from __future__ import annotations

from phys_samplers.randomness import derive_seed


def fit_seed(task: str, seed: int) -> int:
    """Seed of fitting."""
    return derive_seed(seed, "benchmark", task, "fit")


def draw_seed(task: str, seed: int) -> int:
    """Seed of sampling."""
    return derive_seed(seed, "benchmark", task, "draw")


def metric_seed(task: str, seed: int, metric: str) -> int:
    """Seed of a metric that draws."""
    return derive_seed(seed, "benchmark", task, "metric", metric)


def reference_seed(task: str, seed: int) -> int:
    """Seed of the choice of reference rows."""
    return derive_seed(seed, "benchmark", task, "reference")


def floor_seed(task: str, metric: str) -> int:
    """Seed of a floor's repeats."""
    return derive_seed(0, "benchmark", task, "floor", metric)
