"""What a sampler may leave behind in its process, taken note of before a job and put back after it."""

from __future__ import annotations

import builtins
import gc
import json
import locale
import math
import os
import random
import resource
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
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
        self._modes = _modes()
        self._names = [dict(vars(owner)) for owner in WATCHED]
        self._values = _read()
        self._torch_rng, self._python_rng = torch.random.get_rng_state(), random.getstate()
        self._numpy_rng = np.random.get_state()  # noqa: NPY002 - the global state is what is watched
        self._environment, self._filters = dict(os.environ), list(warnings.filters)
        self._handlers, self._modules = _handlers(), dict(sys.modules)
        self._path, self._threads = list(sys.path), set(threading.enumerate())
        self._outputs = [(number, os.dup(number)) for number in (1, 2) if _file(number)]
        self._timers = [timer for timer in _TIMERS if signal.getitimer(timer) == (0.0, 0.0)]

    def restore(self) -> list[str]:
        """Put everything back.

        Returns:
            What had been changed, random state aside.
        """
        changed = ["modes of torch"] if _end_modes(self._modes) else []  # first: they change what torch does below
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
        changed += self._restore_interpreter()
        torch.random.set_rng_state(self._torch_rng)
        random.setstate(self._python_rng)
        np.random.set_state(self._numpy_rng)  # noqa: NPY002
        return changed

    def _restore_interpreter(self) -> list[str]:
        """Put back imported modules, where they are looked for, what prints and what is timed."""
        changed = []
        for name in [n for n, module in self._modules.items() if sys.modules.get(n) is not module]:
            sys.modules[name] = self._modules[name]
            changed.append(f"sys.modules[{name!r}]")
        if sys.path != self._path:
            sys.path[:] = self._path
            changed.append("sys.path")
        for number, kept in self._outputs:
            if _file(number) != _file(kept):
                os.dup2(kept, number)
                changed.append(f"output {number}")
        for timer in self._timers:
            if any(signal.setitimer(timer, 0)):
                changed.append(f"timer {timer}")
        left = [thread.name for thread in threading.enumerate() if thread not in self._threads]
        return changed + [f"thread {name}" for name in left]

    def close(self) -> None:
        """Let go of what was kept."""
        for _, kept in self._outputs:
            with suppress(OSError):
                os.close(kept)


_TIMERS = (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF)
_LIMITS = [getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_")]


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
        "inference": torch.is_inference_mode_enabled(),
        "folder": _folder(),
        "locale": locale.setlocale(locale.LC_ALL),
        "recursion": sys.getrecursionlimit(),
        "collection": gc.isenabled(),
        "errors": np.geterr(),
        "outputs": (sys.stdout, sys.stderr),
        "limits": [resource.getrlimit(number) for number in _LIMITS],
    }


def _modes() -> tuple[int, int]:
    """How many modes are on that change what functions of torch do, and what its operators do."""
    return torch._C._len_torch_function_stack(), torch._C._len_torch_dispatch_stack()


def _end_modes(kept: tuple[int, int]) -> bool:
    """End those that are on beyond the first ``kept``, and tell whether there were any."""
    functions, operators = _modes()
    for _ in range(functions - kept[0]):
        torch._C._pop_torch_function_stack()
    for _ in range(operators - kept[1]):
        torch._C._pop_torch_dispatch_stack(None)
    return (functions, operators) > kept


def _allow(limits: list[tuple[int, int]]) -> None:
    for number, pair in zip(_LIMITS, limits, strict=True):
        with suppress(OSError, ValueError):  # what was taken away for good does not come back
            resource.setrlimit(number, pair)


_PUT_BACK: dict[str, Callable[[Any], Any]] = {
    "dtype": torch.set_default_dtype,
    "device": torch.set_default_device,
    "threads": torch.set_num_threads,
    "gradients": torch.set_grad_enabled,
    "deterministic": torch.use_deterministic_algorithms,
    "anomalies": torch.autograd.set_detect_anomaly,
    "precision": torch.set_float32_matmul_precision,
    "denormals": lambda kept: torch.set_flush_denormal(not kept),
    "inference": lambda wanted: torch.inference_mode(wanted).__enter__(),
    "folder": lambda folder: os.chdir(folder or "."),
    "locale": lambda text: locale.setlocale(locale.LC_ALL, text),
    "recursion": sys.setrecursionlimit,
    "collection": lambda wanted: gc.enable() if wanted else gc.disable(),
    "errors": lambda errors: np.seterr(**errors),
    "outputs": lambda outputs: vars(sys).update(stdout=outputs[0], stderr=outputs[1]),
    "limits": _allow,
}
"""How to put back each fact of ``_read``; only where it changed, since some of these import half of torch."""


def _folder() -> str | None:
    try:
        return os.getcwd()
    except OSError:  # it was removed
        return None


def _file(number: int) -> tuple[int, int] | None:
    """Which file a descriptor is of."""
    try:
        status = os.fstat(number)
    except OSError:
        return None
    return status.st_dev, status.st_ino


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
