"""The laws of the study, and that its run goes on where it stopped."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest
import torch

from phys_samplers.randomness import make_generator

STUDY = "heavy_rows"


def test_claims_have_the_tails_that_they_name(study: ModuleType) -> None:
    """The share beyond the .99 quantile of Lomax's law, 100^{1/a} − 1, is .01 in every column, within 5 σ."""
    n = 40_000
    x = study.Claims().sample(n, make_generator(0))
    index = torch.linspace(1.5, 3.0, study.DIM)
    beyond = (x > 100 ** (1 / index) - 1).float().mean(0)
    assert (x > 0).all()
    assert (beyond - 0.01).abs().max() < 5 * (0.01 * 0.99 / n) ** 0.5


def test_a_run_goes_on_where_it_stopped(study: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, size in (("TRAIN", 200), ("VALIDATION", 50), ("SAMPLES", 200), ("REFERENCE", 1_000), ("STEPS", 2)):
        monkeypatch.setattr(study, name, size)
    monkeypatch.setattr(study, "RUNS", {name: study.RUNS[name] for name in ("edm, asinh", "ddpm, std")})
    path = tmp_path / "rows.jsonl"
    study.run(path, 2, ["t3"])
    text = path.read_text()
    assert {key[1] for key in study.records(path)} == {
        "exact", "training rows", "edm, asinh", "ddpm, std", "ddpm, std, 300 evaluations"
    }  # fmt: skip
    study.run(path, 2, ["t3"])
    assert path.read_text() == text
    assert len(list(study.table_rows(study.records(path)))) == 5
