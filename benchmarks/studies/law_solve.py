"""What the linear solve for laws of returns costs, and whether its bands cover.

``run``: one line of JSON a cell, CPU seconds of one thread with it; a run that is stopped goes on.

- ``rows``: ten million transitions of the random policy on FrozenLake (16 states), in parts of 2¹⁷ drawn as they
  are used, with and without bands; and a million of four numbers with 99 features, ten million in single precision.
- ``discounts``: fifty discount factors from .5 to .99 from the exact outcomes of the same chain, 201 atoms.
- ``log``: 2,000 steps on CartPole, pushed at random in three of ten; the policy that pushes to where the pole leans,
  400 cosines an action, bands, three discount factors.
- ``exact``: FrozenLake from all outcomes with their probabilities, 401 atoms; the second of two solves is timed.
- ``paired``: 20,000 rows of FrozenLake, a lot for each seed: the solve, and C51 on the same rows in the same process,
  after 4,000 updates and after 16,000. ``long``: 256,000 rows of ``shaped-returns``, γ = .99, by the solve.
- ``pole``: the policy on CartPole, 200 episodes a seed: the solve, and C51 by 4,000 updates, the best by descent there.
- ``reading``: return models by 4,000 updates from exact outcomes, three seeds stacked.
- ``coverage``: 90 % bands of means over fifty data sets (seeds 0 to 49), at all states of two chains, γ = .9.

``table``: what was measured, in Markdown. ``offline``: likewise, of a run of the suite ``rl-offline``.

python benchmarks/studies/law_solve.py run --out law-solve.jsonl
python benchmarks/studies/law_solve.py table --out law-solve.jsonl
phys-samplers bench run rl-offline --out runs/rl-offline
python benchmarks/studies/law_solve.py offline --out runs/rl-offline
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch

from phys_bench.tasks.returns import drawn as drawn_rows
from phys_samplers import make
from phys_samplers.metrics.returns import grid
from phys_samplers.randomness import make_generator
from phys_samplers.rl.law import ReturnLaw, integrated_cdf
from phys_samplers.rl.law_solve import LawSolve, Log
from phys_samplers.rl.logged import WORST, evaluate
from phys_samplers.rl.recipe import ReturnTask

PART = 2**17
GRID = grid()
EXACT = [f"exact {policy} {gamma}" for policy in ("random", "optimal") for gamma in (0.9, 0.95, 0.99)]
PAIRED = [f"paired {policy} {seed}" for policy in ("random 0.9", "optimal 0.99") for seed in range(3)]
LONG = [f"long {seed}" for seed in range(3)]
POLE = [f"pole {gamma} {seed}" for gamma in (0.95, 0.99) for seed in range(3)]
MODELS = {
    "bellman": {},
    "bellman[preset=sharp]": {"preset": "sharp"},
    "langevin": {},
    "vgs": {},
}
READING = [f"reading {task} {model}" for task in ("frozen-lake", "shaped-returns") for model in MODELS]
CELLS = (
    *EXACT,
    *PAIRED,
    *LONG,
    *POLE,
    *READING,
    "rows 10000000 plain",
    "rows 10000000 bands",
    "cosines 1000000 plain",
    "cosines 10000000 single",
    "discounts 50",
    "log 2000",
    "coverage frozen-lake 4000",
    "coverage frozen-lake 16000",
    "coverage shaped-returns 4000",
    "coverage shaped-returns 16000",
)


def drawn(task: ReturnTask, count: int, generator: torch.Generator) -> Log:
    """Transitions of a chain, states as integers."""
    rows = task.experience
    below = rows.probability.double().cumsum(0)
    uniforms = torch.rand(count, generator=generator, dtype=torch.float64)
    kept = torch.searchsorted(below, uniforms).clamp_(max=len(below) - 1)
    now, following = rows.observation.argmax(1), rows.next_observation.argmax(1)
    return Log(
        observation=now[kept],
        reward=rows.reward[kept],
        terminal=rows.terminal[kept],
        next_observation=following[kept],
    )


def many_rows(count: int, bands: bool) -> dict[str, Any]:
    """CPU seconds of drawing, and of all."""
    task, generator, spent = make("task", "frozen-lake"), make_generator(0, "many-rows"), [0.0]

    def parts() -> Iterator[Log]:
        for first in range(0, count, PART):
            start = time.process_time()
            log = drawn(task, min(PART, count - first), generator)
            spent[0] += time.process_time() - start
            yield log

    queries = task.experience.queries.argmax(1)
    (found,) = evaluate(parts(), queries, [0.9], returns=(0.0, 1.0), band=0.9 if bands else None)
    return {"drawing": spent[0], "error of means": float((found.law.mean - task.law.means).abs().max())}


def many_numbers(count: int, single: bool) -> dict[str, Any]:
    """A walk in four dimensions, features that are no table."""
    generator = make_generator(0, "many-numbers")

    def parts() -> Iterator[Log]:
        for first in range(0, count, PART):
            size = min(PART, count - first)
            now = 2 * torch.rand(size, 4, generator=generator) - 1
            following = (0.8 * now + 0.2 * torch.randn(size, 4, generator=generator)).clamp(-1, 1)
            ends = torch.rand(size, generator=generator) < 0.1
            reward = 0.5 * (now[:, 0] > 0)
            yield Log(observation=now, reward=reward, terminal=ends, next_observation=following)

    recipe = LawSolve(features="cosines", count=99, single=single)
    evaluate(parts(), torch.zeros(1, 4), [0.9], recipe=recipe, returns=(0.0, 5.0), band=None)
    return {}


def discounts(count: int) -> dict[str, Any]:
    """Many discount factors from one pass."""
    rows = make("task", "frozen-lake").experience
    log = Log(
        observation=rows.observation.argmax(1),
        reward=rows.reward,
        terminal=rows.terminal,
        next_observation=rows.next_observation.argmax(1),
        weight=rows.probability,
    )
    start = time.process_time()
    gammas = torch.linspace(0.5, 0.99, count).tolist()
    evaluate(log, rows.queries.argmax(1), gammas, recipe=LawSolve(atoms=201, ridge=1e-9), returns=(0.0, 1.0), band=None)
    return {"cpu": time.process_time() - start}


def small_log(steps: int) -> dict[str, Any]:
    """A policy of two actions from another's steps."""
    environment, lot = gymnasium.make("CartPole-v1"), np.random.default_rng(0)
    rows: dict[str, list[Any]] = {name: [] for name in ("before", "action", "reward", "terminal", "after", "episode")}
    episode, (seen, _) = 0, environment.reset(seed=0)
    for _ in range(steps):
        action = int(seen[2] + 0.5 * seen[3] > 0) if lot.random() > 0.3 else int(lot.integers(2))
        after, reward, ended, cut, _ = environment.step(action)
        for name, value in zip(rows, (seen, action, reward, ended, after, episode), strict=True):
            rows[name].append(value)
        seen = after
        if ended or cut:
            episode, (seen, _) = episode + 1, environment.reset()
    columns = {name: torch.from_numpy(np.array(value)) for name, value in rows.items()}

    def policy(observation: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.one_hot((observation[:, 2] + 0.5 * observation[:, 3] > 0).long(), 2).float()

    log = Log(
        observation=columns["before"],
        reward=columns["reward"],
        terminal=columns["terminal"],
        next_observation=columns["after"],
        action=columns["action"],
        next_policy=policy(columns["after"]),
        episode=columns["episode"],
    )
    queries = torch.zeros(1, 4)
    start = time.process_time()
    judged = evaluate(log, queries, [0.9, 0.95, 0.99], query_policy=policy(queries))
    bands = [[float(x) for x in one.mean_band[0]] for one in judged if one.mean_band is not None]
    return {"cpu": time.process_time() - start, "episodes": episode, "bands": bands}


def scores(task: ReturnTask, law: ReturnLaw) -> dict[str, float]:
    """W1 and the error of the mean of the worst tenth over the range of returns, means over states."""
    scale = task.experience.scale
    laws = [some.moved(1 / scale.width, -scale.low / scale.width) for some in (law, task.law.laws)]
    w1 = torch.diff(integrated_cdf(laws[0], GRID) - integrated_cdf(laws[1], GRID), dim=-1).abs().sum(-1)
    tail = [(GRID - integrated_cdf(some, GRID) / WORST).amax(-1) for some in laws]
    return {"w1": float(w1.mean()), "tail": float((tail[0] - tail[1]).abs().mean())}


def fitted(task: ReturnTask, recipe: Any, seeds: int = 1) -> dict[str, float]:
    """Scores of a model, the mean over seeds that are trained as one stack, and CPU seconds a seed."""
    start = time.process_time()
    if isinstance(recipe, LawSolve):
        models = [recipe.fit(task)]
    else:
        models = [model for model in recipe.fit_replicas(task, seeds=range(seeds)) if not isinstance(model, Exception)]
    cpu = (time.process_time() - start) / seeds
    found = [scores(task, model.laws()) for model in models]
    means = {name: statistics.fmean(one[name] for one in found) for name in found[0]}
    spread = statistics.stdev(one["w1"] for one in found) if len(found) > 1 else 0.0
    return {**means, "spread": spread, "seconds": cpu}


def exact(policy: str, gamma: float) -> dict[str, Any]:
    """The solve from all outcomes."""
    task = make("task", "frozen-lake", policy=policy, gamma=gamma)
    return {"models": {"law-solve": [fitted(task, LawSolve(atoms=401)) for _ in range(2)][-1]}}


def paired(policy: str, gamma: float, seed: int) -> dict[str, Any]:
    """The solve and C51 from the same rows."""
    task = make("task", "frozen-lake", policy=policy, gamma=gamma)
    task = replace(task, experience=drawn_rows(task.experience, 20_000, "frozen-lake", 1 + seed))
    found = {"law-solve": [fitted(task, LawSolve()) for _ in range(2)][-1]}
    for updates in (4_000, 16_000):
        longer = replace(task, experience=replace(task.experience, updates=updates))
        found[f"c51, {updates:,} updates"] = fitted(longer, make("return_model", "c51", width=64))
    return {"models": found}


def long_chain(seed: int) -> dict[str, Any]:
    """Many rows of the chain with close modes."""
    task = make("task", "shaped-returns", gamma=0.99)
    task = replace(task, experience=drawn_rows(task.experience, 256_000, "shaped-returns", 1 + seed))
    return {"models": {"law-solve": [fitted(task, LawSolve()) for _ in range(2)][-1]}}


def pole(gamma: float, seed: int) -> dict[str, Any]:
    """A policy on CartPole, by the solve and by descent."""
    task = make("task", "cart-pole-returns", gamma=gamma, lot=1 + seed)
    found = {"law-solve": [fitted(task, LawSolve()) for _ in range(2)][-1]}
    found["c51"] = fitted(task, make("return_model", "c51", width=64))
    return {"models": found}


def reading(name: str, model: str) -> dict[str, Any]:
    """A return model by 4,000 updates."""
    task = make("task", name, gamma=0.9 if name == "frozen-lake" else 0.99)
    recipe = make("return_model", model.partition("[")[0], width=64, **MODELS[model])
    return {"models": {model: fitted(task, recipe, seeds=3)}}


def coverage(name: str, count: int, sets: int = 50) -> dict[str, Any]:
    """The share of means inside their bands, with the standard error over data sets."""
    task, hits = make("task", name, gamma=0.9), []
    for seed in range(sets):
        log = drawn(task, count, make_generator(seed, "coverage", name))
        (found,) = evaluate(
            log,
            task.experience.queries.argmax(1),
            [0.9],
            recipe=LawSolve(atoms=65, ridge=1e-6),
            returns=task.experience.returns,
            seed=seed,
        )
        assert found.mean_band is not None
        low, high = found.mean_band.unbind(1)
        hits.append(((low <= task.law.means) & (task.law.means <= high)).double().mean())
    shares = torch.stack(hits)
    return {"coverage": float(shares.mean()), "error": float(shares.std() / sets**0.5), "sets": sets}


def cell(text: str) -> dict[str, Any]:
    """Measure one of ``CELLS``, in a process of its own."""
    torch.set_num_threads(1)
    what, *rest = text.split()
    start = time.process_time()
    if what == "rows":
        found = many_rows(int(rest[0]), rest[1] == "bands")
    elif what == "cosines":
        found = many_numbers(int(rest[0]), rest[1] == "single")
    elif what == "discounts":
        found = discounts(int(rest[0]))
    elif what == "log":
        found = small_log(int(rest[0]))
    elif what == "exact":
        found = exact(rest[0], float(rest[1]))
    elif what == "paired":
        found = paired(rest[0], float(rest[1]), int(rest[2]))
    elif what == "long":
        found = long_chain(int(rest[0]))
    elif what == "pole":
        found = pole(float(rest[0]), int(rest[1]))
    elif what == "reading":
        found = reading(*rest)
    else:
        found = coverage(rest[0], int(rest[1]))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"cell": text, "cpu": time.process_time() - start, "peak_mib": peak, **found}


