"""Verdicts on what a paper reports, computed from the records of a run by the two rules below."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .published import Claim, Published
from .statistics import Estimate, badness, distance, paired_difference

if TYPE_CHECKING:
    from .results import Results

NUMBER_RULE = (
    "“Reproduced”: the paper’s value is within the 95 % interval of the mean over seeds, or no further from the mean "
    "than the row’s stated tolerance; otherwise “better” or “worse” says which way the measurement lies (“equal”: as "
    "far from the exact value), and “undecided” that one seed shows no spread. A row with seeds that diverged, failed, "
    "timed out or were not run counts them and is not judged; one marked “not comparable” shows both numbers, and its "
    "footnote says why."
)
CLAIM_RULE = (
    "A claim “holds” if the 95 % interval of the paired difference over seeds is on its side of zero, “does not hold” "
    "if none of the interval is, and is “undecided” otherwise or with fewer than three pairs. A seed that one sampler "
    "did not finish is won by the other; where that happens there is no interval, and all seeds must agree. With five "
    "seeds, a difference of zero passes for a claim that holds in 8 % of runs."
)


@dataclass(frozen=True)
class Measured:
    """A published number beside the measured one.

    Args:
        row: what the paper says.
        paper: its value in units of the metric.
        estimate: mean over the seeds that have a score; None without any.
        floor: ``mean`` and ``std`` of exact samples; None if unknown.
        best: which way the metric points.
        verdict: ``reproduced``, ``better``, ``worse``, ``equal``, ``undecided``, ``not comparable``, or what became of
            the seeds: ``diverged``, ``failed``, ``timeout``, ``incompatible``, ``no score``, ``not run``.
        trouble: seeds without a score, as ``2 of 5 diverged``; empty if there are none, or if none was run.
    """

    row: Published
    paper: float
    estimate: Estimate | None
    floor: Mapping[str, Any] | None
    best: str
    verdict: str
    trouble: str

    @property
    def printed(self) -> str:
        """The paper's value with the digits that it prints."""
        return f"{self.paper:.8g}"

    @property
    def distance(self) -> str:
        """How far the mean is from the floor, as ``1.3×`` or ``+4.0σ``; empty where that cannot be said."""
        if self.estimate is None or self.floor is None:
            return ""
        return distance(self.estimate.mean, self.floor["mean"], self.floor["std"], self.best)

    @property
    def words(self) -> str:
        """The verdict with the counts behind it."""
        if not self.trouble:
            return self.verdict
        return self.trouble if self.row.comparable else f"{self.verdict}; {self.trouble}"


@dataclass(frozen=True)
class Decided:
    """A claim beside the measurement.

    Args:
        row: what the paper says.
        wins: seeds at which the sampler that is said to be better is better.
        pairs: seeds at which at least one of the two finished.
        best: which way the metric points.
        difference: paired, in the claim's direction: positive where it holds; None where a seed has no number.
        verdict: ``holds``, ``does not hold``, ``undecided`` or ``not run``.
        trouble: of each of the two, seeds without a score, as ``2 of 5 diverged``; empty if there are none, or if none
            was run.
    """

    row: Claim
    wins: int
    pairs: int
    best: str
    difference: Estimate | None
    verdict: str
    trouble: tuple[str, str]


def measure(results: Results, row: Published) -> Measured:
    """Set a published number beside what ``results`` hold, by `NUMBER_RULE`."""
    found = results.estimate(row.task, row.sampler, row.metric)
    best, paper = results.best(row.task, row.metric), row.value * row.unit
    statuses = _statuses(results, row.task, row.sampler, row.metric)
    trouble = _counts(statuses)
    if set(statuses.values()) <= {"not run"}:
        verdict, trouble = "not run", ""
    elif not row.comparable:
        verdict = "not comparable"
    elif trouble or found is None:
        verdict = next(status for status in statuses.values() if status)
    else:
        verdict = _judge(found, paper, row.tolerance * abs(row.unit), best)
    return Measured(row, paper, found, results.floor(row.task, row.metric), best, verdict, trouble)


def decide(results: Results, row: Claim) -> Decided:
    """Test a claim on the seeds of ``results``, by `CLAIM_RULE`.

    For metrics whose best value is 0, ½ or 1 distances from it are compared, as `phys_bench.comparison.compare` does.
    """
    best = results.best(row.task, row.metric)
    trouble, values = [], []
    for sampler in (row.better, row.worse):
        statuses = _statuses(results, row.task, sampler, row.metric)
        trouble.append("" if set(statuses.values()) <= {"not run"} else _counts(statuses))
        scores = results.scores(row.task, sampler, row.metric)
        values.append({
            seed: badness(scores[seed], best) if not status else math.inf
            for seed, status in statuses.items()
            if status not in ("not run", "incompatible", "no score")
        })  # fmt: skip
    ours, others = values
    seeds = [seed for seed in ours if seed in others and math.isfinite(min(ours[seed], others[seed]))]
    wins = sum(ours[seed] < others[seed] for seed in seeds)
    losses = sum(ours[seed] > others[seed] for seed in seeds)
    finite = all(math.isfinite(max(ours[seed], others[seed])) for seed in seeds)
    difference = paired_difference({s: ours[s] for s in seeds}, {s: others[s] for s in seeds}) if finite else None
    if not seeds:
        verdict = "not run" if not ours or not others else "undecided"
    elif len(seeds) < 3:
        verdict = "undecided"
    elif difference is not None:
        verdict = "holds" if difference.low > 0 else "does not hold" if difference.high <= 0 else "undecided"
    else:
        verdict = "holds" if wins == len(seeds) else "does not hold" if losses == len(seeds) else "undecided"
    return Decided(row, wins, len(seeds), best, difference, verdict, (trouble[0], trouble[1]))


def footnotes(texts: Sequence[Sequence[str]]) -> tuple[list[str], list[str]]:
    """Marks such as ``[1]`` for each row of a table, and the distinct texts that they stand for, in order.

    Args:
        texts: of each row; empty ones count for nothing.
    """
    distinct = list(dict.fromkeys(text for row in texts for text in row if text))
    return ["".join(f"[{distinct.index(text) + 1}]" for text in row if text) for row in texts], distinct


def _judge(found: Estimate, paper: float, tolerance: float, best: str) -> str:
    if abs(found.mean - paper) <= tolerance:
        return "reproduced"
    if found.count < 2:
        return "undecided"
    if found.low <= paper <= found.high:
        return "reproduced"
    ours, theirs = badness(found.mean, best), badness(paper, best)
    return "better" if ours < theirs else "worse" if ours > theirs else "equal"


def _statuses(results: Results, task: str, sampler: str, metric: str) -> dict[int, str]:
    """What became of each seed: empty if it has a score, else a status, ``no score`` or ``not run``."""
    records = {record["identity"]["seed"]: record for record in results.select(task, sampler)}
    found = {}
    for seed in sorted({*((results.head.get("suite") or {}).get("seeds") or ()), *records}):
        record = records.get(seed)
        if record is None:
            found[seed] = "not run"
        elif record["status"] != "ok":
            found[seed] = record["status"]
        else:
            found[seed] = "" if record["scores"].get(metric) is not None else "no score"
    return found


def _counts(statuses: Mapping[int, str]) -> str:
    """``2 of 5 diverged, 1 of 5 timeout``; empty if every seed has a score."""
    counts = Counter(status for status in statuses.values() if status)
    return ", ".join(f"{count} of {len(statuses)} {status}" for status, count in counts.items())
