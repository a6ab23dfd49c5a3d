"""Where several runs disagree: on a cell, or on which way a metric is better."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from phys_samplers.errors import ConfigurationError

from .cells import Cell


class Run(Protocol):
    """What is looked at of a run: ``results.Results`` is one."""

    @property
    def name(self) -> str: ...  # noqa: D102 - said by the class that has it
    @property
    def head(self) -> Mapping[str, Any]: ...  # noqa: D102
    @property
    def cells(self) -> Sequence[Cell]: ...  # noqa: D102
    @property
    def records(self) -> Sequence[Mapping[str, Any]]: ...  # noqa: D102


def check_ways(runs: Sequence[Run]) -> None:
    """Refuse runs to which better means different things.

    Raises:
        ConfigurationError: naming the metric, and both runs.
    """
    ways: dict[str, dict[str, str]] = {}
    for run in runs:
        own = ((run.name, pairs) for pairs in (run.head.get("best") or {}, *(cell.best for cell in run.cells)))
        for name, pairs in own:
            for metric, way in pairs.items():
                ways.setdefault(metric, {}).setdefault(way, name)
    for metric, found in ways.items():
        if len(found) > 1:
            said = " and ".join(f"{way!r} in {name!r}" for way, name in found.items())
            raise ConfigurationError(
                f"the best value of metric {metric!r} is {said}; expected one meaning, so leave out the run whose "
                "records are wrong, or run its suite again"
            )


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


def find_conflicts(runs: Sequence[Run]) -> list[Conflict]:
    """Cells that several runs have, with other results or of other code and options."""
    seen: dict[tuple[str, str, int], tuple[Run, int]] = {}
    found = []
    for run in runs:
        for i, cell in enumerate(run.cells):
            other = seen.setdefault(cell.key, (run, i))
            first = other[0].cells[other[1]]
            if first.id != cell.id:
                identity, before = run.records[i]["identity"], other[0].records[other[1]]["identity"]
                facts = sorted(k for k in identity if identity[k] != before.get(k))
                found.append(Conflict(*cell.key, f"the identities differ in {', '.join(facts)}"))
            elif (first.status, first.scores) != (cell.status, cell.scores):
                found.append(Conflict(*cell.key, f"{_sameness(first, cell)} gave {_difference(first, cell)}"))
    return found


def _sameness(first: Cell, second: Cell) -> str:
    """What two records of one identity have in common."""
    stacks = [int(cell.costs.get("stacked_seeds", 1)) for cell in (first, second)]
    if stacks[0] == stacks[1]:
        return "the same identity"
    return f"fits of {stacks[0]} and of {stacks[1]} seeds at once, which may round differently at odd sizes,"


def _difference(first: Cell, second: Cell) -> str:
    """How two results of one cell differ."""
    if first.status != second.status:
        words = [f"{cell.status}{f' ({cell.reason})' if cell.reason else ''}" for cell in (first, second)]
        return " and ".join(words)
    pairs = [(name, first.scores.get(name), second.scores.get(name)) for name in {**first.scores, **second.scores}]
    return ", ".join(f"{name} {a!r} and {b!r}" for name, a, b in pairs if a != b)
