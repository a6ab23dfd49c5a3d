"""The documentation site has every page, and its notebooks run."""

from __future__ import annotations

import importlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
NOTEBOOKS = sorted((DOCS / "gallery").glob("*.py"))
SETTINGS = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")


def test_every_page_has_a_place() -> None:
    pages = [path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")]
    pages += [path.relative_to(DOCS).as_posix() for path in NOTEBOOKS]
    placed = re.findall(r"[\w/-]+\.(?:md|py)\b", SETTINGS.partition("\nnav:")[2])
    assert sorted(placed) == sorted([*pages, "index.md", "CHANGELOG.md", "CONTRIBUTING.md"])


def test_the_gallery_names_every_notebook() -> None:
    index = (DOCS / "gallery" / "index.md").read_text(encoding="utf-8")
    assert sorted(re.findall(r"\((\w+\.py)\)", index)) == [path.name for path in NOTEBOOKS]
    assert len(NOTEBOOKS) >= 8


def test_what_the_reference_names_exists_and_is_described() -> None:
    found = 0
    for page in (DOCS / "reference").glob("*.md"):
        for name, members in re.findall(r"^::: (\S+)\n    options:\n      members: \[(.+)\]$", page.read_text(), re.M):
            module, _, cls = name.rpartition(".")
            owner = getattr(importlib.import_module(module), cls) if cls[0].isupper() else importlib.import_module(name)
            for member in members.split(", "):
                assert getattr(owner, member).__doc__, f"{name}.{member}"
                found += 1
    assert found > 40


def _marked(notebook: Path) -> object:
    """The cheapest notebook runs in every test run, the others in those of all tests."""
    return pytest.param(notebook, marks=() if notebook.stem == "bellman_fields" else pytest.mark.slow)


@pytest.mark.parametrize("notebook", [_marked(path) for path in NOTEBOOKS], ids=[path.stem for path in NOTEBOOKS])
def test_notebooks_run(notebook: Path, tmp_path: Path) -> None:
    settings = {
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "PHYS_SAMPLERS_PROGRESS": "0",
        "MPLBACKEND": "Agg",
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(
        [sys.executable, str(notebook)],
        cwd=tmp_path,
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]


@pytest.mark.slow
def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    """Pages alone: the notebooks are run by the test above, and by ``make docs``."""
    mkdocs = shutil.which("mkdocs") or shutil.which("mkdocs", path=str(Path(sys.executable).parent))
    if mkdocs is None:
        pytest.skip("mkdocs is not installed: pip install 'phys-samplers[docs]'")
    settings = tmp_path / "mkdocs.yml"
    settings.write_text(
        SETTINGS.replace("execute: true", "execute: false")
        .replace("docs_dir: docs", f"docs_dir: {DOCS}")
        .replace("docs/site.py", str(DOCS / "site.py"))
    )
    done = subprocess.run(
        [mkdocs, "build", "-q", "-f", str(settings), "-d", str(tmp_path / "site")],
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    assert "<math" in (tmp_path / "site" / "mathematics" / "index.html").read_text(encoding="utf-8")
