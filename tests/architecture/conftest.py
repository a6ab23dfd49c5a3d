"""The source tree as syntax trees."""

from __future__ import annotations

import ast
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = {
    "registry": ROOT / "registry",
    "phys_samplers": ROOT / "phys_samplers",
    "plugins": ROOT / "plugins",
    "benchmarks": ROOT / "benchmarks",
}


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), filename=str(path))


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def modules() -> dict[Path, ast.Module]:
    """Every module of the library, path from the root to syntax tree; tests and docs are not among them."""
    paths = (path for folder in ROOMS.values() for path in sorted(folder.rglob("*.py")))
    return {path.relative_to(ROOT): _tree(path) for path in paths}


@pytest.fixture(scope="session")
def parse() -> Callable[[Path], ast.Module]:
    return _tree
