"""The recipe: what it learns, what it keeps, what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from phys_energy import EnergyBasedModel, EnergyModel
from phys_samplers import load, make
from phys_samplers.errors import ConfigurationError, TrainingDiverged
from phys_samplers.metric import Scored
from phys_samplers.metrics.densities import DensityTV
from phys_samplers.randomness import make_generator
from phys_samplers.samples import Samples
from phys_samplers.target import Task

SHORT = "langevin[sampling_steps=3,step_size=0.01]"
PERSISTENT = "langevin[sampling_steps=5,step_size=0.01,starts=data,buffer_size=128]"
WIDE = "langevin[sampling_steps=10,step_size=0.02,starts=data,buffer_size=512]"
TINY: dict[str, Any] = {"width": 16, "depth": 2, "steps": 20, "batch_size": 32, "settle": 2}


def density_tv(model: EnergyModel, task: Task) -> float:
    rows = torch.zeros(2, 2)
    return DensityTV(points=101)(
        Scored(samples=rows, reference=rows, target=task, generator=make_generator(0), model=model)
    )


@pytest.fixture(scope="module")
def learned(two_modes: Task) -> EnergyModel:
    recipe = EnergyBasedModel(
        negatives=WIDE, width=32, depth=2, steps=200, batch_size=128, learning_rate=1e-2, ema_decay=0.9
    )  # fmt: skip
    return recipe.fit(two_modes, seed=0)


def test_training_brings_the_density_near_the_true_one(two_modes: Task, learned: EnergyModel) -> None:
    """Seeds are fixed. The start, the well without a network to speak of, is .4 or more away."""
    before = EnergyBasedModel(negatives=SHORT, **{**TINY, "steps": 1, "settle": 0}).fit(two_modes, seed=0)
    assert density_tv(before, two_modes) > 0.35
    assert density_tv(learned, two_modes) < 0.2


def test_on_the_ring_of_eight_gaussians_training_lowers_the_distance() -> None:
    task = make("task", "8gaussians")
    distances = []
    for steps in (1, 120):
        options = {"width": 48, "batch_size": 128, "settle": 0, "learning_rate": 5e-3, "ema_decay": 0.9}
        model = make("sampler", "ebm", steps=steps, **options).fit(task)
        distances.append(density_tv(model, task))
    assert distances[0] > 0.85
    assert distances[1] < 0.75


def test_score_and_density_are_those_of_the_energy(learned: EnergyModel) -> None:
    x = torch.randn(50, 2, generator=make_generator(3))
    step = 1e-2
    for axis in torch.eye(2):
        slope = (learned.log_prob(x + step * axis) - learned.log_prob(x - step * axis)) / (2 * step)
        torch.testing.assert_close(learned.score(x) @ axis, slope, atol=2e-2, rtol=2e-2)
    torch.testing.assert_close(
        learned.log_prob(x) + learned.energy(x), (learned.log_prob(x) + learned.energy(x))[:1].expand(50)
    )
    line = torch.linspace(-8, 8, 401)
    grid = torch.cartesian_prod(line, line)
    assert learned.log_prob(grid).exp().sum().item() * (16 / 400) ** 2 == pytest.approx(1.0, abs=1e-3)
    fields = learned.fields(x)
    assert torch.equal(fields["s"], learned.energy(x))
    assert torch.equal(fields["score"], learned.score(x))


def test_another_sampler_draws_from_the_same_energy(learned: EnergyModel) -> None:
    """Long MALA chains from the middle find both modes; the share on the right is within 5 standard errors of the
    energy's own, plus the .05 that chains of this length keep of their start."""
    x = learned.sample(2000, seed=1, sampler="mala[sampling_steps=300,prior_std=1.0]")
    line = torch.linspace(-4, 4, 201)
    grid = torch.cartesian_prod(line, line)
    mass = learned.log_prob(grid).exp()
    share = (mass[grid[:, 0] > 0].sum() / mass.sum()).item()
    assert (x[:, 0] > 0).float().mean().item() == pytest.approx(share, abs=0.05 + 5 * 0.5 / 2000**0.5)
    assert learned.draw(10, sampling_steps=25).nfe == 25
    start = torch.full((10, 2), 50.0)
    assert learned.sample(10, start=start, sampling_steps=1).min().item() > 25


