"""Who listens to training: a base class to subclass, and the progress bar."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any


class Callback:
    """Told of training as it goes; every method may be left out. Values are plain numbers, one per replica."""

    def started(self, description: str, steps: int) -> None:
        """Training begins."""

    def logged(self, step: int, values: Mapping[str, Sequence[float]]) -> None:
        """At every logged step: ``loss`` and, where taken, ``validation``, each a list over replicas."""

    def evaluated(self, step: int, values: Mapping[str, Sequence[float]]) -> None:
        """What a test of the model as it stands gave (``return``, of agents), at a step in the unit of that test."""

    def finished(self) -> None:
        """Training ended, also by an error."""


class ProgressBar(Callback):
    """A rich progress bar on standard error."""

    def __init__(self) -> None:
        self._progress: Any = None
        self._task: Any = None

    def started(self, description: str, steps: int) -> None:
        """Show the bar."""
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[loss]}"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._progress.start()
        self._task = self._progress.add_task(description, total=steps, loss="")

    def logged(self, step: int, values: Mapping[str, Sequence[float]]) -> None:
        """Advance the bar; the loss shown is the mean over replicas."""
        loss = values["loss"]
        self._progress.update(self._task, completed=step, loss=f"loss {sum(loss) / len(loss):.4g}")

    def finished(self) -> None:
        """Take the bar away."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None


def default_callbacks(callbacks: Sequence[Callback]) -> list[Callback]:
    """The given callbacks, with a progress bar where a person watches or ``PHYS_SAMPLERS_PROGRESS=1`` (0: never)."""
    wanted = os.environ.get("PHYS_SAMPLERS_PROGRESS")
    shown = sys.stderr.isatty() if wanted is None else wanted not in ("", "0")
    return [*callbacks, ProgressBar()] if shown else list(callbacks)
