"""What a cell leaves: scores and outcomes, the floors that scores stand on, and arrays for pictures.

Scoring happens on the CPU, so that the device does not change the yardstick. Seeds are derived from (task, seed) alone,
so that every sampler of a task meets the same random numbers.
"""

from __future__ import annotations

import math
import statistics
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from phys_registry.errors import one_line
from phys_samplers.atomic import write_atomically
from phys_samplers.errors import DivergenceError, IncompatibleError, MissingCapability, TrainingDiverged
from phys_samplers.metric import BESIDES, Metric, Scored, floor
from phys_samplers.metrics.two_sample import distances
from phys_samplers.randomness import derive_seed, make_generator
from phys_samplers.sampler import Draw, Model
from phys_samplers.target import Task

from .canonical import HUGE, digest
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
    kept = 0 if task.heldout is None else len(task.heldout)
    if kept < n and not task.missing({"sample"}):
        return task.sample(n, generator=make_generator(reference_seed(label, seed)))
    if task.heldout is None:
        return torch.empty(0, *task.event_shape)
    return task.heldout[_chosen(task.heldout, label, n, seed)]


def _chosen(heldout: Tensor, label: str, n: int, seed: int) -> Tensor:
    return torch.randperm(len(heldout), generator=make_generator(reference_seed(label, seed)))[:n]


def reference_conditions(task: Task, label: str, n: int, seed: int) -> tuple[Tensor, Tensor] | None:
    """What ``n`` samples are drawn given, and what the ``reference_rows`` of the seed were given.

    The samples are given what the reference was, in its order, over again where there are fewer such rows. None if the
    task has no held-out conditions.
    """
    if task.heldout is None or task.conditions is None or task.conditions.heldout is None:
        return None
    given = task.conditions.heldout[_chosen(task.heldout, label, n, seed)]
    return given[torch.arange(n) % len(given)], given


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
    conditions: tuple[Tensor, Tensor] | None = None,
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
        conditions: of samples and reference, see ``reference_conditions``.

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
                conditions=conditions,
            )
            if missing := scored.missing(metric.needs):
                errors[text] = _lacks(missing, label)
                continue
            value = float(metric(scored))
        except Exception as error:  # a metric may fail in any way, and must not take the others along
            errors[text] = one_line(error)
            continue
        if abs(value) < HUGE:
            scores[text] = value
        else:
            errors[text] = f"{NOT_FINITE}{value:g}, which counts as not finite"
    return scores, errors


NOT_FINITE = "the score is "
"""How the reason begins where a draw gave a metric all that it needs, and is so far off that it ranks last."""


def _lacks(missing: list[str], label: str) -> str:
    """Why a metric has no score on a task."""
    if "rows" in missing:
        return f"task {label!r} has neither held-out rows nor an exact sampler to compare with"
    return f"needs {', '.join(missing)}, which task {label!r} does not offer"


def floor_facts(text: str, task: Task, label: str, n: int) -> dict[str, Any]:
    """What exact samples of size ``n`` score against exact samples: mean, spread over repeats, source; or the error."""
    metric = metric_of(text)
    if missing := task.missing(metric.needs - BESIDES.keys()):
        return {"error": _lacks(missing, label)}
    values: list[float] = []
    source = ""
    for choice in range(FLOOR_REFERENCES):
        reference = reference_rows(task, label, n, choice)
        own = derive_seed(floor_seed(label, text), choice)
        given = reference_conditions(task, label, n, choice)
        found = floor(metric, task, n=n, reference=reference, conditions=given, repeats=FLOOR_DRAWS, seed=own)
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


MOST_ROWS = 2_000
MOST_NEAREST = 40
GRID_1D, GRID_2D = 400, 40


def grid_of(task: Task) -> Tensor | None:
    """Grid points (G, D) of the task's picture box, first coordinate slowest; None beyond two dimensions."""
    if len(task.view) != task.dim or task.dim not in (1, 2) or len(task.event_shape) != 1:
        return None
    points = GRID_1D if task.dim == 1 else GRID_2D
    axes = [torch.linspace(low, high, points) for low, high in task.view]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), -1).reshape(-1, task.dim)


def learned_fields(model: Model, task: Task) -> dict[str, Tensor]:
    """``grid`` with ``s`` (G,) and ``g`` (G, D) of ``model.fields``, or ``score`` (G, D) of ``model.score``.

    Empty if the model has neither, or they fail: a picture must not cost a result.
    """
    grid = grid_of(task)
    if grid is None:
        return {}
    try:
        points = grid.to(model.device)
        with torch.no_grad():
            if callable(getattr(model, "fields", None)):
                values = dict(model.fields(points))  # type: ignore[attr-defined]
            elif callable(getattr(model, "score", None)):
                values = {"score": model.score(points)}  # type: ignore[attr-defined]
            else:
                return {}
        kept = {
            name: value.detach().to("cpu", torch.float32)
            for name, value in values.items()
            if name in ("s", "g", "score") and isinstance(value, Tensor) and len(value) == len(grid)
        }
    except Exception:
        return {}
    return {"grid": grid, **kept} if kept else {}


def nearest_images(samples: Tensor, task: Task) -> dict[str, Tensor]:
    """``nearest``: the training rows nearest to the first ``MOST_NEAREST`` samples (n, D), where these are images.

    Beside its sample such a row shows what a number cannot: an image learned by heart.
    """
    if len(task.event_shape) != 3 or task.train is None:
        return {}
    train = task.train.detach().cpu().flatten(1)
    return {"nearest": train[distances(samples[:MOST_NEAREST].to(train.dtype), train).argmin(1)]}


def energies(samples: Tensor, reference: Tensor, task: Task) -> dict[str, Tensor]:
    """What a picture shows where coordinates cannot be drawn: numbers of every row, beyond two dimensions.

    ``energies`` (n,) and ``reference_energies`` (m,) of tasks with a density, and the layout ``particles`` (2,) of
    systems of particles. Empty where there is neither, or the density fails.

    Args:
        samples: generated rows (n, D).
        reference: exact rows (m, D).
        task: the task.
    """
    if task.dim <= 2:
        return {}
    layout = {} if task.particles is None else {"particles": torch.tensor(task.particles)}
    if task.missing({"log_prob"}):
        return layout
    try:
        with torch.no_grad():
            values = [-task.log_prob(rows[:MOST_ROWS].unflatten(1, task.event_shape)) for rows in (samples, reference)]
    except Exception:
        return layout
    return {"energies": values[0].cpu(), "reference_energies": values[1].cpu(), **layout}


def write_arrays(
    path: Path, samples: Tensor, reference: Tensor, others: dict[str, Tensor], *, event_shape: tuple[int, ...]
) -> dict[str, Any]:
    """Write the arrays of a cell.

    Args:
        path: the file.
        samples: generated rows; at most ``MOST_ROWS`` are kept.
        reference: exact rows, likewise.
        others: see ``learned_fields``, ``nearest_images`` and ``energies``.
        event_shape: of one sample, whose rows are flat.

    Returns:
        What the record says of the file: its checksum, the shapes in it, and that of a sample.
    """
    rows = {"samples": samples[:MOST_ROWS].cpu(), "reference": reference[:MOST_ROWS].cpu(), **others}
    tensors = {name: value.to(torch.float32).contiguous() for name, value in rows.items()}
    payload = save(tensors)
    write_atomically(path, payload)
    shapes = {name: list(value.shape) for name, value in tensors.items()}
    return {"checksum": digest(payload), "shapes": shapes, "event_shape": list(event_shape)}
