"""One distribution; a family is a folder, which packaging, linter, type checker and discovery find by themselves."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterable
from pathlib import Path

import pytest

from phys_samplers.catalogue import builtin_plugins

PACKAGES = {"phys_samplers", "phys_registry", "phys_bench"}


@pytest.fixture(scope="module")
def families(root: Path) -> set[str]:
    """The import packages under ``plugins/``."""
    return {path.name for path in (root / "plugins").iterdir() if (path / "__init__.py").exists()}


def test_every_family_is_a_builtin_plugin(families: set[str]) -> None:
    modules = builtin_plugins()
    assert {module.partition(".")[0] for module in modules} == families | {"phys_samplers", "phys_bench"}
    assert modules[0] == "phys_samplers.declared"
    assert len(modules) == len(set(modules))


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


FAMILY = {
    "__init__.py": '"""A family of one test."""\n',
    "declared.py": """\"\"\"What it registers.\"\"\"

from __future__ import annotations

from collections.abc import Iterable

import click
from phys_extra.walk import NAME
from phys_registry import Component, hookimpl


@hookimpl
def phys_components() -> Iterable[Component]:
    \"\"\"One sampler.\"\"\"
    yield Component("sampler", NAME, "phys_extra.walk:Walk", summary=click.__name__, citation="nobody2000")
""",
    "walk.py": '"""The method."""\n\nNAME = "random-stroll"\n\n\nclass Walk:\n    """Nothing."""\n',
    "references.bib": "@misc{nobody2000, title = {A Stroll}}\n",
}


@pytest.fixture(scope="module")
def grown(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project with one more folder under ``plugins/``, and nothing else changed."""
    copy = tmp_path_factory.mktemp("grown")
    ignored = shutil.ignore_patterns("__pycache__", ".*", "runs", "studies", "throughput")
    for folder in ("phys_samplers", "registry", "plugins", "benchmarks"):
        shutil.copytree(root / folder, copy / folder, ignore=ignored)
    for file in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(root / file, copy / file)
    (copy / "plugins" / "phys_extra").mkdir()
    for name, text in FAMILY.items():
        (copy / "plugins" / "phys_extra" / name).write_text(text)
    return copy


def _python(*words: str, cwd: Path, paths: Iterable[Path]) -> str:
    """What a Python that finds the project in ``paths`` only, and the dependencies where they are, prints."""
    others = [entry for entry in sys.path if entry and not (Path(entry) / "phys_samplers" / "declared.py").exists()]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([*map(str, paths), *others])}
    done = subprocess.run(
        [sys.executable, *words], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_new_folder_is_found_in_a_checkout(grown: Path, tmp_path: Path) -> None:
    paths = [grown, *(grown / room for room in ("registry", "plugins", "benchmarks"))]
    assert "random-stroll" in _python("-m", "phys_samplers", "list", cwd=tmp_path, paths=paths)


@pytest.fixture(scope="module")
def wheel(grown: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel built from the copy, unpacked as an installer would."""
    folder = tmp_path_factory.mktemp("wheel")
    _python("-m", "hatchling", "build", "-t", "wheel", "-d", str(folder), cwd=grown, paths=[])
    (built,) = folder.glob("*.whl")
    with zipfile.ZipFile(built) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def test_a_new_folder_is_found_in_an_installed_wheel(wheel: Path, tmp_path: Path) -> None:
    look = (
        "from phys_samplers.catalogue import registry;"
        "print([s.name for s in registry.plugins() if s.status == 'loaded'], registry.names('sampler'),"
        "registry.get('sampler', 'random-stroll').bibtex)"
    )
    foreign = wheel / "phys_foreign"  # somebody else's, beside ours
    foreign.mkdir()
    (foreign / "declared.py").write_text("raise RuntimeError\n")
    try:
        found = _python("-c", look, cwd=tmp_path, paths=[wheel])
    finally:
        shutil.rmtree(foreign)
    assert "phys_extra.declared" in found
    assert "phys_foreign" not in found
    assert "mala" in found
    assert "@misc{nobody2000" in found


def test_a_new_folder_is_linted_as_our_own(grown: Path) -> None:
    ruff = shutil.which("ruff", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))
    if ruff is None:
        pytest.skip("ruff is not installed")
    declared = grown / "plugins" / "phys_extra" / "declared.py"
    command = [ruff, "check", "--no-cache", "--select", "I", str(declared)]
    done = subprocess.run(command, cwd=grown, capture_output=True, text=True, check=False)
    assert done.returncode == 1, "the family's import stands among the foreign ones"
    declared.write_text(declared.read_text().replace("import click\n", "import click\n\n"))
    done = subprocess.run(command, cwd=grown, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_a_new_folder_is_type_checked(grown: Path) -> None:
    pytest.importorskip("mypy")
    listing = "from mypy.main import process_options; print(*(s.module for s in process_options([])[0]), sep='\\n')"
    found = set(_python("-c", listing, cwd=grown, paths=[]).split())
    assert {"phys_extra.declared", "phys_samplers.catalogue", "phys_registry", "phys_bench.declared"} <= found


def test_the_wheel_holds_the_packages_and_nothing_else(wheel: Path, families: set[str]) -> None:
    tops = {path.name for path in wheel.iterdir() if path.suffix != ".dist-info"}
    assert tops == PACKAGES | families | {"phys_extra"}
    assert {path.name for path in (wheel / "phys_extra").iterdir()} == set(FAMILY)


def test_the_wheel_holds_every_source_file(wheel: Path, root: Path, families: set[str]) -> None:
    homes = [root / "phys_samplers", root / "registry/phys_registry", root / "benchmarks/phys_bench"]
    homes += [root / "plugins" / name for name in families]
    sources = {
        path.relative_to(home.parent).as_posix()
        for home in homes
        for path in home.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    held = {path.relative_to(wheel).as_posix() for path in wheel.rglob("*") if path.is_file()}
    assert sources - held == set()
    assert "phys_samplers/py.typed" in held
    assert any(name.endswith(".toml") for name in held), "the benchmark's suites are data of the wheel"
    assert sum(name.endswith("/references.bib") for name in held) >= len(families)
