"""Scripts stand in the way of packages of their names: the folder of a script is first on its path."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
from pathlib import Path

import pytest

SCRIPTS = sorted(Path(__file__).parents[2].glob("benchmarks/*/[a-z]*.py"))
OURS = ("pandas", "torch", "scipy", "matplotlib", "gymnasium", "pot", "torchdiffeq", "numpy")


def wanted() -> set[str]:
    """Packages that those that we use look for, also where they are not installed."""
    needs = [need for name in OURS for need in importlib.metadata.requires(name) or ()]
    return {re.split(r"[^\w.-]", need, maxsplit=1)[0].lower().replace("-", "_") for need in needs}


@pytest.mark.parametrize("folder", ["studies", "throughput"])
def test_no_script_has_the_name_of_a_package(folder: str) -> None:
    names = [path.stem for path in SCRIPTS if path.parent.name == folder]
    assert names
    assert [name for name in names if name in wanted() or importlib.util.find_spec(name)] == []


def test_packages_that_are_only_looked_for_are_known() -> None:
    assert "bottleneck" in wanted()
