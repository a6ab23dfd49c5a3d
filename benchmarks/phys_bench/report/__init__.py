"""The report of a benchmark run, computed from its records alone: one HTML file that opens offline, and Markdown."""

from __future__ import annotations

from pathlib import Path

from phys_samplers.atomic import write_atomically

from .canvas import looks, new_figure, png
from .charts import leaderboard_chart
from .markdown import leaderboard_table, markdown_page
from .page import html_page
from .reading import read_run
from .view import Cell, Floor, Run

__all__ = ["Cell", "Floor", "Run", "leaderboard_figure", "leaderboard_markdown", "read_run", "write_report"]


def write_report(run_folder: str | Path, out: str | Path | None = None) -> Path:
    """Write ``report.html`` and ``report.md`` of a run.

    Args:
        run_folder: folder with ``run.json``, ``records/`` and ``arrays/``.
        out: folder to write to, made if absent; the run folder unless given.

    Returns:
        The path of ``report.html``.

    Raises:
        ConfigurationError: if ``run_folder`` is not a run folder.
    """
    run = read_run(run_folder)
    folder = Path(out) if out is not None else Path(run_folder)
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / "report.md", markdown_page(run))
    return _write(folder / "report.html", html_page(run))


def leaderboard_markdown(run_folder: str | Path) -> str:
    """The leaderboard of a run as one Markdown table."""
    return leaderboard_table(read_run(run_folder))


def leaderboard_figure(run_folder: str | Path) -> bytes:
    """The leaderboard of a run as a picture: primary scores with intervals and floors, one panel a task.

    Args:
        run_folder: as for ``write_report``.

    Returns:
        PNG bytes; an empty canvas for a run without cells.

    Raises:
        ConfigurationError: if ``run_folder`` is not a run folder.
    """
    run = read_run(run_folder)
    look = looks(run)
    return png(leaderboard_chart(run, look) or new_figure(4, 1), 160)


def _write(path: Path, text: str) -> Path:
    write_atomically(path, text.encode())
    return path
