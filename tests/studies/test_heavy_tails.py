"""The spectral gaps of the study, against what is known of them, and that its run goes on where it stopped."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import pytest

STUDY = "heavy_tails"


def test_growing_mobility_has_a_gap_on_tails_that_langevin_has_none_on(study: ModuleType) -> None:
    """Of t₃: 2/3, the rate of x, whatever the box, against R⁻²: a hundredth for ten times the box."""
    growing = [study.spectral_gap(3.0, 1 / 3, radius, points=4_000) for radius in (1e3, 1e5)]
    assert growing == pytest.approx([2 / 3, 2 / 3], rel=1e-3)
    constant = [study.spectral_gap(3.0, 0.0, radius, points=4_000) for radius in (1e2, 1e3, 1e4)]
    assert constant[0] < 0.003
    assert [a / b for a, b in pairwise(constant)] == pytest.approx([100, 100], rel=0.02)


def test_without_a_variance_the_gap_is_where_the_continuous_spectrum_begins(study: ModuleType) -> None:
    """ν/4 for ν < 2, from above like (π/log R)²/ν: the box is a well in asinh x."""
    gaps = [study.spectral_gap(1.5, 1 / 1.5, radius, points=4_000) for radius in (1e3, 1e6, 1e9)]
    assert gaps == sorted(gaps, reverse=True)
    assert 0.375 < gaps[-1] < 0.375 * 1.05


def test_a_gaussian_relaxes_at_rate_one(study: ModuleType) -> None:
    """t_ν with ν → ∞ and q = 1."""
    assert study.spectral_gap(1e7, 0.0, 12.0, points=4_000) == pytest.approx(1.0, rel=1e-3)


def test_a_run_goes_on_where_it_stopped(study: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the table says what the records hold."""
    calls = []

    def score(cell: object, name: str, options: object, seed: int, n: int) -> dict[str, object]:
        calls.append((name, seed))
        return {"score": {"bellman-density": 0.5}.get(name, 2.0), "options": options, "nfe": 40.0}

    monkeypatch.setattr(study, "score", score)
    monkeypatch.setattr(study, "floor", lambda *_: 0.25)
    monkeypatch.setattr(study, "nuts_steps", lambda target, options, gradients: options)
    path, cells = tmp_path / "run.jsonl", [study.Cell("t3-radial-10", 40)]
    study.run(path, 1, 100, cells)
    many = len(calls)
    study.run(path, 1, 100, cells)
    assert len(calls) == many
    study.run(path, 2, 100, cells)
    assert len(calls) == many + 4
    (row,) = study.rows_of(path, 100)
    assert row[:3] == ["t3-radial-10", 40, 2]
    assert row[-1].startswith("0.25 [0.25, 0.25] of")
    assert math.isfinite(study.records(path)["t3-radial-10", 40, "mala", 0, 100]["score"])
