r"""Does a learned energy tell anomalies? Energy-based models beside density models and scikit-learn, on three tables.

Each model is fitted to normal rows only, standardised by them; a row's anomaly score is its energy, or minus its
log-density. The score of a model is the area under the ROC curve (AUROC) on normal rows that were held out, and all
anomalies: the probability that an anomaly scores above a normal row. Splits are those of the seed, for all models.

breast-cancer  30 measures of cell nuclei; normal: benign (357 of 569)
digits         8 x 8 pixels; one digit (seed mod 10) is the anomaly and not in the training rows
ionosphere     33 measures of radar returns (one of the 34 is constant); normal: good (225 of 351)

Options of each model are chosen by the normal rows alone: of the candidates, the one that gives a fifth of the training
rows, kept aside on one further split, the largest mean log-density (of energies: with log Z by sequential Monte Carlo).
Anomalies are seen by the models that this leaves, and by no choice.

python benchmarks/studies/anomaly.py
python benchmarks/studies/anomaly.py --tables breast-cancer --seeds 2 --steps 500
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from tabulate import tabulate
from torch import Tensor

from phys_bench.data import bundled_table, digit_images, uci
from phys_samplers import make
from phys_samplers.randomness import make_generator
from phys_samplers.samples import Samples
from phys_samplers.target import Target

HELD_OUT = 0.3
"""Share of the normal rows that the ROC curve is computed with."""
ASIDE = 0.2
"""Share of the other normal rows that options are chosen by."""


class Split(NamedTuple):
    """Standardised rows: of training, kept aside for choices, and of the test with its labels (1: an anomaly)."""

    train: Tensor
    aside: Tensor
    test: Tensor
    labels: Tensor


def breast_cancer(seed: int) -> tuple[Tensor, Tensor]:
    """Rows (569, 30) and whether each is malignant."""
    table = bundled_table("breast_cancer")
    return table.numbers(table.names[:-1]), table.numbers(("target",))[:, 0] == 0


def digits(seed: int) -> tuple[Tensor, Tensor]:
    """Rows (1797, 64) and whether each shows the digit that the seed chooses."""
    grey, labels = digit_images()
    return grey.flatten(1), labels == seed % 10


def ionosphere(seed: int) -> tuple[Tensor, Tensor]:
    """Rows (351, 34) and whether the return is bad."""
    table = uci.IONOSPHERE.read()
    return table.numbers(table.names[:-1]), torch.tensor([label == "b" for label in table.column("class")])


TABLES: dict[str, Callable[[int], tuple[Tensor, Tensor]]] = {
    "breast-cancer": breast_cancer,
    "digits": digits,
    "ionosphere": ionosphere,
}


def split(name: str, seed: int) -> Split:
    """The rows of a seed; columns that are constant among the training rows are dropped."""
    rows, anomalous = TABLES[name](seed)
    normal, anomalies = rows[~anomalous], rows[anomalous]
    order = torch.randperm(len(normal), generator=make_generator(seed, "anomaly", name))
    held = round(HELD_OUT * len(normal))
    known = normal[order[held:]]
    aside = round(ASIDE * len(known))
    mean, scale = known.mean(0), known.std(0)
    varied = scale > 1e-9

    def standardised(some: Tensor) -> Tensor:
        return ((some - mean) / scale)[:, varied].float()

    test = torch.cat((normal[order[:held]], anomalies))
    labels = torch.cat((torch.zeros(held), torch.ones(len(anomalies))))
    return Split(standardised(known[aside:]), standardised(known[:aside]), standardised(test), labels)


def auroc(scores: Tensor, labels: Tensor) -> float:
    """The area under the ROC curve of ``scores`` (n,), high for the label 1."""
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(labels.numpy(), scores.numpy()))


Scorer = Callable[[Tensor], Tensor]
"""Anomaly scores (n,) of rows (n, D)."""


def ebm(target: Target, seed: int, options: dict[str, Any]) -> tuple[Scorer, Scorer | None]:
    """The energy, and the log-density if ``log_z`` names what estimates its constant."""
    model: Any = make("sampler", "ebm", **options).fit(target, seed=seed)
    return model.energy, (model.log_prob if options.get("log_z") else None)


def density(target: Target, seed: int, options: dict[str, Any]) -> tuple[Scorer, Scorer | None]:
    """EDM, whose log-density is that of its probability-flow ODE."""
    model: Any = make("sampler", "edm", **options).fit(target, seed=seed)
    return lambda x: -model.log_prob(x), model.log_prob


def gaussian_mixture(target: Target, seed: int, options: dict[str, Any]) -> tuple[Scorer, Scorer | None]:
    """A Gaussian mixture of scikit-learn."""
    from sklearn.mixture import GaussianMixture

    assert target.train is not None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fitted = GaussianMixture(random_state=seed, **options).fit(target.train.double().numpy())

    def log_prob(x: Tensor) -> Tensor:
        return torch.from_numpy(fitted.score_samples(x.double().numpy()))

    return lambda x: -log_prob(x), log_prob


def isolation_forest(target: Target, seed: int, options: dict[str, Any]) -> tuple[Scorer, Scorer | None]:
    """The isolation forest of scikit-learn, with its own defaults: it has no density to choose by."""
    from sklearn.ensemble import IsolationForest

    assert target.train is not None
    fitted = IsolationForest(random_state=seed, **options).fit(target.train.double().numpy())
    return lambda x: torch.from_numpy(-fitted.score_samples(x.double().numpy())), None


class Method(NamedTuple):
    """What is fitted, with the candidates that normal rows choose from."""

    fit: Callable[[Target, int, dict[str, Any]], tuple[Scorer, Scorer | None]]
    candidates: tuple[dict[str, Any], ...]


CHAINS = "langevin[sampling_steps=10,step_size=0.01,prior_std=1.0"
NEGATIVES = {
    "ebm, persistent": CHAINS + ",starts=data,buffer_size=2048,restart_rate=0.05]",
    "ebm, short chains": CHAINS + "]",
    "ebm, vgs": "vgs[sampling_steps=10,total_variance=2,end_variance=0.02,batch_size=64,updates_per_walk=1,width=64]",
}
MIXTURES = tuple(
    {"n_components": k, "covariance_type": kind, "reg_covar": floor}
    for k in (1, 2, 5, 10)
    for kind, floor in (("full", 1e-2), ("full", 1e-1), ("diag", 1e-2))
)
BY_REQUEST = ("ebm, vgs",)
"""Methods that take too long to be there by default."""


def methods(steps: int) -> dict[str, Method]:
    """By the name of the row; ``steps`` are those of networks."""
    energy = {"steps": steps, "width": 128, "depth": 2, "batch_size": 128, "well": 2.0, "noise_share": 0.1}
    jitters = (0.1, 0.3)
    found = {
        name: Method(ebm, tuple({**energy, "negatives": supply, "jitter": jitter} for jitter in jitters))
        for name, supply in NEGATIVES.items()
    }
    return {
        **found,
        "edm": Method(density, tuple({"steps": steps, "width": width} for width in (64, 128))),
        "gaussian mixture": Method(gaussian_mixture, MIXTURES),
        "isolation forest": Method(isolation_forest, ({},)),
    }


def chosen(method: Method, name: str, seed: int) -> tuple[dict[str, Any], list[float]]:
    """The candidate whose log-density of rows kept aside is largest, with those of all; no anomaly is looked at."""
    if len(method.candidates) == 1:
        return method.candidates[0], []
    rows = split(name, seed)
    found = []
    for options in method.candidates:
        counted = {**options, "log_z": "smc", "log_z_samples": 500} if method.fit is ebm else options
        _, log_prob = method.fit(Samples(rows.train, name=name), seed, counted)
        assert log_prob is not None
        found.append(float(log_prob(rows.aside).double().mean()))
    return method.candidates[max(range(len(found)), key=found.__getitem__)], found


def main() -> None:
    """Choose, fit, score, print the table and write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", nargs="+", default=list(TABLES), choices=list(TABLES), help="default: all")
    known = list(methods(1))
    usual = [name for name in known if name not in BY_REQUEST]
    parser.add_argument("--methods", nargs="+", default=usual, choices=known, help="default: all but 'ebm, vgs'")
    parser.add_argument("--seeds", type=int, default=5, help="number of seeds, of splits and fits (default: 5)")
    parser.add_argument("--steps", type=int, default=1000, help="training steps of networks (default: 1000)")
    parser.add_argument("--choice-seed", type=int, default=100, help="split that options are chosen on (default: 100)")
    parser.add_argument("--out", type=Path, default=Path("anomaly.json"), help="record (default: anomaly.json)")
    arguments = parser.parse_args()
    torch.set_num_threads(1)

    records: list[dict[str, Any]] = []
    cells: dict[tuple[str, str], str] = {}
    for table in arguments.tables:
        for label in arguments.methods:
            method = methods(arguments.steps)[label]
            began = time.perf_counter()
            options, densities = chosen(method, table, arguments.choice_seed)
            values = []
            for seed in range(arguments.seeds):
                rows = split(table, seed)
                score, _ = method.fit(Samples(rows.train, name=table), seed, options)
                values.append(auroc(score(rows.test).double(), rows.labels))
            seconds = time.perf_counter() - began
            spread = statistics.stdev(values) if len(values) > 1 else 0.0
            cells[table, label] = f"{100 * statistics.fmean(values):.1f} ± {100 * spread:.1f}"
            records.append(
                {"table": table, "method": label, "options": options, "densities_of_candidates": densities}
                | {"auroc": values, "seconds": seconds}
            )
            print(f"{table}: {label} {cells[table, label]} ({seconds:.0f} s)", flush=True)
    lines = [[label, *(cells[table, label] for table in arguments.tables)] for label in arguments.methods]
    print(f"\nAUROC in per cent, mean ± standard deviation over {arguments.seeds} seeds (splits and fits)\n")
    print(tabulate(lines, ["", *arguments.tables], stralign="right", disable_numparse=True))
    arguments.out.write_text(json.dumps({"arguments": vars(arguments) | {"out": None}, "results": records}, indent=1))
    print(f"\nrecord: {arguments.out}")


if __name__ == "__main__":
    main()
