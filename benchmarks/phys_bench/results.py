"""What a run found, computed from its records alone; what differs between two runs, and the union of several."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

from phys_registry.errors import printable
from phys_samplers.errors import ConfigurationError, FileError

from .cells import Cell, Cells, Shared, cell_of
from .conflicts import check_ways, find_conflicts
from .findings import Decided, Measured, decide, measure
from .published import Claim, Published, rows_of
from .statistics import EXACT_VALUE, Estimate, paired_difference, verdicts
from .store import Damage, RunFolder
from .summary import run_text

if TYPE_CHECKING:
    import pandas

Record = Mapping[str, Any]


class Records(Sequence[Record]):
    """The records of a run folder, read when they are asked for: thousands of them would not fit into memory.

    Args:
        folder: the run folder.
        ids: of the records, in order.
    """

    def __init__(self, folder: RunFolder, ids: Sequence[str]) -> None:
        self._folder = folder
        self._ids = tuple(ids)

    def __len__(self) -> int:
        return len(self._ids)

    @overload
    def __getitem__(self, index: int) -> Record: ...
    @overload
    def __getitem__(self, index: slice) -> Records: ...
    def __getitem__(self, index: int | slice) -> Record | Records:
        if isinstance(index, slice):
            return Records(self._folder, self._ids[index])
        return self._folder.read_record(self._ids[index])


class Results(Cells):
    """The cells of a run, with tables and data frames.

    Args:
        records: in the order of the suite.
        head: what ``run.json`` says.
        damaged: files that could not be used.
        notes: what a reader should know, one sentence each.
        cells: what the records describe; made of them unless given.
        folder: where they lie, if they do.
    """

    def __init__(
        self,
        records: Sequence[Record] = (),
        head: Mapping[str, Any] | None = None,
        damaged: Sequence[Damage] = (),
        notes: Sequence[str] = (),
        cells: Iterable[Cell] | None = None,
        folder: Path = Path(),
    ) -> None:
        self.records, self.folder = records, folder
        self.head: Mapping[str, Any] = head or {}
        self.damaged, self.notes = tuple(damaged), tuple(notes)
        shared = Shared()
        super().__init__(
            [cell_of(record, shared) for record in records] if cells is None else cells, self.head.get("best")
        )

    @classmethod
    def read(cls, folder: RunFolder, ids: Iterable[str] | None, head: Mapping[str, Any] | None = None) -> Results:
        """The results that a run folder holds; files that cannot be used are named in ``damaged``.

        Args:
            folder: the run folder.
            ids: of the cells, in order; those without a record are left out. All records if None.
            head: what ``run.json`` says.
        """
        shared, cells, damaged = Shared(), [], []
        for id_ in folder.record_ids() if ids is None else dict.fromkeys(ids):
            try:
                record = folder.read_record(id_)
            except FileNotFoundError:
                continue
            except FileError as error:
                damaged.append(Damage(f"records/{id_}.json", error.problem, id_))
                continue
            if problem := folder.arrays_problem(record):
                damaged.append(Damage(f"arrays/{id_}.safetensors", problem, id_))
            cells.append(cell_of(record, shared, folder.arrays_file(id_), problem))
        if ids is None:
            cells.sort(key=lambda cell: (cell.task, cell.component != "exact", cell.sampler, cell.seed))
        records = Records(folder, [cell.id for cell in cells])
        notes = code_notes(cells)
        if found := (head or {}).get("tuning"):
            notes.append(f"options were chosen by {found.get('trials')} trials of each sampler on validation rows.")
        return cls(records, head, damaged, notes, cells, folder.path)

    def published(self) -> list[Measured]:
        """Each number that the suite's paper prints beside the measured one, with a verdict."""
        return [measure(self, row, self.seeds) for row in rows_of(self.head, "published", Published)]

    def claims(self) -> list[Decided]:
        """Each claim of the suite's paper, tested."""
        return decide(self, rows_of(self.head, "claims", Claim), self.seeds)

    @property
    def name(self) -> str:
        """Of the suite; that of the folder where ``run.json`` does not say."""
        return str((self.head.get("suite") or {}).get("name") or self.folder.resolve().name)

    @property
    def seeds(self) -> Sequence[int]:
        """The seeds of the suite, as far as ``run.json`` says."""
        return (self.head.get("suite") or {}).get("seeds") or ()

    @cached_property
    def frame(self) -> pandas.DataFrame:
        """A row per (cell, metric).

        Columns: task, sampler, seed, status, metric, primary, best, score, floor, floor_std, ratio, reason. A cell
        without scores has its rows too, with NaN.
        """
        import pandas

        rows = []
        for cell in self.cells:
            for metric in cell.best or {"": ""}:
                floor, value = cell.floors.get(metric), cell.scores.get(metric, math.nan)
                rows.append(
                    {
                        "task": cell.task,
                        "sampler": cell.sampler,
                        "seed": cell.seed,
                        "status": cell.status,
                        "metric": metric,
                        "primary": metric == cell.primary,
                        "best": cell.best.get(metric, ""),
                        "score": value,
                        "floor": floor.mean if floor else math.nan,
                        "floor_std": floor.std if floor else math.nan,
                        "ratio": value / floor.mean if floor and floor.mean else math.nan,
                        "reason": cell.reason or cell.score_errors.get(metric, ""),
                    }
                )
        return pandas.DataFrame(rows)

    @cached_property
    def costs(self) -> pandas.DataFrame:
        """A row per cell: task, sampler, seed, status, and every cost."""
        import pandas

        facts = (
            {k: getattr(c, k) for k in ("task", "sampler", "seed", "status", "id", "shared_fit")} for c in self.cells
        )
        return pandas.DataFrame([{**row, **cell.costs} for row, cell in zip(facts, self.cells, strict=True)])

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
        text = run_text(self, self.published(), self.claims(), self.notes, metric=metric, fmt=fmt, width=width)
        return printable(text)  # records may come from elsewhere

    def __str__(self) -> str:
        return self.table()

    def _repr_html_(self) -> str:
        """Mean scores by each task's first metric, for notebooks."""
        rows = self.frame[self.frame.primary & self.frame.score.notna()] if self.cells else self.frame
        if not len(rows):
            return f"<p>{escape(repr(self))}</p>"
        named = rows.assign(task=rows.task + " · " + rows.metric)
        means = named.pivot_table("score", "sampler", "task", "mean", sort=False)
        means.loc["floor"] = named.groupby("task").floor.mean()
        table = means.to_html(float_format="{:.4g}".format, na_rep="–")
        return f"<p>{escape(repr(self))}</p>{table}"

    def __repr__(self) -> str:
        return (
            f"Results({_count(len(self.cells), 'cell')}: {_count(len(self.tasks), 'task')}, "
            f"{_count(len(self.samplers), 'sampler')}, {len(self.failures):,} without a score)"
        )


