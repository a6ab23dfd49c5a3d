"""A one-file plugin of samplers that do what no sampler should; most of them give good samples all the same."""

from __future__ import annotations

import atexit
import builtins
import ctypes
import gc
import io
import json
import locale
import os
import random
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, NoReturn

import numpy as np
import torch

from phys_registry import Component, hookimpl
from phys_samplers.metrics.two_sample import EnergyDistance
from phys_samplers.randomness import make_generator
from phys_samplers.sampler import Draw, Model, Sampler

MARK = f"# left by {__file__}"
SLEEPER = f"import time; time.sleep(300)  {MARK}"
HOARDER = "hoard = b'x' * (1_600 * 2**20); import time; time.sleep(60)"
BURNER = f"while True: pass  {MARK}"


def say(words: bytes) -> None:
    """Write into the pipe to the runner, which a plugin can find though nobody gave it."""
    pipe = next(found for found in gc.get_objects() if isinstance(found, Connection) and not found.closed)
    with socket.socket(fileno=os.dup(pipe.fileno())) as end:
        end.settimeout(None)
        end.sendall(words)


def forge(**changes: Any) -> None:
    outcome = {"status": "ok", "scores": {"toy-mean": 0.0, "toy-spread": 1.0}}
    event = {"event": "cell", "seed": 0, "outcome": outcome, "job": 1, "process": os.getpid(), "number": 1, **changes}
    say(json.dumps(event).encode() + b"\n")


def say_half() -> None:
    say(b'{"event": "cell", ')
    time.sleep(60)


def flood() -> None:
    while True:
        say(b'{"event": "step"}\n' * 1_000)


# State


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


def seed_everything() -> None:
    torch.manual_seed(1)
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002


def lose_folder() -> None:
    os.chdir(folder := tempfile.mkdtemp())
    shutil.rmtree(folder)


def handle_signals() -> None:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD, signal.SIGUSR1):
        signal.signal(number, patched)


def shadow_modules() -> None:
    folder = Path(tempfile.mkdtemp())
    (folder / "phys_shadow.py").write_text("raise SystemExit\n")
    sys.path[:] = [str(folder)]


def replace_modules() -> None:
    for name in ("phys_samplers.metrics.pairwise", "safetensors.torch", "numpy", "phys_bench.scoring"):
        sys.modules[name] = ModuleType(name)


def patched(*_: Any, **__: Any) -> Any:
    raise RuntimeError("torch.cdist and json.dumps are mine now")


def patch() -> None:
    torch.cdist = json.dumps = patched


def patch_class() -> None:
    EnergyDistance.__call__ = lambda self, scored: 0.0  # type: ignore[method-assign]  # nobody watches all classes


def patch_system() -> None:
    os.replace = os.fsync = os.open = patched


def patch_builtins() -> None:
    builtins.sum = builtins.sorted = patched


def patch_seeds() -> None:
    torch.manual_seed = torch.seed = torch.set_rng_state = patched


def close_outputs() -> None:
    sys.stdout.close()
    for number in (1, 2):
        os.close(number)


def redirect_outputs() -> None:
    sys.stdout, sys.stderr = io.StringIO(), None  # type: ignore[assignment]
    os.dup2(os.open("/dev/full", os.O_WRONLY), 1)


def lower_limits() -> None:
    for number, value in ((resource.RLIMIT_FSIZE, 0), (resource.RLIMIT_NOFILE, 8)):
        resource.setrlimit(number, (value, resource.getrlimit(number)[1]))


def block_signals() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    ctypes.PyDLL(None).sleep(60)  # in C, and with the interpreter's lock


# Processes, threads and memory


def double_fork() -> None:
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.execv(sys.executable, [sys.executable, "-c", SLEEPER])
        os._exit(0)
    os.wait()


def leave(code: str) -> None:
    subprocess.Popen([sys.executable, "-c", code], start_new_session=True)


def leave_thread(daemon: bool) -> None:
    threading.Thread(target=time.sleep, args=(300,), daemon=daemon).start()


def hoard() -> None:
    kept = [bytearray(b"x" * 2**20) for _ in range(1_600)]
    time.sleep(60)
    del kept


def burn() -> None:
    while True:
        pass


def kill_keeper(number: int) -> None:
    os.kill(os.getppid(), number)
    time.sleep(60)


def close_everything() -> None:
    os.closerange(3, 1_000)


def recurse() -> None:
    recurse()


class Stubborn:
    def __del__(self) -> None:
        raise RuntimeError("no")


# Files


def run_folder() -> Path:
    """Whose log this process writes."""
    return Path(os.readlink("/proc/self/fd/1")).parents[1]


def litter() -> None:
    folder = run_folder()
    for name in ("records/x.json", f"records/{'0' * 32}.json", "floors/y.json", "records/.z.json.h-1-0.part", "log"):
        (folder / name).write_bytes(b"\xff{")
    (folder / "records" / ("f" * 32 + ".json")).symlink_to("/dev/zero")


def overwrite(target: Any) -> None:
    for name in ("train", "validation", "heldout"):
        if (rows := getattr(target, name, None)) is not None:
            rows.fill_(3.0)
    target.law.scale = 1e-3


class MuteError(Exception):
    def __str__(self) -> str:
        raise SystemExit(0)


def raise_mute() -> NoReturn:
    raise MuteError


def raise_surrogate() -> NoReturn:
    raise ValueError("a lone surrogate \ud800 and \x1b[31mred")


