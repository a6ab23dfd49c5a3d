"""One job: fit the seeds of a (task, sampler) pair together, then sample and score them one by one.

Jobs and events are JSON-like, so that the same code serves a worker process and the running one.
"""

from __future__ import annotations

import copy
import importlib
import os
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from phys_samplers import catalogue
from phys_samplers.errors import FileError
from phys_samplers.evaluations import Evaluations
from phys_samplers.sampler import Draw, Model, Sampler
from phys_samplers.target import Task
from phys_samplers.training import Callback

from .canonical import plain
from .environment import Meter, environment
from .events import bounded
from .plan import Fit, LastFit, fit_key
from .resolve import make, one_spec
from .scoring import (
    NOT_FINITE,
    draw_seed,
    energies,
    fit_seed,
    floor_facts,
    learned_fields,
    metric_of,
    nearest_images,
    outcome_of,
    reference_conditions,
    reference_rows,
    score,
    write_arrays,
)
from .store import now
from .surroundings import Surroundings

Emit = Callable[[dict[str, Any]], None]
HISTORY_ROWS = 200
STEP_INTERVAL = 1.0
"""Least seconds between two reports of training steps."""


def execute(job: Mapping[str, Any], emit: Emit, kept: LastFit) -> list[str]:
    """Do a job, and put back what it changed around it.

    Args:
        job: ``kind`` (``cells`` or ``floors``), ``task``, ``metrics``, ``eval_size``; for cells also ``sampler``, its
            kind ``contestant``, ``seeds`` to fit, ``fit`` (see ``Pair.fit``), ``wanted`` (the seeds to score), ``ids``
            by seed, ``device`` and ``arrays`` (the folder).
        emit: told of ``step``, ``cell``, ``floor`` and ``error`` events, and of ``shared``, a fit that was kept.
        kept: the last fit made here.

    Returns:
        What the job left changed, though it is put back.
    """
    catalogue.registry.plugins()  # so that all plugins are imported before the first look
    torch.set_grad_enabled(True)
    if job.get("fit") or job.get("contestant") == "return_model":
        # The first step of an optimizer imports it, and it puts a function of its own in place of torch.manual_seed.
        importlib.import_module("torch._dynamo")
    around = Around()
    try:
        if job["kind"] == "floors":
            _floors(job, emit)
        else:
            _cells(job, emit, kept, around)
    finally:
        around.restore()
        around.close()
    return around.changed


class Around:
    """What the parts of a job share: the state that each of them finds, and which process this is."""

    def __init__(self) -> None:
        self._surroundings, self._process = Surroundings(), os.getpid()
        self.changed: list[str] = []

    def restore(self) -> None:
        """Put back what code of a plugin changed; if it went on in a copy of this process too, the copy ends here."""
        if os.getpid() != self._process:
            os._exit(1)
        self.changed += self._surroundings.restore()

    def close(self) -> None:
        """No part follows."""
        self._surroundings.close()


class _ChangedError(FileError):
    """A file that a task is made from has changed since the run was planned, and with it the names of its records."""


def _task(job: Mapping[str, Any]) -> Task:
    """The task of a job.

    Raises:
        _ChangedError: if it is another than that of the plan.
    """
    task: Task = make("task", one_spec(job["task"], "task"))
    if task.content != job.get("content", ""):
        raise _ChangedError.about(job["task"], "is of a file that has changed since the run was planned; run again")
    return task


def _floors(job: Mapping[str, Any], emit: Emit) -> None:
    try:
        task = _task(job)
    except _ChangedError:  # its cells say so
        return
    for metric in job["metrics"]:
        try:
            facts = floor_facts(metric, task, job["task"], job["eval_size"])
        except Exception as error:
            facts = {"error": outcome_of(error, during="floor")["reason"]}
        emit({"event": "floor", "metric": metric, **facts})


