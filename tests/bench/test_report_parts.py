"""Parts of the report with exact answers: distances, field meshes, numbers as text, looks, citations."""

from __future__ import annotations

import math

import numpy as np
import pytest

from phys_bench.cells import Cell, Cells, Floor
from phys_bench.report.canvas import looks
from phys_bench.report.charts import cost_chart
from phys_bench.report.page import anchor, citations, label, used_components
from phys_bench.report.panels import as_mesh, frame, sample_picture
from phys_bench.results import Results
from phys_bench.statistics import distance
from phys_bench.summary import COSTS, cost_columns, cost_notes, costs
from phys_bench.tables import number


def cost_row(run: Cells, task: str, sampler: str) -> list[str]:
    """What the table of costs says of a sampler."""
    (row,) = (row for row in costs(run, task).rows if row[0].text == sampler)
    return [entry.text for entry in row[1:]]


@pytest.mark.parametrize(
    ("value", "floor", "best", "text", "level", "tone"),
    [
        (0.20, Floor(0.10, 0.01), "low", "2.00×", 0.2, "near"),
        (0.80, Floor(0.10, 0.01), "low", "8.00×", 0.6, "off"),
        (6.40, Floor(0.10, 0.01), "low", "64×", 1.0, "far"),
        (0.09, Floor(0.10, 0.01), "low", "0.90×", 0.0, "floor"),
        (0.12, Floor(0.10, 0.01), "low", "1.20×", math.log2(1.2) / 5, "floor"),  # two standard deviations
        (-3.0, Floor(-1.0, 0.5), "high", "+4.0σ", 0.2, "near"),
        (0.0, Floor(-1.0, 0.5), "high", "-2.0σ", 0.0, "floor"),
        (-0.05, Floor(0.0, 0.01), "zero", "+4.0σ", 0.2, "near"),
        (1.09, Floor(1.0, 0.01), "one", "+8.0σ", 0.4, "off"),
    ],
)
def test_distance(value: float, floor: Floor, best: str, text: str, level: float, tone: str) -> None:
    found = distance(value, floor.mean, floor.std, best)
    assert found is not None
    assert found.text == text
    assert found.level == pytest.approx(level, abs=1e-9)
    assert found.tone == tone


def test_distance_is_not_made_up() -> None:
    assert distance(math.nan, 1.0, 0.1, "low") is None
    assert distance(1.0, 0.0, 0.0, "low") is None  # neither a scale nor a spread


def test_equal_ranks_share_a_place_and_the_oracle_comes_first() -> None:
    scores = {"d": None, "c": 3.0, "a": 1.0, "exact": 0.5, "b": 1.0}
    cells = [
        Cell(id=s, task="t", sampler=s, seed=0, component=s, primary="w2", scores={} if x is None else {"w2": x})
        for s, x in scores.items()
    ]
    assert [(row.sampler, row.place) for row in Cells(cells).standings] == [
        ("exact", None), ("a", 1), ("b", 1), ("c", 3), ("d", None),
    ]  # fmt: skip


def test_mesh_is_rebuilt_from_any_order() -> None:
    x, y = np.linspace(-1, 1, 4), np.linspace(0, 5, 3)
    points = np.stack(np.meshgrid(x, y, indexing="ij"), -1).reshape(-1, 2)
    points = points[np.random.default_rng(0).permutation(len(points))]
    mesh = as_mesh(points, 10 * points[:, 0] + points[:, 1])
    assert mesh is not None
    np.testing.assert_allclose(mesh[0], x)
    np.testing.assert_allclose(mesh[1], y)
    np.testing.assert_allclose(mesh[2], 10 * x[None, :] + y[:, None])
    assert as_mesh(points[1:], points[1:, 0]) is None
    assert as_mesh(np.repeat(points[:1], 4, axis=0), np.zeros(4)) is None


def test_scattered_fields_and_high_dimension_are_drawn() -> None:
    rng = np.random.default_rng(0)
    rows, points = rng.normal(size=(50, 2)), rng.uniform(-2, 2, size=(60, 2))
    arrays = {"samples": rows, "reference": rows, "grid": points, "score": -points}
    assert "score field" in sample_picture(arrays, task="t", sampler="s", colour="red").alt
    many = {"samples": rng.normal(size=(50, 20)), "reference": rng.normal(size=(50, 20))}
    assert sample_picture(many, task="t", sampler="s", colour="red").alt.endswith(
        "right: generated samples, x₁x₂ of 20; marginals, 5–95 %, first 16."
    )


def test_points_outside_the_frame_are_counted() -> None:
    reference = np.random.default_rng(0).uniform(-1, 1, size=(1000, 2))
    samples = np.concatenate([reference[:90], np.full((7, 2), 50.0), np.full((3, 2), np.nan)])
    box = frame(reference, None)
    assert ((np.abs(box) > 1.1) & (np.abs(box) < 1.5)).all()
    figure = sample_picture({"samples": samples, "reference": reference}, task="t", sampler="s", colour="red").figure
    words = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert words == ["10 of 100 outside the frame"]


def test_frame_is_that_of_the_field() -> None:
    grid = np.array([[-4.0, -3.0], [4.0, 3.0], [-4.0, 3.0], [4.0, -3.0]])
    np.testing.assert_array_equal(frame(np.zeros((5, 2)), grid), [[-4, 4], [-3, 3]])


