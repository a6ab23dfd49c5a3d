"""What a GPU makes of this library, measured on the one that is here: ten minutes at most, and a page of its numbers.

Each part is given its share of the time and keeps what it has when that is over. Times are those of the clock between
two waits for the device, medians of rounds; first calls are not counted.

    python benchmarks/throughput/on_gpu.py --out docs/gpu.md
    python benchmarks/throughput/on_gpu.py --dry            # every part on the CPU, as short as can be
"""

from __future__ import annotations

import argparse
import datetime
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from integrators import taking_turns
from sampling import SCHEMES, model_of, pair
from tabulate import tabulate
from torch import Tensor

from phys_samplers import make
from phys_samplers.options import make_part
from phys_samplers.randomness import make_generator

ROOT = Path(__file__).resolve().parents[2]
LEARNERS = ("edm", "ddpm", "bellman", "pfgmpp", "vgs")
SECONDS = {"tests": 150, "replicas": 120, "suite": 180}
"""That the long parts have at most; the others take seconds."""


@dataclass(frozen=True)
class Place:
    """Where to measure, and how much.

    Args:
        device: of all tensors.
        dry: as short as can be.
    """

    device: torch.device
    dry: bool

    def clock(self) -> float:
        """Seconds, when all that was asked of the device is done."""
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()

    def seconds(self, work: Callable[[], object]) -> float:
        """Of one call."""
        began = self.clock()
        work()
        return self.clock() - began

    def of(self, whole: int, dry: int) -> int:
        """A size."""
        return dry if self.dry else whole


Section = tuple[str, str, list[str], list[Sequence[object]]]
"""Heading, a sentence on it, heads and rows of its table."""


def tests(place: Place) -> Section:
    """The tests that need a GPU."""
    command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "-p", "no:cacheprovider", "tests"]
    said = "not run: a dry run" if place.dry else _last_line(command, SECONDS["tests"])
    return "Tests", "`pytest -m gpu`", ["outcome"], [(said,)]


def launches(place: Place) -> Section:
    """Kernels that a training step starts, counted by the profiler in fits of two lengths."""
    rows = []
    few, many = place.of(100, 50), place.of(200, 100)
    for name in LEARNERS[: place.of(len(LEARNERS), 1)]:
        recipe = make("sampler", name)
        task = make("task", "moons" if "samples" in recipe.needs else "gmm9")

        def fit(steps: int, recipe=recipe, task=task) -> float:
            found = recipe.with_options(steps=steps)
            return place.seconds(lambda: found.fit(task, seed=0, device=place.device))

        fit(few)
        kernels = [_kernels(lambda steps=steps: fit(steps), place) for steps in (few, many)]
        seconds = fit(many) - fit(few)
        started = "not counted here" if place.dry else f"{(kernels[1] - kernels[0]) / (many - few):.1f}"
        rows.append((name, started, f"{1e3 * seconds / (many - few):.2f}"))
    return "Launches", "Of one training step with the recipe's defaults.", ["sampler", "kernels", "ms a step"], rows


def replays(place: Place) -> Section:
    """A captured graph of the default network's pass, and of its pass there and back, against calls one by one."""
    rows = []
    for batch in (64, 1_024, 65_536)[: place.of(3, 1)]:
        module = model_of(2, place.device).module.requires_grad_(True)
        weights = list(module.parameters())
        x = torch.randn(1, batch, 2, device=place.device, generator=make_generator(0, "graph", device=place.device))
        level = torch.ones(1, batch, device=place.device)

        def forwards(module=module, x=x, level=level) -> Tensor:
            with torch.no_grad():
                return module(x, level)

        def both(module=module, x=x, level=level, weights=weights) -> tuple[Tensor, ...]:
            return torch.autograd.grad(module(x, level).square().mean(), weights)

        for name, work in (("forwards", forwards), ("and backwards", both)):
            runs = (work,) if place.device.type != "cuda" else (work, _captured(work))
            times = [1e3 * statistics.median(run) for run in taking_turns(runs, place.of(51, 2), place.clock)]
            told = (f"{times[1]:.3f}", f"{times[0] / times[1]:.1f}") if len(times) > 1 else ("no graph here", "–")
            rows.append((name, batch, f"{times[0]:.3f}", *told))
    heads = ["pass", "rows", "one by one, ms", "replayed, ms", "times faster"]
    return "Graphs", "The default perceptron, one replica.", heads, rows


def replicas(place: Place) -> Section:
    """R seeds as one stacked network."""
    rows: list[Sequence[object]] = []
    task, steps, began = make("task", "moons"), place.of(200, 50), time.perf_counter()
    recipe = make("sampler", "edm", steps=steps)
    recipe.with_options(steps=50).fit(task, device=place.device)
    first = 0.0
    for count in (1, 10, 100, 1_000)[: place.of(4, 2)]:
        if time.perf_counter() - began > SECONDS["replicas"]:
            rows.append((count, "not in the time there was", "–"))
            continue
        took = place.seconds(lambda count=count: recipe.fit_replicas(task, seeds=range(count), device=place.device))
        first = first or took
        rows.append((count, f"{1e3 * took / steps:.2f}", f"{count * first / took:.1f}"))
    return "Replicas", "`edm` on `moons`.", ["seeds", "ms a step", "times faster than one after the other"], rows


