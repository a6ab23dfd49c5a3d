"""The benchmark by late import: the library stands without it."""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from phys_samplers.cli.failure import Failure, note

RUNS = Path("runs")
"""Where runs are kept unless ``--out`` says otherwise."""


def benchmark(module: str = "api") -> Any:
    """A module of the benchmark.

    Raises:
        Failure: if the benchmark is not installed.
    """
    try:
        return import_module(f"phys_bench.{module}")
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "phys_bench":
            raise
        raise Failure(f"the benchmark is not installed ({error}); install phys-samplers with its benchmarks") from error


def newest_run() -> Path:
    """The run folder under ``runs/`` that was written to last.

    Raises:
        Failure: if there is none.
    """
    found = [head.parent for head in RUNS.glob("*/run.json")]
    if not found:
        raise Failure(
            f"there is no run in {RUNS}{os.sep}; give a run folder, or start with: phys-samplers bench run quick"
        )
    return max(found, key=lambda folder: max((folder / name).stat().st_mtime for name in _touched(folder)))


def write_report(folder: Path) -> None:
    """Write the HTML report of a run and say where it is; a run that cannot be drawn keeps its records and tables."""
    try:
        path = benchmark("report").write_report(folder)
    except OSError as error:
        note(f"no report was written: {error}")
        return
    click.echo(f"\nreport: {path}")


def _touched(folder: Path) -> list[str]:
    return ["run.json", *(name for name in ("records",) if (folder / name).is_dir())]


run_folder = click.Path(exists=True, file_okay=False, path_type=Path)
"""The type of an argument that is a run folder."""
