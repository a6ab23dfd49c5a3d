"""Run folders: what ``run.json`` says of one; load a finished one, see how far it is, merge several."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from phys_samplers.atomic import write_atomically
from phys_samplers.errors import ConfigurationError
from phys_samplers.reading import read_bytes

from .results import Results
from .results import merge as merge_results
from .shapes import LARGEST_ARRAYS
from .store import RunFolder, listed_ids, now

if TYPE_CHECKING:
    from .plan import Plan


def load(path: str | Path) -> Results:
    """The results that a run folder holds.

    Args:
        path: the folder.

    Raises:
        ConfigurationError: if it is not a run folder.
    """
    folder = RunFolder(path)
    if not folder.exists:
        raise ConfigurationError(f"{folder.path} is not a run folder: it holds neither run.json nor records")
    head = folder.read_head()
    ids = listed_ids(head)
    results = Results.read(folder, ids, head)
    missing = len(ids or ()) - len(results.cells)
    notes = []
    if ids is None:
        problem = folder.head_damage() or "run.json is missing"
        notes.append(
            f"{problem}; every record is shown, rows are in alphabetical order, and what a paper reports is left out. "
            "Run the suite again to renew it."
        )
    if ids and missing:
        notes.append(f"{missing} of {len(ids)} cells have no record yet; run the suite to complete it.")
    notes += [f"{damage.file} is damaged: {damage.reason}." for damage in results.damaged]
    results.notes += tuple(notes)
    return results


def status(path: str | Path) -> dict[str, Any]:
    """How far a run is.

    Args:
        path: the run folder.

    Returns:
        ``suite``, ``folder``, ``cells`` (all of them, None if unknown), ``missing``, ``seconds_left`` (of fitting and
        sampling by what the others took, None if unknown), ``counts`` by status, ``damaged`` (file and reason) and
        ``stale``, the number of records of no cell of the run, left by earlier code or options.

    Raises:
        ConfigurationError: if it is not a run folder.
    """
    from .plan import seconds_left  # it plans fits, and so loads torch

    results, folder = load(path), RunFolder(path)
    ids = listed_ids(results.head)
    counts: dict[str, int] = {}
    for cell in results.cells:
        counts[cell.status] = counts.get(cell.status, 0) + 1
    here = {cell.id for cell in results.cells}
    rows = [(row["task"], row["sampler"]) for row in results.head.get("cells") or () if row["id"] not in here]
    known = ((c.task, c.sampler, {**c.costs, "shared_fit": c.shared_fit}) for c in results.cells)
    kept = {file.stem for file in (folder.path / "records").glob("*.json")}
    return {
        "suite": (results.head.get("suite") or {}).get("name", folder.path.name),
        "folder": str(folder.path),
        "cells": None if ids is None else len(ids),
        "missing": 0 if ids is None else len(ids) - len(results.cells),
        "seconds_left": seconds_left(rows, known),
        "counts": counts,
        "damaged": [{"file": damage.file, "reason": damage.reason} for damage in results.damaged],
        "stale": len(kept - set(ids)) if ids is not None else 0,
    }


def merge(*runs: str | Path | Results, out: str | Path | None = None, on_conflict: str = "error") -> Results:
    """The union of several runs.

    Args:
        runs: run folders or results.
        out: folder to write the union to; it must not hold a run. Arrays are copied from run folders only.
        on_conflict: ``error``; ``first`` or ``last``: which run's record is kept where records of one cell differ.

    Raises:
        ConfigurationError: on a conflict, or if ``out`` holds a run.
    """
    loaded = [one if isinstance(one, Results) else load(one) for one in runs]
    union = merge_results(loaded, on_conflict=on_conflict)
    if out is None:
        return union
    folder = RunFolder(out)
    if folder.exists:
        raise ConfigurationError(f"{folder.path} holds a run already; give another folder")
    folder.prepare()
    with folder.owned():
        if (folder.path / "run.json").exists():  # by now
            raise ConfigurationError(f"{folder.path} holds a run already; give another folder")
        cells = [{"task": c.task, "sampler": c.sampler, "seed": c.seed, "id": c.id} for c in union.cells]
        suite = {**(union.head.get("suite") or {}), "tasks": union.tasks, "samplers": union.samplers}
        best = {name: union.best(name) for name in union.metrics()}
        primary = {task: union.primary(task) for task in union.tasks}
        folder.write_head({**union.head, "suite": suite, "cells": cells, "best": best, "primary": primary})
        sources = [RunFolder(one) for one in runs if not isinstance(one, Results)]
        for record in union.records:
            for source in sources:
                if record["arrays"] and not source.arrays_problem(record):
                    content = read_bytes(source.arrays_file(record["id"]), LARGEST_ARRAYS)
                    write_atomically(folder.arrays_file(record["id"]), content)
            folder.write_record(record)
    written = load(out)
    written.notes = tuple(dict.fromkeys((*union.notes, *written.notes)))  # what the runs lacked is said here only
    return written


FORMAT = 1


def new_head(
    plan: Plan, old: Mapping[str, Any] | None, *, executor: str, workers: int, environment: Mapping[str, Any]
) -> dict[str, Any]:
    """The head of a run in that environment: that of the folder so far, with the cells of ``plan`` added.

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
        "environment": dict(environment),
        "best": best,
        "primary": primary,
        "cells": rows,
        **({"tuning": old["tuning"]} if old and old.get("tuning") else {}),
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
            f"{folder.path} holds a run of suite {found!r}; give another folder for suite {suite!r} "
            "(`--out`, in Python `out=`)"
        )