def sampling(place: Place) -> Section:
    """Samples a second, and the share of bare forward passes in the loop's time."""
    rows = []
    for batch in (1_024, 65_536)[: place.of(2, 1)]:
        model = model_of(2, place.device)
        for name in SCHEMES[: place.of(len(SCHEMES), 1)]:
            _, sample, bare = pair(model, make_part("integrator", name), place.of(40, 4), batch)
            seconds = taking_turns((sample, bare), place.of(15, 2), place.clock)
            share = statistics.median(b / a for a, b in zip(*seconds, strict=True))
            rows.append((name, batch, f"{batch / statistics.median(seconds[0]):,.0f}", f"{share:.2f}"))
    words = "40 steps of the default network in two dimensions; the share is that of bare passes, one by one."
    return "Sampling", words, ["integrator", "rows", "samples a second", "share of passes"], rows


def memory(place: Place) -> Section:
    """The most that 10⁶ samples hold."""
    rows = []
    n = place.of(1_000_000, 100)
    for name in LEARNERS[: place.of(len(LEARNERS), 1)]:
        recipe = make("sampler", name, steps=20)
        task = make("task", "moons" if "samples" in recipe.needs else "gmm9")
        model = recipe.fit(task, seed=0, device=place.device)
        if place.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
        took = place.seconds(lambda model=model: model.draw(n, seed=0))
        cuda = place.device.type == "cuda"
        peak = f"{torch.cuda.max_memory_allocated() / 2**20:,.0f}" if cuda else "not known here"
        rows.append((name, f"{took:.2f}", peak))
    return "Memory", f"A draw of {n:,} samples.", ["sampler", "seconds", "MiB at most"], rows


def suite(place: Place) -> Section:
    """The suite ``quick`` on the device."""
    command = [sys.executable, "-m", "phys_samplers", "bench", "run", "quick", "--device", "cuda", "--workers", "1"]
    command += ["--quiet", "--no-report", "--out", "runs/quick-gpu"]
    began = time.perf_counter()
    said = "not run: a dry run" if place.dry else _last_line(command, SECONDS["suite"])
    return (
        "Suite",
        "`bench run quick --device cuda`",
        ["outcome", "seconds"],
        [(said, f"{time.perf_counter() - began:.0f}")],
    )


PARTS: tuple[Callable[[Place], Section], ...] = (launches, replays, sampling, replicas, memory, tests, suite)


def _last_line(command: list[str], seconds: int) -> str:
    """What a command says last, with its exit code if that is not 0."""
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired:
        return f"not done in {seconds} seconds"
    lines = (done.stdout.strip() or done.stderr.strip() or "nothing said").splitlines()
    return lines[-1] if done.returncode == 0 else f"exit code {done.returncode}: {lines[-1]}"


def _kernels(work: Callable[[], object], place: Place) -> int:
    """How many kernels, copies included, a run starts; 0 where there is no device to ask."""
    if place.device.type != "cuda":
        work()
        return 0
    activity = torch.profiler.ProfilerActivity.CUDA
    with torch.profiler.profile(activities=[activity]) as profile:
        work()
    return sum(event.count for event in profile.key_averages() if event.self_device_time_total > 0)


def _captured(work: Callable[[], object]) -> Callable[[], object]:
    """The replay of a graph of ``work``."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            work()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        work()
    return graph.replay


def measured(place: Place) -> Iterator[Section]:
    """All parts; one that fails says so in its place."""
    for part in PARTS:
        print(f"{part.__name__} …", file=sys.stderr, flush=True)
        try:
            yield part(place)
        except Exception as error:  # the page has what the other parts gave
            if place.dry:
                raise
            yield part.__name__.capitalize(), "", ["failed"], [(f"{type(error).__name__}: {error}",)]


def page(sections: Sequence[Section], place: Place) -> str:
    """The page."""
    name = (
        torch.cuda.get_device_name() if place.device.type == "cuda" else "a CPU, in a dry run: no number says anything"
    )
    text = [
        "# On a GPU\n",
        f"Measured on {name}, {datetime.date.today()}, torch {torch.__version__}, Python {platform.python_version()}, "
        "by `make gpu` (`benchmarks/throughput/on_gpu.py`). Times are medians of the clock, device waited for.\n",
    ]
    for heading, words, heads, rows in sections:
        table = tabulate(rows, heads, tablefmt="github", disable_numparse=True)
        text += [f"## {heading}\n", f"{words}\n", f"{table}\n"]
    return "\n".join(text)


def main() -> int:
    """Measure, print the page and write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dry", action="store_true", help="every part on the CPU, as short as can be")
    parser.add_argument("--out", type=Path, help="the page to write; none by default")
    options = parser.parse_args()
    if not options.dry and not torch.cuda.is_available():
        print(
            "torch sees no CUDA device here, and this measures one; --dry runs every part on the CPU", file=sys.stderr
        )
        return 2
    torch.set_num_threads(1)
    place = Place(torch.device("cpu" if options.dry else "cuda"), options.dry)
    text = page(list(measured(place)), place)
    print(text)
    if options.out is not None:
        options.out.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
