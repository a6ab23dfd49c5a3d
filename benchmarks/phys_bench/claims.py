"""What the sources claim, and what became of every claim; ``phys_bench.claims_read`` reads it from files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from phys_registry.errors import suggest
from phys_samplers.errors import ConfigurationError
from phys_samplers.schema import short

from .published import Claim, Published

VERDICTS = {
    "holds": "measured, and it is so",
    "holds in part": "some of it is so; the row says what",
    "does not hold": "measured, and it is not so",
    "not told at this scale": "measured, and the difference is smaller than its noise, or the size is too small to say",
    "not testable here": "it asks for data, models or machines that are not to be had here, or for what is not printed",
    "not run yet": "it can be measured by the command, and has not been",
}
MEASURED = ("holds", "holds in part", "does not hold", "not told at this scale")
"""Verdicts that rest on a measurement."""
Row = Published | Claim


@dataclass(frozen=True, kw_only=True)
class SourceClaim:
    """A claim of a source, and what became of it.

    Args:
        id: short letters, or ``suite/task/metric/samplers`` of a row of a suite.
        source: name of the source.
        place: table, figure, equation or section.
        claim: in our words.
        verdict: one of ``VERDICTS``.
        command: what reproduces it; for what cannot be tested, the nearest that can be run, or nothing.
        paper: the number in print; empty if there is none.
        measured: value and interval.
        floor: what exact samples score.
        seeds: of the measurement.
        size: sample sizes, steps, networks.
        why: the reason of a verdict, or a remark.
        page: the page where the measured numbers stand.
        machine: where it was measured.
        cpu_seconds: of the command, on one thread; None if not known.
        date: of the measurement.
        systems: what it is about, by the source's names.
        rows: the suite and the row that it is, for rows of suites.
    """

    id: str
    source: str
    place: str
    claim: str
    verdict: str
    command: str = ""
    paper: str = ""
    measured: str = ""
    floor: str = ""
    seeds: str = ""
    size: str = ""
    why: str = ""
    page: str = ""
    machine: str = ""
    cpu_seconds: float | None = None
    date: str = ""
    systems: tuple[str, ...] = ()
    rows: tuple[tuple[str, Row], ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """JSON-like form."""
        return {name: value for name, value in asdict(self).items() if name != "rows"}


@dataclass(frozen=True)
class Source:
    """A paper, a thesis or slides.

    Args:
        name: short.
        title: in full.
        references: how components cite it.
        suites: whose rows are claims of it.
        systems: components (``kind:name``) by the source's names; none for what is not here.
    """

    name: str
    title: str
    references: tuple[str, ...]
    suites: tuple[str, ...]
    systems: Mapping[str, tuple[str, ...]]


class Claims(Sequence[SourceClaim]):
    """Claims of the sources, in order.

    Args:
        sources: the sources.
        claims: their claims.
    """

    def __init__(self, sources: Sequence[Source], claims: Sequence[SourceClaim]) -> None:
        self.sources, self._claims = tuple(sources), tuple(claims)

    def __len__(self) -> int:
        return len(self._claims)

    def __getitem__(self, index: Any) -> Any:
        return self._claims[index]

    def __iter__(self) -> Iterator[SourceClaim]:
        return iter(self._claims)

    @property
    def counts(self) -> dict[str, int]:
        """How many claims have each verdict, in the order of ``VERDICTS``."""
        found = Counter(claim.verdict for claim in self)
        return {verdict: found[verdict] for verdict in VERDICTS}

    def select(self, source: str = "", verdict: str = "", words: Sequence[str] = ()) -> Claims:
        """The claims of a source, with a verdict, whose text has all of these words.

        Raises:
            ConfigurationError: on a name that there is not.
        """
        for what, given, known in (
            ("source", source, [one.name for one in self.sources]),
            ("verdict", verdict, list(VERDICTS)),
        ):
            if given and given not in known:
                hint = f"{suggest(given, known)} There are: {', '.join(known)}"
                raise ConfigurationError(f"there is no {what} {short(given)}.{hint}")
        kept = [
            claim
            for claim in self
            if source in ("", claim.source)
            and verdict in ("", claim.verdict)
            and all(word.lower() in _text(claim) for word in words)
        ]
        return Claims([one for one in self.sources if source in ("", one.name)], kept)


def _text(claim: SourceClaim) -> str:
    return " ".join(str(getattr(claim, field.name)) for field in fields(claim) if field.name != "rows").lower()
