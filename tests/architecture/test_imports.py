"""Imports point one way: registry ← phys_samplers ← plugins ← benchmarks; no plugin imports another."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

RANK = {"registry": 0, "phys_samplers": 1, "plugins": 2, "benchmarks": 3}
LATE = ("phys_samplers/bench.py", "phys_samplers/plots.py", "phys_samplers/cli/", "phys_samplers/cli.py")
"""Where the benchmark may be reached, by an import inside a function only: its Python faces and the command line."""


def room_of(top: str, root: Path) -> str | None:
    """The room that holds the import package ``top``; None for foreign ones."""
    if top == "phys_samplers":
        return "phys_samplers"
    for room in ("registry", "plugins", "benchmarks"):
        if (root / room / top).is_dir():
            return room
    return None


def imports(tree: ast.Module) -> Iterator[tuple[str, int, bool]]:
    """Top-level names that are imported, with line and whether inside a function.

    Blocks for type checkers count, and so do ``import_module("…")`` and ``__import__("…")`` of a literal.
    """

    def walk(node: ast.AST, late: bool) -> Iterator[tuple[str, int, bool]]:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name.partition(".")[0], node.lineno, late
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module.partition(".")[0], node.lineno, late
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            function = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if function in ("import_module", "__import__") and isinstance(node.args[0].value, str):
                yield node.args[0].value.partition(".")[0], node.lineno, late
        inside = late or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for child in ast.iter_child_nodes(node):
            yield from walk(child, inside)

    yield from walk(tree, False)


def violations(path: Path, tree: ast.Module, root: Path) -> list[str]:
    """What a module imports that it must not."""
    home, own = path.parts[0], path.parts[1] if path.parts[0] != "phys_samplers" else "phys_samplers"
    found = []
    for top, line, late in imports(tree):
        room = room_of(top, root)
        if room is None or top == own:
            continue
        upwards = RANK[room] > RANK[home]
        sideways = home == room == "plugins"
        allowed = late and top == "phys_bench" and path.as_posix().startswith(LATE)
        if (upwards or sideways) and not allowed:
            found.append(f"{path}:{line} imports {top}")
    return found


def test_no_module_imports_against_the_arrows(modules: dict[Path, ast.Module], root: Path) -> None:
    assert [found for path, tree in modules.items() for found in violations(path, tree, root)] == []


@pytest.mark.parametrize(
    ("path", "source", "caught"),
    [
        ("registry/phys_registry/x.py", "import phys_samplers", True),
        ("phys_samplers/x.py", "from phys_bellman.model import BellmanModel", True),
        ("phys_samplers/x.py", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import phys_bellman", True),
        ("phys_samplers/x.py", "def f():\n    import phys_bench.api", True),
        ("phys_samplers/cli/x.py", "def f():\n    import phys_bench.api", False),
        ("phys_samplers/cli/x.py", "import phys_bench.api", True),
        ("phys_samplers/x.py", "importlib.import_module('phys_langevin.checks')", True),
        ("phys_samplers/x.py", "import phys_registry, torch", False),
        ("plugins/phys_bellman/x.py", "import phys_langevin", True),
        ("plugins/phys_bellman/x.py", "import phys_bellman.model, phys_samplers, phys_registry", False),
        ("plugins/phys_bellman/x.py", "def f():\n    import phys_bench", True),
        ("benchmarks/phys_bench/x.py", "import phys_bellman, phys_samplers", False),
    ],
)
def test_the_rule_catches_what_it_must(path: str, source: str, caught: bool, root: Path) -> None:
    assert bool(violations(Path(path), ast.parse(source), root)) is caught


def test_the_registry_needs_nothing_but_pluggy(modules: dict[Path, ast.Module]) -> None:
    import sys

    for path, tree in modules.items():
        if path.parts[0] == "registry":
            foreign = {top for top, _, _ in imports(tree)} - set(sys.stdlib_module_names) - {"pluggy", "phys_registry"}
            assert not foreign, f"{path} imports {foreign}"


def test_the_benchmark_does_not_import_plugins(modules: dict[Path, ast.Module], root: Path) -> None:
    """It knows samplers by name, through the registry."""
    found = [
        f"{path}:{line} imports {top}"
        for path, tree in modules.items()
        if path.parts[:2] == ("benchmarks", "phys_bench")
        for top, line, _ in imports(tree)
        if room_of(top, root) == "plugins"
    ]
    assert found == []


def test_nothing_but_the_command_line_imports_it(modules: dict[Path, ast.Module]) -> None:
    """Tables and verdicts that others need do not live in ``phys_samplers.cli``."""
    inside = ("phys_samplers/cli/", "phys_samplers/__main__.py", "benchmarks/studies/")
    found = {
        path.as_posix()
        for path, tree in modules.items()
        if not path.as_posix().startswith(inside)
        for node in ast.walk(tree)
        if (isinstance(node, ast.ImportFrom) and f"{node.module}.".startswith("phys_samplers.cli."))
        or (isinstance(node, ast.Import) and any(f"{a.name}.".startswith("phys_samplers.cli.") for a in node.names))
    }
    assert found <= {"phys_samplers/judging/tables.py"}, "the one known is to go"
