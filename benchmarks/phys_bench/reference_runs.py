"""Reference records: results of a suite that ship with the package, so that a sampler is ranked without the others run.

One sealed JSON file a suite, ``references/<suite>.json``: scores, floors and costs of every cell, the machine and the
versions, and what decides whether they may stand beside other results: of every task its law, size, metrics and the
library's code, of every sampler its code. No samples, curves or pictures.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from phys_registry import UnknownComponent
from phys_registry.errors import listing
from phys_samplers import catalogue
from phys_samplers.atomic import write_atomically
from phys_samplers.errors import ConfigurationError, FileError
from phys_samplers.reading import read_bytes, said
from phys_samplers.schema import Malformed, anything, mapping, one_of, rows, table, text

from .canonical import digest
from .cells import cell_of
from .environment import Fingerprints
from .results import Results
from .shapes import LARGEST
from .store import now, seal, unseal

SHIPPED = Path(__file__).with_name("references")
COSTS = (
    *("fit_seconds", "sample_seconds", "cpu_seconds", "nfe", "parameters", "training_steps", "stacked_seeds"),
    *("energy_gradients", "energy_densities", "peak_memory_mib", "shared_fit"),
)
OF_TASK = ("task", "eval_size", "metrics", "primary", "library", "dtype", "protocol")
"""What of a cell's identity says what it was asked, beside the task's code and options; not the version of torch."""
FORMAT = 1
_KNOWN = mapping(table({"target": text(), "source": anything}))
FILE = table(
    {
        "format": one_of(FORMAT),
        "suite": text("the name of a suite", longest=200),
        "made": text(),
        "environment": mapping(),
        "tasks": mapping(table({"key": text(), "floors": mapping(), "best": mapping(text()), "primary": text()})),
        "code": _KNOWN,
        "cells": rows(table({"task": text(), "sampler": text(), "component": text(), "code": rows(text())})),
    }
)


def task_key(identity: Mapping[str, Any]) -> str:
    """Hash of what a cell was asked: equal where scores may stand side by side."""
    own = identity.get("task_component") or {}
    code = {name: own.get(name) for name in ("target", "source", "options", "task_version", "content")}
    asked = {name: identity.get(name) for name in OF_TASK}
    asked["metrics"] = [
        {**metric, "component": {name: (metric.get("component") or {}).get(name) for name in ("target", "source")}}
        for metric in identity.get("metrics") or ()
    ]
    return digest({**asked, "task_component": code})


def make_reference(run: Results) -> bytes:
    """What ships of a run.

    Args:
        run: with its records.

    Raises:
        ConfigurationError: if the run is not whole: a cell without a record, or records of different code or machines.
    """
    listed = run.head.get("cells") or ()
    if not run.cells or len(listed) != len(run.cells):
        raise ConfigurationError(
            f"{run.name} has {len(run.cells)} of {len(listed)} cells; a reference is of a whole run"
        )
    tasks: dict[str, dict[str, Any]] = {}
    code: dict[str, dict[str, Any]] = {}
    cells: list[dict[str, Any]] = []
    machines: dict[str, Mapping[str, Any]] = {}
    for record in run.records:
        identity = record["identity"]
        key = task_key(identity)
        task = tasks.setdefault(
            identity["task"],
            {"key": key, "floors": record["floors"], "best": record["best"], "primary": record["primary"]},
        )
        task["floors"] = task["floors"] or record["floors"]  # a cell that was refused has none
        if task["key"] != key:
            raise ConfigurationError(f"records of {identity['task']} were made by different code; run the suite again")
        kind = identity.get("kind", "sampler")
        own = {f"{kind}/{identity['component']}": identity["sampler_component"], **(identity.get("parts") or {})}
        for name, facts in own.items():
            known = {"target": facts["target"], "source": facts["source"]}
            if code.setdefault(name, known) != known:
                raise ConfigurationError(f"records were made by different code of {name}; run the suite again")
        machine = record.get("environment") or {}
        machines[digest(machine)] = machine
        cells.append(_slim(record, list(own)))
    used = [machine for machine in machines.values() if machine]
    if len(used) != 1:
        raise ConfigurationError(f"records were made on {len(used)} machines or by as many versions; expected one")
    facts = {"format": FORMAT, "suite": run.name, "made": now(), "environment": used[0], "tasks": tasks}
    return seal({**facts, "code": code, "cells": cells})


def _slim(record: Mapping[str, Any], code: list[str]) -> dict[str, Any]:
    identity = record["identity"]
    return {
        "id": record["id"],
        "task": identity["task"],
        "sampler": identity["sampler"],
        "seed": identity["seed"],
        "component": identity["component"],
        "kind": identity.get("kind", "sampler"),
        "code": code,
        "status": record["status"],
        "reason": record["reason"],
        "scores": {name: _short(value) for name, value in record["scores"].items()},
        "score_errors": record["score_errors"],
        "costs": {name: _short(record["costs"][name]) for name in COSTS if name in record["costs"]},
    }


def _short(value: Any) -> Any:
    return float(f"{value:.7g}") if isinstance(value, float) else value


def shipped() -> list[str]:
    """The suites that have a reference."""
    return sorted(path.stem for path in SHIPPED.glob("*.json"))


def write_reference(run: Results, path: str | Path | None = None) -> Path:
    """Write the reference of a run, to ship with the package unless ``path`` says where else."""
    place = SHIPPED / f"{run.name}.json" if path is None else Path(path)
    place.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(place, make_reference(run))
    return place


def read_reference(name: str | Path) -> dict[str, Any]:
    """The reference of a suite by its name, or that in a file.

    Raises:
        ConfigurationError: if there is none.
        FileError: if it is damaged.
    """
    path = Path(name) if str(name).endswith(".json") else SHIPPED / f"{name}.json"
    try:
        return unseal(read_bytes(path, LARGEST), FILE)
    except FileNotFoundError:
        known = listing(shipped()) if shipped() else "none"
        raise ConfigurationError(
            f"there is no reference of suite {str(name)!r}; with this version ship: {known}. Make it with: "
            "phys-samplers bench reference RUN"
        ) from None
    except Malformed as error:
        raise FileError.about(path, said(error)) from None


def with_reference(run: Results, reference: str | Path | None = None) -> Results:
    """A run's own samplers beside those of a reference, ranked together; the run's own replace those of equal name.

    Args:
        run: it has tasks of the suite.
        reference: a suite's name or a file; that of the run's suite if None.

    Returns:
        Cells of the tasks that both have. Notes say what was left out and why, and whose machine the costs are of.

    Raises:
        ConfigurationError: if there is no reference, or nothing of it may stand beside the run: no task in common, or
            the code of all of them has changed.
    """
    data = read_reference(run.name if reference is None else reference)
    keys = {record["identity"]["task"]: task_key(record["identity"]) for record in run.records}
    common = [name for name in run.tasks if name in data["tasks"]]
    if not common:
        raise ConfigurationError(
            f"{run.name} and the reference of {data['suite']} have no task in common; it has {', '.join(data['tasks'])}"
        )
    same = [name for name in common if keys[name] == data["tasks"][name]["key"]]
    made = f"the reference of {data['suite']} ({data['made'][:10]}, {_machine(data['environment'])})"
    if not same:
        raise ConfigurationError(
            f"nothing of {made} may stand beside {run.name}: the code of the library, the tasks or the metrics has "
            "changed since; make it anew with: make reference"
        )
    changed = changed_code(data["code"])
    own, cells, left = set(run.samplers), [], dict[str, list[str]]()
    for row in data["cells"]:
        if row["task"] not in same or row["sampler"] in own:
            continue
        if other := [name for name in row["code"] if name in changed]:
            left[row["sampler"]] = other
            continue
        cells.append(cell_of(_record(row, data["tasks"][row["task"]])))
    notes = [f"{made} stands beside {run.name}; its seconds and memory are those of its machine."]
    notes += [f"{name} is left out: the code of its task has changed." for name in common if name not in same]
    notes += [f"{name} is left out of it: the code of {', '.join(other)} has changed." for name, other in left.items()]
    kept = [cell for cell in run.cells if cell.task in same]
    places = {name: i for i, name in enumerate(same)}
    every = sorted([*kept, *cells], key=lambda cell: (places[cell.task], cell.component != "exact"))
    return Results((), run.head, run.damaged, (*run.notes, *notes), every, run.folder)


def changed_code(code: Mapping[str, Mapping[str, Any]]) -> set[str]:
    """Which components, as ``kind/name``, are other code here, or none at all."""
    here, found = Fingerprints(catalogue.registry), set()
    for name, facts in code.items():
        try:
            source = here.component(*name.split("/", 1))["source"]
        except UnknownComponent:
            source = None
        if source is None or source != facts["source"]:
            found.add(name)
    return found


def _record(row: Mapping[str, Any], task: Mapping[str, Any]) -> dict[str, Any]:
    """A record as ``cell_of`` reads it."""
    identity = {name: row[name] for name in ("task", "sampler", "seed", "component", "kind")}
    facts = {name: row[name] for name in ("id", "status", "reason", "scores", "score_errors", "costs")}
    floors = {} if row["status"] == "incompatible" else task["floors"]
    return {
        **facts,
        "identity": identity,
        "floors": floors,
        "best": task["best"],
        "primary": task["primary"],
        "arrays": {},
    }


def _machine(environment: Mapping[str, Any]) -> str:
    versions = environment.get("versions") or {}
    parts = (f"{name} {versions[name]}" for name in ("phys-samplers", "torch") if versions.get(name))
    system = " ".join(str(environment.get(name, "")) for name in ("system", "machine")).strip()
    return ", ".join([*parts, system, environment.get("device_name") or f"{environment.get('cpu_count')} cores"])
