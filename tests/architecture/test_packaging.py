"""One distribution whose packages are listed explicitly, and whose wheel holds them and nothing else."""

from __future__ import annotations

import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from phys_samplers.builtins import BUILTIN_PLUGINS

PACKAGES = {"phys_samplers", "phys_registry", "phys_bench"}


@pytest.fixture(scope="module")
def project(root: Path) -> dict:
    return tomllib.loads((root / "pyproject.toml").read_text())


@pytest.fixture(scope="module")
def families(root: Path) -> set[str]:
    """The import packages under ``plugins/``."""
    return {path.name for path in (root / "plugins").iterdir() if (path / "__init__.py").exists()}


def test_every_package_is_in_the_wheel(project: dict, families: set[str]) -> None:
    listed = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert {Path(entry).name for entry in listed} == PACKAGES | families
    assert len(listed) == len(set(listed))
    assert {entry for entry in listed if Path(entry).name in families} == {f"plugins/{name}" for name in families}


def test_every_family_is_a_builtin_plugin(families: set[str]) -> None:
    modules = set(BUILTIN_PLUGINS)
    assert {module.partition(".")[0] for module in modules} == families | {"phys_samplers", "phys_bench"}
    assert len(modules) == len(BUILTIN_PLUGINS)


def test_every_folder_of_plugins_is_a_family(root: Path, families: set[str]) -> None:
    folders = {path.name for path in (root / "plugins").iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert folders == families
    assert all(name.startswith("phys_") for name in families)


@pytest.mark.parametrize("folder", ["plugins", "registry", "benchmarks", "tests"])
def test_folders_that_hold_packages_are_none_themselves(root: Path, folder: str) -> None:
    assert not (root / folder / "__init__.py").exists()


def test_tests_are_no_packages(root: Path) -> None:
    inits = [path for path in (root / "tests").rglob("__init__.py") if "sample_plugin" not in path.parts]
    assert inits == []


def test_linting_and_typing_know_every_package(project: dict, families: set[str]) -> None:
    tools = project["tool"]
    assert set(tools["ruff"]["lint"]["isort"]["known-first-party"]) == PACKAGES | families
    assert tools["mypy"]["mypy_path"] == ["registry", "plugins", "benchmarks"]


@pytest.fixture(scope="module")
def wheel(root: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """File names in the wheel built from this tree."""
    folder = tmp_path_factory.mktemp("wheel")
    done = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = folder.glob("*.whl")
    with zipfile.ZipFile(built) as archive:
        return archive.namelist()


def test_the_wheel_holds_the_packages_and_nothing_else(wheel: list[str], families: set[str]) -> None:
    tops = {name.partition("/")[0] for name in wheel}
    assert {top for top in tops if not top.endswith(".dist-info")} == PACKAGES | families


def test_the_wheel_holds_every_source_file(wheel: list[str], root: Path, families: set[str]) -> None:
    homes = [root / "phys_samplers", root / "registry/phys_registry", root / "benchmarks/phys_bench"]
    homes += [root / "plugins" / name for name in families]
    sources = {
        path.relative_to(home.parent).as_posix()
        for home in homes
        for path in home.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert sources - set(wheel) == set()
    assert "phys_samplers/py.typed" in wheel
    assert any(name.endswith(".toml") for name in wheel), "the benchmark's suites are data of the wheel"
