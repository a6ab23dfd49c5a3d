"""What a sampler may leave behind in its process, taken note of before a job and put back after it."""

from __future__ import annotations

import builtins
import json
import math
import os
import random
import signal
import threading
import time
import warnings
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

import numpy as np
import torch

WATCHED: tuple[Any, ...] = (
    *(builtins, json, math, os, os.path, random, time, torch, torch.linalg, torch.special, torch.autograd),
    *(torch.nn.functional, torch.optim, torch.Tensor, torch.Generator, torch.nn.Module, np, np.linalg, np.random),
)
"""Modules and classes whose attributes a plugin could put others in place of."""


class Surroundings:
    """The state of this process that decides what a later job computes.

    ``restore`` puts back what can be put back. What was changed on purpose, a patched function above all, may have
    been kept elsewhere too, so that a process in which that happened should do no other job.
    """

    def __init__(self) -> None:
        self._names = [dict(vars(owner)) for owner in WATCHED]
        self._values = _read()
        self._torch_rng, self._python_rng = torch.random.get_rng_state(), random.getstate()
        self._numpy_rng = np.random.get_state()  # noqa: NPY002 - the global state is what is watched
        self._environment, self._filters = dict(os.environ), list(warnings.filters)
        self._handlers = _handlers()

    def restore(self) -> list[str]:
        """Put everything back.

        Returns:
            What had been changed, random state aside.
        """
        changed = []
        for owner, names in zip(WATCHED, self._names, strict=True):
            found = vars(owner)
            for name in [name for name in names if found.get(name, names) is not names[name] and _lasts(name)]:
                setattr(owner, name, names[name])
                changed.append(f"{_name(owner)}.{name}")
        found_values = _read()
        for name, value in self._values.items():
            if found_values[name] != value:
                changed.append(name)
                _PUT_BACK[name](value)
        if dict(os.environ) != self._environment:
            if _chosen(os.environ) != _chosen(self._environment):
                changed.append("environment")
            os.environ.clear()
            os.environ.update(self._environment)
        warnings.filters[:] = self._filters  # type: ignore[index]
        if threading.current_thread() is threading.main_thread():
            for number, handler in self._handlers.items():
                if signal.getsignal(number) is not handler:
                    changed.append(f"handler of {signal.Signals(number).name}")
                    signal.signal(number, handler)
        torch.random.set_rng_state(self._torch_rng)
        random.setstate(self._python_rng)
        np.random.set_state(self._numpy_rng)  # noqa: NPY002
        return changed


def _read() -> dict[str, Any]:
    return {
        "dtype": torch.get_default_dtype(),
        "device": torch.get_default_device(),
        "threads": torch.get_num_threads(),
        "gradients": torch.is_grad_enabled(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "anomalies": torch.is_anomaly_enabled(),
        "precision": torch.get_float32_matmul_precision(),
        "denormals": float(torch.tensor(1e-40, dtype=torch.float32, device="cpu") * 1.0) > 0,
        "folder": _folder(),
    }


_PUT_BACK: dict[str, Callable[[Any], Any]] = {
    "dtype": torch.set_default_dtype,
    "device": torch.set_default_device,
    "threads": torch.set_num_threads,
    "gradients": torch.set_grad_enabled,
    "deterministic": torch.use_deterministic_algorithms,
    "anomalies": torch.autograd.set_detect_anomaly,
    "precision": torch.set_float32_matmul_precision,
    "denormals": lambda kept: torch.set_flush_denormal(not kept),
    "folder": lambda folder: os.chdir(folder or "."),
}
"""How to put back each fact of ``_read``; only where it changed, since some of these import half of torch."""


def _folder() -> str | None:
    try:
        return os.getcwd()
    except OSError:  # it was removed
        return None


def _handlers() -> dict[int, Any]:
    numbers = signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}
    found = {int(number): signal.getsignal(number) for number in numbers}
    return {number: handler for number, handler in found.items() if handler is not None}


def _lasts(name: str) -> bool:
    """Whether an attribute stays as it is: ``_`` is what an interpreter last printed, names of zones are read anew."""
    return name not in ("_", "__warningregistry__", "environ", "tzname")


def _chosen(environment: Mapping[str, str]) -> dict[str, str]:
    """Without what OpenMP and the compiler of torch note there when some library loads them."""
    return {name: value for name, value in environment.items() if not name.startswith(("KMP_", "TORCHINDUCTOR_"))}


def _name(owner: Any) -> str:
    return owner.__name__ if isinstance(owner, ModuleType) else f"{owner.__module__}.{owner.__qualname__}"
