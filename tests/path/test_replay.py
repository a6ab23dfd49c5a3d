"""Paths carried back all at once: their law, the likelihood of the forward chain on them, and which ends are kept."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch

from phys_path.paths import carried_back, given
from phys_path.replay import likelihood
from phys_samplers import Density, make
from phys_samplers.errors import ConfigurationError
from phys_samplers.paths import Replay, UnitDensity, tempered
from phys_samplers.paths.buffer import EFFECTIVE
from phys_samplers.randomness import Streams

NORMAL = Density(lambda x: -0.5 * x.square().sum(-1), event_shape=(2,))
STEPS = 6


def control_of(name: str, **options: Any):
    recipe = make("sampler", name, **{"sampling_steps": STEPS, "width": 8, "depth": 1, "scale": 1.0, **options})
    return recipe.control(2, Streams([0], "weights")).double().requires_grad_(False)


@pytest.mark.parametrize("name", ["pis", "dds", "dis"])
@pytest.mark.parametrize("grid", ["geometric", "uniform"])
def test_the_law_of_the_backward_chain_is_that_of_its_steps(name: str, grid: str) -> None:
    """Its states are linear in the end and the noise of each step: unit responses give mean and covariance exactly."""
    control, density = control_of(name, grid=grid), UnitDensity(NORMAL, 1.0)
    process, one = control.process, torch.ones(1, 1, 2, dtype=torch.float64)
    still = torch.zeros(1, STEPS, 1, 2, dtype=torch.float64)
    states, _ = carried_back(control, density, one, still)
    torch.testing.assert_close(states[0, :, 0, 0], process.kept)
    responses = []
    for k in range(STEPS):
        kick = still.clone()
        kick[:, k] = 1.0
        responses.append(carried_back(control, density, 0 * one, kick)[0][0, :, 0, 0])
    response = torch.stack(responses, 1)
    covariance = response @ response.T
    torch.testing.assert_close(covariance.diagonal(), process.blur)
    first = 1 if process.point else 0  # a point has no conditional law
    for k in range(first, STEPS):
        gain = covariance[k + 1, k] / covariance[k, k]
        assert float(process.gain[k]) == pytest.approx(float(gain), rel=1e-9)
        left = covariance[k + 1, k + 1] - gain * covariance[k, k + 1]
        assert float(process.between[k]) == pytest.approx(float(left), rel=1e-9, abs=1e-15)
    if process.point:
        assert (float(process.gain[0]), float(process.between[0])) == (0.0, float(process.blur[1]))


def nodes() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """All signs of (x_K − m, ε) in two dimensions at every step: exact means of quadratic functions of normal draws."""
    signs = torch.tensor(list(itertools.product((-1.0, 1.0), repeat=4)), dtype=torch.float64)
    steps = torch.arange(STEPS).repeat_interleave(len(signs))
    z, noise = signs.repeat(STEPS, 1)[None].split(2, -1)
    return z, noise, steps


@pytest.mark.parametrize("wrong", [0.0, 0.3])
def test_the_likelihood_is_stationary_at_the_exact_control_and_only_there(wrong: float) -> None:
    """Of N(m, I) under DDS: the reversal of a step is N(√(1−α) x + shift, α I), and L is its entropy."""
    mean = torch.tensor([0.7, -0.4], dtype=torch.float64)
    control, density = control_of("dds", gate=0.0), UnitDensity(NORMAL, 1.0)
    alpha, kept = control.process.variances, control.process.kept
    shifts = (kept[1:] - (1 - alpha).sqrt() * kept[:-1]) / alpha.sqrt()
    offset = torch.full((STEPS, 2), wrong, dtype=torch.float64, requires_grad=True)
    slope = torch.zeros(STEPS, dtype=torch.float64, requires_grad=True)

    def steer(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        k = (t * STEPS).round().long()
        return shifts[k][..., None] * mean + offset[k] + slope[k][..., None] * x

    control.steer = steer
    for numbers in (control.log_widths, control.log_within):
        numbers.requires_grad_(True)
    control.log_within.data += 3.0
    z, noise, steps = nodes()
    loss = likelihood(control, density, mean + z, -z, steps, noise).sum()
    entropy = float((alpha.log() + math.log(2 * math.pi) + 1).sum())  # of two coordinates
    assert float(loss.detach()) == pytest.approx(entropy + STEPS * wrong**2, abs=1e-9)
    for gradient in torch.autograd.grad(loss, (offset, slope, control.log_widths)):
        assert (float(gradient.abs().max()) < 1e-9) == (wrong == 0.0)


@pytest.mark.parametrize("name", ["pis", "dds", "dis"])
def test_the_likelihood_is_that_of_paths_carried_back(name: str) -> None:
    """Averaged over x_{k+1} in closed form as by simulation; 5 standard errors over 40 batches of 500 paths each."""
    control, density, streams = control_of(name, gate=0.3), UnitDensity(NORMAL, 1.0), Streams([0], "draws")
    control.log_widths += 0.1 * streams.normal(STEPS, dtype=torch.float64)
    control.network.out.bias += 0.2
    steps, gaps = torch.arange(STEPS).repeat_interleave(500), []
    for _ in range(40):
        ends = 0.5 + 0.8 * streams.normal(500, 2, dtype=torch.float64)
        noise = streams.normal(STEPS, 500, 2, dtype=torch.float64)
        paths = given(control, *carried_back(control, density, ends, noise))
        slopes = density.score(ends).repeat(1, STEPS, 1)
        closed = likelihood(control, density, ends.repeat(1, STEPS, 1), slopes, steps, noise.flatten(1, 2))
        gaps.append(float(-paths.forward.sum(1).mean() - closed))
    gap = torch.tensor(gaps)
    error = float(gap.std()) / 40**0.5
    assert error < 0.1
    assert abs(float(gap.mean())) < 5 * error


def test_weights_are_tempered_until_enough_are_effective() -> None:
    generator = torch.Generator().manual_seed(0)
    mild, steep = torch.randn(400, generator=generator), 40 * torch.randn(400, generator=generator)
    steep[:3] = -math.inf
    weights = tempered(torch.stack((mild, steep, torch.full((400,), -math.inf))))
    torch.testing.assert_close(weights[0], mild.softmax(0))
    effective = 1 / weights.square().sum(1)
    assert EFFECTIVE * 400 <= float(effective[1]) < 2 * EFFECTIVE * 400
    assert (weights[1, :3] == 0).all()
    torch.testing.assert_close(weights[2], torch.full((400,), 1 / 400))


def test_moved_ends_keep_the_law_and_lost_ones_go() -> None:
    """From N(0, I) with equal weights, five MALA steps leave N(0, I): 5 standard errors of mean and mean square."""
    streams = Streams([0, 1], "ends")
    replay = Replay(UnitDensity(NORMAL, 1.0), streams, size=8_000, rounds=2, moves=5, step=0.1)
    ends = streams.normal(8_000, 2)
    ends[0, 7] = math.nan
    replay.add(ends, torch.zeros(2, 8_000))
    drawn, slopes = replay.draw(100)
    torch.testing.assert_close(slopes, -drawn)
    assert torch.isfinite(drawn).all()
    kept = replay.ends[:, :8_000]
    assert float(kept.mean((0, 1)).abs().max()) < 5 / 16_000**0.5
    assert float((kept.square().mean((0, 1)) - 1).abs().max()) < 5 * (2 / 16_000) ** 0.5
    assert float((kept[1] - ends[1]).square().mean()) > 0.1
    assert (replay.ends[:, 8_000:] == 0).all()  # of the second round nothing is there, and nothing is drawn
    assert not (drawn == 0).all(-1).any()


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("cmcd", {"objective": "replay"}, "learns nothing"),
        ("dds", {"rows": 7}, "even number"),
        ("dds", {"objective": "kl", "replayed": True}, "its own"),
    ],
)
def test_mixtures_that_mean_nothing_are_refused(name: str, options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        make("sampler", name, **options)


def test_a_score_beyond_the_numbers_leaves_the_loss_finite() -> None:
    wall = Density(
        lambda x: -x[:, 0].square() / 2 - (x[:, 1] / 1e-3).square(),
        event_shape=(2,),
        score=lambda x: torch.stack((-x[:, 0], -x[:, 1].sign() * math.inf), 1),
    )
    control, streams = control_of("dds"), Streams([0], "wall")
    ends = streams.normal(STEPS, 2, dtype=torch.float64)
    density = UnitDensity(wall, 1.0)
    loss = likelihood(control, density, ends, density.score(ends), torch.arange(STEPS), ends.flip(1))
    assert torch.isfinite(loss).all()
