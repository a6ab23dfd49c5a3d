r"""Energies and pair distances of particles, drawn beside those of reference rows, from the records of runs.

One row a task, one column for energies and one for distances; of every sampler the samples of its first seed there is.
Histograms are densities, with the bins of the same width for all.

phys-samplers bench run paper-vgs-table2 --tasks dw4 --samplers 'exact,vgs[preset=particles]' --seeds 1,2 --out runs/p
phys-samplers bench run paper-vgs-table2 --tasks lj13 --samplers 'vgs-replay[preset=lj13]' --seeds 1 --out runs/p
python benchmarks/studies/particle_pictures.py runs/p --picture docs/images/particles.svg
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import matplotlib
import torch
from safetensors.torch import load_file
from torch import Tensor

from phys_samplers import bench

BINS = 80
WINDOWS = {"dw4": ((-27.0, -14.0), (1.0, 9.0)), "lj13": ((-65.0, -10.0), (0.7, 5.0))}
"""Of energies and of distances."""


def distances(rows: Tensor, particles: int) -> Tensor:
    """Those of all pairs (n · pairs,) of rows (n, D)."""
    return torch.cat([torch.pdist(row) for row in rows.view(len(rows), particles, -1)])


def shown(run: Path) -> dict[str, dict[str, dict[str, Tensor]]]:
    """By task and name: the energies and distances of every sampler's first seed, and of the reference."""
    found: dict[str, dict[str, dict[str, Tensor]]] = {}
    for cell in sorted(bench.load(run).cells, key=lambda cell: cell.seed):
        row = found.setdefault(cell.task, {})
        if cell.arrays_path is None or cell.task not in WINDOWS or cell.sampler in row or cell.sampler == "exact":
            continue
        arrays = load_file(cell.arrays_path)
        particles = int(arrays["particles"][0])
        pairs: dict[str, Any] = {cell.sampler: ("energies", "samples")}
        if "reference" not in row:
            pairs["reference"] = ("reference_energies", "reference")
        for name, (energies, rows) in pairs.items():
            row[name] = {"energy": arrays[energies], "distance of a pair": distances(arrays[rows], particles)}
    return {task: row for task, row in found.items() if row}


def main() -> None:
    """Read the command line and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of a run")
    parser.add_argument("--picture", type=Path, required=True)
    arguments = parser.parse_args()
    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "particles"
    import matplotlib.pyplot as plt

    tasks = shown(arguments.run)
    figure, axes = plt.subplots(len(tasks), 2, figsize=(9, 3.1 * len(tasks)), squeeze=False)
    for row, (task, samplers) in zip(axes, tasks.items(), strict=True):
        for axis, key, (low, high) in zip(row, ("energy", "distance of a pair"), WINDOWS[task], strict=True):
            for name, values in sorted(samplers.items(), key=lambda item: item[0] != "reference"):
                heights = torch.histc(values[key].float(), BINS, low, high) / len(values[key]) * BINS / (high - low)
                edges = torch.linspace(low, high, BINS + 1).numpy()
                style: dict[str, Any] = {"fill": True, "color": "0.82"} if name == "reference" else {"linewidth": 1.3}
                axis.stairs(heights.numpy(), edges, label=name, **style)
            axis.set(xlim=(low, high), xlabel=key, yticks=[])
            axis.spines[["top", "right", "left"]].set_visible(False)
        row[0].set_title(task, loc="left")
        row[1].legend(frameon=False, fontsize=8)
    figure.tight_layout()
    figure.savefig(arguments.picture, metadata={"Date": None})


if __name__ == "__main__":
    main()