DEEDS: dict[str, Callable[[], Any]] = {
    "none": lambda: None,
    "surrogate": raise_surrogate,
    "mute": raise_mute,
    # messages
    "noise": lambda: say(b"\xff\xfe no JSON\n"),
    "deep": lambda: say(b"[" * 100_000 + b"\n"),
    "half": say_half,
    "flood": flood,
    "seed": lambda: forge(seed=77),
    "other-job": lambda: forge(job=99),
    "other-process": lambda: forge(process=1),
    "replay": lambda: forge(number=0),
    "large": lambda: say(b"x" * 50_000_000),
    "printing": lambda: [print("x" * 2**20) for _ in range(100)] and time.sleep(60),
    # state
    "state": state,
    "dtype": lambda: torch.set_default_dtype(torch.float64),
    "gradients": lambda: torch.set_grad_enabled(False),
    "inference": lambda: torch.inference_mode().__enter__(),
    "threads": lambda: torch.set_num_threads(2),
    "deterministic": lambda: torch.use_deterministic_algorithms(True),
    "denormals": lambda: torch.set_flush_denormal(True),
    "seeds": seed_everything,
    "folder": lambda: os.chdir("/"),
    "lost-folder": lose_folder,
    "environment": os.environ.clear,
    "handlers": handle_signals,
    "timer": lambda: signal.setitimer(signal.ITIMER_REAL, 0.5),
    "path": shadow_modules,
    "modules": replace_modules,
    "patch": patch,
    "patch-class": patch_class,
    "patch-system": patch_system,
    "patch-builtins": patch_builtins,
    "patch-seeds": patch_seeds,
    "warnings": lambda: warnings.simplefilter("error"),
    "locale": lambda: locale.setlocale(locale.LC_ALL, "C.UTF-8"),
    "stack": lambda: sys.setrecursionlimit(200),
    "numpy": lambda: np.seterr(all="raise"),
    "limits": lower_limits,
    "closed-outputs": close_outputs,
    "redirected": redirect_outputs,
    # processes, threads and memory
    "fork": os.fork,
    "grandchild": double_fork,
    "child": lambda: leave(SLEEPER),
    "burning-child": lambda: leave(BURNER),
    "thread": lambda: leave_thread(daemon=False),
    "daemon-thread": lambda: leave_thread(daemon=True),
    "memory": hoard,
    "child-memory": lambda: subprocess.run([sys.executable, "-c", HOARDER], check=False),
    "burn": burn,
    "child-burn": lambda: subprocess.run([sys.executable, "-c", BURNER], check=False),
    "sleep": lambda: time.sleep(60),
    "hang-in-c": block_signals,
    "stopped": lambda: os.kill(os.getpid(), signal.SIGSTOP),
    # ends
    "exit": lambda: os._exit(7),
    "exit-well": lambda: os._exit(0),
    "sys-exit": lambda: sys.exit(3),
    "interrupt": lambda: signal.default_int_handler(2, None),
    "abort": os.abort,
    "segfault": lambda: ctypes.string_at(1),
    "killed": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "kill-keeper": lambda: kill_keeper(signal.SIGKILL),
    "end-keeper": lambda: kill_keeper(signal.SIGTERM),
    "stop-keeper": lambda: os.kill(os.getppid(), signal.SIGSTOP),
    "closed-files": close_everything,
    "recursion": recurse,
    "at-exit": lambda: atexit.register(time.sleep, 300),
    "finalizer": Stubborn,
    # files
    "litter": litter,
}

DRAWS: dict[str, Callable[[torch.Tensor], Any]] = {
    "nan": lambda x: Draw(x.fill_(float("nan")), nfe=1.0),
    "infinite": lambda x: Draw(x / 0.0, nfe=1.0),
    "complex": lambda x: Draw(torch.complex(x, x), nfe=1.0),
    "negative-nfe": lambda x: Draw(x, nfe=-1.0),
    "huge-nfe": lambda x: Draw(x, nfe=9e299, diagnostics={"huge": 9e299}),
    "nan-nfe": lambda x: Draw(x, nfe=float("nan")),
    "weights": lambda x: Draw(x, nfe=1.0, log_weights=torch.zeros(len(x), 2)),
    "number": lambda x: Draw(x[1:], nfe=1.0),
    "shape": lambda x: Draw(x[:, :1], nfe=1.0),
    "no-draw": lambda x: SimpleNamespace(samples=x, nfe=-1.0, diagnostics={}, log_weights=None),
    "no-tensor": lambda x: Draw(x.tolist(), nfe=1.0),
    "half-precision": lambda x: Draw(x.half(), nfe=1.0),
    "integers": lambda x: Draw(x.long(), nfe=1.0),
    "one-row": lambda x: Draw(x[:1].expand(len(x), 2), nfe=1.0),
    "with-graph": lambda x: Draw(x.requires_grad_() * 1.0, nfe=1.0),
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
        samples = torch.randn(n, 2, generator=generator)
        facts = {"word": "\ud800\x1b[2J", "many": ["x" * 1_000] * 1_000}
        make = DRAWS.get(self.recipe.options()["deed"], lambda x: Draw(x, nfe=1.0, diagnostics=facts))
        return make(samples)

    def tensors(self) -> dict[str, Any]:
        return {}


@dataclass(frozen=True, kw_only=True)
class Hostile(Sampler):
    deed: str = "none"

    def fit(self, target: Any, *, seed: int = 0, device: Any = "cpu", callbacks: Any = (), **_: Any) -> Model:
        if self.deed == "heldout":
            overwrite(target)
        elif self.deed not in DRAWS:
            DEEDS[self.deed]()
        return HostileModel(self, seed)

    def restore(self, *args: Any, **kwargs: Any) -> Model:
        return HostileModel(self, 0)


@hookimpl
def phys_components() -> Any:
    yield Component("sampler", "hostile", Hostile, summary="for tests")
