"""new-plugin: the package it writes installs, passes its own tests and is listed."""

from __future__ import annotations

import os
import shutil
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from phys_samplers.scaffold import PluginNames

Run = Callable[..., Result]
Launch = Callable[..., subprocess.CompletedProcess[str]]


def test_the_package_works(run: Run, launch: Launch, tmp_path: Path, process_environment: dict[str, str]) -> None:
    pytest.importorskip("hatchling", reason="the build backend is needed to install without a network")
    text = run("new-plugin", "mirror-walk", "--out", "made").output
    assert "pip install -e made" in text
    installed = launch(
        *("-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"),
        *("--disable-pip-version-check", "--target", "site", "./made"),
    )
    assert installed.returncode == 0, installed.stderr
    found = {"PYTHONPATH": os.pathsep.join([str(tmp_path / "site"), process_environment["PYTHONPATH"]])}
    tests = launch("-m", "pytest", "-q", "-p", "no:cacheprovider", "made", **found)
    assert tests.returncode == 0, tests.stdout
    assert "failed" not in tests.stdout
    listed = launch("-m", "phys_samplers", "list", "sampler", **found)
    assert "mirror-walk" in listed.stdout
    plugins = launch("-m", "phys_samplers", "plugins", **found)
    assert "phys-mirror-walk 0.1.0" in plugins.stdout


def test_what_is_written(run: Run) -> None:
    run("new-plugin", "phys_mine")
    assert tomllib.loads(Path("phys-mine/pyproject.toml").read_text())["project"]["entry-points"] == {
        "phys_samplers.plugins": {"mine": "phys_mine.declared"}
    }
    for file in Path("phys-mine").rglob("*.py"):
        compile(file.read_text(), str(file), "exec")
    if ruff := shutil.which("ruff"):
        subprocess.run([ruff, "check", "phys-mine", "--no-cache"], check=True)
        subprocess.run([ruff, "format", "--check", "phys-mine", "--no-cache"], check=True)


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("Mine", "lower-case"),
        ("9lives", "lower-case"),
        ("a--b", "lower-case"),
        ("a b", "lower-case"),
        ("../x", "lower-case"),
        ("phys-", "lower-case"),
        ("bellman", "phys_bellman"),
        ("mala", "'mala' already"),
        ("bench", "'phys_bench' already"),
        ("samplers", "'phys_samplers' already"),
    ],
)
def test_bad_names(run: Run, name: str, part: str) -> None:
    assert part in run("new-plugin", "--", name, code=2).output
    assert list(Path().iterdir()) == []


def test_nothing_is_overwritten(run: Run) -> None:
    Path("full").mkdir()
    Path("full/thesis.tex").write_text("years of work")
    assert "not empty" in run("new-plugin", "mine", "--out", "full", code=2).output
    assert "is a file" in run("new-plugin", "mine", "--out", "full/thesis.tex", code=2).output
    assert [path.name for path in Path("full").iterdir()] == ["thesis.tex"]
    Path("empty").mkdir()
    run("new-plugin", "mine", "--out", "empty")


def test_names() -> None:
    names = PluginNames.of("mirror_langevin2")
    assert (names.component, names.distribution) == ("mirror-langevin2", "phys-mirror-langevin2")
    assert (names.module, names.stem) == ("phys_mirror_langevin2", "MirrorLangevin2")
