"""The public pictures: what their axes hold, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from phys_bench.cells import Cell, Cells, Floor
from phys_samplers import plots
from phys_samplers.errors import ConfigurationError


def cell(task: str, sampler: str, seed: int, score: float | None, **facts: object) -> Cell:
    scores = {} if score is None else {"w2": score}
    return Cell(
        id=f"{task}{sampler}{seed}", task=task, sampler=sampler, seed=seed, component=sampler, primary="w2",
        scores=scores, best={"w2": "low"}, floors={"w2": Floor(0.1, 0.01)},
        status="failed" if score is None else "ok", costs={"nfe": 10.0 * (seed + 1)}, **facts,  # type: ignore[arg-type]
    )  # fmt: skip


@pytest.fixture
def run() -> Cells:
    scores = {("t", "a"): [0.1, 0.2, 0.4], ("t", "b"): [0.8, None, 0.8], ("u", "a"): [0.4], ("u", "b"): [9.0]}
    return Cells([cell(task, s, seed, x) for (task, s), row in scores.items() for seed, x in enumerate(row)])


def test_leaderboard_has_a_row_a_sampler_and_the_floor(run: Cells) -> None:
    axes = plots.leaderboard(run, "t")
    assert [label.get_text() for label in axes.get_yticklabels()] == run.order("t") == ["a", "b"]
    by_height = [
        mark for mark in axes.collections if set(mark.get_offsets()[:, 1]) <= {0.0, 1.0} and mark.get_zorder() == 3
    ]
    centres = np.concatenate([mark.get_offsets() for mark in by_height])
    np.testing.assert_allclose(centres[centres[:, 1].argsort()], [[0.7 / 3, 0], [0.8, 1]])
    assert [list(line.get_xdata()) for line in axes.lines] == [[0.1, 0.1]]


def test_score_against_nfe_has_every_seed_on_the_axes_that_were_given(run: Cells) -> None:
    given = plots.leaderboard(run, "u").figure.add_subplot()
    axes = plots.score_against_nfe(run, "t", given)
    assert axes is given
    drawn = np.concatenate([mark.get_offsets() for mark in axes.collections])
    assert {tuple(row) for row in drawn} == {(10, 0.1), (20, 0.2), (30, 0.4), (10, 0.8), (30, 0.8)}
    assert axes.get_ylabel() == "w2"


def test_profile_weighs_tasks_alike_and_never_counts_what_failed(run: Cells) -> None:
    axes = plots.performance_profile(run)
    lines = {line.get_label(): line for line in axes.lines}

    def share(sampler: str, tau: float) -> float:
        x, y = lines[sampler].get_data()
        return float(np.asarray(y)[np.asarray(x) <= tau + 1e-9][-1])

    # a: 1, 2 and 4 times the floor on t, 4 times on u
    assert [share("a", tau) for tau in (1, 2, 3.9, 4)] == pytest.approx([1 / 6, 1 / 3, 1 / 3, 1])
    # b: 8 times on t but for the seed that failed, 90 times on u
    assert [share("b", tau) for tau in (7.9, 8, 32)] == pytest.approx([0, 1 / 3, 1 / 3])


def test_learning_curves_are_interquartile_means() -> None:
    returns = ([0.0, 10.0], [4.0, 20.0], [6.0, 30.0], [10.0, 40.0])
    cells = [
        cell(
            "pole",
            "a",
            s,
            1.0,
            diagnostics={"curve": [{"step": 100 * (i + 1), "return": r} for i, r in enumerate(row)]},
        )
        for s, row in enumerate(returns)
    ]
    (line,) = plots.learning_curves(Cells(cells), "pole").lines
    np.testing.assert_allclose(line.get_xdata(), [100, 200])
    np.testing.assert_allclose(line.get_ydata(), [5.0, 25.0])


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_samples_are_those_that_were_kept(tmp_path: Path, dim: int) -> None:
    rows = np.random.default_rng(0).normal(size=(200, dim))
    save_file({"samples": rows, "reference": rows[::-1].copy()}, tmp_path / "x.safetensors")
    axes = plots.samples(Cells([cell("t", "a", 0, 1.0, arrays_path=tmp_path / "x.safetensors")]), "t", "a")
    if dim > 1:
        np.testing.assert_allclose(axes.collections[0].get_offsets(), rows[:, :2])
    else:
        heights, edges, _ = axes.patches[0].get_data()
        inside = (rows >= edges[0]) & (rows <= edges[-1])
        assert float((heights * np.diff(edges)).sum()) == pytest.approx(inside.mean())


def test_what_is_not_there_is_refused_by_name(run: Cells) -> None:
    for call in (plots.leaderboard, plots.score_against_nfe, plots.learning_curves):
        with pytest.raises(ConfigurationError, match=r"no task 'moon'; it has t, u"):
            call(run, "moon")
    with pytest.raises(ConfigurationError, match="no agent has a learning curve"):
        plots.learning_curves(run, "t")
    with pytest.raises(ConfigurationError, match="no finished cell"):
        plots.samples(run, "t", "b", seed=1)
    with pytest.raises(ConfigurationError, match="kept no samples"):
        plots.samples(run, "t", "a")
