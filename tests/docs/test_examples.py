"""Every example of the documentation runs, and what the pages list is what the code has."""

from __future__ import annotations

import ast
import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType

import pytest

from phys_bench.shapes import STATUSES
from phys_bench.suite import load_suite
from phys_registry.hooks import HOOKS
from phys_registry.sources import ALLOW, DENY, FILES
from phys_samplers.catalogue import builtin_plugins, registry
from phys_samplers.target import CAPABILITIES

ROOT = Path(__file__).resolve().parents[2]
RUNNER = Path(__file__).with_name("run_document.py")
RAN = re.compile(r"^[1-9]\d* examples ran$", re.MULTILINE)
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def runner() -> ModuleType:
    spec = importlib.util.spec_from_file_location("run_document", RUNNER)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses look for it
    spec.loader.exec_module(module)
    return module


DOCUMENT = runner()


def has_examples(page: Path) -> bool:
    found = [block for block in DOCUMENT.blocks(page.read_text(encoding="utf-8")) if not block.skip]
    return any((block.language == "python" and not block.file) or DOCUMENT.commands(block) for block in found)


def run_documents(pages: Sequence[Path], folder: Path) -> dict[Path, str]:
    """What each page printed: in a process of their own, since they register components."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PHYS_SAMPLERS_")}
    settings = {
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "PYTHONIOENCODING": "utf-8",
        "PHYS_SAMPLERS_PROGRESS": "0",
        "MPLBACKEND": "Agg",
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(
        [sys.executable, str(RUNNER), *map(str, pages)],
        cwd=folder,
        env={**clean, **settings},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        timeout=280,
        check=False,
    )
    parts = re.split(r"^=== (.+)$", done.stdout, flags=re.MULTILINE)
    return {Path(name): text for name, text in zip(parts[1::2], parts[2::2], strict=True)}


EXAMPLES = [page for page in PAGES if has_examples(page)]


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> dict[Path, str]:
    return run_documents(EXAMPLES, tmp_path_factory.mktemp("documents"))


@pytest.mark.slow
@pytest.mark.parametrize("page", EXAMPLES, ids=lambda page: page.name)
def test_examples_run(page: Path, printed: dict[Path, str]) -> None:
    assert RAN.search(printed[page]), printed[page][-4000:]


def test_the_runner_tells_which_example_fails_and_goes_on(tmp_path: Path) -> None:
    texts = {
        "python": "```python\nx = 1\n\n1 / 0\n```\n",
        "console": "```console\n$ phys-samplers show task no-such-task\n```\n",
        "good": "```python\nprint('as it should')\n```\n",
    }
    pages = [tmp_path / f"{name}.md" for name in texts]
    for page, text in zip(pages, texts.values(), strict=True):
        page.write_text(text)
    folder = tmp_path / "run"
    folder.mkdir()
    python, console, good = run_documents(pages, folder).values()
    assert "ZeroDivisionError" in python
    assert "python.md" in python
    assert "line 4" in python
    assert "exit code 2" in console
    assert "no-such-task" in console
    assert [bool(RAN.search(text)) for text in (python, console, good)] == [False, False, True]


def test_every_block_is_run_or_says_why_not() -> None:
    """No other language than these, so that none is passed over in silence."""
    for page in PAGES:
        for block in DOCUMENT.blocks(page.read_text(encoding="utf-8")):
            where = f"{page.name}, line {block.line}"
            assert block.language in ("python", "console", "bash", "toml", "math", ""), where
            if block.language in ("console", "bash"):
                known = (DOCUMENT.PROGRAM, "$ make ")
                assert all(line.startswith(known) for line in block.text.splitlines()), where


def table(page: Path, *heads: str) -> list[list[str]]:
    """The rows, without the head, of the page's one table whose first column heads are these."""
    found: list[list[list[str]]] = []
    rows: list[list[str]] | None = None
    for line in page.read_text(encoding="utf-8").splitlines():
        if not line.startswith("|"):
            rows = None
            continue
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if rows is None:
            rows = []
            if tuple(cells[: len(heads)]) == heads:
                found.append(rows)
        elif not set("".join(cells)) <= set("-: "):
            rows.append(cells)
    assert len(found) == 1, f"{page.name} has {len(found)} tables of {heads}"
    return found[0]