def _count(number: int, word: str) -> str:
    return f"{number:,} {word}{'s' * (number != 1)}"


def code_notes(cells: Sequence[Cell]) -> list[str]:
    """What a reader should know where records were made by different code or on different devices."""
    notes = []
    sources: dict[str, set[str]] = {}
    for made in {id(cell.sources): cell.sources for cell in cells}.values():
        for name, source in made.items():
            sources.setdefault(name, set()).add(source)
    if changed := [name for name, found in sources.items() if len(found) > 1]:
        notes.append(
            f"the records were made by different versions of the source of {', '.join(changed)}; run the suite again "
            "to renew them."
        )
    devices = sorted({cell.device for cell in cells})
    if len(devices) > 1:
        notes.append(f"the records were made on different devices ({', '.join(devices)}).")
    return notes


def compare(first: Results, second: Results, metric: str = "all") -> pandas.DataFrame:
    """Differences between two runs, paired by seed.

    Args:
        first: a run.
        second: another one.
        metric: a metric label, ``primary`` for each task's first metric, or ``all``.

    Returns:
        A row per (task, sampler, metric) that both have cells of: ``mean_first``, ``mean_second``, ``difference``
        (second − first), its 95 % interval ``low``, ``high`` over the shared seeds, their number ``pairs``, and
        ``verdict``: ``better``, ``worse`` (at 5 %, by Student's t test with Holm's correction over all rows of the
        table, from three seeds on), ``equal`` (no difference) or ``unclear``. A sampler without any score in a run
        stays, with the verdict ``failed in first``, ``failed in second`` or ``failed in both``, or ``incompatible``
        where neither could try; ``failed_first`` and ``failed_second`` count the cells without a score. For metrics
        whose best value is 0, ½ or 1, the difference is that of the distances from it.

    Raises:
        ConfigurationError: if the runs share no score of ``metric``, or disagree on which way one is better.
    """
    import pandas

    check_ways((first, second))
    columns = ["task", "sampler", "metric", "mean_first", "mean_second", "difference", "low", "high", "pairs"]
    columns += ["failed_first", "failed_second"]
    rows: list[list[Any]] = []
    found: list[Estimate | None] = []
    failed: list[str] = []
    known: dict[str, None] = {}
    for task in first.tasks:
        for sampler in first.samplers:
            lost = [sum(not cell.ok for cell in run.select(task, sampler)) for run in (first, second)]
            for name in first.metrics(task) or second.metrics(task):
                a, b = first.scores(task, sampler, name), second.scores(task, sampler, name)
                shared = a.keys() & b.keys()
                known |= {name: None} if shared else {}
                if (first.primary(task) if metric == "primary" else metric) not in ("all", name):
                    continue
                word = _failed(a, b, lost) if second.select(task, sampler) else ""
                if word == "failed in both" and all(
                    cell.status == "incompatible" for run in (first, second) for cell in run.select(task, sampler)
                ):
                    word = "incompatible"
                if word:
                    means = [statistics.fmean(values.values()) if values else math.nan for values in (a, b)]
                    rows.append([task, sampler, name, *means, *[math.nan] * 3, 0, *lost])
                    found.append(None)
                if word or shared:
                    failed.append(word)
                if not shared:
                    continue
                best = first.best(name)
                worse = paired_difference(*(run.badnesses(task, sampler, name) for run in (first, second)))
                shown = worse if best in EXACT_VALUE else paired_difference(a, b)
                found.append(worse)
                means = [sum(values[seed] for seed in shared) / len(shared) for values in (a, b)]
                ends = [shown.mean, shown.low, shown.high, shown.count] if shown else [math.nan] * 3 + [0]
                rows.append([task, sampler, name, *means, *ends, *lost])
    if metric not in ("all", "primary", *known):
        raise ConfigurationError(
            f"no cell of both runs has the metric {metric!r}; they share {', '.join(known) or 'none'}"
        )
    frame = pandas.DataFrame(rows, columns=columns)
    return frame.assign(verdict=[word or verdict for word, verdict in zip(failed, verdicts(found), strict=True)])


