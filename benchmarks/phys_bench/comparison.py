"""Several runs together: what differs between two, and the union of many."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from phys_samplers.errors import ConfigurationError

from .record import same_result
from .results import Record, Results
from .statistics import EXACT_VALUE, badness, paired_difference

if TYPE_CHECKING:
    import pandas


def compare(first: Results, second: Results) -> pandas.DataFrame:
    """Differences between two runs, paired by seed.

    Returns:
        A row per (task, sampler, metric) that both have scores of: ``mean_first``, ``mean_second``, ``difference``
        (second − first), its 95 % bootstrap interval ``low``, ``high`` over the shared seeds, their number ``pairs``,
        and ``verdict``: ``better``, ``worse`` (the interval leaves out zero), ``equal`` (no difference) or ``unclear``.
        For metrics whose best value is 0, ½ or 1, the difference is that of the distances from it.
    """
    import pandas

    columns = [
        "task",
        "sampler",
        "metric",
        "mean_first",
        "mean_second",
        "difference",
        "low",
        "high",
        "pairs",
        "verdict",
    ]
    rows = []
    for task in first.tasks:
        for sampler in first.samplers:
            for metric in first.metrics(task):
                best = first.best(task, metric)
                a, b = first.scores(task, sampler, metric), second.scores(task, sampler, metric)
                signed = best in EXACT_VALUE
                shown = [{s: badness(v, best) if signed else v for s, v in rows_.items()} for rows_ in (a, b)]
                found = paired_difference(*shown)
                if found is None:
                    continue
                low, high = (-found.high, -found.low) if best == "high" else (found.low, found.high)
                verdict = "better" if high < 0 else "worse" if low > 0 else "equal" if low == high == 0 else "unclear"
                if found.count < 2 and verdict != "equal":
                    verdict = "unclear"  # one pair says nothing of the spread
                shared = a.keys() & b.keys()
                means = [sum(values[s] for s in shared) / len(shared) for values in (a, b)]
                rows.append([task, sampler, metric, *means, found.mean, found.low, found.high, found.count, verdict])
    return pandas.DataFrame(rows, columns=columns)


@dataclass(frozen=True)
class Conflict:
    """Two different records where one was expected.

    Args:
        task: task label.
        sampler: sampler label.
        seed: the seed.
        reason: how they differ.
    """

    task: str
    sampler: str
    seed: int
    reason: str


def find_conflicts(runs: Sequence[Results]) -> list[Conflict]:
    """Cells that several runs have, with other results or of other code and options."""
    seen: dict[tuple[str, str, int], Record] = {}
    found = []
    for run in runs:
        for record in run.records:
            identity = record["identity"]
            key = (identity["task"], identity["sampler"], identity["seed"])
            other = seen.setdefault(key, record)
            if other["id"] != record["id"]:
                facts = sorted(k for k in identity if identity[k] != other["identity"].get(k))
                found.append(Conflict(*key, f"the identities differ in {', '.join(facts)}"))
            elif not same_result(other, record):
                found.append(Conflict(*key, "the same identity gave different results"))
    return found


def merge(runs: Sequence[Results], *, on_conflict: str = "error") -> Results:
    """The union of several runs.

    Args:
        runs: the runs; their order is the order of rows.
        on_conflict: ``error``; ``first`` or ``last``: which run's record is kept where records differ.

    Raises:
        ConfigurationError: on a conflict, if ``on_conflict`` is ``error``; it names the cells.
    """
    if on_conflict not in ("error", "first", "last"):
        raise ConfigurationError(f"on_conflict is {on_conflict!r}; expected 'error', 'first' or 'last'")
    if not runs:
        raise ConfigurationError("there is nothing to merge; give at least one run")
    conflicts = find_conflicts(runs)
    if conflicts and on_conflict == "error":
        named = "; ".join(f"{c.task} / {c.sampler} / seed {c.seed}: {c.reason}" for c in conflicts[:5])
        more = f" and {len(conflicts) - 5} more" if len(conflicts) > 5 else ""
        raise ConfigurationError(
            f"{len(conflicts)} cells differ between the runs: {named}{more}; choose with on_conflict='first' or 'last'"
        )
    chosen: dict[tuple[str, str, int], Record] = {}
    for run in runs:
        for record in run.records:
            key = (record["identity"]["task"], record["identity"]["sampler"], record["identity"]["seed"])
            if key not in chosen or on_conflict == "last":
                chosen[key] = record
    notes = [note for run in runs for note in run.notes]
    if conflicts:
        notes.append(f"{len(conflicts)} cells differed between the merged runs; the {on_conflict} one is shown.")
    tasks = list(dict.fromkeys(task for run in runs for task in run.tasks))
    samplers = list(dict.fromkeys(sampler for run in runs for sampler in run.samplers))
    rows = [chosen[key] for key in sorted(chosen, key=lambda k: (tasks.index(k[0]), samplers.index(k[1]), k[2]))]
    damaged = [damage for run in runs for damage in run.damaged]
    return Results(rows, dict(runs[0].head), damaged, list(dict.fromkeys(notes)))
