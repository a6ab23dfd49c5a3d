"""Suites: which tasks meet which samplers, how often, and with how much time and memory.

A suite is a TOML file::

    name = "quick"
    summary = "..."
    tasks = ["moons", "gmm9"]
    samplers = ["exact", "bellman[kernel=gaussian,sliced]"]
    seeds = 3                       # 0, 1, 2; or a list
    metrics = ["w2"]                # optional: instead of each task's own; the first one ranks
    eval_size = 500                 # optional: instead of each task's own
    [budget]                        # per cell
    seconds = 120
    memory_mib = 4096
    [[overrides]]                   # optional, any number; later ones win
    task = "gmm9"                   # a name, a pattern of names (gmm*), or a whole label; all if absent
    sampler = "bellman"
    options = { steps = 8000 }      # of the sampler
    seconds = 300
    [[overrides]]
    task = "cart-pole"
    sampler = "edm"
    skip = "it would take hours"    # the pair is not run, and the report says why

Rows ``[[published]]`` and ``[[claims]]`` say what a paper reports; see ``phys_bench.published``.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Self

from phys_registry import ComponentSpec, parse_spec
from phys_registry.errors import suggest
from phys_samplers.errors import ConfigurationError, FileError
from phys_samplers.reading import MIB, read_bytes
from phys_samplers.schema import Malformed, short

from .checks import Checks
from .published import Claim, Labels, Published, read_papers

LARGEST = MIB
"""Bytes of a suite's file."""
MOST_DOTS = 1_000
"""In one line: to read a key of n parts takes n² steps."""
SHIPPED = Path(__file__).with_name("suites")


@dataclass(frozen=True, kw_only=True)
class Budget:
    """What one cell may use; a cell that needs more is killed.

    Args:
        seconds: of fitting, sampling and scoring, without those in which it waited for a processor.
        memory_mib: resident memory of the worker and what it starts, the libraries' own 300 to 500 MiB included.
    """

    seconds: float = 300.0
    memory_mib: float = 4096.0


@dataclass(frozen=True, kw_only=True)
class Override:
    """Settings of some cells of a suite.

    Args:
        task: a task name, a pattern of names, or a whole label.
        sampler: the same for samplers.
        options: sampler options; they win over those in the sampler's text.
        metrics: instead of the task's or suite's; only without ``sampler``, so that samplers stay comparable.
        eval_size: instead of the task's or suite's; only without ``sampler``.
        seconds: instead of the suite's.
        memory_mib: instead of the suite's.
        skip: why the pairs are not run at all; empty if they are.
    """

    task: str = "*"
    sampler: str = "*"
    options: Mapping[str, Any] = field(default_factory=dict)
    metrics: tuple[str, ...] | None = None
    eval_size: int | None = None
    seconds: float | None = None
    memory_mib: float | None = None
    skip: str = ""

    def covers(self, task: ComponentSpec, sampler: ComponentSpec | None) -> bool:
        """Whether the override is meant for this pair (for this task whatever the sampler, if that is None)."""
        if not _matches(self.task, task):
            return False
        return self.sampler == "*" if sampler is None else _matches(self.sampler, sampler)


@dataclass(frozen=True, kw_only=True)
class Suite:
    """Tasks × samplers × seeds.

    Args:
        name: of the suite and its run folder.
        summary: one sentence.
        tasks: task texts, as ``parse_spec`` reads them.
        samplers: sampler texts.
        seeds: the seeds.
        metrics: metric texts instead of each task's own; the first one ranks.
        eval_size: number of scored samples instead of each task's own.
        budget: per cell.
        overrides: exceptions; later ones win.
        published: a paper's numbers for cells of the suite; no part of any cell's identity, nor are the claims.
        claims: what it says of samplers side by side.
    """

    name: str
    summary: str = ""
    tasks: tuple[str, ...]
    samplers: tuple[str, ...]
    seeds: tuple[int, ...] = (0, 1, 2)
    metrics: tuple[str, ...] | None = None
    eval_size: int | None = None
    budget: Budget = field(default_factory=Budget)
    overrides: tuple[Override, ...] = ()
    published: tuple[Published, ...] = ()
    claims: tuple[Claim, ...] = ()

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], *, source: str = "suite") -> Self:
        """Build a suite from what TOML (or ``to_dict``) holds.

        Args:
            data: the mapping.
            source: how to name it in messages.

        Raises:
            ConfigurationError: naming the key, what it holds and what is allowed.
        """
        check = Checks(source)
        check.keys(data, [f.name for f in fields(cls)], needed=("name", "tasks", "samplers"))
        budget = check.table(data, "budget")
        check.keys(budget, [f.name for f in fields(Budget)], at="budget")
        overrides = tuple(_override(check, row, i) for i, row in enumerate(check.tables(data, "overrides")))
        suite = cls(
            name=check.name(data, "name"),
            summary=check.text(data, "summary", ""),
            tasks=check.tasks(data),
            samplers=check.texts(data, "samplers"),
            seeds=check.seeds(data, "seeds", cls.seeds),
            metrics=check.texts(data, "metrics") if data.get("metrics") is not None else None,
            eval_size=check.count(data, "eval_size"),
            budget=Budget(**{key: check.positive(budget, key, at="budget") for key in budget}),
            overrides=overrides,
        )
        published, claims = check.tables(data, "published"), check.tables(data, "claims")
        return (
            replace(suite, **read_papers(check, published, claims, suite._labels())) if published or claims else suite
        )

    def _labels(self) -> Labels:
        """What ``published`` and ``claims`` may name: metrics are those that the suite itself names for a task."""
        metrics = {}
        for task in expand(self.tasks):
            texts = self.metrics or ()
            for override in self.overrides:
                texts = override.metrics or texts if override.covers(task, None) else texts
            metrics[str(task)] = [str(spec) for spec in expand(texts)]
        return Labels(metrics, [str(spec) for spec in expand(self.samplers)])

    def papers(self) -> dict[str, Any]:
        """``published`` and ``claims`` in JSON-like form."""
        return {"published": [asdict(row) for row in self.published], "claims": [asdict(row) for row in self.claims]}

    def to_dict(self) -> dict[str, Any]:
        """JSON-like form, which ``from_dict`` reads."""
        return asdict(self)

    def select(
        self,
        *,
        tasks: Sequence[str] | None = None,
        samplers: Sequence[str] | None = None,
        seeds: int | Sequence[int] | None = None,
    ) -> Suite:
        """The same suite with other tasks, samplers or seeds; without what it says of cells that are left out."""
        given = {"tasks": _listed(tasks), "samplers": _listed(samplers), "seeds": seeds}
        check, data = Checks("this run"), {key: value for key, value in given.items() if value is not None}
        changes: dict[str, Any] = {"samplers": check.texts(data, "samplers")} if "samplers" in data else {}
        changes |= {"tasks": check.tasks(data)} if "tasks" in data else {}
        suite = replace(self, **changes, seeds=check.seeds(data, "seeds", self.seeds))
        tasks_left, left = ({str(spec) for spec in expand(texts)} for texts in (suite.tasks, suite.samplers))
        published = tuple(row for row in self.published if row.task in tasks_left and row.sampler in left)
        claims = tuple(row for row in self.claims if row.task in tasks_left and {row.better, row.worse} <= left)
        return replace(suite, published=published, claims=claims)


