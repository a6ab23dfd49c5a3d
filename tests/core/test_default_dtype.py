"""Whatever the default type, networks compute in single precision and rows keep theirs; compiled ones are saved too."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from phys_samplers import Samples, load, make

FEW: dict[str, dict[str, Any]] = {
    "edm": {},
    "ddpm": {"sampling_steps": 5},
    "pfgmpp": {},
    "bellman": {},
    "bellman-fields": {"sampling_steps": 5},
    "annealed-langevin": {},
}


@pytest.fixture
def double() -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


@pytest.mark.parametrize("name", FEW)
def test_trained_samplers_work_under_double_precision(name: str, double: None, tmp_path: Path) -> None:
    rows = torch.randn(60, 2, generator=torch.Generator().manual_seed(0))
    assert rows.dtype == torch.float64
    model = make("sampler", name, steps=3, **FEW[name]).fit(Samples(rows))
    samples = model.sample(8, seed=1)
    assert samples.dtype == torch.float64
    assert torch.isfinite(samples).all()
    assert torch.equal(load(model.save(tmp_path / "model")).sample(8, seed=1), samples)


def test_the_default_type_changes_no_sample_of_rows_in_single_precision(double: None) -> None:
    rows = torch.randn(60, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float32)
    wide = make("sampler", "edm", steps=3).fit(Samples(rows)).sample(8, seed=1)
    torch.set_default_dtype(torch.float32)
    assert torch.equal(make("sampler", "edm", steps=3).fit(Samples(rows)).sample(8, seed=1), wide)


def test_a_compiled_network_saves_and_loads(tmp_path: Path) -> None:
    rows = torch.randn(60, 2, generator=torch.Generator().manual_seed(0))
    model = make("sampler", "edm", steps=3).fit(Samples(rows))
    before = model.sample(8, seed=1)
    networks = [name for name, part in vars(model).items() if isinstance(part, torch.nn.Module)]
    assert networks
    for name in networks:
        setattr(model, name, torch.compile(getattr(model, name), backend="eager"))
    assert any("_orig_mod" in name for name in model.tensors())
    assert torch.equal(load(model.save(tmp_path / "model")).sample(8, seed=1), before)