def read(out: Path) -> list[dict[str, Any]]:
    """What was measured so far."""
    return [json.loads(line) for line in out.read_text().splitlines()] if out.exists() else []


def table(rows: list[dict[str, Any]]) -> str:
    """In Markdown."""
    lines = ["| what | model | W1 | tail error | CPU s | seeds |", "|---|---|---|---|---|---|"]
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in sorted(rows, key=lambda row: CELLS.index(row["cell"])):
        for model, found in row.get("models", {}).items():
            what, *rest = row["cell"].split()
            title = {"exact": row["cell"], "long": "long", "reading": " ".join((what, *rest[:1]))}.get(what)
            groups.setdefault((title or " ".join((what, *rest[:-1])), model), []).append(found)
    for (what, model), found in groups.items():
        w1, tail, cpu = ([one[name] for one in found] for name in ("w1", "tail", "seconds"))
        spread = statistics.stdev(w1) if len(w1) > 1 else found[0]["spread"]
        seeds = 3 if what.startswith("reading") else len(w1)
        lines.append(
            f"| `{what}` | `{model}` | {statistics.fmean(w1):.5f} ± {spread:.5f} | {statistics.fmean(tail):.4f} | "
            f"{statistics.fmean(cpu):.3g} | {seeds} |"
        )
    lines += ["", "| what | CPU s | peak MiB | |", "|---|---|---|---|"]
    for row in sorted((row for row in rows if "models" not in row), key=lambda row: CELLS.index(row["cell"])):
        said = f"{row['coverage']:.3f} ± {row['error']:.3f} of means covered" if "coverage" in row else ""
        if "drawing" in row:
            said = f"of which drawing rows {row['drawing']:.1f}; means off by {row['error of means']:.5f} at most"
        lines.append(f"| `{row['cell']}` | {row['cpu']:.1f} | {row['peak_mib']:.0f} | {said} |")
    return "\n".join(lines)


