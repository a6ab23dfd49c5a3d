"""The command line, run here or in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from phys_samplers.cli import program

Run = Callable[..., Result]
Launch = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command in this process, in an empty folder; gives click's result."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COLUMNS", raising=False)

    def _run(*words: object, code: int = 0) -> Result:
        result = CliRunner().invoke(program, [str(word) for word in words], prog_name="phys-samplers")
        unexpected = result.exception if not isinstance(result.exception, SystemExit) else None
        assert result.exit_code == code, (result.output, unexpected)
        return result

    return _run


@pytest.fixture
def process_environment() -> dict[str, str]:
    """The environment of a process that finds the packages that this one does."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("PHYS_SAMPLERS", "COLUMNS"))}
    return {**kept, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path), "OMP_NUM_THREADS": "1"}


@pytest.fixture
def launch(tmp_path: Path, process_environment: dict[str, str]) -> Launch:
    """Run Python with some arguments in a process of its own, in an empty folder."""

    def _launch(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=tmp_path,
            env={**process_environment, **environment},
            capture_output=True,
            text=True,
            timeout=120,
        )

    return _launch
