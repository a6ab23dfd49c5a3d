"""The one place of the report that knows how a run folder is written; everything else sees `Run` and `Cell`.

A file that is missing, truncated or edited is named in `Run.damaged` (or in the text that `read_arrays` returns) and
costs nothing but itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from phys_bench.folders import load
from phys_bench.store import RunFolder

from .view import Cell, FloatArray, Floor, Run

_ROWS = ("samples", "reference", "nearest", "grid", "g", "score")  # points or vectors; the others are numbers
_SOURCES = {
    "exact": "exact draws against the reference rows",
    "train": "training rows against the held-out reference rows",
    "heldout": "disjoint parts of the held-out rows against each other",
}


def read_run(folder: str | Path) -> Run:
    """Read ``run.json`` and the records of a run folder.

    Args:
        folder: the run folder.

    Returns:
        The run; unusable files are named in it.

    Raises:
        ConfigurationError: if ``folder`` is not a run folder.
    """
    results, store = load(folder), RunFolder(folder)
    broken_arrays = {damage.id: damage.reason for damage in results.damaged if damage.file.startswith("arrays/")}
    cells = [_cell(record, store, broken_arrays.get(record["id"], "")) for record in results.records]
    notes = [note for note in results.notes if not note.startswith(("records/", "arrays/"))]  # these are `damaged`
    if not results.head.get("cells"):
        cells.sort(key=lambda cell: (cell.task, cell.component != "exact", cell.sampler, cell.seed))
        notes.append("run.json is missing or damaged: rows are in alphabetical order.")
    return Run(
        suite=str((results.head.get("suite") or {}).get("name") or store.path.resolve().name),
        summary=str((results.head.get("suite") or {}).get("summary") or ""),
        started=str(results.head.get("started") or "")[:16].replace("T", " "),
        environment=results.head.get("environment") or next((c.environment for c in cells if c.environment), {}),
        cells=tuple(cells),
        mean_ranks=results.mean_ranks(),
        notes=tuple(notes),
        damaged=tuple((damage.file, damage.reason) for damage in results.damaged),
        published=tuple(results.published()),
        claims=tuple(results.claims()),
    )


def _cell(record: Mapping[str, Any], store: RunFolder, arrays_problem: str) -> Cell:
    identity = record["identity"]
    return Cell(
        id=record["id"],
        task=identity["task"],
        sampler=identity["sampler"],
        seed=identity["seed"],
        component=identity["component"],
        kind=identity.get("kind", "sampler"),
        status=record["status"],
        reason=record["reason"],
        traceback=record["traceback"],
        options=identity["options"],
        scores=_numbers(record["scores"]),
        floors={name: floor for name, facts in record["floors"].items() if (floor := _floor(facts)) is not None},
        costs=_numbers(record["costs"]),
        diagnostics=record["diagnostics"],
        history=_history(record["history"]),
        score_errors={name: str(error) for name, error in record["score_errors"].items()},
        parts=tuple(identity.get("parts") or ()),
        best=record["best"],
        primary=record["primary"],
        environment=record["environment"],
        shared_fit=record["costs"].get("shared_fit") is True,
        event_shape=tuple((record["arrays"] or {}).get("event_shape") or ()),
        arrays_path=store.arrays_file(record["id"]) if record["arrays"] else None,
        arrays_problem=arrays_problem,
    )


def _numbers(values: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a mapping; a JSON null stands for a value that is not finite or not known."""
    return {k: float(v) for k, v in values.items() if isinstance(v, int | float) and not isinstance(v, bool)}


def _floor(facts: Mapping[str, Any] | None) -> Floor | None:
    if not facts or facts.get("mean") is None:
        return None
    source = str(facts.get("source") or "")
    return Floor(float(facts["mean"]), float(facts.get("std") or 0.0), _SOURCES.get(source, source))


def _history(rows: Any) -> dict[str, tuple[FloatArray, FloatArray]]:
    """Curves from a list of ``{"step": ..., "loss": ...}`` rows; values that are not finite numbers are left out."""
    curves: dict[str, tuple[list[float], list[float]]] = {}
    for row in rows if isinstance(rows, list) else []:
        numbers = _numbers(row) if isinstance(row, Mapping) else {}
        step = numbers.pop("step", None)
        if step is None:
            continue
        for name, value in numbers.items():
            if np.isfinite(value):
                steps, values = curves.setdefault(name, ([], []))
                steps.append(step)
                values.append(value)
    return {name: (np.array(s), np.array(v)) for name, (s, v) in curves.items() if len(s) > 1}


def read_arrays(cell: Cell) -> dict[str, FloatArray] | str:
    """Samples and fields of a cell, or a sentence saying why there are none.

    Args:
        cell: a finished cell.

    Returns:
        ``samples`` (n, D) and ``reference`` (m, D); for images ``nearest`` (k, D), the training rows nearest to the
        first samples; where the sampler has fields, ``grid`` (G, D) with ``s`` (G,) and ``g`` or ``score`` (G, D);
        beyond two dimensions ``energies`` (n,) and ``reference_energies`` (m,) where the task has a density, and the
        layout ``particles`` (2,) of systems of particles.
    """
    if cell.arrays_path is None:
        return "the run kept no samples of this cell"
    name = cell.arrays_path.name
    if cell.arrays_problem:
        return f"the file {name} is not used: {cell.arrays_problem}"
    from safetensors.numpy import load_file

    try:
        loaded = load_file(cell.arrays_path)
    except Exception as error:  # safetensors raises several kinds, none of them public
        return f"the file {name} cannot be read: {error}"
    arrays = {key: np.asarray(value, dtype=np.float64) for key, value in loaded.items() if value.size}
    arrays = {key: v.reshape(len(v), -1) if key in _ROWS else v.reshape(-1) for key, v in arrays.items()}
    missing = [key for key in ("samples", "reference") if key not in arrays]
    if missing:
        return f"the file {name} holds no {' and no '.join(missing)}"
    if arrays["samples"].shape[1] != arrays["reference"].shape[1]:
        return f"the file {name} holds samples and reference rows of different dimension"
    fields = [key for key in ("s", "g", "score") if key in arrays]
    for key in fields:
        if "grid" not in arrays or len(arrays[key]) != len(arrays["grid"]):
            del arrays[key]
    return arrays