@pytest.mark.parametrize("negatives", [SHORT, PERSISTENT])
@pytest.mark.parametrize("standardise", ["coordinates", "whiten"])
def test_a_checkpoint_keeps_every_bit(negatives: str, standardise: str, two_modes: Task, tmp_path: Path) -> None:
    model = EnergyBasedModel(negatives=negatives, standardise=standardise, **TINY).fit(two_modes, seed=1)  # type: ignore[arg-type]
    loaded = load(model.save(tmp_path / "model"))
    assert isinstance(loaded, EnergyModel)
    x = model.sample(9, seed=2)
    assert torch.equal(loaded.sample(9, seed=2), x)
    assert torch.equal(loaded.energy(x), model.energy(x))
    assert loaded.log_z == pytest.approx(model.log_z, abs=1e-6)


@pytest.mark.parametrize(
    "options", [{"learning_rate": 1e30, "clip_norm": None}, {"negatives": "langevin[step_size=1e4]"}]
)
def test_training_that_leaves_the_finite_numbers_says_at_which_step(options: dict[str, Any], two_modes: Task) -> None:
    recipe = EnergyBasedModel(**{"negatives": SHORT, **TINY, **options})
    with pytest.raises(TrainingDiverged, match=r"step \d+ of 20"):
        recipe.fit(two_modes, seed=0)


def test_the_density_in_many_dimensions_asks_for_a_sampler_that_knows_its_constant() -> None:
    """Of an untrained network: the well is a normal law, and SMC finds the constant of its tilt."""
    rows = torch.randn(200, 4, generator=make_generator(0))
    model = EnergyBasedModel(negatives=SHORT, **{**TINY, "steps": 1}).fit(Samples(rows), seed=0)
    with pytest.raises(ConfigurationError, match="of 4 coordinates needs its constant"):
        model.log_prob(rows)
    with pytest.raises(ConfigurationError, match="estimates no constant"):
        model.with_options(log_z="mala[sampling_steps=20,warmup_steps=5]").log_prob(rows)
    found = model.with_options(log_z="smc", log_z_samples=1000).log_z
    base = torch.randn(100_000, 4, generator=make_generator(1)) * 1.5
    # log ∫ N(u; 0, s²) (2πs²)^{D/2} exp(−f): an average over the well
    tilt = -model._energy.value(base) + 0.5 * base.square().sum(1) / 1.5**2
    expected = (
        tilt.logsumexp(0).item()
        - torch.tensor(100_000.0).log().item()
        + 2 * torch.tensor(2 * torch.pi * 1.5**2).log().item()
    )
    assert found == pytest.approx(expected, abs=0.15)


def test_what_cannot_be_made(two_modes: Task) -> None:
    with pytest.raises(ConfigurationError, match="cannot follow an energy"):
        EnergyBasedModel(negatives="edm")
    with pytest.raises(ConfigurationError, match="gamma is -1"):
        EnergyBasedModel(gamma=-1.0)
    with pytest.raises(ConfigurationError, match="temperature is 0"):
        EnergyBasedModel(temperature=0.0)
    with pytest.raises(ConfigurationError, match="standardise is 'no'"):
        EnergyBasedModel(standardise="no")  # type: ignore[arg-type]
    unbounded = EnergyBasedModel(negatives=SHORT, well=None, **TINY).fit(two_modes, seed=0)
    with pytest.raises(ConfigurationError, match="set a well"):
        unbounded.log_prob(torch.zeros(1, 2))
    with pytest.raises(ConfigurationError, match="no blurred laws"):
        unbounded.score(torch.zeros(1, 2), sigma=0.1)
    with pytest.raises(ConfigurationError, match="gamma"):
        unbounded.sample(3, gamma=1.0)


def test_noise_on_the_rows_widens_what_is_learned(two_modes: Task) -> None:
    """Seeds are fixed; the noise of one standard deviation adds .25 to the variance .25 of the second coordinate."""
    line = torch.linspace(-5, 5, 101)
    grid = torch.cartesian_prod(line, line)
    variances = []
    for jitter in (0.0, 1.0):
        options = {**TINY, "steps": 100, "learning_rate": 1e-2, "ema_decay": 0.9}
        model = EnergyBasedModel(negatives=WIDE, jitter=jitter, **options).fit(two_modes, seed=0)
        variances.append((model.log_prob(grid).softmax(0) * grid[:, 1].square()).sum().item())
    assert variances[1] > 1.3 * variances[0]
