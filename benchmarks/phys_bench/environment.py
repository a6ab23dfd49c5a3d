"""What a result was made by: the machine and the libraries, and which code each component is."""

from __future__ import annotations

import importlib.metadata
import inspect
import os
import platform
import textwrap
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from types import TracebackType
from typing import Any, Self

import psutil
import torch

from phys_registry import Component, Registry

from .closure import Closures, folder_of, statements

PACKAGES = ("phys-samplers", "torch", "numpy", "scipy", "pot", "torchdiffeq", "safetensors")


def cpu_count() -> int:
    """CPU cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def environment(device: str) -> dict[str, Any]:
    """Versions, processor, device and threads of this process, JSON-like."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "uninstalled"
    return {
        "python": platform.python_version(),
        "system": platform.system(),
        "machine": platform.machine(),
        "versions": versions,
        "device": device,
        "device_name": torch.cuda.get_device_name() if device == "cuda" else "",
        "cpu_count": cpu_count(),
        "threads": torch.get_num_threads(),
    }


def choose_device(device: str) -> str:
    """``auto`` resolved to ``cuda`` where there is one, else ``cpu``.

    Raises:
        ConfigurationError: for another name, or CUDA where there is none.
    """
    from phys_samplers.errors import ConfigurationError

    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device not in ("cpu", "cuda"):
        raise ConfigurationError(f"device is {device!r}; expected 'auto', 'cpu' or 'cuda'")
    if device == "cuda" and not torch.cuda.is_available():
        raise ConfigurationError("device is 'cuda', but torch sees no CUDA device here; use device='cpu' or 'auto'")
    return device


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


@dataclass
class Used:
    """What a job has used: ``seconds`` are those in which it had a processor or did not ask for one."""

    seconds: float = 0.0
    clock: float = 0.0
    looked: float = field(default_factory=time.monotonic)
    processor: float | None = None

    def charge(self, family: list[psutil.Process], worker: int) -> None:
        """Add what passed since the last look.

        A process that could run and was given no processor is not charged for the wait: on a machine with more work
        than processors the clock runs much faster than the work. Whether it could run is what the system says now.

        Args:
            family: all processes of the job.
            worker: number of the one that does it.
        """
        now = time.monotonic()
        passed, self.looked = now - self.looked, now
        processor, runs = 0.0, False
        for process in family:
            with suppress(psutil.Error):
                times = process.cpu_times()
                processor += times.user + times.system
                runs |= process.pid == worker and process.status() == psutil.STATUS_RUNNING
        got = passed if self.processor is None else processor - self.processor
        self.processor = processor
        self.clock += passed
        self.seconds += min(passed, max(got, 0.0)) if runs else passed


def descendants(process: int) -> list[psutil.Process]:
    """What a process has started, and what that has."""
    try:
        return psutil.Process(process).children(recursive=True)
    except psutil.Error:
        return []


def memory_mib(family: list[psutil.Process], limit: float) -> float:
    """Memory of several processes; where it is over ``limit``, without counting twice what they share."""
    used = sum(_resident(process) for process in family) / MIB
    return used if used <= limit else sum(_proportional(process) for process in family) / MIB


def _resident(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.Error:
        return 0


def _proportional(process: psutil.Process) -> int:
    """Bytes of memory, those that several processes share divided among them, where the system tells."""
    try:
        return int(getattr(process.memory_full_info(), "pss", 0)) or _resident(process)
    except psutil.Error:
        return _resident(process)


NOT_PARTS = ("task", "metric")
"""Kinds of components that no option names."""


class Fingerprints:
    """Fingerprints of components; files are read once in the life of the object.

    Args:
        registry: where components and their owners are known.
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._plugins = {status.name: status for status in registry.plugins()}
        self._parts: dict[str, list[Component]] = {}
        tops = {str(__package__), "phys_samplers"}
        for component in registry.components():
            if component.kind not in NOT_PARTS:
                self._parts.setdefault(component.name, []).append(component)
            if self._source_kind(component) in ("builtin", "entry point"):
                tops.add(_module(component).partition(".")[0])
        folders = {top: folder for top in sorted(tops) if (folder := folder_of(top))}
        self.closures = Closures(folders, lambda name: [_module(part) for part in self._parts.get(name, ())])
        self._known: dict[str, dict[str, Any]] = {}

    def component(self, kind: str, name: str) -> dict[str, Any]:
        """What is known of a component's code, JSON-like: ``source`` is the hash of the closure of its module."""
        component = self._registry.get(kind, name)
        if component.key not in self._known:
            self._known[component.key] = {
                "name": name,
                "target": component.target_text,
                "version": component.version,
                "distribution": self._distribution(component),
                "source": self._source(component),
            }
        return self._known[component.key]

    def library(self) -> str | None:
        """Hash of what the cells themselves run of the library, whatever they are about.

        How they run it is not in it: ``PROTOCOL`` stands for the benchmark's own modules, since most decide no score.
        """
        return self.closures.of_module(f"{__package__}.execution", but=str(__package__))

    def parts(self, options: dict[str, Any]) -> dict[str, Any]:
        """Components that option values may name, a kernel for example.

        Whichever component bears the name of an option value counts: too many make a cell run once too often, one too
        few would reuse a record of other code.
        """
        named = sorted({text.partition("[")[0] for text in _texts(options)})
        found = [part for name in named for part in self._parts.get(name, ())]
        return {part.key: self.component(part.kind, part.name) for part in found}

    def plugins(self, keys: Iterable[tuple[str, str]]) -> tuple[str, ...]:
        """The plugins that brought these components, sorted; those that are built in left out."""
        found = [self._registry.get(*key) for key in keys]
        return tuple(sorted({self._registry.owner(c.kind, c.name) for c in found if self._source_kind(c) != "builtin"}))

    def in_process(self, kind: str, name: str) -> bool:
        """Whether the component was registered by running code, so that no other process knows it."""
        return self._source_kind(self._registry.get(kind, name)) == "in-process"

    def _source_kind(self, component: Component) -> str:
        status = self._plugins.get(self._registry.owner(component.kind, component.name))
        return status.source if status else "in-process"

    def _distribution(self, component: Component) -> str | None:
        status = self._plugins.get(self._registry.owner(component.kind, component.name))
        if status is None or status.source in ("file", "in-process"):
            return None
        if status.source == "builtin":
            return f"phys-samplers {_own_version()}"
        return f"{status.distribution} {status.version}"

    def _source(self, component: Component) -> str | None:
        if found := self.closures.of_module(_module(component)):
            return found
        try:
            return statements(textwrap.dedent(inspect.getsource(component.load())))
        except Exception:  # not importable, or typed into an interpreter that keeps no source
            return None


def _module(component: Component) -> str:
    return component.target_text.partition(":")[0]


@cache
def _own_version() -> str:
    try:
        return importlib.metadata.version("phys-samplers")
    except importlib.metadata.PackageNotFoundError:
        return "uninstalled"


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    rows = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else []
    return [text for row in rows for text in _texts(row)]
