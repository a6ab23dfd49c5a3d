"""No module imports itself, over however many others; imports for type checkers and late ones count like any other."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest


def module_name(path: Path) -> str:
    """``plugins/phys_bellman/model.py`` is ``phys_bellman.model``; a package is named by its folder."""
    parts = path.with_suffix("").parts
    parts = parts if parts[0] == "phys_samplers" else parts[1:]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(path: Path, tree: ast.Module, known: set[str]) -> Iterator[str]:
    """The modules of ``known`` that a module names in import statements, wherever they stand."""
    package = module_name(path) if path.name == "__init__.py" else module_name(path).rpartition(".")[0]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")
                base = ".".join([*parents[: len(parents) - node.level + 1], *filter(None, [node.module])])
            inner = [f"{base}.{alias.name}" for alias in node.names]
            yield from (name for name in inner if name in known)
            if base in known and not all(name in known for name in inner):
                yield base


def graph(modules: Mapping[Path, ast.Module]) -> dict[str, set[str]]:
    """What each module imports of ours."""
    known = {module_name(path) for path in modules}
    return {module_name(path): set(imported(path, tree, known)) - {module_name(path)} for path, tree in modules.items()}


def knots(edges: Mapping[str, set[str]]) -> set[frozenset[str]]:
    """Largest sets of modules in which each reaches each (Tarjan 1972), but those of one module."""
    number: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: set[frozenset[str]] = set()

    def visit(name: str) -> None:
        number[name] = low[name] = len(number)
        stack.append(name)
        for other in edges[name]:
            if other not in number:
                visit(other)
            if other in stack:
                low[name] = min(low[name], low[other])
        if low[name] == number[name]:
            knot = frozenset(stack[stack.index(name) :])
            del stack[stack.index(name) :]
            if len(knot) > 1:
                found.add(knot)

    for name in edges:
        if name not in number:
            visit(name)
    return found


@pytest.mark.parametrize(
    ("first", "second", "circle"),
    [
        ("import phys_samplers.b", "import phys_samplers.a", True),
        ("from phys_samplers.b import x", "from phys_samplers import a", True),
        ("from .b import x", "from . import a", True),
        (
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from phys_samplers.b import X",
            "from .a import y",
            True,
        ),
        ("def f():\n    from phys_samplers.b import x", "import phys_samplers.a", True),
        ("import phys_samplers.b", "import torch", False),
        ("import phys_samplers.b", "from phys_samplers.c import a", False),
    ],
)
def test_the_rule_sees_circles(first: str, second: str, circle: bool) -> None:
    folder = Path("phys_samplers")
    sources = {"a.py": first, "b.py": second, "c.py": ""}
    edges = graph({folder / name: ast.parse(source) for name, source in sources.items()})
    assert knots(edges) == ({frozenset({"phys_samplers.a", "phys_samplers.b"})} if circle else set())


def test_a_circle_of_three_is_one_knot() -> None:
    assert knots({"a": {"b"}, "b": {"c"}, "c": {"a", "d"}, "d": set()}) == {frozenset("abc")}


def test_no_import_circles(modules: dict[Path, ast.Module]) -> None:
    assert sorted(map(sorted, knots(graph(modules)))) == []