def test_cost_chart_draws_the_floor_and_leaves_the_oracle_out() -> None:
    def cell(sampler: str, nfe: float) -> Cell:
        floors = {"w2": Floor(0.1, 0.02)}
        costs = {"nfe": nfe, "sample_seconds": 1.0}
        return Cell(
            id=sampler, task="t", sampler=sampler, seed=0, component=sampler, primary="w2", scores={"w2": 0.3},
            floors=floors, costs=costs,
        )  # fmt: skip

    run = Cells([cell("exact", 0), cell("a", 10), cell("b", 1000)])
    figure = cost_chart(run, "t", looks(run))
    assert figure is not None
    for axes in figure.axes:
        assert axes.get_xscale() == "log"
        assert axes.get_legend_handles_labels()[1] == ["floor ± sd", "a", "b"]
        np.testing.assert_array_equal(axes.lines[0].get_ydata(), [0.1, 0.1])
    assert cost_chart(Cells([cell("exact", 0)]), "t", looks(run)) is None


def test_energy_columns_and_their_panel_are_there_only_where_energies_are_asked() -> None:
    def cell(task: str, seed: int, gradients: float) -> Cell:
        costs = {"nfe": 10.0 + seed, "sample_seconds": 1.0 + seed, "energy_gradients": gradients}
        costs["energy_densities"] = 0.0
        return Cell(id=task, task=task, sampler="a", seed=seed, primary="w2", scores={"w2": 0.3}, costs=costs)

    cells = [cell("data", 0, 0.0), cell("data", 1, 0.0), cell("energy", 0, 40.0), cell("energy", 1, 41.0)]
    run = Cells(cells)
    assert "∇E / sample" not in cost_columns(run, "data").values()
    assert len(cost_row(run, "data", "a")) == len(cost_columns(run, "data")) == len(COSTS) - 2
    row = dict(zip(cost_columns(run, "energy"), cost_row(run, "energy", "a"), strict=True))
    assert (row["energy_gradients"], row["energy_densities"]) == (number(40.5), number(0.0))
    assert not cost_notes(run, "data")
    assert cost_notes(run, "energy") == [
        "∇E and E: gradients and further values of the target's energy, training included."
    ]
    labels = {}
    for task in run.tasks:
        figure = cost_chart(run, task, looks(run))
        assert figure is not None
        labels[task] = [axes.get_xlabel() for axes in figure.axes]
    assert len(labels["data"]) == 2
    assert labels["energy"][1] == "energy evaluations per sample (∇E + E)"
    assert labels["energy"][::2] == labels["data"]


def test_looks_are_distinct_and_the_oracle_has_its_own() -> None:
    names = [f"s{i}" for i in range(25)]
    cells = [Cell(id=s, task="t", sampler=s, seed=0, component=s) for s in ["exact", *names]]
    found = looks(Cells(cells))
    assert len({(look.colour, look.marker) for look in found.values()}) == 26
    assert found["exact"].marker == "*"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"), (math.nan, "NaN"), (math.inf, "∞"), (0.0, "0"), (12345.0, "12,345"), (0.12345, "0.123"),
        (0.0123, "0.0123"), (12.345, "12.3"), (1234.5, "1,234"), (0.00012, "1.2e-04"), (-0.5, "-0.500"),
    ],
)  # fmt: skip
def test_number(value: float | None, text: str) -> None:
    assert number(value) == text


def test_anchors_stay_distinct_and_labels_escaped() -> None:
    assert len({anchor(text) for text in ("a[b=1]", "a[b=2]", "a b", "a-b", "ab", "ä")}) == 6
    assert label("a[b=<1>,c]") == "a<wbr>[b=<wbr>&lt;1&gt;,<wbr>c]"


def test_citations_of_used_components() -> None:
    cell = Cell(
        id="1", task="moons[n=5]", sampler="bellman[x=1]", seed=0, component="bellman", parts=("kernel/gaussian",),
        scores={"w2": 1.0},
    )  # fmt: skip
    unknown = Cell(id="2", task="no-such-task", sampler="no-such", seed=0, component="no-such")
    run = Results(cells=[cell, unknown])
    assert used_components(run) == [
        ("sampler", "bellman"), ("kernel", "gaussian"), ("task", "moons"), ("metric", "w2"),
        ("sampler", "no-such"), ("task", "no-such-task"),
    ]  # fmt: skip
    found = citations(run)
    assert any(text.startswith("@") and "sampler/bellman" in users for text, users in found.items())
    assert not any("no-such" in user for users in found.values() for user in users)


def test_the_share_of_clamped_particles_is_a_column() -> None:
    shares = {"boxed": (0.25, 0.75), "free": (None, None)}
    cells = [
        Cell(id=f"{s}{i}", task="t", sampler=s, seed=i, diagnostics={} if share is None else {"clamped": share})
        for s, found in shares.items()
        for i, share in enumerate(found)
    ]
    run = Cells(cells)
    place = list(cost_columns(run, "t")).index("clamped")
    assert [cost_row(run, "t", sampler)[place] for sampler in shares] == ["0.500", "–"]
