"""Claims of the sources: data that is checked, commands that exist, numbers that stand where the rows say."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import asdict, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from phys_bench import claims_shown
from phys_bench.cells import Floor
from phys_bench.claims import MEASURED, VERDICTS, Claims, SourceClaim
from phys_bench.claims_read import SHIPPED, load_claims, problem_of, read_source
from phys_bench.claims_run import decided_by
from phys_bench.findings import Decided, Measured
from phys_bench.published import Claim, Published
from phys_bench.results import Results
from phys_bench.statistics import Estimate
from phys_bench.suite import list_suites
from phys_samplers.catalogue import registry
from phys_samplers.cli import program
from phys_samplers.cli.words import split_texts
from phys_samplers.errors import ConfigurationError, FileError

ROOT = Path(__file__).resolve().parents[2]
CLAIMS = load_claims()
GOOD: dict[str, Any] = {
    "id": "one", "place": "Table 1", "claim": "it works", "systems": ["X"], "verdict": "holds", "measured": "0.5",
    "page": "docs/bellman.md", "command": "phys-samplers bench run quick",
}  # fmt: skip
SOURCE: dict[str, Any] = {"name": "own", "title": "Own", "references": [], "systems": {"X": []}}


def source(*rows: dict[str, Any], **more: Any) -> list[SourceClaim]:
    return read_source({**SOURCE, "claims": list(rows), **more}, "own.toml")[1]


# What is shipped


def test_there_are_enough_claims_of_every_source_and_each_has_a_verdict_and_a_command() -> None:
    assert [one.name for one in CLAIMS.sources] == ["bellman", "slides", "thesis", "vgs"]
    assert sum(bool(claim.command) for claim in CLAIMS) >= 60
    assert min(len(CLAIMS.select(one.name)) for one in CLAIMS.sources) >= 20
    assert {claim.verdict for claim in CLAIMS} <= set(VERDICTS)
    assert sum(CLAIMS.counts.values()) == len(CLAIMS)


def test_every_system_has_a_claim_and_every_component_of_a_source_is_one_of_its_systems() -> None:
    components = {f"{c.kind}:{c.name}": c for c in registry.components()}
    for one in CLAIMS.sources:
        claimed = {system for claim in CLAIMS.select(one.name) for system in claim.systems}
        assert sorted(one.systems.keys() - claimed) == []
        parts = {part for found in one.systems.values() for part in found}
        assert sorted(parts - components.keys()) == []
        named = {
            part
            for part, component in components.items()
            if component.kind in ("sampler", "return_model", "task")
            and any(reference in (component.reference or "") for reference in one.references)
        }
        assert sorted(named - parts) == [], f"{one.name}: add to [systems]"


def test_what_is_not_here_is_named() -> None:
    asked = ("MVTec-AD", "PDBBind (docking)", "GEOM-DRUGS (conformers)", "Stable Diffusion (text-to-image)", "CIFAR-10")
    for system in asked:
        found = [claim for claim in CLAIMS if system in claim.systems]
        assert any(claim.verdict == "not testable here" and claim.why for claim in found), system


def test_every_row_of_the_suites_of_papers_is_a_claim() -> None:
    known = {row for claim in CLAIMS for row in claim.rows}
    for suite in list_suites():
        assert {(suite.name, row) for row in (*suite.published, *suite.claims)} <= known, suite.name


NUMBER = re.compile(r"(?<![\w.])[−-]?\d*\.?\d+(?:,\d{3})*")


def numbers(text: str) -> list[str]:
    return [found.lstrip("-−").lstrip("0") or "0" for found in NUMBER.findall(text.replace(r"\thinspace", ""))]


@pytest.mark.parametrize("page", sorted({claim.page for claim in CLAIMS if claim.page}))
def test_measured_numbers_stand_on_the_page_that_the_row_names(page: str) -> None:
    known = set(numbers((ROOT / page).read_text(encoding="utf-8")))
    for claim in CLAIMS:
        if claim.page == page:
            missing = [number for number in numbers(f"{claim.measured} {claim.floor}") if number not in known]
            assert missing == [], f"{claim.id}: {missing} not on {page}"


def test_the_page_is_what_the_data_say() -> None:
    made = claims_shown.page(CLAIMS)
    assert (ROOT / "docs" / "claims.md").read_text(encoding="utf-8") == made, "phys-samplers claims -o docs/claims.md"


# What is refused


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"verdict": ""}, r"claims\[0\].verdict is ''.*holds, holds in part"),
        ({"verdict": "hold"}, r"verdict is 'hold'.*Did you mean 'holds'"),
        ({"verdikt": "holds"}, r"no key 'verdikt' in \[claims\[0\]\].*Did you mean 'verdict'"),
        ({"place": " "}, r"claims\[0\].place is ' '"),
        ({"id": "a b"}, r"claims\[0\].id is 'a b'.*without blanks"),
        ({"systems": ["Y"]}, r"claims\[0\].systems names 'Y', which \[systems\] does not have"),
        ({"systems": "X"}, r"claims\[0\].systems is 'X'; expected a list of texts"),
        ({"command": ""}, r"claims\[0\].command is missing"),
        ({"measured": ""}, r"claims\[0\].measured is empty where the verdict is 'holds'"),
        ({"page": ""}, r"claims\[0\].page is empty, and so is date"),
        ({"date": "30 November"}, r"claims\[0\].date is '30 November'; expected a day"),
        ({"cpu_seconds": -1}, r"claims\[0\].cpu_seconds is -1; expected a positive number"),
        ({"verdict": "not run yet", "why": "long"}, r"measured is '0.5' where the verdict is 'not run yet'"),
        ({"verdict": "not run yet", "measured": ""}, r"claims\[0\].why is empty where the verdict is 'not run yet'"),
        ({"verdict": "not testable here", "measured": ""}, r"why is empty where the verdict is 'not testable here'"),
        ({"command": "phys-samplers bench run quik"}, r"there is no suite 'quik'.*Did you mean 'quick'"),
        ({"command": "phys-samplers bensh run quick"}, r"there is no command to repeat 'bensh'"),
        ({"command": "python benchmarks/studies/nothing.py"}, r"there is no file 'benchmarks/studies/nothing.py'"),
        ({"command": "python setup.py"}, r"it is none of: phys-samplers bench run SUITE"),
        ({"command": "pytest tests/bench/test_nothing.py"}, r"there is no file 'tests/bench/test_nothing.py'"),
        ({"command": "pytest tests/bench/test_claims.py::test_no"}, r"tests/bench/test_claims.py has no 'test_no'"),
        ({"command": "rm -r ."}, r"it is none of"),
        ({"command": "phys-samplers 'bench"}, r"it cannot be read"),
    ],
)
def test_a_wrong_claim_names_the_key_and_what_is_allowed(change: dict[str, Any], message: str) -> None:
    assert source(GOOD)
    with pytest.raises(ConfigurationError, match=message):
        source({**GOOD, **change})


@pytest.mark.parametrize("key", ["id", "place", "claim", "systems", "verdict"])
def test_a_claim_needs_its_keys(key: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"the key '{key}' is missing in \[claims\[0\]\]"):
        source({name: value for name, value in GOOD.items() if name != key})


def test_files_are_refused_that_are_no_toml_or_repeat_an_id(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="holds no source"):
        load_claims(tmp_path)
    text = (SHIPPED / "slides.toml").read_text(encoding="utf-8")
    (tmp_path / "a.toml").write_text(text, encoding="utf-8")
    assert len(load_claims(tmp_path)) == len(CLAIMS.select("slides"))
    (tmp_path / "b.toml").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"two claims have the id 'slides-"):
        load_claims(tmp_path)
    (tmp_path / "b.toml").write_text("name = [", encoding="utf-8")
    with pytest.raises(FileError, match=r"b\.toml.*is not TOML"):
        load_claims(tmp_path)


def test_a_finding_is_of_rows_that_there_are() -> None:
    own = {"suites": ["paper-vgs-fig4"], "found": [{"rows": "vgs-fig4/*", "verdict": "holds", "measured": "1"}]}
    with pytest.raises(ConfigurationError, match=r"found\[0\].page is empty"):
        source(**own)
    found = source(**own | {"found": [{**own["found"][0], "page": "docs/bellman.md"}]})  # type: ignore[dict-item]
    assert {claim.verdict for claim in found} == {"holds"}
    assert all(claim.command.startswith("phys-samplers bench run paper-vgs-fig4") for claim in found)
    with pytest.raises(ConfigurationError, match=r"found\[0\].rows is 'vgs-fig5/\*', which is no row"):
        source(suites=["paper-vgs-fig4"], found=[{"rows": "vgs-fig5/*", "verdict": "holds"}])


def test_every_command_that_is_shipped_can_be_run() -> None:
    suites = {suite.name: suite for suite in list_suites()}
    for claim in CLAIMS:
        assert claim.command or claim.verdict == "not testable here"
        assert not claim.command or problem_of(claim.command) == ""
        words = shlex.split(claim.command)
        if words[:3] == ["phys-samplers", "bench", "run"]:
            given = {word.removeprefix("--"): split_texts([value]) for word, value in pairwise(words[3:])}
            chosen = {key: given[key] for key in ("tasks", "samplers") if key in given}
            assert suites[words[3]].select(**chosen).tasks  # type: ignore[arg-type]


# A run decides


NUMBER_ROW = Published(task="t", sampler="a", metric="low", value=1.0, source="Table 1")
ORDER_ROW = Claim(task="t", metric="low", better="a", worse="b", source="Table 1")
ABOUT_ONE = Estimate(1.0, 0.1, 0.75, 1.25, 3)
HEAD = {"started": "2026-11-30T12:00:00", "environment": {"system": "Linux", "machine": "x", "cpu_count": 2}}


class Run(Results):
    """A run whose records say these verdicts."""

    def __init__(self, said: Measured | Decided) -> None:
        super().__init__([], {**HEAD, "suite": {"name": "s", "seeds": [0, 1, 2]}})
        self.said = said

    def published(self) -> list[Measured]:
        return [self.said] if isinstance(self.said, Measured) else []

    def claims(self) -> list[Decided]:
        return [self.said] if isinstance(self.said, Decided) else []


def decided(said: Measured | Decided) -> SourceClaim:
    claim = replace(CLAIMS[0], verdict="not run yet", measured="", why="later", page="", rows=(("s", said.row),))
    (found,) = decided_by(Claims(CLAIMS.sources, [claim]), Run(said))
    assert isinstance(found, SourceClaim)
    return found


@pytest.mark.parametrize(
    ("word", "verdict"),
    [
        ("reproduced", "holds"),
        ("better", "holds in part"),
        ("worse", "does not hold"),
        ("equal", "does not hold"),
        ("undecided", "not told at this scale"),
        ("not comparable", "not testable here"),
        ("failed", "not told at this scale"),
        ("timeout", "not told at this scale"),
    ],
)
def test_a_number_of_a_suite_is_decided_by_records(word: str, verdict: str) -> None:
    found = decided(Measured(NUMBER_ROW, 1.0, ABOUT_ONE, Floor(0.5, 0.01), "low", word, ""))
    assert found.verdict == verdict
    assert found.measured == "a: 1 [0.750, 1.25]"
    assert (found.floor, found.seeds, found.date) == ("0.500", "0, 1, 2", "2026-11-30")
    assert found.machine == "Linux x, 2 cores"


def test_what_diverged_does_not_hold_and_what_was_not_run_stays() -> None:
    found = decided(Measured(NUMBER_ROW, 1.0, None, None, "low", "diverged", "3 of 3 diverged"))
    assert (found.verdict, found.measured) == ("does not hold", "a: 3 of 3 diverged")
    left = decided(Measured(NUMBER_ROW, 1.0, None, None, "low", "not run", ""))
    assert (left.verdict, left.why) == ("not run yet", "later")


@pytest.mark.parametrize(
    ("word", "verdict"),
    [("holds", "holds"), ("does not hold", "does not hold"), ("undecided", "not told at this scale")],
)
def test_an_order_of_a_suite_is_decided_by_records(word: str, verdict: str) -> None:
    found = decided(Decided(ORDER_ROW, 2, 3, "low", ABOUT_ONE, word, ("", "1 of 3 failed")))
    assert found.verdict == verdict
    assert found.measured == "ahead by 1 [0.750, 1.25], ahead at 2 of 3 seeds (1 of 3 failed)"


def test_a_run_of_another_suite_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"no claim is a row of the suite 'quick'; .*paper-bellman-table1"):
        decided_by(CLAIMS, Results([], {"suite": {"name": "quick"}}))


# What is shown


def test_the_command_filters_and_counts() -> None:
    run = CliRunner()
    whole = run.invoke(program, ["claims"], env={"COLUMNS": "120"})
    assert whole.exit_code == 0
    assert re.search(rf"^all .* {len(CLAIMS)}$", whole.output, re.MULTILINE)
    rows = json.loads(run.invoke(program, ["claims", "--json", "--source", "vgs", "--verdict", "holds"]).output)
    assert rows == [
        json.loads(json.dumps(claim.to_dict())) for claim in CLAIMS if (claim.source, claim.verdict) == ("vgs", "holds")
    ]
    one = run.invoke(program, ["claims", "restart-dpm"])
    assert "python benchmarks/studies/restart_nfe.py run" in one.output
    for words, message in (
        (["--source", "vsg"], "there is no source 'vsg'. Did you mean 'vgs'?"),
        (["--verdict", "hold"], "there is no verdict 'hold'"),
        (["--run", "no-such-folder"], "no-such-folder"),
    ):
        wrong = run.invoke(program, ["claims", *words])
        assert wrong.exit_code == 2
        assert message in wrong.output
    assert "no claim is like that" in run.invoke(program, ["claims", "xyzzy"]).output
    taught = run.invoke(program, ["claims", "--help"]).output
    assert all(verdict in " ".join(taught.split()) for verdict in VERDICTS)


def test_what_a_run_decided_is_written_as_rows_that_are_read_again(tmp_path: Path) -> None:
    wanted = [claim for claim in CLAIMS.select("vgs") if claim.id.startswith("vgs-fig4/")]
    old = Claims(CLAIMS.sources, wanted)
    new = [replace(claim, verdict="holds", measured='0.5 "x"', why="", date="2026-11-30", page="") for claim in wanted]
    text = claims_shown.findings(old, Claims(CLAIMS.sources, new))
    head = 'name = "own"\ntitle = "Own"\nreferences = []\nsuites = ["paper-vgs-fig4"]\n[systems]\n'
    (tmp_path / "own.toml").write_text(f"{head}\n{text}\n", encoding="utf-8")
    found = load_claims(tmp_path)
    assert [(claim.id, claim.verdict, claim.measured) for claim in found] == [
        (claim.id, "holds", '0.5 "x"') for claim in wanted
    ]
    assert "--run DIR" in CliRunner().invoke(program, ["claims", "--toml"]).output


def test_claims_are_plain_data() -> None:
    assert set(MEASURED) < set(VERDICTS)
    assert {claim.id for claim in CLAIMS} == {claim["id"] for claim in map(asdict, CLAIMS)}
