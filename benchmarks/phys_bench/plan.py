"""Which cells a run has, which of them exist, and what is left to do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from tabulate import tabulate

from .cell import Cell
from .store import Damage
from .suite import Suite

State = Literal["run", "kept", "refused"]


@dataclass(frozen=True)
class PlannedCell:
    """A cell and what is to be done about it.

    Args:
        cell: the cell.
        state: ``run``; ``kept``: its record exists; ``refused``: it cannot be run.
        why: for people; empty for a new cell.
        record: the existing record.
    """

    cell: Cell
    state: State
    why: str = ""
    record: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Plan:
    """What a run would do.

    Args:
        suite: the suite.
        device: ``cpu`` or ``cuda``.
        cells: by task, sampler, seed.
        damaged: files of the run folder that cannot be used.
    """

    suite: Suite
    device: str
    cells: tuple[PlannedCell, ...]
    damaged: tuple[Damage, ...] = ()

    @property
    def todo(self) -> list[Cell]:
        """The cells to run."""
        return [planned.cell for planned in self.cells if planned.state == "run"]

    def summary(self) -> str:
        """One line: how many cells there are, exist, are refused and left, and how long these may take."""
        count = Counter(planned.state for planned in self.cells)
        known = [(p.cell.key["task"], p.cell.key["sampler"], p.record["costs"]) for p in self.cells if p.record]
        seconds = seconds_left([(cell.key["task"], cell.key["sampler"]) for cell in self.todo], known)
        return (
            f"{len(self.cells)} cells: {count['kept']} exist, {count['refused']} cannot be run, "
            f"{count['run']} to run on {self.device}" + (f", {in_words(seconds)}" if seconds else "")
        )

    def table(self) -> str:
        """A row per (task, sampler): seeds by what is to be done, and why; one row for a task that cannot be made."""
        groups: dict[tuple[str, str], list[PlannedCell]] = {}
        for planned in self.cells:
            pair = planned.cell.pair
            groups.setdefault((pair.task.label, "" if pair.task.problem else pair.sampler), []).append(planned)
        rows = []
        for (task, sampler), members in groups.items():
            if not sampler:
                samplers = dict.fromkeys(m.cell.pair.sampler for m in members)
                rows.append([task, f"all {len(samplers)}", "", "", "all", members[0].why])
                continue
            seeds = {
                state: ",".join(str(m.cell.seed) for m in members if m.state == state)
                for state in ("run", "kept", "refused")
            }
            why = "; ".join(dict.fromkeys(m.why for m in members if m.why))
            rows.append([task, sampler, *seeds.values(), why])
        headers = ["task", "sampler", "run seeds", "exist", "refused", "why"]
        text = tabulate(rows, headers, tablefmt="simple", maxcolwidths=[16, 30, 10, 10, 8, 40], disable_numparse=True)
        return f"{text}\n\n{self.summary()}"


def seconds_left(
    missing: Sequence[tuple[str, str]], known: Iterable[tuple[str, str, Mapping[str, Any]]]
) -> float | None:
    """Seconds of fitting and sampling that cells will take one after another, by what others took; None if unknown.

    Args:
        missing: task and sampler of every cell that is left.
        known: task, sampler and costs of cells that were run. The mean over seeds of the same task and sampler counts,
            else that of the same sampler, else that of all.
    """
    took: dict[tuple[str, str], list[float]] = {}
    for task, sampler, costs in known:
        if (sampling := costs.get("sample_seconds")) is not None:
            fitting = 0.0 if costs.get("shared_fit") else costs.get("fit_seconds") or 0.0
            for key in ((task, sampler), ("", sampler), ("", "")):
                took.setdefault(key, []).append(fitting + sampling)
    if not took or not missing:
        return None
    rows = (took.get((task, sampler)) or took.get(("", sampler)) or took["", ""] for task, sampler in missing)
    return sum(sum(row) / len(row) for row in rows)


def in_words(seconds: float) -> str:
    """How long cells will take, for people."""
    long = next((f"{seconds / n:.1f} {unit}" for n, unit in ((3600, "h"), (60, "min")) if seconds >= n), "")
    return f"about {long or f'{seconds:.0f} s'} of fitting and sampling, over the number of workers"


def plan_cells(
    cells: list[Cell], records: Mapping[str, Mapping[str, Any]], damaged: tuple[Damage, ...], *, retry_failed: bool
) -> tuple[PlannedCell, ...]:
    """Decide about every cell.

    A record that exists is kept. Failed, diverged and timed-out cells are kept too, since with the same seed and code
    they end the same way, unless ``retry_failed``, unless they hit a limit that is higher now, or unless they were
    killed from outside.
    """
    broken = {damage.id: damage for damage in damaged}
    found = []
    for cell in cells:
        record, refusal, why = records.get(cell.id), cell.pair.refusal, ""
        state: State = "run"
        if refusal is not None:
            state, why = "refused", f"{refusal.status}: {refusal.reason}"
        elif cell.id in broken:
            why, record = f"{broken[cell.id].file} is damaged: {broken[cell.id].reason}", None
        elif record is not None:
            again = _worth_retrying(cell, record, retry_failed)
            state, why = ("run" if again else "kept"), again
            if not again and record["status"] != "ok":
                why = f"{record['status']}: {record['reason']}"
        found.append(PlannedCell(cell, state, why, record))
    return tuple(found)


def _worth_retrying(cell: Cell, record: Mapping[str, Any], retry_failed: bool) -> str:
    """Why a cell with a record is run again; empty if it is not."""
    if record["status"] in ("ok", "incompatible"):
        return ""
    if retry_failed:
        return f"{record['status']} before, tried again"
    hit, budget = record.get("hit_limit"), cell.pair.budget
    if hit == "outside":
        return f"{record['reason']}, which was not the cell's own doing"
    if hit == "seconds" and budget.seconds > record["budget"]["seconds"]:
        return f"the limit is {budget.seconds:g} s now, it was {record['budget']['seconds']:g} s"
    if hit == "memory" and budget.memory_mib > record["budget"]["memory_mib"]:
        return f"the limit is {budget.memory_mib:g} MiB now, it was {record['budget']['memory_mib']:g} MiB"
    return ""
