"""How many of our own files does one call enter? The measure of how far a reader has to follow it.

A file is entered when one of its functions runs, from the call that makes a component to the last number it gives;
the statements that an import runs are not counted. Every call is followed in a process of its own, because what an
earlier one has loaded or cached would not be entered again.

edm, bellman, vgs   make, fit for a few steps, sample
mala                make, fit (which draws nothing), sample
agent-update        one update of a return model's network on one batch of transitions
bench-run           one exact cell of a suite, run in this process, with its report

python benchmarks/studies/hops.py
python benchmarks/studies/hops.py edm bench-run --files
python benchmarks/studies/hops.py --json
"""

from __future__ import annotations

import argparse
import contextlib
import inspect
import io
import json
import os
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import torch

ROOT = Path(__file__).resolve().parents[2]
SOURCES = tuple(
    f"{ROOT / folder}{os.sep}" for folder in ("phys_samplers", "registry", "plugins", "benchmarks/phys_bench")
)
CEILINGS = {"edm": 24, "bellman": 24, "vgs": 24, "mala": 14, "agent-update": 9, "bench-run": 75}
"""How many files each call shall enter at most."""


class Footprints:
    """The files of ours whose functions run inside the ``with`` block, in any thread."""

    def __init__(self) -> None:
        self.codes: set[Any] = set()

    def __enter__(self) -> Footprints:
        threading.settrace(self._called)
        sys.settrace(self._called)
        return self

    def __exit__(self, *_: object) -> None:
        sys.settrace(None)
        threading.settrace(None)  # type: ignore[arg-type]

    def _called(self, frame: FrameType, event: str, _: object) -> None:
        self.codes.add(frame.f_code)

    def files(self) -> list[str]:
        """Paths from the root of the project. Bodies of modules and classes, which imports run, are no functions."""
        entered = {code.co_filename for code in self.codes if code.co_flags & inspect.CO_OPTIMIZED}
        return sorted(Path(name).relative_to(ROOT).as_posix() for name in entered if name.startswith(SOURCES))


def fit_and_sample(name: str, task: str, **options: Any) -> list[str]:
    """Make the sampler, fit it and draw from it; ``options`` keep it short."""
    from phys_samplers import make

    target = make("task", task)
    with Footprints() as entered:
        make("sampler", name, **options).fit(target, seed=0).sample(16, seed=1)
    return entered.files()


def agent_update() -> list[str]:
    """One step of an agent's training: act, remember, update the network.

    From one step of the environment to the next, when learning has begun.
    """
    import gymnasium

    from phys_samplers import make

    entered, learning = Footprints(), 20

    class Watched(gymnasium.Wrapper[Any, Any, Any, Any]):
        steps = 0

        def step(self, action: Any) -> Any:
            self.steps += 1
            if self.steps == learning + 11:
                entered.__exit__()
            answer = self.env.step(action)
            if self.steps == learning + 10:
                entered.__enter__()
            return answer

    make("return_model", "bellman").train(
        lambda: Watched(gymnasium.make("CartPole-v1")),
        steps=learning + 12,
        learning_starts=learning,
        epsilon_decay=learning,
        returns=(0.0, 100.0),
        evaluate_every=10_000,
        episodes=1,
    )
    return entered.files()


def bench_run() -> list[str]:
    """The command ``bench run`` on one task and the exact sampler, in this process, and the report it writes."""
    from phys_samplers.cli import main

    with tempfile.TemporaryDirectory() as folder:
        out = f"{folder}/run"
        command = (
            f"bench run quick --samplers exact --tasks moons --seeds 1 --executor inline --device cpu --out {out} -q"
        )
        with Footprints() as entered, contextlib.redirect_stdout(io.StringIO()):
            try:
                main(command.split())
            except SystemExit as end:
                if end.code:
                    raise
    return entered.files()


CALLS: dict[str, Callable[[], list[str]]] = {
    "edm": partial(fit_and_sample, "edm", "moons", steps=2),
    "bellman": partial(fit_and_sample, "bellman", "moons", steps=2),
    "vgs": partial(fit_and_sample, "vgs", "gmm9", steps=1, draws=1, sampling_steps=2),
    "mala": partial(fit_and_sample, "mala", "moons", sampling_steps=4, warmup_steps=2),
    "agent-update": agent_update,
    "bench-run": bench_run,
}


def follow(name: str) -> list[str]:
    """The files that the call enters, in a process of its own that finds torch imported and nothing of ours used."""
    reading, writing = os.pipe()
    if not (child := os.fork()):
        try:
            os.close(reading)
            with os.fdopen(writing, "w") as answer:
                json.dump(CALLS[name](), answer)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as answer:
        text = answer.read()
    if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]):
        raise SystemExit(f"{name} failed")
    return json.loads(text)


def main() -> None:
    """Follow the calls, and print how many files each enters."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("calls", nargs="*", metavar="CALL", help=f"of {', '.join(CALLS)}; all by default")
    parser.add_argument("--files", action="store_true", help="name the files")
    parser.add_argument("--json", action="store_true", help="the files of every call as JSON")
    given = parser.parse_args()
    if unknown := set(given.calls) - set(CALLS):
        parser.error(f"there is no call {', '.join(sorted(unknown))}; there are {', '.join(CALLS)}")
    weight = torch.ones(1, requires_grad=True)
    torch.optim.Adam([weight]).zero_grad()  # loads what torch loads late, once for all of the calls
    found = {}
    for name in given.calls or CALLS:
        found[name] = follow(name)
        if not given.json:
            print(f"{name:14} {len(found[name]):4} files (at most {CEILINGS[name]})", flush=True)
            if given.files:
                print(*(f"  {file}" for file in found[name]), sep="\n", flush=True)
    if given.json:
        print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
