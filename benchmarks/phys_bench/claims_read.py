"""Reads the claims of the sources, checks them, and adds the rows of suites.

A file is one source::

    name = "vgs"
    title = "Value Gradient Sampler"
    references = ["arXiv:2502.13280"]
    suites = ["paper-vgs-table1"]           # whose rows [[published]] and [[claims]] are claims of this source
    machine = "..."                         # where a claim was measured, unless it says otherwise
    [systems]                               # what the source names, and the components that stand for it here
    "DW-4" = ["task:dw4"]
    "MVTec-AD" = []
    [[claims]]
    id = "vgs-short-letters"
    place = "Sec. 7.3, Table 3"             # in the source
    claim = "..."                           # in our words
    paper = "97.0"                          # its number, where it prints one
    systems = ["MVTec-AD"]
    verdict = "not testable here"           # one of VERDICTS
    why = "..."                             # of that verdict
    measured = "..."                        # value and interval
    seeds = "0-4"
    size = "n = 2,000"
    floor = "..."
    page = "docs/value-gradient.md"         # where the measured numbers stand; none if `command` was run for this row
    command = "phys-samplers bench run NAME"    # or python benchmarks/studies/NAME.py, or pytest FILE::TEST
    cpu_seconds = 20
    date = "2026-11-30"
    [[found]]                               # what became of rows of suites, whose numbers are not typed again
    rows = "vgs-table1/gmm9/*"              # of the ids that rows of suites get; * stands for anything
    verdict = "..."                         # and the other keys from there on, as above

A row of a suite without a finding has not been run; ``phys_bench.claims_run`` lets a run's records decide it.
"""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from phys_registry.errors import suggest
from phys_samplers.catalogue import registry
from phys_samplers.errors import ConfigurationError, FileError
from phys_samplers.reading import MIB, read_bytes
from phys_samplers.schema import Malformed, short

from .checks import Checks
from .claims import MEASURED, VERDICTS, Claims, Row, Source, SourceClaim
from .published import Claim, Published
from .suite import SHIPPED as SUITES
from .suite import Suite, load_suite, parse_toml

SHIPPED = Path(__file__).with_name("sources")
TREE = Path(__file__).resolve().parents[2]
"""The project's own folder, where studies and tests lie; an installed package has neither."""
FINDING = ("verdict", "why", "measured", "seeds", "size", "floor", "page", "command", "machine", "cpu_seconds", "date")
"""Keys of what became of a claim."""
SCRIPTS = ("benchmarks/studies/", "benchmarks/throughput/")
_ID = re.compile(r"\S+")
_DATE = re.compile(r"20\d\d-[01]\d-[0-3]\d")


def load_claims(folder: str | Path = SHIPPED) -> Claims:
    """Read every source of a folder.

    Args:
        folder: with one TOML file a source.

    Raises:
        PhysError: naming the file, the row and the key, what it holds, and what is allowed.
    """
    sources, claims = [], []
    for path in sorted(Path(folder).glob("*.toml")):
        try:
            source, found = read_source(parse_toml(read_bytes(path, MIB)), path.name)
        except Malformed as error:
            raise FileError.about(path, f"is not TOML: {error}") from None
        sources.append(source)
        claims += found
    if not sources:
        raise ConfigurationError(f"{short(str(folder))} holds no source; expected a folder of .toml files")
    if twice := [name for name, count in Counter(claim.id for claim in claims).items() if count > 1]:
        raise ConfigurationError(f"two claims have the id {short(twice[0])}; give one of them another")
    return Claims(sources, claims)


def read_source(data: Mapping[str, Any], file: str = "source") -> tuple[Source, list[SourceClaim]]:
    """A source and its claims: its own, and the rows of its suites.

    Args:
        data: what the TOML holds.
        file: how to name it in messages.

    Raises:
        ConfigurationError: naming the row and the key, what it holds, and what is allowed.
    """
    check = Checks(file)
    head = ("name", "title", "references", "suites", "machine", "systems", "claims", "found")
    check.keys(data, head, needed=("name", "title", "references", "systems"))
    systems = check.table(data, "systems")
    suites = [load_suite(name) for name in _texts(check, data, "suites")]
    source = Source(
        check.name(data, "name"),
        check.some_text(data, "title"),
        _texts(check, data, "references"),
        tuple(suite.name for suite in suites),
        {name: _texts(check, systems, name, at="systems") for name in systems},
    )
    machine = check.text(data, "machine", "")
    read = _Reader(check, source, machine)
    own = [read.claim(row, f"claims[{i}]") for i, row in enumerate(check.tables(data, "claims"))]
    rows = rows_of_suites(source, suites)
    for i, row in enumerate(check.tables(data, "found")):
        rows = read.found(row, f"found[{i}]", rows)
    return source, [*own, *rows.values()]


