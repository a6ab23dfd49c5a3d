"""What the numbers of a run say: in sentences, and as verdicts on what papers report, by the two rules below."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from .cells import Cell, Cells, Floor
from .published import Claim, Published
from .statistics import LEAST_SEEDS, Estimate, badness, distance, paired_difference, verdicts
from .tables import number


def headline(cells: Cells) -> list[str]:
    """What the numbers say, in sentences: who is at the floor, who is cheapest among them, what failed."""
    fields = {task: cells.field(task) for task in cells.tasks}
    ranked = [s.sampler for s in cells.standings if any(s.sampler in field for field in fields.values())]
    if not ranked:
        return ["There is nothing to compare."] if cells.cells else []
    like = {task: cells.like_exact(task) for task in cells.tasks if cells.from_exact(task)}
    many = len({cell.seed for cell in cells.cells})
    seeds = f"{many} seed{'s' * (many != 1)}"
    lines = []
    tasks_of = {name: [task for task in like if name in fields[task]] for name in ranked}
    everywhere = [name for name, tasks in tasks_of.items() if tasks and all(name in like[task] for task in tasks)]
    all_tasks = [name for name in everywhere if len(tasks_of[name]) == len(like)]
    if like and many < LEAST_SEEDS:
        lines.append(f"With {seeds} nothing can be told apart: run at least {LEAST_SEEDS}.")
    elif everywhere:
        whole = "all tasks" if len(like) > 1 else next(iter(like))
        some = [name for name in everywhere if name not in all_tasks]
        parts = [f"{_listing(all_tasks)} on {whole}"] if all_tasks else []
        parts += [f"{_listing(some)} on every task that {'they' if len(some) > 1 else 'it'} could take"] if some else []
        lines.append(f"At the floor, not told from exact samples by {seeds}: {'; '.join(parts)}.")
        lines += _cheapest(cells, everywhere)
    elif like:
        best = max(ranked, key=lambda name: sum(name in found for found in like.values()))
        count = sum(best in found for found in like.values())
        lines.append(
            f"No sampler is at the floor on every task; {best} is on {count} of {len(like)}."
            if count
            else f"No sampler is at the floor on any task; {ranked[0]} ranks first."
        )
    else:
        lines.append(f"{ranked[0]} ranks first; there are no exact samples and no floor to hold scores against.")
    of = Counter((cell.sampler, cell.task) for cell in cells.cells)
    failures = Counter((c.sampler, c.status, c.task) for c in cells.failures if c.status != "incompatible")
    lost: dict[str, list[str]] = {}
    for (sampler, status, task), count in failures.items():
        share = "" if count == of[sampler, task] else f" ({count} of {of[sampler, task]} seeds)"
        lost.setdefault(f"{sampler} {status}", []).append(task + share)
    said = [f"{who} on {_listing(tasks)}" for who, tasks in lost.items()]
    more = f" and {len(said) - 5} more" if len(said) > 5 else ""
    lines.append(f"Without a score: {'; '.join(said[:5])}{more}." if said else "Every compatible cell has a score.")
    return lines


def _cheapest(cells: Cells, names: Sequence[str]) -> list[str]:
    """Who of several samplers costs least, by evaluations and by processor time, where that is known of all."""
    found: dict[str, list[str]] = {}
    for key, words in (("nfe", "evaluations a sample"), ("cpu_seconds", "CPU seconds a cell")):
        means = {}
        for name in names:
            values = [cell.costs[key] for cell in cells.select(sampler=name) if cell.ok and key in cell.costs]
            if values:
                means[name] = sum(values) / len(values)
        if len(means) == len(names) > 1:
            least = min(means, key=means.__getitem__)
            found.setdefault(least, []).append(f"{number(means[least])} {words}")
    return (
        [f"Cheapest of these: {'; '.join(f'{who} ({_listing(what)})' for who, what in found.items())}."]
        if found
        else []
    )


def _listing(names: Sequence[str]) -> str:
    return " and ".join(part for part in (", ".join(names[:-1]), names[-1]) if part) if names else "none"


def power(cells: Cells, task: str) -> str:
    """The least difference from exact samples that a task can see; empty where nothing is known of it."""
    visible = sorted(d.visible for d in cells.from_exact(task).values() if math.isfinite(d.visible))
    if not visible:
        return ""
    least, floor = visible[len(visible) // 2], cells.floor(task, cells.primary(task))
    seeds = len({cell.seed for cell in cells.select(task)})
    scale = floor is not None and cells.best(cells.primary(task)) == "low" and floor.mean > 2 * floor.std
    share = f", {least / floor.mean:.2g} of the floor" if scale and floor else ""
    return (
        f"{seeds} seeds see a difference from exact samples of {number(least)}{share} in four of five repeats "
        "(median over samplers; Student's t, one comparison); a smaller one goes unseen."
    )


def troubled(cells: Cells) -> list[list[Cell]]:
    """The cells that did not finish; seeds that ended alike are one entry."""
    groups: dict[tuple[str, ...], list[Cell]] = {}
    for cell in cells.failures:
        groups.setdefault((cell.task, cell.sampler, cell.status, cell.reason), []).append(cell)
    return list(groups.values())


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
