"""Cells: one (task, sampler, seed) each, named by the hash of everything that decides its result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from phys_registry import ComponentSpec

from .canonical import digest
from .suite import Budget

PROTOCOL = 3
"""Raised whenever cells are executed or scored in another way, so that older records are not mistaken for new ones."""


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A metric of a task.

    Args:
        label: its canonical text.
        best: which way is better: ``low``, ``high``, ``zero``, ``half`` or ``one``.
        identity: its name, full options and code.
        has_floor: whether exact samples can be scored by it.
        needs_rows: whether it compares with exact rows.
    """

    label: str
    best: str
    identity: Mapping[str, Any] = field(default_factory=dict)
    has_floor: bool = True
    needs_rows: bool = True


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """Why a (task, sampler) pair is not run.

    Args:
        status: ``incompatible`` or ``failed``.
        reason: one sentence.
        traceback: of the error, if there was one.
    """

    status: str
    reason: str
    traceback: str = ""


@dataclass(frozen=True, kw_only=True)
class TaskPlan:
    """A task of a plan.

    Args:
        spec: its component and options.
        eval_size: number of generated samples scored against as many exact rows.
        metrics: the first one ranks.
        identity: name, version, options and code of the task, its metrics and its size.
        plugins: whose code runs for it, those that are built in left out; of a user's file the hash stands here.
        content: hash of the files that it was made from, if options name any.
        problem: why nothing can be run on it.
    """

    spec: ComponentSpec
    eval_size: int = 0
    metrics: tuple[Metric, ...] = ()
    identity: Mapping[str, Any] = field(default_factory=dict)
    plugins: tuple[str, ...] = ()
    content: str = ""
    problem: Refusal | None = None

    @property
    def label(self) -> str:
        """The task's text in tables."""
        return str(self.spec)

    @property
    def primary(self) -> str:
        """Label of the metric that ranks."""
        return self.metrics[0].label if self.metrics else ""

    def floor_id(self, metric: Metric, repeats: int) -> str:
        """Hash of everything that decides the floor of ``metric``."""
        own = {key: self.identity[key] for key in ("task_component", "eval_size", "library", "torch", "dtype")}
        return digest({"floor": own, "protocol": PROTOCOL, "metric": metric.identity, "repeats": repeats})


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A (task, sampler) pair of a plan.

    Args:
        task: the task.
        sampler: its text in the suite, the row of every table.
        spec: the sampler's component with the suite's overrides merged in.
        kind: of that component: ``sampler``, or ``return_model`` on tasks about returns.
        identity: everything that decides the results but the seed.
        budget: per cell. Not part of the identity: a result within the limits does not depend on them, and a cell that
            hit one is tried again when it is raised.
        stacks: whether the sampler fits several seeds as one stacked network.
        plugins: whose code runs for it, those that are built in left out.
        fit: hash of everything that decides the fit but its seeds, equal for pairs that differ in sampling options
            only; None if the fit cannot be shared.
        refusal: why it is not run, or None.
    """

    task: TaskPlan
    sampler: str
    spec: ComponentSpec
    identity: Mapping[str, Any]
    budget: Budget
    kind: str = "sampler"
    stacks: bool = False
    plugins: tuple[str, ...] = ()
    fit: str | None = None
    refusal: Refusal | None = None


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One (task, sampler, seed).

    Args:
        pair: task and sampler.
        seed: the seed.
    """

    pair: Pair
    seed: int

    @cached_property
    def identity(self) -> dict[str, Any]:
        """Everything that decides the result, JSON-like."""
        return {**self.pair.identity, "seed": self.seed}

    @cached_property
    def id(self) -> str:
        """Hash of the identity; the name of the cell's files."""
        return digest(self.identity)

    @property
    def label(self) -> str:
        """For people."""
        return f"{self.pair.task.label} / {self.pair.sampler} / seed {self.seed}"

    @property
    def key(self) -> dict[str, Any]:
        """Task, sampler and seed, as hooks and the run's list of cells see them."""
        return {"task": self.pair.task.label, "sampler": self.pair.sampler, "seed": self.seed}