@dataclass(frozen=True)
class _Reader:
    check: Checks
    source: Source
    machine: str

    def claim(self, row: Mapping[str, Any], at: str) -> SourceClaim:
        check = self.check
        own = ("id", "place", "claim", "paper", "systems")
        check.keys(row, own + FINDING, needed=("id", "place", "claim", "systems", "verdict"), at=at)
        name = check.some_text(row, "id", at=at)
        if not _ID.fullmatch(name):
            check.fail(f"{at}.id", f"is {short(name)}", "a text without blanks")
        for system in (systems := _texts(check, row, "systems", at=at)):
            if system not in self.source.systems:
                hint = suggest(system, list(self.source.systems))
                check.fail(f"{at}.systems", f"names {short(system)}, which [systems] does not have.{hint}", "one of it")
        made = SourceClaim(
            id=name,
            source=self.source.name,
            place=check.some_text(row, "place", at=at),
            claim=check.some_text(row, "claim", at=at),
            paper=check.text(row, "paper", "", at=at),
            systems=systems,
            **self._finding(row, at),
        )
        return self._sound(made, at)

    def found(self, row: Mapping[str, Any], at: str, rows: Mapping[str, SourceClaim]) -> dict[str, SourceClaim]:
        self.check.keys(row, ("rows", *FINDING), needed=("rows", "verdict"), at=at)
        pattern = self.check.some_text(row, "rows", at=at)
        form = re.compile(".*".join(map(re.escape, pattern.split("*"))))
        chosen = [name for name in rows if form.fullmatch(name)]
        if not chosen:
            hint = suggest(pattern, list(rows))
            self.check.fail(f"{at}.rows", f"is {short(pattern)}, which is no row.{hint}", "rows of the source's suites")
        found = self._finding(row, at)
        changed = {}
        for name in chosen:
            known = {key: value for key, value in found.items() if value or key != "command"}
            changed[name] = self._sound(replace(rows[name], **known), at)
        return {**rows, **changed}

    def _finding(self, row: Mapping[str, Any], at: str) -> dict[str, Any]:
        check = self.check
        found: dict[str, Any] = {
            key: " ".join(check.text(row, key, "", at=at).split())
            for key in FINDING
            if key not in ("cpu_seconds", "machine")
        }
        found["cpu_seconds"] = check.positive(row, "cpu_seconds", at=at) if "cpu_seconds" in row else None
        found["machine"] = check.text(row, "machine", self.machine if found["measured"] else "", at=at)
        return found

    def _sound(self, claim: SourceClaim, at: str) -> SourceClaim:
        """The claim itself, if its parts fit together."""
        fail, verdict = self.check.fail, claim.verdict
        if verdict not in VERDICTS:
            fail(f"{at}.verdict", f"is {short(verdict)}.{suggest(verdict, list(VERDICTS))}", ", ".join(VERDICTS))
        if verdict in MEASURED and not claim.measured:
            fail(f"{at}.measured", f"is empty where the verdict is {verdict!r}", "the measured value")
        if verdict in MEASURED and not (claim.page or claim.date):
            fail(
                f"{at}.page", "is empty, and so is date", "the page where the numbers stand, or the day of the command"
            )
        if verdict == "not run yet" and claim.measured:
            fail(f"{at}.measured", f"is {short(claim.measured)} where the verdict is {verdict!r}", "nothing")
        if verdict in ("not run yet", "not testable here") and not claim.why:
            fail(f"{at}.why", f"is empty where the verdict is {verdict!r}", "the reason")
        if claim.date and not _DATE.fullmatch(claim.date):
            fail(f"{at}.date", f"is {short(claim.date)}", "a day such as 2026-11-30")
        if not claim.command and verdict != "not testable here":
            fail(f"{at}.command", "is missing", "what reproduces the claim")
        if claim.command and (problem := problem_of(claim.command)):
            fail(f"{at}.command", f"is {short(claim.command)}: {problem}", "a suite, a study or a test that exists")
        return claim


