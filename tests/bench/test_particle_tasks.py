"""DW-4 and LJ-13: rows, their checks, floors, and many wells in a sampler that falls into them at random."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from phys_bench.data import DataUnavailable, references
from phys_bench.scoring import metric_of
from phys_bench.tasks.laws import many_well_32
from phys_bench.tasks.particles import dw4, lj13
from phys_samplers.metric import Scored, floor
from phys_samplers.metrics.summaries import ModeTV
from phys_samplers.randomness import make_generator
from phys_samplers.target import Task


@pytest.fixture(scope="module")
def tasks() -> dict[str, Task]:
    return {"dw4": dw4(train_size=10), "lj13": lj13()}


def heldout(task: Task) -> Tensor:
    assert task.heldout is not None
    return task.heldout


def test_lj13_is_what_it_says(tasks: dict[str, Task]) -> None:
    task = tasks["lj13"]
    assert task.capabilities == {"log_prob", "score", "particles"}
    assert (task.name, task.version, task.eval_size, task.event_shape, len(task.view)) == ("lj13", 1, 2000, (39,), 39)
    assert task.metrics == ("tvd-e[preset=fixed]", "tvd-d[preset=fixed]", "tvd-e", "tvd-d", "w2", "ess")
    assert (task.log_z, task.particles) == (None, (13, 3))
    assert task.train is None
    assert task.validation is not None
    assert (len(task.validation), len(heldout(task))) == (2000, 8000)
    rows = torch.cat([task.validation, heldout(task)])
    assert len(torch.unique(rows, dim=0)) == 10_000  # no row is in both splits
    assert rows.unflatten(1, (13, 3)).mean(1).abs().max() < 1e-6
    # part of every published score: if this fails, raise the version of the task
    assert heldout(task)[0, :2].tolist() == pytest.approx([-0.88815, -0.489897], abs=1e-5)


def test_lj13_rows_are_of_the_law(tasks: dict[str, Task]) -> None:
    """E[x·∇(−log p)] = 36, the dimension, within 4 standard errors (.6); false alarm rate 6e-5.

    With each pair counted once these rows give 26.9.
    """
    x = torch.cat([tasks["lj13"].validation, heldout(tasks["lj13"])]).double()  # type: ignore[list-item]
    log_prob, score = tasks["lj13"].log_prob_and_score(x)
    virial = -(x * score).sum(1)
    error = float(virial.std()) / math.sqrt(len(x))
    assert error < 0.7
    assert abs(float(virial.mean()) - 36.0) < 4.0 * error
    trap = x.square().sum(1)
    halved = 0.5 * (virial - trap) + trap
    assert abs(float(halved.mean()) - 36.0) > 4.0 * float(halved.std()) / math.sqrt(len(x))
    assert float(-log_prob.mean()) == pytest.approx(-42.964, abs=0.28)  # 4 errors of 10,000 rows


def test_validation_and_heldout_rows_of_lj13_are_alike(tasks: dict[str, Task]) -> None:
    """Mean energies within 4 standard errors; false alarm rate 6e-5."""
    task = tasks["lj13"]
    assert task.validation is not None
    a, b = (task.log_prob(rows.double()) for rows in (task.validation, heldout(task)))
    assert abs(float(a.mean() - b.mean())) < 4.0 * math.sqrt(float(a.var()) / len(a) + float(b.var()) / len(b))


def test_the_file_in_the_package_is_pinned(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert hashlib.sha256(references.LJ13.read_bytes()).hexdigest() == references.LJ13_SHA256
    assert references.LJ13.stat().st_size < 1_600_000
    provenance = references.LJ13.with_name("PROVENANCE.md").read_text()
    assert references.LJ13.name in provenance
    assert references.LJ13_SHA256 in provenance
    changed = tmp_path / "lj13_hmc.npy"
    changed.write_bytes(b"something else")
    monkeypatch.setattr(references, "LJ13", changed)
    with pytest.raises(DataUnavailable, match="install it anew"):
        lj13()


@pytest.mark.parametrize(
    ("name", "metric", "published", "tolerance"),
    [
        ("dw4", "tvd-e[preset=fixed]", 0.028, 0.02),
        ("dw4", "tvd-d[preset=fixed]", 0.008, 0.006),
        ("dw4", "tvd-e", 0.139, 0.02),
        ("dw4", "tvd-d", 0.063, 0.01),
        ("lj13", "tvd-e[preset=fixed]", 0.063, 0.02),
        ("lj13", "tvd-d[preset=fixed]", 0.002, 0.002),
        ("lj13", "tvd-e", 0.142, 0.02),
        ("lj13", "tvd-d", 0.014, 0.003),
    ],
)
def test_floors_at_2000_rows(
    name: str, metric: str, published: float, tolerance: float, tasks: dict[str, Task]
) -> None:
    """What 2,000 right rows score, measured before by another program; the tolerance is twice a score's spread."""
    task = tasks[name]
    found = floor(metric_of(metric), task, n=2_000, reference=heldout(task)[:2_000], repeats=2 if name == "dw4" else 8)
    assert found is not None
    assert found.source == ("exact" if name == "dw4" else "heldout")
    assert found.mean == pytest.approx(published, abs=tolerance)


def test_a_sampler_that_falls_into_wells_at_random() -> None:
    """|binomial(16, ½) − binomial(16, .844)| = .872 by mode-tv; wells that are right but move together score too."""
    task = many_well_32(train_size=10)
    generator = make_generator(0, "wells")

    def score(wells: Tensor) -> float:
        rows = torch.stack([torch.where(wells, 1.75, -1.71), torch.zeros_like(wells, dtype=torch.float32)], -1)
        return ModeTV()(Scored(samples=rows.flatten(1), reference=heldout(task), target=task, generator=generator))

    u = torch.rand(4000, 16, generator=generator)
    assert score(u < task.law.right) < 0.04
    assert score(u < 0.5) == pytest.approx(0.872, abs=0.02)
    assert score((u[:, :1] < task.law.right).expand(-1, 16)) > 0.8
