"""The value gradient sampler as supply of negative samples."""

from __future__ import annotations

from pathlib import Path

import torch

from phys_energy import EnergyBasedModel
from phys_samplers import load
from phys_samplers.target import Task

WALKS = "vgs[sampling_steps=4,total_variance=2.0,end_variance=0.1,width=8,depth=1,draws=2,batch_size=8]"


def test_a_learned_sampler_follows_the_energy_and_is_kept_with_it(two_modes: Task, tmp_path: Path) -> None:
    recipe = EnergyBasedModel(negatives=WALKS, width=8, depth=1, steps=4, batch_size=16, settle=3)
    model = recipe.fit(two_modes, seed=0)
    unsettled = recipe.with_options(settle=0).fit(two_modes, seed=0)
    x = torch.zeros(1, 2)
    assert torch.equal(model.energy(x), unsettled.energy(x))
    draw = model.draw(12, seed=2)
    assert not torch.equal(draw.samples, unsettled.sample(12, seed=2))
    assert draw.log_weights is not None
    loaded = load(model.save(tmp_path / "model"))
    assert torch.equal(loaded.sample(12, seed=2), draw.samples)
    assert model.sample(12, seed=2, final_noise=False).isfinite().all()