def _cells(job: Mapping[str, Any], emit: Emit, kept: LastFit, around: Around) -> None:
    started = now()
    try:
        task = _task(job)
        recipe: Sampler = make(job["contestant"], one_spec(job["sampler"], job["contestant"]))
        # The fitted model keeps the counting target, so that sampling is counted too; scoring uses the task itself.
        fit = _fit_or_share(recipe, shown(task, recipe.needs), job, emit, kept)
    except Exception as error:
        outcome = {**outcome_of(error, during="fitting"), "started": started, "finished": now()}
        outcome |= {"hit_limit": "outside"} if isinstance(error, _ChangedError) else {}
        emit({"event": "error", "outcome": outcome})
        return
    finally:
        around.restore()
    for seed, model in zip(job["seeds"], fit.models, strict=True):
        if seed not in job["wanted"]:
            continue
        outcome = _finish(model, task, job, seed, dict(fit.costs), fit.evaluations, around)
        facts = {"environment": environment(job["device"]), "started": started, "finished": now()}
        emit({"event": "cell", "seed": seed, "outcome": {**outcome, **facts}})


def shown(task: Task, needs: Collection[str]) -> Task:
    """What a sampler is fitted to: a copy of the task without what scores are computed from.

    It lacks the held-out rows, and exact draws and modes unless the sampler says that it needs them. Being a copy, it
    can be written to without a trace in any score.

    Args:
        task: the task.
        needs: of the sampler.
    """
    modes = task.modes if "modes" in needs else None
    given = None if task.conditions is None else task.conditions.seen
    hidden = replace(task, heldout=None, features=None, modes=modes, conditions=given, evaluations=Evaluations())
    if task.contestants != Sampler.kind:  # experience holds whole environments, from which nothing is scored
        return hidden
    seen = copy.deepcopy(hidden)
    if "sample" not in needs and callable(getattr(seen.law, "sample", None)):
        object.__setattr__(seen.law, "sample", None)
    return seen


def _fit_or_share(recipe: Sampler, task: Task, job: Mapping[str, Any], emit: Emit, kept: LastFit) -> Fit:
    """The kept fit if it is that of the job, else a new one, which is kept."""
    key = fit_key(job)
    if (found := kept.take(key)) is not None:
        emit({"event": "shared", "seconds": found.seconds})
        return found.shared_with(recipe)
    with Meter(job["device"]) as meter:
        models = _fit(recipe, task, job, emit)
    share, asked = len(job["seeds"]), task.evaluations or Evaluations()
    costs = {
        "fit_densities": asked.densities / share,
        "fit_gradients": asked.gradients / share,
        "fit_seconds": meter.seconds / share,
        "cpu_seconds": meter.cpu_seconds / share,
        "peak_memory_mib": meter.peak_memory_mib,
        "peak_device_memory_mib": meter.peak_device_memory_mib,
        "stacked_seeds": share,
        "shared_fit": False,
    }
    fit = Fit(models=models, costs=costs, seconds=meter.seconds, evaluations=asked)
    kept.keep(key, fit)
    return fit


def _fit(recipe: Sampler, task: Task, job: Mapping[str, Any], emit: Emit) -> Sequence[Model | Exception]:
    own = [fit_seed(job["task"], seed) for seed in job["seeds"]]
    steps = _Steps(job["seeds"], emit)
    target, device = task.to(job["device"]), job["device"]
    if len(own) == 1:
        return [recipe.fit(target, seed=own[0], device=device, callbacks=[steps])]
    models = recipe.fit_replicas(target, seeds=own, device=device, callbacks=[steps])
    if len(models) != len(own):
        raise ValueError(f"fit_replicas returned {len(models)} models for {len(own)} seeds; expected one per seed")
    return models


