"""What the report knows of a run: `Run`, its `Cell`s and their `Floor`s, whatever the files look like."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phys_bench.verdicts import Decided, Measured

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Floor:
    """What exact samples score against exact samples at the same sizes.

    Args:
        mean: over repeats.
        std: over repeats.
        source: where it comes from, in words.
    """

    mean: float
    std: float
    source: str = ""


@dataclass(frozen=True)
class Cell:
    """One (task, sampler, seed) of a run.

    Args:
        id: name of its files.
        task: task name with its version.
        sampler: label in the suite.
        seed: the seed.
        component: registry name of the sampler, for citations.
        kind: of that component.
        status: ``ok``, ``failed``, ``diverged``, ``timeout`` or ``incompatible``.
        reason: why it is not ok, in one sentence.
        traceback: of the error, or an empty string.
        options: the full recipe.
        scores: metric -> value.
        floors: metric -> floor.
        costs: seconds, MiB, counts.
        diagnostics: JSON-like facts of fitting and sampling.
        history: curve name -> (steps, values).
        score_errors: metric -> why it gave no number.
        parts: registered parts of the recipe, as ``kind/name``.
        best: metric -> ``low``, ``high``, ``zero``, ``half`` or ``one``.
        primary: metric the task is ranked by.
        environment: versions and hardware.
        shared_fit: whether it drew from the fit of another sampler, whose time its costs repeat.
        event_shape: of one sample, if it is known.
        arrays_path: where samples and fields lie, or None.
        arrays_problem: why that file cannot be used, or an empty string.
    """

    id: str
    task: str
    sampler: str
    seed: int
    component: str = ""
    kind: str = "sampler"
    status: str = "ok"
    reason: str = ""
    traceback: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    scores: Mapping[str, float] = field(default_factory=dict)
    floors: Mapping[str, Floor] = field(default_factory=dict)
    costs: Mapping[str, float] = field(default_factory=dict)
    diagnostics: Mapping[str, Any] = field(default_factory=dict)
    history: Mapping[str, tuple[FloatArray, FloatArray]] = field(default_factory=dict)
    score_errors: Mapping[str, str] = field(default_factory=dict)
    parts: Sequence[str] = ()
    best: Mapping[str, str] = field(default_factory=dict)
    primary: str = ""
    environment: Mapping[str, Any] = field(default_factory=dict)
    shared_fit: bool = False
    event_shape: tuple[int, ...] = ()
    arrays_path: Path | None = None
    arrays_problem: str = ""

    @property
    def ok(self) -> bool:
        """Whether the cell finished with scores."""
        return self.status == "ok"


@dataclass(frozen=True)
class Run:
    """All that a run folder says.

    Args:
        suite: name of the suite.
        summary: what the suite is, in one sentence.
        started: date and time, UTC.
        environment: versions and hardware.
        cells: by task, sampler, seed in the order of the suite.
        mean_ranks: of every sampler, best first; None for those that take no rank.
        notes: what a reader should know, one sentence each.
        damaged: (file, why) of files that could not be used.
        published: what the suite's paper prints, beside the measured numbers.
        claims: what it says of samplers side by side, tested.
    """

    suite: str
    summary: str = ""
    started: str = ""
    environment: Mapping[str, Any] = field(default_factory=dict)
    cells: Sequence[Cell] = ()
    mean_ranks: Mapping[str, float | None] = field(default_factory=dict)
    notes: Sequence[str] = ()
    damaged: Sequence[tuple[str, str]] = ()
    published: Sequence[Measured] = ()
    claims: Sequence[Decided] = ()

    @property
    def tasks(self) -> list[str]:
        """Task names in order of first appearance."""
        return list(dict.fromkeys(cell.task for cell in self.cells))

    @property
    def samplers(self) -> list[str]:
        """Sampler labels in order of first appearance."""
        return list(dict.fromkeys(cell.sampler for cell in self.cells))

    def select(self, task: str | None = None, sampler: str | None = None) -> list[Cell]:
        """The cells of a task, of a sampler, or of both."""
        return [c for c in self.cells if task in (None, c.task) and sampler in (None, c.sampler)]

    def metrics(self, task: str) -> list[str]:
        """Metrics scored on ``task``, the primary one first."""
        names = list(dict.fromkeys(name for cell in self.select(task) for name in cell.scores))
        first = self.primary(task)
        return [name for name in names if name == first] + [name for name in names if name != first]

    def primary(self, task: str) -> str:
        """The metric that ``task`` is ranked by, or an empty string if no record names one."""
        return next((cell.primary for cell in self.select(task) if cell.primary), "")

    def best(self, metric: str) -> str:
        """Which way ``metric`` is better; ``low`` unless a record says otherwise."""
        return next((cell.best[metric] for cell in self.cells if metric in cell.best), "low")

    def is_oracle(self, sampler: str) -> bool:
        """Whether a sampler is the exact oracle: a yardstick, which takes no rank."""
        return any(cell.component == "exact" for cell in self.select(sampler=sampler))