def rows_of_suites(source: Source, suites: Sequence[Suite]) -> dict[str, SourceClaim]:
    """The rows of suites as claims, none of them run yet; rows that print one number are one claim."""
    claims: dict[str, SourceClaim] = {}
    printed: dict[tuple[Any, ...], str] = {}
    for suite in suites:
        prefix = suite.name.removeprefix("paper-")
        for row in suite.published:
            key = (row.source, row.task, row.metric, row.value)
            name = printed.setdefault(key, f"{prefix}/{row.task}/{row.metric}/{row.sampler}")
            if name in claims:
                claims[name] = replace(claims[name], rows=(*claims[name].rows, (suite.name, row)))
                continue
            text = f"{row.sampler} scores {row.value:g}{_unit(row.unit)} by {row.metric} on {row.task}"
            paper = f"{row.value:g}" + (f" ± {row.tolerance:g}" if row.tolerance else "") + _unit(row.unit)
            claims[name] = _of_row(source, suite, name, row, text, paper, [row.sampler])
        for order in suite.claims:
            name = f"{prefix}/{order.task}/{order.metric}/{order.better}<{order.worse}"
            text = f"{order.better} is better than {order.worse} by {order.metric} on {order.task}"
            found = [_printed(suite, order, sampler) for sampler in (order.better, order.worse)]
            paper = " against ".join(found) if all(found) else ""
            claims[name] = _of_row(source, suite, name, order, text, paper, [order.better, order.worse])
    return claims


def _of_row(
    source: Source, suite: Suite, name: str, row: Row, text: str, paper: str, samplers: Sequence[str]
) -> SourceClaim:
    comparable = not isinstance(row, Published) or row.comparable
    why = "no run of these cells at full length has been kept" if comparable else getattr(row, "reason", "")
    chosen = ",".join(samplers)
    return SourceClaim(
        id=name,
        source=source.name,
        place=row.source,
        claim=f"{text} ({row.note})" if row.note else text,
        paper=paper,
        verdict="not run yet" if comparable else "not testable here",
        why=why,
        command=f"phys-samplers bench run {suite.name} --tasks {row.task} --samplers '{chosen}'",
        systems=tuple(
            system
            for system, parts in source.systems.items()
            if {_bare(part) for part in parts} & _names(row, samplers)
        ),
        rows=((suite.name, row),),
    )


def _names(row: Row, samplers: Sequence[str]) -> set[str]:
    return {text.partition("[")[0] for text in (row.task, *samplers)}


def _bare(part: str) -> str:
    return part.partition(":")[2]


def _unit(unit: float) -> str:
    return "" if unit == 1 else f" · {unit:g}"


def _printed(suite: Suite, order: Claim, sampler: str) -> str:
    """The number in print of one side of an order; empty if there is none."""
    same = [
        row for row in suite.published if (row.task, row.metric, row.sampler) == (order.task, order.metric, sampler)
    ]
    here = [row for row in same if order.source.startswith(row.source)]
    return f"{here[0].value:g}{_unit(here[0].unit)}" if here else ""


def _texts(check: Checks, data: Mapping[str, Any], key: str, *, at: str = "") -> tuple[str, ...]:
    """Any number of strings; none if absent."""
    value = data.get(key, [])
    if not isinstance(value, list) or not all(isinstance(item, str) and item.strip() for item in value):
        check.fail(f"{at}.{key}" if at else key, f"is {short(value)}", "a list of texts")
    return tuple(value)


def problem_of(command: str) -> str:
    """What is wrong with a command; empty if nothing is."""
    try:
        words = shlex.split(command)
    except ValueError as error:
        return f"it cannot be read ({error})"
    first, *rest = words or [""]
    if first == "phys-samplers":
        return _own(rest)
    if first == "python" and rest and rest[0].startswith(SCRIPTS) and ".." not in rest[0]:
        return _file(rest[0])
    if first == "pytest" and (tests := [word for word in rest if word.startswith("tests/")]):
        return next(filter(None, map(_test, tests)), "")
    return "it is none of: phys-samplers bench run SUITE, python benchmarks/studies/NAME.py, pytest FILE::TEST"


def _own(words: list[str]) -> str:
    if words[:2] == ["bench", "run"]:
        known, name, what = [path.stem for path in SUITES.glob("*.toml")], "".join(words[2:3]), "suite"
    else:
        known, name, what = (
            [one.name for one in registry.components("command")],
            "".join(words[:1]),
            "command to repeat",
        )
    return "" if name in known else f"there is no {what} {short(name)}.{suggest(name, known)}"


def _file(name: str) -> str:
    here = not (TREE / "tests").is_dir() or (TREE / name).is_file()
    return "" if here else f"there is no file {short(name)}"


def _test(word: str) -> str:
    name, _, node = word.partition("::")
    if problem := _file(name.rstrip("/")) if name.endswith(".py") else "" if (TREE / name).is_dir() else _file(name):
        return problem
    test = node.partition("[")[0]
    return "" if not test or not (TREE / name).is_file() or test in _tests(TREE / name) else f"{name} has no {test!r}"


@cache
def _tests(path: Path) -> frozenset[str]:
    return frozenset(re.findall(r"^def (test_\w+)", path.read_text(encoding="utf-8"), re.MULTILINE))
