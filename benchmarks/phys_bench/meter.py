"""Wall time, CPU time and peak memory of a piece of work."""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import Self

import psutil
import torch

MIB = 2**20
_INTERVAL = 0.02
"""Seconds between looks at the resident memory; a peak shorter than this is missed."""


class Meter:
    """Measures the ``with`` block.

    Args:
        device: where the work happens; a CUDA device is waited for before the clock is read.

    Attributes:
        seconds: wall time.
        cpu_seconds: CPU time of all threads of this process.
        peak_memory_mib: largest resident memory of this process, the libraries themselves included.
        peak_device_memory_mib: largest memory taken on a CUDA device, None without one.
    """

    seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_memory_mib: float = 0.0
    peak_device_memory_mib: float | None = None

    def __init__(self, device: torch.device | str = "cpu") -> None:
        self._device = torch.device(device)
        self._process = psutil.Process()
        self._over = threading.Event()
        self._watch = threading.Thread(target=self._look, daemon=True, name="memory meter")

    def __enter__(self) -> Self:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
            torch.cuda.reset_peak_memory_stats(self._device)
        self._note()
        self._watch.start()
        self._wall, self._cpu = time.perf_counter(), time.process_time()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._device.type == "cuda" and error is None:
            torch.cuda.synchronize(self._device)
            self.peak_device_memory_mib = torch.cuda.max_memory_allocated(self._device) / MIB
        self.seconds = time.perf_counter() - self._wall
        self.cpu_seconds = time.process_time() - self._cpu
        self._over.set()
        self._watch.join()
        self._note()

    def _look(self) -> None:
        while not self._over.wait(_INTERVAL):
            self._note()

    def _note(self) -> None:
        self.peak_memory_mib = max(self.peak_memory_mib, self._process.memory_info().rss / MIB)


def resident_mib() -> float:
    """Resident memory of this process now."""
    return float(psutil.Process().memory_info().rss) / MIB