def named(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def builtin(kind: str) -> set[str]:
    return {name for name in registry.names(kind) if registry.owner(kind, name) in builtin_plugins()}


def test_readme_lists_every_component() -> None:
    listed = {}
    for kind, cell in table(ROOT / "README.md", "kind", "names"):
        listed[kind] = set(named(re.sub(r"\([^)]*\)", "", cell)))
    assert listed == {kind: builtin(kind) for kind in registry.kinds() if builtin(kind)}


def test_readme_names_every_command() -> None:
    from phys_samplers.cli.program import COMMANDS

    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [name for name in COMMANDS if not re.search(rf"(phys-samplers |`){name}\b", text)] == []


def test_readme_says_what_the_quick_suite_is() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (found,) = re.findall(r"`quick` suite: (\w+) samplers, (\w+) tasks, (\w+) seeds", text)
    words = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven"]
    suite = load_suite("quick")
    assert [words.index(word) for word in found] == [len(suite.samplers), len(suite.tasks), len(suite.seeds)]


def test_metrics_are_defined() -> None:
    rows = table(ROOT / "docs" / "how-scores-are-made.md", "metric", "best")
    listed = {named(row[0])[0]: row[1] for row in rows}
    assert listed == {name: registry.get("metric", name).traits["best"] for name in builtin("metric")}


def test_integrators_have_the_orders_that_the_table_says() -> None:
    rows = table(ROOT / "docs" / "mathematics.md", "integrator", "equation")
    assert {named(row[0])[0] for row in rows} == builtin("integrator")
    for name, equation, accepts, *numbers in rows:
        traits = registry.get("integrator", named(name)[0]).traits
        assert equation == traits["equation"], name
        assert accepts.split(", ") == sorted(traits["accepts"]), name
        keys = ("order", "strong_order", "strong_order_additive", "weak_order", "evaluations_per_step")
        for key, number in zip(keys, numbers, strict=True):
            assert traits[key] == (None if number in ("–", "adaptive") else float(number)), (name, key)


def test_statuses_and_capabilities_are_those_of_the_code() -> None:
    assert [named(row[0])[0] for row in table(ROOT / "docs" / "how-scores-are-made.md", "status")] == list(STATUSES)
    assert [named(row[0])[0] for row in table(ROOT / "docs" / "concepts.md", "capability")] == list(CAPABILITIES)


def test_every_kind_is_named() -> None:
    for page in ("concepts.md", "writing-a-plugin.md"):
        text = (ROOT / "docs" / page).read_text(encoding="utf-8").lower()
        assert [kind for kind in registry.kinds() if not re.search(rf"\b{kind}\b", text)] == []


def test_every_hook_is_documented_with_its_arguments() -> None:
    rows = {named(row[0])[0]: row[2] for row in table(ROOT / "docs" / "writing-a-plugin.md", "hook", "called")}
    assert set(rows) == set(HOOKS)
    for hook, arguments in HOOKS.items():
        assert set(arguments) <= set(named(rows[hook])), hook


def test_every_environment_variable_is_documented() -> None:
    rows = {named(row[0])[0] for row in table(ROOT / "docs" / "writing-a-plugin.md", "variable")}
    assert {ALLOW, DENY, FILES} <= rows
    used = set()
    for folder in ("phys_samplers", "registry", "plugins", "benchmarks"):
        for file in (ROOT / folder).rglob("*.py"):
            used |= set(re.findall(r"\"(PHYS_SAMPLERS_[A-Z_]+)\"", file.read_text(encoding="utf-8")))
    assert rows == used


def test_quoted_tests_exist() -> None:
    quoted = []
    for page in PAGES:
        quoted += re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", page.read_text(encoding="utf-8"))
    assert len(quoted) > 15
    for file, name in quoted:
        assert (ROOT / file).is_file(), file
        tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
        assert name in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}, f"{file}::{name}"


def prose(page: Path) -> str:
    """A page without its fenced blocks and without code in backticks."""
    text = re.sub(r"^ *```.*?^ *```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"`[^`\n]+`", "", text)


def anchors(page: Path) -> set[str]:
    """The anchors that headings get on GitHub."""
    text = re.sub(r"^ *```.*?^ *```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    heads = re.findall(r"^#+ +(.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


def links() -> Iterator[tuple[Path, str]]:
    for page in [*PAGES, ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md"]:
        for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
            yield page, target


def test_links_resolve() -> None:
    count = 0
    for page, target in links():
        if target.startswith("https://"):
            continue
        file, _, anchor = target.partition("#")
        found = page if not file else (page.parent / file).resolve()
        assert found.is_file(), f"{page.name}: {target}"
        assert found.is_relative_to(ROOT), f"{page.name}: {target}"
        assert not anchor or anchor in anchors(found), f"{page.name}: {target}"
        count += 1
    assert count > 10


def test_changelog_has_the_version() -> None:
    from phys_samplers import __version__

    assert f"## [{__version__}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"version: {__version__}" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