def offline(folder: Path) -> str:
    """In Markdown, of a run of ``rl-offline``: W1, tail error; CPU seconds, means over the seeds there are."""
    cells: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for path in sorted((folder / "records").glob("*.json")):
        record = json.loads(path.read_text())
        if record["status"] == "ok":
            identity = record["identity"]
            cells.setdefault((identity["task"], identity["sampler"]), []).append(record)
    tasks = sorted({task for task, _ in cells})
    lines = ["| return model | " + " | ".join(f"`{task}`" for task in tasks) + " |", "|---" * (1 + len(tasks)) + "|"]
    for model in sorted({model for _, model in cells}):
        entries = []
        for task in tasks:
            records = cells.get((task, model), [])
            if not records:
                entries.append("")
                continue
            w1, tail = (
                statistics.fmean(record["scores"][name] for record in records)
                for name in ("return-w1", "return-tail-error")
            )
            cpu = statistics.fmean(record["costs"]["cpu_seconds"] for record in records)
            entries.append(f"{w1:.4f}, {tail:.4f}; {cpu:.1f}")
        lines.append(f"| `{model}` | " + " | ".join(entries) + " |")
    return "\n".join(lines)


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("run", "table", "offline", "cell"))
    parser.add_argument("--out", type=Path, default=Path("law-solve.jsonl"))
    parser.add_argument("--cells", default=",".join(CELLS), help="with commas between; all by default")
    given = parser.parse_args()
    if given.what == "cell":
        print(json.dumps(cell(given.cells)))
    elif given.what == "offline":
        print(offline(given.out))
    elif given.what == "table":
        print(table(read(given.out)))
    else:
        done = {row["cell"] for row in read(given.out)}
        for text in given.cells.split(","):
            if text not in done:
                words = [sys.executable, __file__, "cell", "--cells", text]
                line = subprocess.run(words, capture_output=True, text=True, check=True).stdout
                with given.out.open("a") as file:
                    file.write(line)
                print(line, end="", flush=True)


if __name__ == "__main__":
    main()
