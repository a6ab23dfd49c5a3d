r"""Has PFGM++ a best D when its network is too small? The toy of the thesis (App. B.6.3, Table B.26), five seeds.

Rows: y ~ ½ N(1, .2² I) + ½ N(−1, .2² I) in 10 dimensions, x = W y + ε with a normal W (1000 × 10), drawn once, and
ε ~ N(1, .01² I); 2,000 rows. The network has hidden layers of 4, 8 or 32 units between 1,000 inputs and outputs (the
"latent dimension"), residual connections and EDM's time embedding. Everything but D and that width is the same.

What the thesis does not say is chosen here. (1) The output: with EDM's c_skip the skip connection puts noise of unit
variance into every sample (a bottleneck cannot take out 1,000 − L directions), which is --parametrisation edm; with
the clean sample predicted (x0, the default) samples lie in the L-dimensional image of the last layer. (2) The levels:
modes 2√1000 σ_data apart need levels up to that: log-uniform in [.01, 200] and σ from 200 to .01 in 12 Heun steps.
(3) The kernel of MMD: ``mmd2``, unbiased, five Gaussians around the median distance of held-out rows, so at most 10.

One line of JSON a cell (D, width, seed); a run that is stopped goes on.

python benchmarks/studies/narrow_networks.py run --out bottleneck.jsonl
python benchmarks/studies/narrow_networks.py table --out bottleneck.jsonl
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import torch
from scipy.stats import t as student
from tabulate import tabulate
from torch import Tensor

from phys_samplers import make
from phys_samplers.metric import Scored
from phys_samplers.randomness import make_generator
from phys_samplers.samples import Samples

DIMENSIONS = (100.0, 1000.0, 10_000.0, None)
WIDTHS = (4, 8, 32)
ROWS, DRAWN, INNER, OUTER = 2_000, 1_000, 10, 1_000
PRINTED = {4: (1.75, 0.17, 0.79, 1.82), 8: (0.33, 0.16, 0.43, 1.46), 32: (0.12, 0.01, 0.14, 0.07)}
"""Table B.26: MMD by width, for D = 100, 1,000, 10,000 and ∞; one run, kernel not stated."""


def rows(seed: int, split: str) -> Tensor:
    """``ROWS`` rows (ROWS, OUTER) of the law whose W the seed draws; splits are independent draws of one law."""
    mixing = torch.randn(OUTER, INNER, generator=make_generator(seed, "mixing"))
    generator = make_generator(seed, split)
    sign = torch.randint(2, (ROWS, 1), generator=generator) * 2 - 1
    inner = sign + 0.2 * torch.randn(ROWS, INNER, generator=generator)
    return inner @ mixing.T + 1 + 0.01 * torch.randn(ROWS, OUTER, generator=generator)


def score(samples: Tensor, reference: Tensor, target: Samples, seed: int) -> float:
    """MMD² of the samples against held-out rows."""
    scored = Scored(samples=samples, reference=reference, target=target, generator=make_generator(seed, "metric"))
    return float(make("metric", "mmd2")(scored))


def shape(samples: Tensor, reference: Tensor) -> dict[str, float]:
    """What MMD does not say: share of the larger mode, and mean variance over that of the reference."""
    centre = reference.mean(0)
    axis = (reference - centre)[(reference - centre)[:, 0].sign() == (reference - centre)[0, 0].sign()].mean(0)
    share = float(((samples - centre) @ axis > 0).double().mean())
    return {
        "larger_mode": max(share, 1 - share),
        "variance": float(samples.var(0).mean() / reference.var(0).mean()),
    }


def records(path: Path) -> dict[tuple[Any, ...], dict[str, Any]]:
    """What is known, by cell."""
    if not path.exists():
        return {}
    found = [json.loads(line) for line in path.read_text().splitlines() if line.strip()]
    return {(one["parametrisation"], one["dim"], one["width"], one["seed"]): one for one in found}


def run(path: Path, seeds: list[int], steps: int, parametrisation: str) -> None:
    """Fit and score what is not there yet; the seeds of a cell train as one stack on the rows of seed 0."""
    target, held = Samples(rows(0, "train")), rows(0, "heldout")
    known = records(path)
    with path.open("a") as file:
        for width in WIDTHS:
            for dim in DIMENSIONS:
                missing = [seed for seed in seeds if (parametrisation, dim, width, seed) not in known]
                if not missing:
                    continue
                began = time.process_time()
                recipe = make(
                    "sampler",
                    "pfgmpp",
                    aux_dim=dim,
                    field=f"residual-mlp[width={width},depth=3]",
                    parametrisation=parametrisation,
                    steps=steps,
                    standardise="common",
                    sampling_steps=12,
                    schedule="edm[sigma_min=0.01,sigma_max=200.0]",
                    loss="poisson-denoising[levels=log-uniform,sigma_min=0.01,sigma_max=200.0]",
                )
                models = recipe.fit_replicas(target, seeds=missing)
                fitted = time.process_time() - began
                for seed, model in zip(missing, models, strict=True):
                    if isinstance(model, Exception):
                        raise model
                    samples = model.sample(DRAWN, seed=seed)
                    record = {
                        "parametrisation": parametrisation,
                        "dim": dim,
                        "width": width,
                        "seed": seed,
                        "steps": steps,
                        "mmd2": score(samples, held, target, seed),
                        **shape(samples, held),
                        "cpu_seconds": fitted / len(missing),
                    }
                    file.write(json.dumps(record) + "\n")
                    file.flush()
                print(f"{parametrisation}: L = {width}, D = {dim}: {fitted:.0f} CPU-seconds", flush=True)


def interval(values: list[float]) -> str:
    """Mean with half the width of its 95 % t-interval."""
    if len(values) < 2:
        return f"{values[0]:.3f}"
    half = student.ppf(0.975, len(values) - 1) * statistics.stdev(values) / len(values) ** 0.5
    return f"{statistics.fmean(values):.3f} ± {half:.3f}"


def table(path: Path, parametrisation: str) -> list[list[str]]:
    """One row a width: mean MMD² by D, with the printed one, and its order."""
    known = {key[1:]: one for key, one in records(path).items() if key[0] == parametrisation}
    lines = []
    for width in WIDTHS:
        cells = [[one["mmd2"] for key, one in known.items() if key[:2] == (dim, width)] for dim in DIMENSIONS]
        if not all(cells):
            continue
        shown = [f"{interval(values)} ({old})" for values, old in zip(cells, PRINTED[width], strict=True)]
        means = [statistics.fmean(values) for values in cells]
        best = min(range(len(means)), key=means.__getitem__)
        wins = sum(min(range(len(cells)), key=lambda i: cells[i][seed]) == 1 for seed in range(min(map(len, cells))))
        name = "∞" if DIMENSIONS[best] is None else f"{DIMENSIONS[best]:g}"
        lines.append([str(width), *shown, name, f"{wins} of {min(map(len, cells))}"])
    return lines


def main() -> None:
    """Measure, or print what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("run", "table"))
    parser.add_argument("--out", type=Path, required=True, help="file of JSON lines")
    parser.add_argument("--seeds", type=int, default=5, help="number of seeds (default: 5)")
    parser.add_argument("--steps", type=int, default=1_000, help="training steps (default: 1000)")
    parser.add_argument("--parametrisation", default="x0", help="of the network: x0 (default), edm, epsilon or v")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.what == "run":
        run(arguments.out, list(range(arguments.seeds)), arguments.steps, arguments.parametrisation)
        return
    train, held = rows(0, "train"), rows(0, "heldout")
    floor = score(train, held, Samples(train), 0)
    print(f"MMD² (in brackets: MMD of Table B.26); floor, training rows against held-out ones: {floor:.4f}\n")
    headers = ["L", *("D = ∞" if d is None else f"D = {d:g}" for d in DIMENSIONS), "least at D", "D = 1000 is best"]
    print(tabulate(table(arguments.out, arguments.parametrisation), headers, disable_numparse=True))


if __name__ == "__main__":
    main()
