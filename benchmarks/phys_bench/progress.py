"""What a person sees while cells run: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Protocol, Self, TextIO


class Progress(Protocol):
    """Told of a run as it goes."""

    def __enter__(self) -> Self:
        """The run begins."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """The run ends."""

    def started(self, total: int) -> None:
        """``total`` cells are to be run."""

    def job_started(self, name: str) -> None:
        """A job begins."""

    def job_ended(self, name: str) -> None:
        """A job ends."""

    def cell(self, record: Mapping[str, Any]) -> None:
        """A cell has its record."""

    def note(self, text: str) -> None:
        """Something a person should know."""


def line_of(record: Mapping[str, Any]) -> str:
    """One line about a cell."""
    identity = record["identity"]
    name = f"{identity['task']} / {identity['sampler']} / seed {identity['seed']}"
    if record["status"] != "ok":
        return f"{name}: {record['status']}: {record['reason']}"
    metric, costs = record["primary"], record["costs"]
    floor = record["floors"].get(metric)
    beside = f" (floor {floor['mean']:.4g})" if floor else ""
    seconds = costs["fit_seconds"] + costs["sample_seconds"]
    return f"{name}: {metric} {record['scores'][metric]:.4g}{beside}, {seconds:.1f} s"


class Silent:
    """Shows nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def started(self, total: int) -> None:
        """Nothing."""

    def job_started(self, name: str) -> None:
        """Nothing."""

    def job_ended(self, name: str) -> None:
        """Nothing."""

    def cell(self, record: Mapping[str, Any]) -> None:
        """Nothing."""

    def note(self, text: str) -> None:
        """Nothing."""


class Lines(Silent):
    """A line per cell.

    Args:
        stream: where to; standard error if None.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream
        self._total = self._done = 0

    def started(self, total: int) -> None:
        """Remember how many there are."""
        self._total = total

    def cell(self, record: Mapping[str, Any]) -> None:
        """A line with what came out."""
        self._done += 1
        width = len(str(self._total))
        self.note(f"[{self._done:>{width}}/{self._total}] {line_of(record)}")

    def note(self, text: str) -> None:
        """A line."""
        print(text, file=self._stream or sys.stderr, flush=True)


class Bar(Silent):
    """A bar with the number of cells, the time left and the jobs that run; what went wrong is printed above it."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
        from rich.progress import Progress as RichProgress

        self._bar = RichProgress(
            TextColumn("cells"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.description}", markup=False),
            console=Console(stderr=True),
        )
        self._running: list[str] = []
        self._task = self._bar.add_task("", total=None)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def started(self, total: int) -> None:
        """Set the length."""
        self._bar.update(self._task, total=total)

    def job_started(self, name: str) -> None:
        """Show the job."""
        self._running.append(name)
        self._show()

    def job_ended(self, name: str) -> None:
        """Hide the job."""
        if name in self._running:
            self._running.remove(name)
        self._show()

    def cell(self, record: Mapping[str, Any]) -> None:
        """Advance; print what went wrong."""
        self._bar.advance(self._task)
        if record["status"] not in ("ok", "incompatible"):
            self.note(line_of(record))

    def note(self, text: str) -> None:
        """Print above the bar."""
        self._bar.console.print(text, markup=False, highlight=False)

    def _show(self) -> None:
        self._bar.update(self._task, description="; ".join(self._running[:2]))


def choose_progress(progress: Progress | bool | None) -> Progress:
    """The given one; for None or True a bar on a terminal and lines elsewhere; nothing for False."""
    if progress is None or progress is True:
        return Bar() if sys.stderr.isatty() else Lines()
    return Silent() if progress is False else progress
