"""``run.json``: what a run folder is about, and which of its records belong to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from phys_samplers.errors import ConfigurationError

from .environment import environment
from .plan import Plan
from .store import RunFolder, now

FORMAT = 1


def new_head(plan: Plan, old: Mapping[str, Any] | None, *, executor: str, workers: int) -> dict[str, Any]:
    """The head of a run: that of the folder so far, with the cells of ``plan`` added.

    A cell with the same task, sampler and seed takes the place of the old one, which other code or options made.
    """
    suite = plan.suite.to_dict()
    key = ("task", "sampler", "seed")
    listed = {tuple(row[k] for k in key): row for row in (old or {}).get("cells", [])}
    listed |= {tuple(p.cell.key[k] for k in key): {**p.cell.key, "id": p.cell.id} for p in plan.cells}
    suite["tasks"] = list(dict.fromkeys(task for task, _, _ in listed))
    suite["samplers"] = list(dict.fromkeys(sampler for _, sampler, _ in listed))
    suite["seeds"] = sorted({seed for _, _, seed in listed})
    best, primary = dict((old or {}).get("best", {})), dict((old or {}).get("primary", {}))
    for planned in plan.cells:
        task = planned.cell.pair.task
        best |= {metric.label: metric.best for metric in task.metrics}
        primary[task.label] = task.primary
    places = [{name: i for i, name in enumerate(suite[names])} for names in ("tasks", "samplers")]
    rows = sorted(listed.values(), key=lambda r: (places[0][r["task"]], places[1][r["sampler"]], r["seed"]))
    return {
        "format": FORMAT,
        "suite": suite,
        "started": now(),
        "device": plan.device,
        "executor": executor,
        "workers": workers,
        "environment": environment(plan.device),
        "best": best,
        "primary": primary,
        "cells": rows,
    }


def check_owner(folder: RunFolder, suite: str) -> None:
    """Refuse to mix suites in one folder.

    Raises:
        ConfigurationError: naming both.
    """
    head = folder.read_head() or {}
    found = (head.get("suite") or {}).get("name", suite)
    if found != suite:
        raise ConfigurationError(
            f"{folder.path} holds a run of suite {found!r}; give another folder for suite {suite!r} (out=...)"
        )
