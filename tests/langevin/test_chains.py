"""What every chain sampler does alike: cost, samples per chain, starts, determinism, checkpoints, refusals."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch

from phys_langevin import BAOAB, MALA, LangevinDynamics
from phys_samplers import Density, load
from phys_samplers.chains import ChainRecord
from phys_samplers.errors import (
    CheckpointError,
    ConfigurationError,
    DivergenceError,
    IncompatibleError,
    MissingCapability,
)
from phys_samplers.laws import StandardNormal, uniform_spans
from phys_samplers.samples import Samples
from phys_samplers.target import Target

SHORT: list[Any] = [
    LangevinDynamics(sampling_steps=40, step_size=0.1, ascent_steps=0),
    MALA(sampling_steps=40, warmup_steps=15, ascent_steps=0),
    BAOAB(sampling_steps=40, step_size=0.2, ascent_steps=0),
]
each = pytest.mark.parametrize("recipe", SHORT, ids=lambda r: type(r).__name__)


def normal(*event_shape: int) -> Target:
    return Density(lambda x: -0.5 * x.square().flatten(1).sum(1), event_shape=event_shape, name="normal")


@each
def test_draws_have_the_shape_of_the_event_and_count_every_gradient(recipe: Any) -> None:
    calls = []

    def log_prob(x: torch.Tensor) -> torch.Tensor:
        assert x.shape[1:] == (2, 3)
        calls.append(len(x))
        return -0.5 * x.square().flatten(1).sum(1)

    draw = recipe.fit(Density(log_prob, event_shape=(2, 3))).draw(50, seed=1)
    assert draw.samples.shape == (50, 2, 3)
    assert draw.nfe == len(calls) - recipe.untested == 40 + (not isinstance(recipe, LangevinDynamics))
    assert set(calls) == {50}
    assert draw.diagnostics["recorded_states"] == 20
    assert draw.diagnostics["recorded_chains"] == 50
    assert draw.diagnostics["rhat_max"] > 0.9
    assert 0 < draw.diagnostics["ess_min"] <= draw.diagnostics["ess_mean"]
    json.dumps(draw.diagnostics)


@each
def test_a_seed_decides_the_draw_and_no_global_state_is_touched(recipe: Any) -> None:
    model = recipe.fit(normal(2))
    torch.manual_seed(3)
    before = torch.get_rng_state()
    first, second = model.sample(30, seed=1), model.sample(30, seed=1)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first, second)
    assert not torch.equal(first, model.sample(30, seed=2))


@each
def test_checkpoints_give_the_same_samples_in_the_given_density(recipe: Any, tmp_path: Any) -> None:
    model = recipe.fit(normal(2))
    model.save(tmp_path)
    again = load(tmp_path, target=normal(2))
    assert again.recipe == recipe
    assert torch.equal(again.sample(20, seed=4), model.sample(20, seed=4))
    with pytest.raises(CheckpointError, match="target"):
        load(tmp_path)
    with pytest.raises(CheckpointError, match=r"event shape \(2,\)"):
        load(tmp_path, target=normal(3))


def test_the_precision_of_the_prior_is_that_of_the_rows_and_is_saved(tmp_path: Any) -> None:
    law = StandardNormal(2)
    rows = law.sample(50, torch.Generator().manual_seed(0)).double()
    model = SHORT[0].fit(Target(event_shape=(2,), law=law, train=rows))
    x = model.sample(6, seed=1)
    assert x.dtype == torch.float64
    model.save(tmp_path)
    assert torch.equal(load(tmp_path, target=Target(event_shape=(2,), law=law)).sample(6, seed=1), x)


@each
def test_several_samples_per_chain_cost_less(recipe: Any) -> None:
    draw = recipe.fit(normal(2)).draw(10, seed=1, samples_per_chain=4)
    assert draw.samples.shape == (10, 2)
    assert draw.diagnostics["chains"] == 3
    whole = recipe.fit(normal(2)).draw(12, seed=1, samples_per_chain=4).samples
    # MALA repeats a state when it rejects; the others never do
    assert len(whole.unique(dim=0)) == 12 or isinstance(recipe, MALA)
    # the latest states first, those of the single-sample run
    assert torch.equal(draw.samples[:3], recipe.fit(normal(2)).sample(3, seed=1))
    single = recipe.fit(normal(2)).draw(3, seed=1)
    assert draw.nfe == pytest.approx(single.nfe * 3 / 10)


@each
def test_start_takes_the_place_of_the_prior_and_keeps_its_precision(recipe: Any) -> None:
    start = torch.full((5, 2), 0.5, dtype=torch.float64)
    kept = start.clone()
    x = recipe.fit(normal(2)).sample(5, seed=1, start=start)
    assert x.dtype == torch.float64
    assert torch.equal(start, kept)
    assert not torch.equal(x, recipe.fit(normal(2)).sample(5, seed=1).double())
    with pytest.raises(ConfigurationError, match=r"\(5, 2\)"):
        recipe.fit(normal(2)).sample(5, start=start[:4])


@each
def test_no_autograd_graph_is_built(recipe: Any) -> None:
    scale = torch.ones(2, requires_grad=True)
    target = Density(lambda x: -0.5 * (x * scale).square().sum(1), event_shape=(2,))
    assert not recipe.fit(target).sample(4).requires_grad


@pytest.mark.parametrize(
    "recipe", [LangevinDynamics(step_size=2.5, sampling_steps=200), BAOAB(step_size=2.5, sampling_steps=200)]
)
def test_unstable_steps_are_reported_with_a_count(recipe: Any) -> None:
    with pytest.raises(DivergenceError, match="17 of 17 particles") as caught:
        recipe.fit(normal(2)).sample(17)
    assert caught.value.lost == caught.value.total == 17
    assert 0 < caught.value.step <= 200


def test_chains_that_never_find_the_density_are_lost() -> None:
    def far_away(x: torch.Tensor) -> torch.Tensor:
        return torch.where(x[:, 0] > 1e4, 0.0 * x[:, 0], -torch.inf)

    with pytest.raises(DivergenceError, match=r"9 of 9 particles.*prior_std"):
        SHORT[1].fit(Density(far_away, event_shape=(1,))).sample(9)


def test_what_a_target_lacks_is_named() -> None:
    rows = StandardNormal(2).sample(50, torch.Generator().manual_seed(0))
    for recipe in SHORT:
        with pytest.raises(MissingCapability, match=f"{type(recipe).__name__} needs log_prob, score"):
            recipe.fit(Samples(rows))
        with pytest.raises(MissingCapability, match="score"):
            recipe.fit(Target(event_shape=(1,), law=uniform_spans([(0.0, 1.0)])))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LangevinDynamics(step_size=0.0), "step_size is 0.0; expected a positive"),
        (lambda: LangevinDynamics(sampling_steps=0), "sampling_steps is 0; expected an integer of at least 1"),
        (lambda: LangevinDynamics(prior_std=float("nan")), "prior_std is nan"),
        (lambda: LangevinDynamics(sampling_steps=10, samples_per_chain=6), "holds 5; run more sampling_steps"),
        (lambda: LangevinDynamics(score=3.5), "score is 3.5; expected a fitted model"),
        (lambda: MALA(warmup_steps=50, sampling_steps=50), "expected fewer warm-up steps"),
        (lambda: MALA(target_acceptance=1.0), "target_acceptance is 1.0"),
        (lambda: BAOAB(friction=-1.0), "friction is -1.0"),
    ],
)
def test_bad_options_are_refused(make: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        make()


def test_bad_draws_are_refused() -> None:
    model = SHORT[0].fit(normal(2))
    with pytest.raises(ConfigurationError, match="n is 0"):
        model.sample(0)
    with pytest.raises(ConfigurationError, match="no option 'stepsize'; it has"):
        model.sample(3, stepsize=0.1)
    with pytest.raises(ConfigurationError, match="'score' of LangevinDynamics cannot change after fitting"):
        model.sample(3, score="bellman")
    with pytest.raises(IncompatibleError, match="ODEs only"):
        model.sample(3, integrator="rk4")
    with pytest.raises(IncompatibleError, match="needs a drift with a linear part"):
        model.sample(3, integrator="exponential-ou")


def test_the_record_is_bounded_and_spread_over_the_last_half() -> None:
    record = ChainRecord(1_000, samples_per_chain=2)
    x = torch.arange(1000.0).unsqueeze(1)
    for step in range(1, 1001):
        record.observe(x + step)
    assert record.diagnostics()["recorded_states"] == 64
    assert record.diagnostics()["recorded_chains"] == 256
    first, last = record._thinned[0], record._thinned[-1]
    assert 500 < first[0, 0] <= 510
    assert last[0, 0] == 1000
    assert last[-1, 0] - last[0, 0] > 700  # chains from all of the batch
    assert record.samples(2000)[:, 0].tolist() == [*(x[:, 0] + 1000).tolist(), *(x[:, 0] + 750).tolist()]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@each
def test_chains_run_on_the_gpu(recipe: Any) -> None:
    model = recipe.fit(normal(2), device="cuda")
    draw = model.draw(300, seed=1, samples_per_chain=2)
    assert draw.samples.device.type == "cuda"
    assert torch.equal(draw.samples, model.sample(300, seed=1, samples_per_chain=2))
