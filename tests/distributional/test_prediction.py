r"""What is learned of a chain whose laws are known: state 1 pays 10 with probability 0.3, else −10, and ends; state 0
pays −0.2 and leads to state 1. With γ = 0.9 the returns are

    X(1) = 10 or −10,    X(0) = 8.8 or −9.2,    with probability 0.3 and 0.7;    E X = −4, −3.8 .

In the unit of −10 … 10, X(0) is 0.94 or 0.04 and X(1) is 1 or 0: all of them atoms of a grid of 51.

Seeds are fixed; bounds are about three times the largest error of ten other seeds, far below what a wrong law gives (a
uniform one is off by 0.2 in the mean, 0.7 in the distribution function).
"""

from __future__ import annotations

from functools import cache

import pytest
import torch

from phys_samplers import load, make
from phys_samplers.errors import CheckpointError
from phys_samplers.rl import PredictedReturns, Prediction, ReturnTask
from phys_samplers.training import Callback, state

MEANS = torch.tensor([-3.8, -4.0])
LOW, HIGH = torch.tensor([-9.2, -10.0]), torch.tensor([8.8, 10.0])
WIDTH = 20.0
MODELS = {
    "dqn": ("dqn", {}),
    "dqn-huber": ("dqn", {"kappa": 1.0}),
    "c51": ("c51", {}),
    "categorical-l2": ("categorical-l2", {}),
    "categorical-l2-cramer": ("categorical-l2", {"metric": "cramer"}),
    "qr-dqn": ("qr-dqn", {"quantiles": 20}),
    "qr-dqn-pinball": ("qr-dqn", {"quantiles": 20, "kappa": 0.0}),
    "iqn": ("iqn", {"levels": 20, "width": 32, "draws": 16, "target_draws": 16}),
}


def chain(updates: int) -> ReturnTask:
    states = torch.eye(2)
    prediction = Prediction(
        observation=states[[0, 1, 1]],
        reward=torch.tensor([-0.2, 10.0, -10.0]),
        terminal=torch.tensor([False, True, True]),
        next_observation=states[[1, 1, 1]],
        probability=torch.tensor([0.5, 0.15, 0.35]),
        queries=states,
        gamma=0.9,
        returns=(-10.0, 10.0),
        updates=updates,
        batch_size=64,
    )
    return ReturnTask(event_shape=(2,), name="chain", experience=prediction)


def recipe(key: str):
    name, options = MODELS[key]
    return make("return_model", name, **{"width": 16, "depth": 1, "learning_rate": 1e-2, **options})


@cache
def fitted(key: str) -> PredictedReturns:
    return recipe(key).fit(chain(500 if key == "iqn" else 400), seed=0)


@pytest.mark.parametrize("key", MODELS)
def test_means_are_those_of_the_chain(key: str) -> None:
    law = fitted(key).laws()
    assert torch.allclose(law.total, torch.ones(2), atol=1e-4)
    assert ((law.mean - MEANS).abs() / WIDTH).max() < (0.05 if key == "iqn" else 0.035)


@pytest.mark.parametrize(("key", "bound"), [("c51", 0.04), ("categorical-l2", 0.04), ("categorical-l2-cramer", 0.2)])
def test_distribution_functions_of_atoms(key: str, bound: float) -> None:
    """0.7 everywhere between the two atoms."""
    law = fitted(key).laws()
    between = torch.linspace(-8.0, 7.5, 40)
    assert (law.cdf(between) - 0.7).abs().max() < bound
    ends = law.cdf(torch.tensor([-10.5, 10.5]))
    assert torch.allclose(ends, torch.tensor([0.0, 1.0]).expand(2, 2), atol=1e-4)


@pytest.mark.parametrize(("key", "bound"), [("qr-dqn", 0.04), ("qr-dqn-pinball", 0.04), ("iqn", 0.2)])
def test_quantiles_below_and_above_the_jump(key: str, bound: float) -> None:
    """The jump is at 0.7; the quantile function of the implicit network is smooth there."""
    law = fitted(key).laws()
    levels = torch.tensor([0.1, 0.3, 0.5, 0.85, 0.95])
    exact = torch.where(levels < 0.7, LOW.unsqueeze(-1), HIGH.unsqueeze(-1))
    assert ((law.quantiles(levels) - exact).abs() / WIDTH).max() < bound


@pytest.mark.parametrize("key", MODELS)
def test_stacked_fits_are_the_single_ones(key: str) -> None:
    task = chain(10)
    stacked = recipe(key).fit_replicas(task, seeds=[5, 6])
    for model, seed in zip(stacked, (5, 6), strict=True):
        single = recipe(key).fit(task, seed=seed)
        for name, value in single.tensors().items():
            assert torch.allclose(model.tensors()[name], value, rtol=1e-4, atol=1e-5), name


@pytest.mark.parametrize("key", MODELS)
def test_saved_predictions_come_back(key: str, tmp_path) -> None:
    model = fitted(key)
    again = load(model.save(tmp_path / "model"))
    assert again.recipe == model.recipe
    assert torch.equal(again.laws().weights, model.laws().weights)
    assert torch.equal(again.laws().points, model.laws().points)
    assert torch.equal(again.draw(50, seed=1).samples, model.draw(50, seed=1).samples)


class KilledError(Exception):
    pass


class KillAt(Callback):
    def logged(self, step, values) -> None:
        if step == 100:
            raise KilledError


@pytest.mark.parametrize("key", ["c51", "iqn"])
def test_a_killed_prediction_ends_with_the_same_bits(key: str, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(state, "SAVE_EVERY", 0.0)
    whole = recipe(key).fit(chain(150), seed=1)
    with pytest.raises(KilledError):
        recipe(key).fit(chain(150), seed=1, checkpoint=tmp_path, callbacks=[KillAt()])
    again = recipe(key).fit(chain(150), seed=1, checkpoint=tmp_path)
    assert all(torch.equal(tensor, again.tensors()[name]) for name, tensor in whole.tensors().items())
    with pytest.raises(CheckpointError, match="updates"):
        recipe(key).fit(chain(151), seed=1, checkpoint=tmp_path)
