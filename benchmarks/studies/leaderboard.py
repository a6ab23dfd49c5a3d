"""The picture of the README: scores of a run on all of its tasks, side by side.

phys-samplers bench run quick
python benchmarks/studies/leaderboard.py runs/quick docs/images/leaderboard.png
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib

from phys_samplers import bench, plots


def main() -> None:
    """Draw one panel a task."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("run", type=Path, help="folder of a run")
    parser.add_argument("picture", type=Path, help="where to")
    arguments = parser.parse_args()
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    results = bench.load(arguments.run)
    tasks = list(dict.fromkeys(results.frame["task"]))
    figure, axes = plt.subplots(1, len(tasks), figsize=(3.7 * len(tasks), 4.4), squeeze=False)
    for axis, task in zip(axes[0], tasks, strict=True):
        plots.leaderboard(results, task, ax=axis)
        axis.set_title(task, loc="left")
        if axis is not axes[0, 0]:
            axis.set_yticklabels([])
    figure.tight_layout()
    figure.savefig(arguments.picture, dpi=95, bbox_inches="tight")


if __name__ == "__main__":
    main()