def load_suite(suite: str | Path | Suite | Mapping[str, Any]) -> Suite:
    """Find a suite.

    Args:
        suite: the name of a shipped suite, the path of a TOML file, a mapping of the same form, or a ``Suite``.

    Raises:
        ConfigurationError: if there is no such suite (with the nearest names), or something in it is wrong.
    """
    if isinstance(suite, Suite):
        return suite
    if isinstance(suite, Mapping):
        return Suite.from_dict(suite)
    if not isinstance(suite, str | Path):
        raise ConfigurationError(f"suite is {short(suite)}; expected a name, the path of a .toml file, or a mapping")
    path = Path(suite)
    if path.suffix != ".toml":
        path = SHIPPED / f"{suite}.toml"
    try:
        data = parse_toml(read_bytes(path, LARGEST))
    except FileNotFoundError:
        known = [p.stem for p in SHIPPED.glob("*.toml")]
        raise ConfigurationError(
            f"there is no suite {short(str(suite))}.{suggest(str(suite), known)} "
            f"Shipped suites: {', '.join(sorted(known))}; or give the path of a .toml file"
        ) from None
    except Malformed as error:
        raise FileError.about(path, f"is not TOML: {error}") from None
    suite = Suite.from_dict(data, source=path.name)
    if code := [str(spec) for spec in expand(suite.tasks) if spec.name == "density"]:
        raise FileError.about(path, f"names code to run, {code[0]}; a suite from a file runs none: say it by --tasks")
    return suite


def parse_toml(payload: bytes) -> dict[str, Any]:
    """What a TOML file holds.

    Raises:
        Malformed: if it is none.
    """
    try:
        content = payload.decode("utf-8")
        if any(line.count(".") > MOST_DOTS for line in content.splitlines()):
            raise Malformed(f"a line has more than {MOST_DOTS:,} dots")
        return tomllib.loads(content)
    except RecursionError:
        raise Malformed("it is nested too deeply") from None
    except ValueError as error:  # of the encoding, of TOML, of an integer with too many digits
        raise Malformed(str(error).partition("; use sys.")[0]) from None


def list_suites() -> list[Suite]:
    """The shipped suites, sorted by name."""
    return [load_suite(path) for path in sorted(SHIPPED.glob("*.toml"))]


def expand(texts: Sequence[str]) -> list[ComponentSpec]:
    """Every component that the texts name, in order, equal ones once.

    Raises:
        SpecError: if a text cannot be read.
    """
    found = {str(spec): spec for text in texts for spec in parse_spec(text)}
    return list(found.values())


def _listed(texts: Sequence[str] | None) -> list[str] | None:
    return None if texts is None else [texts] if isinstance(texts, str) else list(texts)


def _matches(pattern: str, spec: ComponentSpec) -> bool:
    return fnmatchcase(spec.name, pattern) or pattern == str(spec)


def _override(check: Checks, row: Mapping[str, Any], index: int) -> Override:
    at = f"overrides[{index}]"
    check.keys(row, [f.name for f in fields(Override)], at=at)
    for key in ("metrics", "eval_size"):
        if row.get(key) is not None and row.get("sampler", "*") != "*":
            check.fail(f"{at}.{key}", "is set for one sampler", "it to hold for all samplers of a task; drop 'sampler'")
    return Override(
        task=check.text(row, "task", "*", at=at),
        sampler=check.text(row, "sampler", "*", at=at),
        options=check.options(row, "options", at=at),
        metrics=check.texts(row, "metrics", at=at) if row.get("metrics") is not None else None,
        eval_size=check.count(row, "eval_size", at=at),
        seconds=check.positive(row, "seconds", at=at) if row.get("seconds") is not None else None,
        memory_mib=check.positive(row, "memory_mib", at=at) if row.get("memory_mib") is not None else None,
        skip=check.text(row, "skip", "", at=at),
    )
