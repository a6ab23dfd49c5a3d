"""A one-file plugin of samplers that do what no sampler should; most of them give good samples all the same."""

from __future__ import annotations

import gc
import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import torch

from phys_registry import Component, hookimpl
from phys_samplers.randomness import make_generator
from phys_samplers.sampler import Draw, Model, Sampler

SLEEPER = "import time; time.sleep(300)  # left by a hostile sampler"
HOARDER = "hoard = b'x' * (1_600 * 2**20); import time; time.sleep(60)"


def pipe() -> Connection:
    """The pipe to the runner, which a plugin can find though nobody gave it."""
    return next(found for found in gc.get_objects() if isinstance(found, Connection) and not found.closed)


def forge(**changes: Any) -> None:
    outcome = {"status": "ok", "scores": {"toy-mean": 0.0, "toy-spread": 1.0}}
    event = {"event": "cell", "seed": 0, "outcome": outcome, "job": 1, "process": os.getpid(), "number": 1, **changes}
    pipe().send_bytes(json.dumps(event).encode())


def double_fork() -> None:
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.execv(sys.executable, [sys.executable, "-c", SLEEPER])
        os._exit(0)
    os.wait()


def patched(*_: Any, **__: Any) -> Any:
    raise RuntimeError("torch.cdist and json.dumps are mine now")


def raise_surrogate() -> None:
    raise ValueError("a lone surrogate \ud800 and \x1b[31mred")


def patch() -> None:
    torch.cdist = json.dumps = patched


def state() -> None:
    torch.set_default_dtype(torch.float64)
    torch.set_grad_enabled(False)
    torch.set_num_threads(2)
    torch.use_deterministic_algorithms(True)
    torch.set_flush_denormal(True)
    torch.manual_seed(1)
    random.seed(1)
    os.environ["OMP_NUM_THREADS"] = "7"
    os.chdir("/")
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


DEEDS: dict[str, Any] = {
    "surrogate": raise_surrogate,
    "patch": patch,
    "state": state,
    "fork": os.fork,
    "noise": lambda: pipe().send_bytes(b"\xff\xfe no JSON"),
    "deep": lambda: pipe().send_bytes(b"[" * 100_000),
    "seed": lambda: forge(seed=77),
    "other-job": lambda: forge(job=99),
    "other-process": lambda: forge(process=1),
    "replay": lambda: forge(number=0),
    "large": lambda: pipe().send_bytes(b"x" * 50_000_000),
    "grandchild": double_fork,
    "child-memory": lambda: subprocess.run([sys.executable, "-c", HOARDER], check=False),
    "killed": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "printing": lambda: [print("x" * 2**20) for _ in range(100)] and time.sleep(60),
}


class HostileModel(Model):
    def __init__(self, recipe: Sampler, seed: int) -> None:
        self.recipe, self.seed = recipe, seed
        self.target_name, self.event_shape = "toy", (2,)

    @property
    def device(self) -> torch.device:
        return torch.device("cpu")

    def draw(self, n: int, *, seed: int = 0, start: Any = None, **options: Any) -> Draw:
        generator = make_generator(seed, "toy", self.seed)
        facts = {"word": "\ud800\x1b[2J", "many": ["x" * 1_000] * 1_000}
        return Draw(torch.randn(n, 2, generator=generator), nfe=1.0, diagnostics=facts)

    def tensors(self) -> dict[str, Any]:
        return {}


@dataclass(frozen=True, kw_only=True)
class Hostile(Sampler):
    deed: str = "state"

    def fit(self, target: Any, *, seed: int = 0, device: Any = "cpu", callbacks: Any = (), **_: Any) -> Model:
        DEEDS[self.deed]()
        return HostileModel(self, seed)

    def restore(self, *args: Any, **kwargs: Any) -> Model:
        return HostileModel(self, 0)


@hookimpl
def phys_components() -> Any:
    yield Component("sampler", "hostile", Hostile, summary="for tests")