def _failed(first: Mapping[int, float], second: Mapping[int, float], lost: Sequence[int]) -> str:
    """In which of two runs a sampler failed everywhere; empty if in neither."""
    bad = [not values and count > 0 for values, count in zip((first, second), lost, strict=True)]
    return {(True, True): "failed in both", (True, False): "failed in first", (False, True): "failed in second"}.get(
        (bad[0], bad[1]), ""
    )


def merge(runs: Sequence[Results], *, on_conflict: str = "error") -> Results:
    """The union of several runs.

    Args:
        runs: the runs; their order is the order of rows.
        on_conflict: ``error``; ``first`` or ``last``: which run's record is kept where records differ.

    Raises:
        ConfigurationError: on a conflict, if ``on_conflict`` is ``error``; it names the cells. And if the runs
            disagree on which way a metric is better, which would turn the ranks of others round.
    """
    if on_conflict not in ("error", "first", "last"):
        raise ConfigurationError(f"on_conflict is {on_conflict!r}; expected 'error', 'first' or 'last'")
    if not runs:
        raise ConfigurationError("there is nothing to merge; give at least one run")
    check_ways(runs)
    conflicts = find_conflicts(runs)
    more = f" and {len(conflicts) - 5} more" if len(conflicts) > 5 else ""
    named = "; ".join(f"{c.task} / {c.sampler} / seed {c.seed}: {c.reason}" for c in conflicts[:5]) + more
    if conflicts and on_conflict == "error":
        raise ConfigurationError(
            f"{len(conflicts)} cells differ between the runs: {named}; "
            "keep the first or the last of each (`--on-conflict`, in Python `on_conflict=`)"
        )
    chosen: dict[tuple[str, str, int], tuple[Results, int]] = {}
    for run in runs:
        for i, cell in enumerate(run.cells):
            if cell.key not in chosen or on_conflict == "last":
                chosen[cell.key] = (run, i)
    notes = [note for run in runs for note in run.notes]
    if conflicts:
        notes.append(
            f"{len(conflicts)} cells differed between the merged runs ({named}); the {on_conflict} one is shown."
        )
    places = [
        {name: i for i, name in enumerate(dict.fromkeys(name for run in runs for name in getattr(run, which)))}
        for which in ("tasks", "samplers")
    ]
    keys = sorted(chosen, key=lambda key: (places[0][key[0]], places[1][key[1]], key[2]))
    kept = [chosen[key] for key in keys]
    damaged = [damage for run in runs for damage in run.damaged]
    return Results(
        [run.records[i] for run, i in kept],
        dict(runs[0].head),
        damaged,
        list(dict.fromkeys(notes)),
        [run.cells[i] for run, i in kept],
    )
