"""Seeds, scores and outcomes of cells, and the floors that scores stand on.

Scoring happens on the CPU, so that the device does not change the yardstick. Seeds are derived from (task, seed) alone,
so that every sampler of a task meets the same random numbers.
"""

from __future__ import annotations

import math
import statistics
import traceback
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from phys_registry.errors import one_line
from phys_samplers.errors import DivergenceError, IncompatibleError, MissingCapability, TrainingDiverged
from phys_samplers.metric import BESIDES, Metric, Scored
from phys_samplers.randomness import derive_seed, make_generator
from phys_samplers.sampler import Draw, Model
from phys_samplers.target import Task

from .resolve import make, one_spec


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


FLOOR_REFERENCES, FLOOR_DRAWS = 4, 2
"""A floor is the mean over so many choices of reference rows (those of seeds 0, 1, …) and exact draws against each."""
FLOOR_REPEATS = FLOOR_REFERENCES * FLOOR_DRAWS


def reference_rows(task: Task, label: str, n: int, seed: int) -> Tensor:
    """``n`` exact rows (n, D) that samples of ``seed`` are scored against: the same for every sampler.

    Held-out rows where the task keeps as many (each seed its own choice), else exact draws, else all the held-out rows
    there are, else none: the rows (0, *event_shape).
    """
    generator = make_generator(reference_seed(label, seed))
    kept = 0 if task.heldout is None else len(task.heldout)
    if kept < n and not task.missing({"sample"}):
        return task.sample(n, generator=generator)
    if task.heldout is None:
        return torch.empty(0, *task.event_shape)
    return task.heldout[torch.randperm(len(task.heldout), generator=generator)[:n]]


def metric_of(text: str) -> Metric:
    """Make a metric from its text."""
    metric: Metric = make("metric", one_spec(text, "metric"))
    return metric


def score(
    texts: list[str],
    draw: Draw,
    samples: Tensor,
    reference: Tensor,
    *,
    costs: Mapping[str, float],
    task: Task,
    label: str,
    seed: int,
    model: Model,
) -> tuple[dict[str, float | None], dict[str, str]]:
    """Every metric of a cell.

    Args:
        texts: metric labels.
        draw: as the sampler gave it.
        samples: generated rows (n, D), finite.
        reference: exact rows (m, D).
        costs: of training and sampling, for metrics that weigh them.
        task: the task.
        label: its text.
        seed: of the cell.
        model: the fitted model, for metrics that ask it.

    Returns:
        Scores by label, None where there is none, and why there is none, by label.
    """
    scores: dict[str, float | None] = dict.fromkeys(texts)
    errors: dict[str, str] = {}
    for text in texts:
        try:
            metric = metric_of(text)
            scored = Scored(
                samples=samples,
                reference=reference if len(reference) else None,
                target=task,
                generator=make_generator(metric_seed(label, seed, text)),
                model=model,
                draw=draw,
                costs=costs,
            )
            if missing := scored.missing(metric.needs):
                errors[text] = _lacks(missing, label)
                continue
            value = float(metric(scored))
        except Exception as error:  # a metric may fail in any way, and must not take the others along
            errors[text] = one_line(error)
            continue
        if math.isfinite(value):
            scores[text] = value
        else:
            errors[text] = f"the score is {value}"
    return scores, errors


def _lacks(missing: list[str], label: str) -> str:
    """Why a metric has no score on a task."""
    if "rows" in missing:
        return f"task {label!r} has neither held-out rows nor an exact sampler to compare with"
    return f"needs {', '.join(missing)}, which task {label!r} does not offer"


def floor_facts(text: str, task: Task, label: str, n: int) -> dict[str, Any]:
    """What exact samples of size ``n`` score against exact samples: mean, spread over repeats, source; or the error."""
    from phys_samplers.metrics.floor import floor

    metric = metric_of(text)
    if missing := task.missing(metric.needs - BESIDES.keys()):
        return {"error": _lacks(missing, label)}
    values: list[float] = []
    source = ""
    for choice in range(FLOOR_REFERENCES):
        reference = reference_rows(task, label, n, choice)
        own = derive_seed(floor_seed(label, text), choice)
        found = floor(metric, task, n=n, reference=reference, repeats=FLOOR_DRAWS, seed=own)
        if found is None:
            return {"error": "the task has neither an exact sampler nor enough rows to stand for one"}
        values += found.values
        source = found.source
    mean, std = statistics.fmean(values), statistics.stdev(values)
    if not (math.isfinite(mean) and math.isfinite(std)):
        return {"error": f"the floor is {mean} ± {std}"}
    return {"mean": mean, "std": std, "source": source, "values": values}


DIVERGED = (DivergenceError, TrainingDiverged, FloatingPointError, OverflowError)
INCOMPATIBLE = (MissingCapability, IncompatibleError)


def outcome_of(error: BaseException, *, during: str) -> dict[str, Any]:
    """Status, reason and traceback of a cell that ended with ``error``.

    Args:
        error: the exception.
        during: what was going on, in a word or two.
    """
    hit_limit = None
    if isinstance(error, DIVERGED):
        status = "diverged"
    elif isinstance(error, INCOMPATIBLE):
        status = "incompatible"
    else:
        status = "failed"
        hit_limit = "memory" if isinstance(error, MemoryError) else None
    trace = "" if status == "incompatible" else "".join(traceback.format_exception(error))
    return {"status": status, "reason": f"{during}: {one_line(error)}", "traceback": trace, "hit_limit": hit_limit}
