"""The Dockerfile and the conda environment: built where their tool is at hand, and read everywhere."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
CONDA = (ROOT / "environment.yml").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_the_image_has_all_that_the_wheel_is_made_of() -> None:
    build = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["only-include"]
    copied = {word for line in re.findall(r"^COPY (.+) \S+$", DOCKERFILE, re.M) for word in line.split()}
    assert {path.partition("/")[0] for path in build} <= copied
    assert {PROJECT["project"]["readme"], "pyproject.toml", "LICENSE"} <= copied
    extras = re.search(r"^ARG EXTRAS=(\S+)$", DOCKERFILE, re.M)
    assert extras
    assert set(extras[1].split(",")) <= set(PROJECT["project"]["optional-dependencies"])
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    assert not copied & set(ignored)


def test_the_conda_environment_agrees_with_the_project() -> None:
    assert f"python {PROJECT['project']['requires-python']}" in CONDA
    least = dict(re.match(r"([\w-]+)>=([\d.]+)", text).groups() for text in PROJECT["project"]["dependencies"])  # type: ignore[union-attr]
    least["pytorch"], least["matplotlib-base"] = least["torch"], least["matplotlib"]
    least["scikit-learn"] = "1.3"
    listed = re.findall(r"^  - ([\w-]+) >=([\d.]+)$", CONDA, re.M)
    assert len(listed) >= 6
    assert [(name, version) for name, version in listed if least[name] != version] == []


@pytest.mark.slow
def test_the_image_builds_and_samples() -> None:
    docker = shutil.which("docker") or shutil.which("podman")
    if docker is None:
        pytest.skip("neither docker nor podman is installed")
    if subprocess.run([docker, "info"], capture_output=True).returncode:
        pytest.skip(f"{Path(docker).name} is installed, but its daemon does not answer")
    subprocess.run([docker, "build", "-q", "-t", "phys-samplers-test", str(ROOT)], check=True, timeout=1_800)
    command = [docker, "run", "--rm", "phys-samplers-test", "list", "sampler"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    assert "bellman" in done.stdout


@pytest.mark.slow
def test_the_conda_environment_can_be_solved() -> None:
    conda = next(filter(None, map(shutil.which, ("micromamba", "mamba", "conda"))), None)
    if conda is None:
        pytest.skip("neither conda nor mamba is installed")
    command = [conda, "env", "create", "--dry-run", "-f", str(ROOT / "environment.yml")]
    assert subprocess.run(command, timeout=1_800).returncode == 0