def _finish(
    model: Model | Exception,
    task: Task,
    job: Mapping[str, Any],
    seed: int,
    costs: dict[str, Any],
    evaluations: Evaluations,
    around: Around,
) -> dict[str, Any]:
    """Sample, score and keep one seed; whatever goes wrong is its outcome."""
    if isinstance(model, BaseException):
        return {**outcome_of(model, during="fitting"), "costs": costs}
    report = model.report
    costs |= {
        "training_steps": report.steps if report else 0,
        "parameters": report.parameters if report else 0,
    }
    history = plain(_thinned(report.history)) if report else []
    kept: dict[str, Any] = {"costs": costs, "history": history}
    given = reference_conditions(task, job["task"], job["eval_size"], seed)
    asked_for = {} if given is None else {"condition": given[0]}
    try:
        before = evaluations.copy()
        with Meter(job["device"]) as meter:
            draw = model.draw(job["eval_size"], seed=draw_seed(job["task"], seed), **asked_for)
        if not isinstance(draw, Draw):
            raise TypeError(f"draw returned {type(draw).__name__}; expected Draw")
        asked, n = evaluations.since(before), job["eval_size"]
        costs |= {
            "energy_densities": costs["fit_densities"] / n + asked.densities / n,
            "energy_gradients": costs["fit_gradients"] / n + asked.gradients / n,
            "sample_seconds": meter.seconds,
            "cpu_seconds": costs["cpu_seconds"] + meter.cpu_seconds,
            "peak_memory_mib": max(costs["peak_memory_mib"], meter.peak_memory_mib),
            "nfe": float(draw.nfe),
        }
        if meter.peak_device_memory_mib is not None:
            costs["peak_device_memory_mib"] = max(costs["peak_device_memory_mib"] or 0.0, meter.peak_device_memory_mib)
        around.restore()
        kept["diagnostics"] = bounded(plain(draw.diagnostics), "diagnostics")
        samples = _checked(draw.samples, task, job["eval_size"])
    except Exception as error:
        return {**outcome_of(error, during="sampling"), **kept}
    finally:
        around.restore()
    reference = reference_rows(task, job["task"], job["eval_size"], seed).flatten(1)
    began = time.perf_counter()
    scores, errors = score(
        job["metrics"],
        draw,
        samples,
        reference,
        costs={**costs, "seconds": costs["fit_seconds"] + costs["sample_seconds"]},
        task=task,
        label=job["task"],
        seed=seed,
        model=model,
        conditions=given,
    )
    costs["score_seconds"] = time.perf_counter() - began
    kept |= {"scores": scores, "score_errors": errors}
    first = job["metrics"][0]
    if scores[first] is None and ("rows" in metric_of(first).needs or errors[first].startswith(NOT_FINITE)):
        reason = f"scoring: {first}: {errors[first]}"
        return {"status": "failed", "reason": reason, **kept}
    file = Path(job["arrays"]) / f"{job['ids'][str(seed)]}.safetensors"
    others = {**learned_fields(model, task), **nearest_images(samples, task), **energies(samples, reference, task)}
    try:
        kept["arrays"] = write_arrays(file, samples, reference, others, event_shape=task.event_shape)
    except OSError as error:  # a full disk says nothing about the sampler
        reason = f"its arrays could not be kept: {error.filename}: {error.strerror}"
        return {"status": "failed", "reason": reason, "hit_limit": "outside"}
    return {"status": "ok", **kept}


def _checked(samples: Tensor, task: Task, n: int) -> Tensor:
    """The samples (n, D) on the CPU.

    Raises:
        ValueError: on another shape.
        FloatingPointError: if any are not finite.
    """
    with torch._C.DisableTorchFunctionSubclass():  # a class of its own could answer for functions of torch
        samples = samples.as_subclass(Tensor)
    if tuple(samples.shape) != (n, *task.event_shape):
        raise ValueError(f"the samples have shape {tuple(samples.shape)}; expected {(n, *task.event_shape)}")
    rows = samples.detach().to("cpu", torch.get_default_dtype()).flatten(1)
    lost = int((~torch.isfinite(rows)).any(1).sum())
    if lost:
        raise FloatingPointError(f"{lost} of {n} samples are not finite")
    return rows


def _thinned(history: Sequence[Mapping[str, float]]) -> list[Mapping[str, float]]:
    stride = -(-len(history) // HISTORY_ROWS) or 1
    return list(history[::stride])


class _Steps(Callback):
    """Passes training steps on, at a modest rate; not those of a part that trains seed by seed, which name no seed."""

    def __init__(self, seeds_: Sequence[int], emit: Emit) -> None:
        self._seeds, self._emit = list(seeds_), emit
        self._next = 0.0

    def logged(self, step: int, values: Mapping[str, Sequence[float]]) -> None:
        if time.monotonic() < self._next or any(len(row) != len(self._seeds) for row in values.values()):
            return
        self._next = time.monotonic() + STEP_INTERVAL
        rows = {name: plain(list(row)) for name, row in values.items()}
        self._emit({"event": "step", "step": int(step), "seeds": self._seeds, "values": rows})


def single_threaded() -> None:
    """One thread for this process: workers share the cores, and results do not depend on how many there are."""
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS"):
        os.environ[name] = "1"
    torch.set_num_threads(1)


@contextmanager
def inline_threads(wanted: bool) -> Iterator[None]:
    """One thread for torch meanwhile, as in a worker, so that inline results are the same."""
    before = torch.get_num_threads()
    if wanted:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        if wanted:
            torch.set_num_threads(before)
