"""Claims of the sources as tables for a terminal, and as a page of the documentation."""

from __future__ import annotations

import json
from collections.abc import Iterable

from .claims import VERDICTS, Claims, SourceClaim
from .tables import Column, Entry, Table, markdown_text

TONES = {"holds": "good", "does not hold": "bad"}
HEAD = """\
# Claims of the sources

<!-- made by: phys-samplers claims -o docs/claims.md -->

Every quantitative claim of the two papers, the thesis and the slides that this library implements, with what became
of it here. The page is made from `benchmarks/phys_bench/sources/*.toml` by `phys-samplers claims -o docs/claims.md`;
rows of suites take their numbers from the suites. `phys-samplers claims --run runs/SUITE` decides those rows by the
records of a run of yours.
"""
RULES = """\
A measured number stands on the page that its row names, or was made on the day that stands there by the row's
command. Brackets are 95 % intervals over seeds. CPU-s are seconds of one thread for the whole command, as far as they
are known; where no machine is named it is two shared cores without a GPU. Dimensions, steps and networks here are
small: "does not hold" says what was found at the row's size, and no more.
"""


def summary(claims: Claims) -> Table:
    """How many claims of each source have each verdict; without what none has."""
    sources = [source for source in claims.sources if len(claims.select(source.name))]
    columns = [Column("verdict"), *(Column(source.name) for source in sources), Column("all")]
    counts = {verdict: [claims.select(one.name).counts[verdict] for one in sources] for verdict in VERDICTS}
    counts["all"] = [len(claims.select(source.name)) for source in sources]
    rows = [
        [Entry(verdict), *(Entry(str(n)) for n in (*each, sum(each)))] for verdict, each in counts.items() if any(each)
    ]
    return Table("Verdicts", columns, rows)


def terminal(claims: Claims, width: int) -> str:
    """Counts, and a row a claim; a single claim in full."""
    if not claims:
        return "no claim is like that"
    if len(claims) == 1:
        return "\n".join(f"{name:12} {value}" for name, value in _facts(claims[0]))
    columns = [Column(title, words=True) for title in ("place", "claim", "paper", "here", "verdict")]
    parts = [summary(claims).terminal(width)]
    for source in claims.sources:
        rows = [
            [
                Entry(one.place, sub="" if one.rows else one.id),
                Entry(one.claim),
                Entry(one.paper or "–"),
                Entry(_short(one)),
                Entry(one.verdict),
            ]
            for one in claims.select(source.name)
        ]
        parts.append(Table(f"{source.name}: {source.title}", columns, rows).terminal(width))
    return "\n\n".join(part for part in parts if part)


def page(claims: Claims) -> str:
    """The page of the documentation, as Markdown."""
    parts = [HEAD, summary(claims).markdown(0), _list(f"**{name}**: {text}" for name, text in VERDICTS.items()), RULES]
    head = ["place", "claim", "in print", "here", "verdict", "command"]
    for source in claims.sources:
        found = claims.select(source.name)
        counts = ", ".join(f"{verdict} {count}" for verdict, count in found.counts.items() if count)
        rows = [head, [":--"] * len(head), *map(_cells, found)]
        parts += [f"## {markdown_text(source.title)}", f"{len(found)} claims: {counts}."]
        parts += [
            "\n".join(f"| {' | '.join(row)} |" for row in rows),
            "### What it names, and how many claims speak of it",
            _systems(found),
        ]
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def findings(before: Claims, after: Claims) -> str:
    """What a run decided, as rows ``[[found]]`` of a file of sources."""
    keys = ("verdict", "measured", "why", "floor", "seeds", "cpu_seconds", "machine", "date")
    blocks = []
    for old, new in zip(before, after, strict=True):
        if new.measured and new != old:
            facts = {"rows": new.id, **{key: getattr(new, key) for key in keys if getattr(new, key)}}
            lines = (f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in facts.items())
            blocks.append("\n".join(["[[found]]", *lines]))
    return "\n\n".join(blocks)


def _cells(claim: SourceClaim) -> list[str]:
    """The Markdown of a row."""
    floor, seeds = claim.floor and f"floor: {claim.floor}", claim.seeds and f"seeds: {claim.seeds}"
    about = "; ".join(part for part in (floor, seeds, claim.size) if part)
    here = markdown_text(claim.measured + (f" ({about})" if claim.measured and about else "")) or "–"
    if claim.page:
        name = claim.page.rpartition("/")[2]
        here += f" [{name.removesuffix('.md')}]({name})"
    why = f": {markdown_text(claim.why)}" if claim.why else ""
    seconds = f"{claim.cpu_seconds:g} CPU-s" if claim.cpu_seconds else ""
    made = ", ".join(part for part in (seconds, claim.date, claim.machine if claim.date else "") if part)
    command = f"`{claim.command}`".replace("|", r"\|") if claim.command else "–"
    facts = [markdown_text(text) or "–" for text in (claim.place, claim.claim, claim.paper)]
    return [*facts, here, f"**{claim.verdict}**{why}", f"{command} {markdown_text(made)}".rstrip()]


def _systems(claims: Claims) -> str:
    """What a source names, and whether it is here."""
    (source,) = claims.sources
    counted = {name: sum(name in claim.systems for claim in claims) for name in source.systems}
    return _list(
        f"{markdown_text(name)}: {', '.join(f'`{part}`' for part in parts) or 'not here'} ({counted[name]})"
        for name, parts in source.systems.items()
    )


def _facts(claim: SourceClaim) -> Iterable[tuple[str, str]]:
    for name, value in claim.to_dict().items():
        text = ", ".join(value) if isinstance(value, tuple) else "" if value is None else str(value)
        if text:
            yield name, text


def _short(claim: SourceClaim) -> str:
    return claim.measured or claim.why


def _list(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)
