"""Where a run happened: versions and hardware."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from typing import Any

import torch

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
