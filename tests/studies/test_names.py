"""Scripts stand in the way of packages of their names: the folder of a script is first on its path."""

from __future__ import annotations

import importlib.metadata
import re
import sys
from importlib.machinery import PathFinder
from pathlib import Path

import pytest

FOLDERS = {name: Path(__file__).parents[2] / "benchmarks" / name for name in ("studies", "throughput")}
OURS = ("pandas", "torch", "scipy", "matplotlib", "gymnasium", "pot", "torchdiffeq", "numpy")


def wanted() -> set[str]:
    """Packages that those that we use look for, also where they are not installed."""
    needs = [need for name in OURS for need in importlib.metadata.requires(name) or ()]
    return {re.split(r"[^\w.-]", need, maxsplit=1)[0].lower().replace("-", "_") for need in needs}


def elsewhere() -> list[str]:
    """Where modules are looked for, without the folders of the scripts: other tests may have put these first."""
    return [entry for entry in sys.path if Path(entry or ".").resolve() not in FOLDERS.values()]


@pytest.mark.parametrize("folder", FOLDERS)
def test_no_script_has_the_name_of_a_package(folder: str) -> None:
    names = [path.stem for path in FOLDERS[folder].glob("[a-z]*.py")]
    assert names
    taken = wanted() | sys.stdlib_module_names
    assert [name for name in names if name in taken or PathFinder.find_spec(name, elsewhere())] == []


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_folder_of_scripts_on_the_path_changes_nothing(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(FOLDERS[folder]))
    test_no_script_has_the_name_of_a_package(folder)


def test_a_module_that_is_installed_is_seen() -> None:
    assert PathFinder.find_spec("pandas", elsewhere()) is not None


def test_packages_that_are_only_looked_for_are_known() -> None:
    assert "bottleneck" in wanted()
