"""What a paper reports, as rows of a suite: numbers and claims. `phys_bench.findings` sets them beside a run.

In the TOML of a suite, any number of each (``task``, ``sampler`` and ``metric`` must be among the suite's own)::

    [[published]]
    task = "abalone"
    sampler = "bellman-fields[preset=paper]"
    metric = "mmd2"
    value = 5.15
    unit = 1e-3                     # optional: what the value counts
    tolerance = 0.05                # optional: how far apart still is "reproduced", in the same unit
    source = "Table 1"
    comparable = false              # optional: both numbers are shown, and not judged
    reason = "the paper does not say which kernel"
    note = "..."                    # optional: shown below the table

    [[claims]]                      # "better" is better than "worse", by the metric, on the task
    task = "abalone"
    metric = "w1"
    better = "bellman-fields[preset=paper]"
    worse = "ddpm[preset=paper]"
    source = "Table 1"

They belong to no cell's identity: records stay valid when a number is corrected.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, TypeVar

from phys_registry.errors import suggest
from phys_samplers.schema import short

from .checks import Checks


@dataclass(frozen=True, kw_only=True)
class Published:
    """A number that a paper prints.

    Args:
        task: task label.
        sampler: sampler label.
        metric: metric label.
        value: as printed.
        source: where in the paper.
        unit: what the printed value counts; ``value * unit`` is in units of the metric.
        tolerance: difference that still counts as reproduced, in the unit of ``value``.
        comparable: whether the paper says enough to compare.
        reason: why not.
        note: for readers of the table.
    """

    task: str
    sampler: str
    metric: str
    value: float
    source: str
    unit: float = 1.0
    tolerance: float = 0.0
    comparable: bool = True
    reason: str = ""
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A paper's statement that one sampler is better than another.

    Args:
        task: task label.
        metric: metric label.
        better: label of the sampler that is said to be better.
        worse: label of the other.
        source: where in the paper.
        note: for readers of the table.
    """

    task: str
    metric: str
    better: str
    worse: str
    source: str
    note: str = ""


Row = TypeVar("Row", Published, Claim)


def rows_of(head: Mapping[str, Any], key: str, kind: type[Row]) -> list[Row]:
    """The rows that ``run.json`` keeps of its suite; keys of another version are left out."""
    known = {field.name for field in fields(kind)}
    rows = (head.get("suite") or {}).get(key) or ()
    return [kind(**{name: value for name, value in row.items() if name in known}) for row in rows]


@dataclass(frozen=True)
class Labels:
    """What the rows of a suite may name.

    Args:
        metrics: metric labels by task label.
        samplers: sampler labels.
    """

    metrics: Mapping[str, Sequence[str]]
    samplers: Sequence[str]


def read_papers(
    check: Checks, published: Sequence[Mapping[str, Any]], claims: Sequence[Mapping[str, Any]], labels: Labels
) -> dict[str, Any]:
    """Both tables of a suite, as its fields.

    Raises:
        ConfigurationError: naming the row and the key, what it holds, and what is allowed.
    """
    return {
        "published": tuple(_published(check, row, f"published[{i}]", labels) for i, row in enumerate(published)),
        "claims": tuple(_claim(check, row, f"claims[{i}]", labels) for i, row in enumerate(claims)),
    }


def _published(check: Checks, row: Mapping[str, Any], at: str, labels: Labels) -> Published:
    needed = ("task", "sampler", "metric", "value", "source")
    check.keys(row, [field.name for field in fields(Published)], needed=needed, at=at)
    task = _label(check, row, "task", list(labels.metrics), at)
    comparable, reason = check.flag(row, "comparable", True, at=at), check.text(row, "reason", "", at=at)
    if comparable == bool(reason):
        problem = f"is {reason!r} where comparable is {str(comparable).lower()}"
        check.fail(f"{at}.reason", problem, "a reason if, and only if, comparable = false")
    return Published(
        task=task,
        sampler=_label(check, row, "sampler", labels.samplers, at),
        metric=_label(check, row, "metric", labels.metrics[task], at),
        value=check.number(row, "value", at=at),
        source=check.some_text(row, "source", at=at),
        unit=check.positive(row, "unit", at=at) if "unit" in row else 1.0,
        tolerance=check.not_negative(row, "tolerance", at=at) if "tolerance" in row else 0.0,
        comparable=comparable,
        reason=reason,
        note=check.text(row, "note", "", at=at),
    )


def _claim(check: Checks, row: Mapping[str, Any], at: str, labels: Labels) -> Claim:
    needed = ("task", "metric", "better", "worse", "source")
    check.keys(row, [field.name for field in fields(Claim)], needed=needed, at=at)
    task = _label(check, row, "task", list(labels.metrics), at)
    better, worse = (_label(check, row, key, labels.samplers, at) for key in ("better", "worse"))
    if better == worse:
        check.fail(f"{at}.worse", f"is {worse!r}, as 'better' is", "another sampler")
    return Claim(
        task=task,
        metric=_label(check, row, "metric", labels.metrics[task], at),
        better=better,
        worse=worse,
        source=check.some_text(row, "source", at=at),
        note=check.text(row, "note", "", at=at),
    )


def _label(check: Checks, row: Mapping[str, Any], key: str, known: Sequence[str], at: str) -> str:
    """The canonical form of a text that must name one of ``known``."""
    text = check.some_text(row, key, at=at)
    specs = check.specs(text, f"{at}.{key}")
    if len(specs) != 1:
        check.fail(f"{at}.{key}", f"{short(text)} stands for {len(specs)} components", "one (write a tuple as [a,b])")
    label = str(specs[0])
    if label not in known:
        listed = ", ".join(known) or "none: name them in the suite, metrics = [...]"
        check.fail(f"{at}.{key}", f"is {short(text)}, which the suite does not have.{suggest(label, known)}", listed)
    return label
