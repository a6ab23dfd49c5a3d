"""The report of a benchmark run, computed from its records alone: one HTML file that opens offline, and Markdown."""

from __future__ import annotations

from pathlib import Path

from phys_bench.folders import load
from phys_bench.results import Results
from phys_bench.summary import leaderboard
from phys_samplers.atomic import write_atomically

from .canvas import looks, new_figure, png
from .charts import leaderboard_chart
from .page import html_page, markdown_page

__all__ = ["leaderboard_figure", "leaderboard_markdown", "write_report"]


def write_report(run: str | Path | Results, out: str | Path | None = None) -> Path:
    """Write ``report.html`` and ``report.md`` of a run.

    Args:
        run: folder with ``run.json``, ``records/`` and ``arrays/``, or results that were read from one.
        out: folder to write to, made if absent; the run folder unless given.

    Returns:
        The path of ``report.html``.

    Raises:
        ConfigurationError: if ``run`` is not a run folder.
    """
    results = run if isinstance(run, Results) else load(run)
    folder = Path(out) if out is not None else results.folder
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / "report.md", markdown_page(results).encode())
    path = folder / "report.html"
    write_atomically(path, html_page(results).encode())
    return path


def leaderboard_markdown(run_folder: str | Path) -> str:
    """The leaderboard of a run as one Markdown table."""
    return leaderboard(load(run_folder)).markdown(level=0)


def leaderboard_figure(run_folder: str | Path) -> bytes:
    """The leaderboard of a run as a picture: primary scores with intervals and floors, one panel a task.

    Args:
        run_folder: as for ``write_report``.

    Returns:
        PNG bytes; an empty canvas for a run without cells.

    Raises:
        ConfigurationError: if ``run_folder`` is not a run folder.
    """
    run = load(run_folder)
    return png(leaderboard_chart(run, looks(run)) or new_figure(4, 1), 160)
