"""Return models on a CUDA device."""

from __future__ import annotations

import pytest
import torch

from phys_samplers import make
from phys_samplers.rl import ReturnTask

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


@pytest.mark.parametrize("name", ["bellman", "bellman-mlp", "c51", "qr-dqn", "iqn", "dqn", "edm", "pfgmpp", "langevin"])
def test_laws_are_learned_there(name: str) -> None:
    task = make("task", "frozen-lake", updates=20)
    assert isinstance(task, ReturnTask)
    model = make("return_model", name, width=16).fit(task, seed=0, device="cuda")
    law = model.laws()
    assert law.weights.device.type == "cuda"
    assert torch.isfinite(law.mean).all()
    assert model.sample(10, seed=0).shape == (10, *task.event_shape)


@pytest.mark.parametrize("name", ["bellman", "c51", "dqn"])
def test_agents_learn_there(name: str, maker, small) -> None:
    agent = make("return_model", name, width=16, depth=1).train(maker, seed=0, device="cuda", **small)
    assert agent.device.type == "cuda"
    assert agent.play(3).shape == (3,)
    assert torch.isfinite(agent.mean(0)).all()
