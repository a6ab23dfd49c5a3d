"""Pictures of what cannot be drawn point by point: energies beyond two dimensions, distances between particles."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from phys_bench.report.panels import number_panels, sample_picture
from phys_bench.scoring import energies
from phys_bench.tasks.laws import funnel, gmm9
from phys_bench.tasks.particles import lj13
from phys_samplers.target import Task


def numbers(n: int = 400) -> dict[str, np.ndarray]:
    """Samples and reference of three particles in the plane, and made-up energies."""
    rng = np.random.default_rng(0)
    rows = {name: rng.normal(size=(n, 6)) for name in ("samples", "reference")}
    return rows | {"energies": rng.normal(size=n), "reference_energies": rng.normal(size=n)}


def test_a_cell_keeps_energies_and_the_layout_of_particles() -> None:
    task = lj13()
    assert task.heldout is not None
    rows = task.heldout[:5]
    kept = energies(2.0 * rows, rows, task)
    assert kept["particles"].tolist() == [13, 3]
    assert torch.equal(kept["reference_energies"], -task.log_prob(rows))
    assert torch.equal(kept["energies"], -task.log_prob(2.0 * rows))
    narrow = funnel(train_size=10)
    assert narrow.heldout is not None
    assert set(energies(narrow.heldout[:5], narrow.heldout[:5], narrow)) == {"energies", "reference_energies"}
    assert energies(torch.zeros(3, 2), torch.zeros(3, 2), gmm9(train_size=10)) == {}
    assert energies(torch.zeros(3, 4), torch.zeros(3, 4), Task(event_shape=(4,), train=torch.zeros(3, 4))) == {}


def test_panels_of_a_system_of_particles() -> None:
    arrays = numbers() | {"particles": np.array([3.0, 2.0])}
    drawn = sample_picture(arrays, task="t", sampler="s", colour="red")
    assert drawn.alt == "t, s. Panels from left to right: energies; distances between particles."
    without = {name: rows for name, rows in arrays.items() if "energies" not in name}
    assert sample_picture(without, task="t", sampler="s", colour="red").alt.endswith(
        "right: distances between particles."
    )


def test_energies_follow_the_marginals_of_other_laws() -> None:
    drawn = sample_picture(numbers(), task="t", sampler="s", colour="red")
    assert drawn.alt.endswith("marginals, 5–95 %; energies.")


def test_histograms_show_the_numbers() -> None:
    """Two particles on a line, one or three apart: the filled histogram is that of the samples, the line the truth."""
    from matplotlib.figure import Figure

    ones, threes = np.tile([0.0, 1.0], (300, 1)), np.tile([0.0, 3.0], (300, 1))
    arrays = {"samples": np.concatenate([ones, ones, ones, threes]), "reference": np.concatenate([ones, threes])}
    (panel,) = number_panels(arrays | {"particles": np.array([2.0, 1.0])}, "red")
    axes = Figure().subplots()
    panel(axes)
    filled, line = (patch.get_data() for patch in axes.patches)
    for (heights, edges, _), near_one in ((filled, 0.75), (line, 0.5)):
        shares = heights * np.diff(edges)
        assert shares[edges[1:] < 2.0].sum() == pytest.approx(near_one)
        assert shares.sum() == pytest.approx(1.0)


def test_energies_out_of_sight_are_counted() -> None:
    arrays = numbers(100)
    arrays["energies"] = arrays["reference_energies"].clip(-1.0, 1.0)
    arrays["energies"][:7], arrays["energies"][7:10] = 1e12, np.inf
    figure = sample_picture(arrays, task="t", sampler="s", colour="red").figure
    words = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert words[-1] == "10 of 100 outside the frame"
