"""Verdicts on what a paper reports, computed from the cells of a run by the two rules below."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from .cells import Cells, Floor
from .published import Claim, Published
from .statistics import LEAST_SEEDS, Estimate, badness, distance, paired_difference, verdicts

NUMBER_RULE = (
    "“Reproduced”: the paper’s value is within the 95 % interval of the mean over seeds, or no further from the mean "
    "than the row’s stated tolerance; otherwise “better” or “worse” says which way the measurement lies (“equal”: as "
    f"far from the exact value), and “undecided” that there are fewer than {LEAST_SEEDS} seeds. A row with seeds that "
    "diverged, failed, timed out or were not run counts them and is not judged; one marked “not comparable” shows both "
    "numbers, and its footnote says why."
)
CLAIM_RULE = (
    "A claim “holds” if Student’s t test of the paired differences over seeds finds them on its side of zero at 5 % "
    "after Holm’s correction over all claims of the table, “does not hold” if it finds them on the other side or if "
    f"there is no difference at any seed, and is “undecided” otherwise or with fewer than {LEAST_SEEDS} pairs. A seed "
    "that one sampler did not finish is won by the other; where that happens there is no test, and all seeds must "
    "agree. If no two samplers differed, a table would hold a wrong verdict in at most 5 % of runs. Intervals are of "
    "each difference by itself."
)


@dataclass(frozen=True)
class Measured:
    """A published number beside the measured one.

    Args:
        row: what the paper says.
        paper: its value in units of the metric.
        estimate: mean over the seeds that have a score; None without any.
        floor: of exact samples; None if unknown.
        best: which way the metric points.
        verdict: ``reproduced``, ``better``, ``worse``, ``equal``, ``undecided``, ``not comparable``, or what became of
            the seeds: ``diverged``, ``failed``, ``timeout``, ``incompatible``, ``no score``, ``not run``.
        trouble: seeds without a score, as ``2 of 5 diverged``; empty if there are none, or if none was run.
    """

    row: Published
    paper: float
    estimate: Estimate | None
    floor: Floor | None
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
        found = distance(self.estimate.mean, self.floor.mean, self.floor.std, self.best)
        return found.text if found else ""

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


def measure(cells: Cells, row: Published, seeds: Sequence[int]) -> Measured:
    """Set a published number beside what ``cells`` hold of a suite's ``seeds``, by `NUMBER_RULE`."""
    found = cells.estimate(row.task, row.sampler, row.metric)
    best, paper = cells.best(row.metric), row.value * row.unit
    statuses = cells.statuses(row.task, row.sampler, row.metric, seeds)
    trouble = _counts(statuses)
    if set(statuses.values()) <= {"not run"}:
        verdict, trouble = "not run", ""
    elif not row.comparable:
        verdict = "not comparable"
    elif trouble or found is None:
        verdict = next(status for status in statuses.values() if status)
    else:
        verdict = _judge(found, paper, row.tolerance * abs(row.unit), best)
    return Measured(row, paper, found, cells.floor(row.task, row.metric), best, verdict, trouble)


def decide(cells: Cells, rows: Sequence[Claim], seeds: Sequence[int]) -> list[Decided]:
    """Test claims on the seeds of ``cells``, by `CLAIM_RULE`.

    For metrics whose best value is 0, ½ or 1 distances from it are compared.
    """
    found = [_pairs(cells, row, seeds) for row in rows]
    words = {"better": "does not hold", "worse": "holds", "equal": "does not hold", "unclear": "undecided"}
    tested = verdicts([one.difference for one in found])
    return [
        replace(one, verdict=words[word] if one.pairs >= LEAST_SEEDS else "undecided")
        if one.difference is not None and not one.verdict
        else one
        for one, word in zip(found, tested, strict=True)
    ]


def _pairs(cells: Cells, row: Claim, seeds: Sequence[int]) -> Decided:
    """The paired seeds of a claim; its verdict is empty where the test must say."""
    best = cells.best(row.metric)
    trouble, values = [], []
    for sampler in (row.better, row.worse):
        statuses = cells.statuses(row.task, sampler, row.metric, seeds)
        trouble.append("" if set(statuses.values()) <= {"not run"} else _counts(statuses))
        scores = cells.scores(row.task, sampler, row.metric)
        values.append({
            seed: badness(scores[seed], best) if not status else math.inf
            for seed, status in statuses.items()
            if status not in ("not run", "incompatible", "no score")
        })  # fmt: skip
    ours, others = values
    shared = [seed for seed in ours if seed in others and math.isfinite(min(ours[seed], others[seed]))]
    wins = sum(ours[seed] < others[seed] for seed in shared)
    losses = sum(ours[seed] > others[seed] for seed in shared)
    finite = all(math.isfinite(max(ours[seed], others[seed])) for seed in shared)
    difference = paired_difference({s: ours[s] for s in shared}, {s: others[s] for s in shared}) if finite else None
    if not shared:
        verdict = "not run" if not ours or not others else "undecided"
    elif difference is not None:
        verdict = ""
    elif len(shared) < LEAST_SEEDS:
        verdict = "undecided"
    else:
        verdict = "holds" if wins == len(shared) else "does not hold" if losses == len(shared) else "undecided"
    return Decided(row, wins, len(shared), best, difference, verdict, (trouble[0], trouble[1]))


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
    if found.count < LEAST_SEEDS:
        return "undecided"
    if found.low <= paper <= found.high:
        return "reproduced"
    ours, theirs = badness(found.mean, best), badness(paper, best)
    return "better" if ours < theirs else "worse" if ours > theirs else "equal"


def _counts(statuses: Mapping[int, str]) -> str:
    """``2 of 5 diverged, 1 of 5 timeout``; empty if every seed has a score."""
    counts = Counter(status for status in statuses.values() if status)
    return ", ".join(f"{count} of {len(statuses)} {status}" for status, count in counts.items())
