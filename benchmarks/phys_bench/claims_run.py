"""Claims that are rows of suites, decided by the records of a run: by the rules of ``phys_bench.findings`` alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from phys_samplers.errors import ConfigurationError
from phys_samplers.schema import short

from .claims import Claims, Row, SourceClaim
from .findings import Decided, Measured
from .published import Published
from .results import Results
from .tables import interval, number

_RUN = {
    "reproduced": "holds",
    "better": "holds in part",
    "worse": "does not hold",
    "equal": "does not hold",
    "diverged": "does not hold",
    "not comparable": "not testable here",
    "not run": "not run yet",
    "holds": "holds",
    "does not hold": "does not hold",
}
"""Verdicts on rows of a suite as verdicts here; any other word leaves it open."""


def decided_by(claims: Claims, results: Results) -> Claims:
    """The same claims, those that are rows of the run's suite by what its records say.

    Raises:
        ConfigurationError: if no claim is a row of that suite.
    """
    suites = {suite for claim in claims for suite, _ in claim.rows}
    if results.name not in suites:
        known = f"suites with such rows: {', '.join(sorted(suites))}"
        raise ConfigurationError(f"no claim is a row of the suite {short(results.name)}; {known}")
    said: dict[Row, Measured | Decided] = {found.row: found for found in results.published()}
    said |= {decided.row: decided for decided in results.claims()}
    return Claims(claims.sources, [_decided(claim, results, said) for claim in claims])


def _decided(claim: SourceClaim, results: Results, said: Mapping[Row, Measured | Decided]) -> SourceClaim:
    """A claim by what a run says of its rows; itself where the run says nothing."""
    found = [said[row] for suite, row in claim.rows if suite == results.name and row in said]
    found = [one for one in found if one.verdict != "not run"]
    if not found:
        return claim
    first = found[0]
    floor = first.floor if isinstance(first, Measured) else None
    chosen = {name for one in found for name in _samplers(one.row)}
    cells = [cell for cell in results.cells if cell.task == first.row.task and cell.sampler in chosen]
    seconds = sum(cell.costs.get("cpu_seconds", 0.0) for cell in cells)
    verdict = _RUN.get(first.verdict, "not told at this scale")
    return replace(
        claim,
        verdict=verdict,
        measured="; ".join(_measured(one) for one in found),
        why=claim.why if verdict == "not testable here" else "",
        floor=number(floor.mean) if floor else "",
        seeds=", ".join(str(seed) for seed in results.seeds),
        size="",
        page="",
        machine=_machine(results.head.get("environment") or {}),
        cpu_seconds=round(seconds, 1) or None,
        date=str(results.head.get("started") or "")[:10],
    )


def _machine(environment: Mapping[str, Any]) -> str:
    """As ``Linux x86_64, 2 cores, cpu``; empty where the run does not say."""
    where = " ".join(str(environment[key]) for key in ("system", "machine") if environment.get(key))
    cores = f"{environment['cpu_count']} cores" if environment.get("cpu_count") else ""
    return ", ".join(part for part in (where, cores, str(environment.get("device") or "")) if part)


def _samplers(row: Row) -> tuple[str, ...]:
    return (row.sampler,) if isinstance(row, Published) else (row.better, row.worse)


def _measured(found: Measured | Decided) -> str:
    if isinstance(found, Measured):
        value = f"{number(found.estimate.mean)} {interval(found.estimate)}".strip() if found.estimate else ""
        return f"{found.row.sampler}: {'; '.join(part for part in (value, found.trouble) if part) or found.verdict}"
    difference = found.difference
    value = f"ahead by {number(difference.mean)} {interval(difference)}, " if difference else ""
    trouble = "; ".join(text for text in found.trouble if text)
    return f"{value}ahead at {found.wins} of {found.pairs} seeds{f' ({trouble})' if trouble else ''}"
