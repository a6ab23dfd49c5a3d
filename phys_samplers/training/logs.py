"""Callbacks that keep what training says: a file of JSON lines, TensorBoard's event files, or Weights & Biases.

They are components of kind ``logger``: ``make("logger", "json-lines", path="run.jsonl")``.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from phys_samplers.errors import MissingCapability
from phys_samplers.reading import as_path
from phys_samplers.training.loop import Callback


class JsonLines(Callback):
    """One JSON object a line: ``event`` (``started``, ``logged``, ``evaluated``, ``finished``), ``seconds`` and values.

    Args:
        path: the file; lines are added to what it holds.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = as_path(path, "the log's file")
        self._began = 0.0

    def started(self, description: str, steps: int) -> None:
        """Make the folder, and begin."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._began = time.perf_counter()
        self._write("started", description=description, steps=steps)

    def logged(self, step: int, values: Mapping[str, Sequence[float]]) -> None:
        """Write losses, one number a replica."""
        self._write("logged", step=step, **{name: list(row) for name, row in values.items()})

    def evaluated(self, step: int, values: Mapping[str, Sequence[float]]) -> None:
        """Write an evaluation; the last one of an agent comes after the end of its training."""
        self._write("evaluated", step=step, **{name: list(row) for name, row in values.items()})

    def finished(self) -> None:
        """Write the end."""
        self._write("finished")

    def _write(self, event: str, **values: Any) -> None:
        row = {"event": event, "seconds": round(time.perf_counter() - self._began, 3), **values}
        with open(self.path, "a", encoding="utf-8") as stream:
            stream.write(json.dumps(row) + "\n")


class TensorBoard(Callback):
    """Scalars ``loss/replica 0``, …, ``return/replica 0``, … for TensorBoard.

    Args:
        folder: for the event files.

    Raises:
        MissingCapability: if tensorboard is not installed.
    """

    def __init__(self, folder: str | Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise MissingCapability(
                "tensorboard is not installed; pip install 'phys-samplers[log]', or log to a file with JsonLines"
            ) from None
        self._writer = SummaryWriter(str(folder))

    def logged(self, step: int, values: Mapping[str, Sequence[float]]) -> None:
        """Write losses."""
        self._add(step, values)

    def evaluated(self, step: int, values: Mapping[str, Sequence[float]]) -> None:
        """Write an evaluation."""
        self._add(step, values)

    def finished(self) -> None:
        """Flush."""
        self._writer.flush()

    def _add(self, step: int, values: Mapping[str, Sequence[float]]) -> None:
        for name, row in values.items():
            for index, value in enumerate(row):
                self._writer.add_scalar(f"{name}/replica {index}", value, step)


class WeightsAndBiases(Callback):
    """A run of Weights & Biases with curves ``loss/replica 0``, …, by training step.

    Args:
        project: that the run belongs to.
        name: of the run; wandb makes one up if None.
        mode: ``online``, ``offline`` (kept in the folder ``wandb``, for ``wandb sync``) or ``disabled``.
        folder: for what wandb keeps here; the current one if None.

    Raises:
        MissingCapability: if wandb is not installed.
    """

    def __init__(
        self,
        project: str = "phys-samplers",
        name: str | None = None,
        mode: Literal["online", "offline", "disabled"] = "online",
        folder: str | None = None,
    ) -> None:
        try:
            import wandb  # noqa: F401 - looked for here, so that nothing is trained in vain
        except ImportError:
            raise MissingCapability(
                "wandb is not installed; pip install 'phys-samplers[log]', or log to a file with JsonLines"
            ) from None
        self._options = {"project": project, "name": name, "mode": mode, "dir": folder}
        self._run: Any = None

    def started(self, description: str, steps: int) -> None:
        """Begin a run."""
        import wandb

        self._run = wandb.init(config={"description": description, "steps": steps}, **self._options)

    def logged(self, step: int, values: Mapping[str, Sequence[float]]) -> None:
        """Send losses."""
        rows = {f"{name}/replica {index}": value for name, row in values.items() for index, value in enumerate(row)}
        if self._run is not None:
            self._run.log(rows, step=step)

    def evaluated(self, step: int, values: Mapping[str, Sequence[float]]) -> None:
        """Send an evaluation; the last one of an agent may come after the end of the run, and is in its curve alone."""
        self.logged(step, values)

    def finished(self) -> None:
        """End the run."""
        if self._run is not None:
            self._run.finish()
            self._run = None
