"""Sweeps in the report: one colour and one line each, shared fits said, and pages of many samplers kept short."""

from __future__ import annotations

from typing import Any

import numpy as np

from phys_bench.cells import Cell, Cells, Floor
from phys_bench.report.canvas import Sweep, looks, sweeps
from phys_bench.report.charts import cost_chart, training_chart

STEPS = (5, 20, 80)


def cell(sampler: str, seed: int = 0, nfe: float = 10.0, w2: float = 0.3, **fields: Any) -> Cell:
    name = sampler.partition("[")[0]
    return Cell(
        id=f"{sampler}{seed}", task="t", sampler=sampler, seed=seed, component=name, primary="w2", scores={"w2": w2},
        floors={"w2": Floor(0.1, 0.02)}, costs={"nfe": nfe, "sample_seconds": nfe / 10}, **fields,
    )  # fmt: skip


def swept(kernel: str, steps: int, **fields: Any) -> Cell:
    options = {"kernel": kernel, "sampling_steps": steps}
    return cell(f"b[kernel={kernel},sampling_steps={steps}]", nfe=steps, options=options, **fields)


def test_samplers_that_differ_in_steps_alone_are_a_sweep() -> None:
    cells = [
        swept("k", 80), cell("other"), swept("k", 5), swept("q", 5), cell("none", options={"levels": 3}),
        cell("b", options={"kernel": "k", "sampling_steps": 20}, nfe=20),
        cell("c", options={"kernel": "k", "sampling_steps": 20}),
    ]  # fmt: skip
    assert sweeps(cells) == [
        Sweep("b[kernel=k]", ("b[kernel=k,sampling_steps=5]", "b", "b[kernel=k,sampling_steps=80]")),
        Sweep("other", ("other",)),
        Sweep("b[kernel=q,sampling_steps=5]", ("b[kernel=q,sampling_steps=5]",)),
        Sweep("none", ("none",)),
        Sweep("c", ("c",)),
    ]
    odd = [cell(name, options={"sampling_steps": n}) for n, name in enumerate(("x{", "x[[", "x y z"))]
    assert [s.label for s in sweeps([*odd[:1], cell("x{2", options={"sampling_steps": 9})])] == ["x{", "x{2"]
    same = [Cell(id=c.id, task="t", sampler=c.sampler, seed=0, component="x", options=c.options) for c in odd]
    assert [s.label for s in sweeps(same)] == ["x{, …"]


def test_members_of_a_sweep_look_alike_and_others_do_not() -> None:
    kernels = [f"k{i}" for i in range(12)]
    run = Cells([cell("exact"), *(swept(k, n) for k in kernels for n in STEPS)])
    found = looks(run)
    assert len(set(found.values())) == 13
    for kernel in kernels:
        assert len({found[f"b[kernel={kernel},sampling_steps={n}]"] for n in STEPS}) == 1


def test_a_sweep_is_one_line_of_means_over_function_evaluations() -> None:
    cells = [swept("k", n, seed=seed, w2=2.0 / n + 0.1 * seed) for n in (80, 5, 20) for seed in (0, 1)]
    run = Cells([cell("exact", nfe=0), *cells, cell("single", nfe=7, w2=0.5)])
    figure = cost_chart(run, "t", looks(run))
    assert figure is not None
    axes = figure.axes[0]
    assert axes.get_legend_handles_labels()[1] == ["floor ± sd", "b[kernel=k]", "single"]
    floor, line, single = axes.lines
    np.testing.assert_array_equal(floor.get_ydata(), [0.1, 0.1])
    np.testing.assert_allclose(line.get_xdata(), STEPS)
    np.testing.assert_allclose(line.get_ydata(), [2.0 / n + 0.05 for n in STEPS])
    assert (line.get_linestyle(), single.get_linestyle()) == ("-", "None")
    assert single.get_marker() != line.get_marker()
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    near = Cells([swept("k", n, w2=0.11 + 0.01 * n) for n in (5, 20)])
    figure = cost_chart(near, "t", looks(near))
    assert figure is not None
    assert figure.axes[0].get_yscale() == "linear"


def test_a_shared_fit_has_one_training_panel() -> None:
    history = {"loss": (np.arange(4.0), np.array([4.0, 2.0, 1.0, 0.5]))}
    other = {"loss": (np.arange(4.0), np.array([4.0, 2.0, 1.0, 0.6]))}
    run = Cells([*(swept("k", n, history=history) for n in STEPS), swept("q", 5, history=other)])
    figure = training_chart(run, "t", looks(run))
    assert figure is not None
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles == ["b[kernel=k,sampling_steps=5]: loss\nshared by 2 more", "b[kernel=q,sampling_steps=5]: loss"]
