"""What objects show: short, useful, without the numbers of tensors; and draws in the form that other tools take."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
import torch

import phys_samplers
from phys_samplers import Density, Samples, bench, judge, make, plots
from phys_samplers.errors import ConfigurationError, MissingCapability
from phys_samplers.sampler import Draw

NORMAL = Density(lambda x: -0.5 * x.square().sum(1), (2,), name="a <b> normal")


@pytest.fixture(scope="module")
def chain() -> Any:
    return make("sampler", "mala", sampling_steps=60, warmup_steps=20, samples_per_chain=5).fit(NORMAL)


def test_objects_show_a_line_and_a_small_table(chain: Any) -> None:
    rows = Samples(torch.randn(40, 2, generator=torch.Generator().manual_seed(0)), name="rows")
    trained = make("sampler", "edm", steps=4).fit(rows)
    shown = {
        "MALA model": chain,
        "EDM model": trained,
        "Draw": chain.draw(40),
        "Target 'rows'": rows,
        "Task 'gmm9'": make("task", "gmm9"),
    }
    for title, one in shown.items():
        assert repr(one).startswith(f"<{title}: "), repr(one)
        assert "\n" not in repr(one)
        assert len(repr(one)) < 400
        assert "tensor" not in repr(one)
        html = one._repr_html_()
        assert html.startswith("<table>")
        assert html.endswith("</table>")
        assert len(html) < 4_000
    assert "4 steps" in repr(trained)
    assert "36 train, 4 validation" in repr(rows)
    assert "a &lt;b&gt; normal" in chain._repr_html_()  # names are text, never tags


def test_a_verdict_prints_its_table_and_shows_a_line() -> None:
    verdict = judge(NORMAL, ["smc"], n=200)
    assert len(str(verdict).splitlines()) < 20
    assert str(verdict) == click.unstyle(verdict.table())
    assert repr(verdict).startswith("<Judgement of 'a <b> normal': recommended ")
    for one in (verdict, *verdict.opinions, verdict.opinions[0].evidence):
        assert len(repr(one)) < 500
        assert "tensor" not in repr(one)
    assert "<td style='text-align:left'>smc</td>" in verdict._repr_html_()


def test_names_complete() -> None:
    assert {"BellmanDiffusion", "Density", "bench", "make", "plots"} <= set(dir(phys_samplers))
    assert all(getattr(phys_samplers, name) is not None for name in dir(phys_samplers))
    assert {"run", "compare", "load"} <= set(dir(bench))
    assert "leaderboard" in dir(plots)


def test_draws_keep_chains_in_the_order_of_time(chain: Any) -> None:
    draw = chain.draw(20, seed=1)  # four chains of five states
    assert draw.chains.shape == (4, 5, 2)
    assert torch.equal(draw.chains[:, -1], draw.samples[:4])  # the latest states come first among the samples
    assert torch.equal(draw.chains.transpose(0, 1).flip(0).flatten(0, 1), draw.samples)
    fewer = chain.draw(18, seed=1)  # a state of two chains is missing, and left out
    assert torch.equal(fewer.chains, draw.chains[:, 1:])
    # Neighbours in a chain of small steps are close: corr .95 and more; were chains mixed up, the ratio would be one.
    slow = make("sampler", "langevin", step_size=0.05, sampling_steps=400, samples_per_chain=200).fit(NORMAL).draw(2000)
    assert slow.chains.diff(dim=1).square().mean() < 0.2 * 2 * slow.samples.var(0).mean()
    single = make("sampler", "mala", sampling_steps=60, warmup_steps=20).fit(NORMAL).draw(6)
    assert single.n_chains is None
    assert single.chains.shape == (6, 1, 2)


def test_draws_as_arrays_and_frames(chain: Any) -> None:
    draw = chain.draw(10)
    assert np.array_equal(draw.to_numpy(), draw.samples.numpy())
    assert list(draw.to_frame().columns) == ["x0", "x1"]


def test_draws_for_arviz(chain: Any) -> None:
    draw = chain.draw(20)
    try:
        import arviz
    except ImportError:
        with pytest.raises(MissingCapability, match=r"pip install 'phys-samplers\[arviz\]'"):
            draw.to_arviz()
        pytest.skip("arviz is not installed")
    found = draw.to_arviz(["a", "b"])
    assert np.array_equal(found.posterior["b"].values, draw.chains[..., 1].numpy())
    assert arviz.ess(found)["a"].item() > 0
    assert draw.to_arviz().posterior["x"].shape == (4, 5, 2)
    weighted = Draw(torch.zeros(7, 2), 1.0, log_weights=torch.arange(7.0))
    assert weighted.to_arviz().sample_stats["log_weight"].shape == (1, 7)
    with pytest.raises(ConfigurationError, match="3 names are given; expected 2"):
        draw.to_arviz(["a", "b", "c"])


def test_results_show_mean_scores_beside_the_floor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    suite = {"name": "s", "tasks": ["normal"], "samplers": ["exact"], "metrics": ["delta-std"], "eval_size": 50}
    results = bench.run(suite, seeds=2, executor="inline", progress=False)
    html = results._repr_html_()
    mean = results.frame.score.mean()
    assert f"{mean:.4g}" in html
    assert "<th>floor</th>" in html
    assert "1 task," in html
    assert repr(results) == "Results(2 cells: 1 task, 1 sampler, 0 without a score)"
    assert "0 cells" in bench.Results()._repr_html_()
