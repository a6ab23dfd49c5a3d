"""What a run found, computed from its records alone."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from .published import Claim, Published, rows_of
from .statistics import Estimate, badness, estimate, ranks
from .store import Damage
from .verdicts import Decided, Measured, decide, measure

if TYPE_CHECKING:
    import pandas

Record = Mapping[str, Any]
COSTS = {
    "parameters": "parameters",
    "training_steps": "steps",
    "nfe": "NFE",
    "energy_gradients": "∇E",
    "energy_densities": "E",
    "fit_seconds": "fit s",
    "sample_seconds": "sample s",
    "cpu_seconds": "CPU s",
    "peak_memory_mib": "peak MiB",
}
"""Costs in the order of tables, with their headings."""
ENERGY = ("energy_gradients", "energy_densities")
COUNTS = ("parameters", "training_steps", "nfe", *ENERGY)


@dataclass(frozen=True)
class Results:
    """The records of a run, with tables and data frames.

    Args:
        records: in the order of the suite.
        head: what ``run.json`` says.
        damaged: files that could not be used.
        notes: what a reader should know, one sentence each.
    """

    records: Sequence[Record]
    head: Mapping[str, Any] = field(default_factory=dict)
    damaged: Sequence[Damage] = ()
    notes: Sequence[str] = ()

    @property
    def tasks(self) -> list[str]:
        """Task labels in order."""
        return list(dict.fromkeys(record["identity"]["task"] for record in self.records))

    @property
    def samplers(self) -> list[str]:
        """Sampler labels in order."""
        return list(dict.fromkeys(record["identity"]["sampler"] for record in self.records))

    @property
    def failures(self) -> list[Record]:
        """The records that are not ``ok``."""
        return [record for record in self.records if record["status"] != "ok"]

    def metrics(self, task: str | None = None) -> list[str]:
        """Metric labels (of a task), the one that ranks first."""
        rows = [record for record in self.records if task in (None, record["identity"]["task"])]
        names = [record["primary"] for record in rows] + [name for record in rows for name in record["best"]]
        return [name for name in dict.fromkeys(names) if name]

    def primary(self, task: str) -> str:
        """The metric that a task is ranked by."""
        return next(iter(self.metrics(task)), "")

    def select(self, task: str | None = None, sampler: str | None = None) -> list[Record]:
        """The records of a task, of a sampler, or of both."""
        return [
            record
            for record in self.records
            if task in (None, record["identity"]["task"]) and sampler in (None, record["identity"]["sampler"])
        ]

    def scores(self, task: str, sampler: str, metric: str) -> dict[int, float]:
        """Scores by seed; seeds without one are left out."""
        found = {record["identity"]["seed"]: record["scores"].get(metric) for record in self.select(task, sampler)}
        return {seed: float(value) for seed, value in found.items() if value is not None}

    def estimate(self, task: str, sampler: str, metric: str) -> Estimate | None:
        """Mean over seeds with spread and interval; None without scores."""
        return estimate(list(self.scores(task, sampler, metric).values()))

    def floor(self, task: str, metric: str) -> Mapping[str, Any] | None:
        """``mean``, ``std`` and ``source`` of what exact samples score; None if unknown."""
        found = (record["floors"].get(metric) for record in self.select(task))
        return next((floor for floor in found if floor), None)

    def best(self, task: str, metric: str) -> str:
        """Which way is better: ``low``, ``high``, ``zero``, ``half`` or ``one``."""
        known = (self.head.get("best") or {}).get(metric, "low")  # also of tasks without a record
        return next((r["best"][metric] for r in self.select(task) if metric in r["best"]), known)

    def mean_ranks(self) -> dict[str, float | None]:
        """Mean rank of every sampler, best first; None for those that take no rank.

        Within each (task, seed) samplers are ranked by the task's primary metric; ties share the mean of their ranks. A
        cell that failed, diverged or timed out takes the last rank; an incompatible one takes none, nor does one whose
        draw does not bring what is ranked (an estimate of log Z). The exact sampler is the yardstick and takes none.
        """
        found: dict[str, list[float]] = {sampler: [] for sampler in self.samplers}
        for task in self.tasks:
            metric = self.primary(task)
            blocks: dict[int, dict[str, float]] = {}
            for record in self.select(task):
                identity = record["identity"]
                if record["status"] == "incompatible" or identity["component"] == "exact":
                    continue
                value = record["scores"].get(metric)
                if value is None and record["status"] == "ok":
                    continue
                value = math.inf if value is None else badness(value, self.best(task, metric))
                blocks.setdefault(identity["seed"], {})[identity["sampler"]] = value
            for block in blocks.values():
                for sampler, rank in ranks(block).items():
                    found[sampler].append(rank)
        means = {sampler: sum(rows) / len(rows) if rows else None for sampler, rows in found.items()}
        return dict(sorted(means.items(), key=lambda item: (item[1] is None, item[1] or 0.0)))

    def published(self) -> list[Measured]:
        """Each number that the suite's paper prints beside the measured one, with a verdict."""
        return [measure(self, row) for row in rows_of(self.head, "published", Published)]

    def claims(self) -> list[Decided]:
        """Each claim of the suite's paper, tested."""
        return [decide(self, row) for row in rows_of(self.head, "claims", Claim)]

    @cached_property
    def frame(self) -> pandas.DataFrame:
        """A row per (cell, metric).

        Columns: task, sampler, seed, status, metric, primary, best, score, floor, floor_std, ratio, reason. A cell
        without scores has its rows too, with NaN.
        """
        import pandas

        rows = []
        for record in self.records:
            identity = record["identity"]
            for metric in record["best"] or {"": ""}:
                floor = record["floors"].get(metric) or {}
                value, mean = record["scores"].get(metric), floor.get("mean")
                rows.append(
                    {
                        "task": identity["task"],
                        "sampler": identity["sampler"],
                        "seed": identity["seed"],
                        "status": record["status"],
                        "metric": metric,
                        "primary": metric == record["primary"],
                        "best": record["best"].get(metric, ""),
                        "score": math.nan if value is None else value,
                        "floor": math.nan if mean is None else mean,
                        "floor_std": floor.get("std", math.nan),
                        "ratio": math.nan if value is None or not mean else value / mean,
                        "reason": record["reason"] or record["score_errors"].get(metric, ""),
                    }
                )
        return pandas.DataFrame(rows)

    @cached_property
    def costs(self) -> pandas.DataFrame:
        """A row per cell: task, sampler, seed, status, and every cost."""
        import pandas

        keys = ("task", "sampler", "seed")
        return pandas.DataFrame(
            [
                {**{k: r["identity"][k] for k in keys}, "status": r["status"], "id": r["id"], **r["costs"]}
                for r in self.records
            ]
        )

    def table(
        self, metric: str | None = None, fmt: Literal["terminal", "github"] = "terminal", *, width: int = 100
    ) -> str:
        """Scores beside their floors, ranks, costs, what failed, and what a paper reports, as text.

        Args:
            metric: a metric label; None for each task's own first metric; ``"all"`` for all of them.
            fmt: ``terminal`` or ``github`` (Markdown).
            width: columns of the terminal.

        Raises:
            ConfigurationError: on an unknown metric or format.
        """
        from .tables import render

        return render(self, metric, fmt, width)

    def __str__(self) -> str:
        return self.table()
