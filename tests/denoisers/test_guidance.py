"""Particle guidance: the push, what it does to a step, weights of paths, invariances, sets, the toy of the thesis."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from phys_samplers import load, make
from phys_samplers.denoisers.denoiser import DenoisingFlow
from phys_samplers.denoisers.given import from_denoiser
from phys_samplers.denoisers.guidance import Repulsion, guided, preserving, pushed, weigh
from phys_samplers.denoisers.reverse import ReverseSDE
from phys_samplers.errors import ConfigurationError
from phys_samplers.integrators import EDMHeun, EulerMaruyama, geometric, integrate, power
from phys_samplers.integrators.driver import WienerProcess
from phys_samplers.laws import GaussianMixture
from phys_samplers.options import make_part
from phys_samplers.randomness import make_generator
from phys_samplers.schedules import EDMSchedule
from phys_samplers.standardise import Standardiser
from phys_samplers.target import Target

PLAIN = Standardiser.identity(2)
ANGLES = torch.arange(10) * (2 * math.pi / 10)
CENTRES = torch.stack((ANGLES.cos(), ANGLES.sin()), 1)
RING = Target(event_shape=(2,), law=GaussianMixture(CENTRES, torch.full((10,), 0.005), torch.full((10,), 0.1)))


def points(n: int, label: str = "points") -> Tensor:
    return torch.randn(n, 2, generator=make_generator(0, label))


@pytest.mark.parametrize("kernel", ["gaussian", "rational"])
def test_the_push_is_that_of_the_thesis(kernel: Any) -> None:
    """Eq. 6.4 with B.2: −(α/n) Σ_j ∇_{x_i} k(x_i, x_j), in standardised coordinates by the chain rule."""
    potential = Repulsion(kernel=kernel, set_size=3, strength=7.0, bandwidth=0.6)
    standardiser = Standardiser(torch.tensor([1.0, -1.0]), torch.tensor([2.0, 0.5]))
    u = points(6)
    x = standardiser.inverse(u, (2,)).view(2, 3, 2)
    step = x.unsqueeze(2) - x.unsqueeze(1)
    squared = step.square().sum(-1, keepdim=True)
    slope = -(-squared / 0.6).exp() / 0.6 if kernel == "gaussian" else -1 / 0.6 / (1 + squared / 0.6).square()
    expected = -(7.0 / 3) * (2 * slope * step).sum(2).flatten(0, 1) * standardiser.scale
    torch.testing.assert_close(pushed(potential, u, 0.5, standardiser, (2,)), expected, rtol=1e-5, atol=1e-6)


def test_a_step_of_the_reverse_sde_is_that_of_the_thesis() -> None:
    """dx = g² (score + ∇ log Φ) dt + g dW for α = 1, σ = t, where g² dt = 2t dt; particles of other sets do nothing."""
    potential = Repulsion(set_size=2, strength=3.0, bandwidth=1.0)

    def denoise(u: Tensor, level: float) -> Tensor:
        return u / (1 + level**2)

    x = points(4)
    dynamics = ReverseSDE(guided(denoise, potential, PLAIN, (2,)), lambda n, g: x, 2, schedule=EDMSchedule())
    noise = WienerProcess(x, make_generator(1))
    noise.advance(0.1)
    stepped = EulerMaruyama().step(dynamics, x, 0.8, -0.1, noise)
    force = -x / (1 + 0.8**2) + pushed(potential, x, 0.8, PLAIN, (2,))
    torch.testing.assert_close(stepped, x + 2 * 0.8 * 0.1 * force + math.sqrt(2 * 0.8) * noise.dw)
    alone = pushed(potential, x[2:], 0.8, PLAIN, (2,))
    torch.testing.assert_close(pushed(potential, x, 0.8, PLAIN, (2,))[2:], alone)


def test_weights_of_paths_undo_the_guidance() -> None:
    """E[w] = 1 and E[w f] = E f of independent draws, with a denoiser that is not one of any law; 5 standard errors."""
    generator = make_generator(3)
    matrix = torch.randn(2, 2, generator=generator) * 0.5

    def denoise(u: Tensor, level: float) -> Tensor:
        return torch.tanh(u @ matrix) * 1.5

    potential = Repulsion(set_size=2, strength=0.8, bandwidth=1.0)
    levels = (*geometric(3.0, 0.1, 6), 0.0)
    start = 3 * torch.randn(60_000, 2, generator=generator)

    def run(strength: float) -> tuple[Tensor, Tensor]:
        own = Repulsion(set_size=2, strength=strength, bandwidth=potential.bandwidth)
        return weigh(denoise, own, PLAIN, (2,), start, levels, make_generator(4))

    free, none = run(0.0)
    assert float(none.abs().max()) == 0.0
    pushed_apart, log_w = run(0.8)
    w = log_w.exp()
    n = len(w)
    assert float(w.mean()) == pytest.approx(1.0, abs=5 * float(w.std()) / math.sqrt(n))

    def closeness(u: Tensor) -> Tensor:
        pair = u.double().view(-1, 2, 2)
        return (-(pair[:, 0] - pair[:, 1]).square().sum(1)).exp()

    plain, guided_ones = closeness(free), closeness(pushed_apart)
    error = math.sqrt(float(plain.var() + (w * guided_ones).var()) / n)
    assert float((w * guided_ones).mean()) == pytest.approx(float(plain.mean()), abs=5 * error)
    fall = plain - guided_ones  # of the same noise; without weights it is another law
    assert float(fall.mean()) > 10 * float(fall.std()) / math.sqrt(n)


def test_invariance_of_the_potential_is_that_of_the_sampler() -> None:
    """Proposition 3: features that forget a rotation of one particle, an invariant law: rotated start, rotated end."""
    potential = Repulsion(
        set_size=3, strength=5.0, bandwidth=0.5, features=lambda x: x.square().sum(-1, keepdim=True).add(0.1).sqrt()
    )

    def denoise(u: Tensor, level: float) -> Tensor:
        return u / (u.square().sum(1, keepdim=True) + level**2).sqrt() * (0.5 + level)

    turn = torch.tensor([[math.cos(1.1), -math.sin(1.1)], [math.sin(1.1), math.cos(1.1)]], dtype=torch.float64)
    standardiser = Standardiser(torch.zeros(2, dtype=torch.float64), torch.ones(2, dtype=torch.float64))

    def end(x: Tensor, by: Repulsion) -> Tensor:
        flow = DenoisingFlow(guided(denoise, by, standardiser, (2,)), lambda n, g: x, 2, start=3.0)
        return integrate(flow, x, integrator=EDMHeun(), grid=(*power(3.0, 0.05, 10, 7.0), 0.0)).x

    x = points(6).double() * 2
    moved = x.clone()
    moved[1] = moved[1] @ turn.T
    expected = end(x, potential)
    expected[1] = expected[1] @ turn.T
    torch.testing.assert_close(end(moved, potential), expected, rtol=1e-9, atol=1e-9)
    distances = Repulsion(set_size=3, strength=5.0, bandwidth=0.5)  # which the rotation of one particle changes
    broken = end(x, distances)
    broken[1] = broken[1] @ turn.T
    assert float((end(moved, distances) - broken).abs().max()) > 1e-3


def modes(x: Tensor) -> tuple[float, float]:
    """Modes a set of ten, counting what is within four standard deviations; and the share of what is not."""
    nearest, label = torch.cdist(x, CENTRES).min(1)
    off = nearest > 4 * math.sqrt(0.005)
    found = torch.zeros(len(x) // 10, 11).scatter_(1, torch.where(off, 10, label).view(-1, 10), 1.0)
    return float(found[:, :10].sum(1).mean()), float(off.float().mean())


def test_modes_of_sets() -> None:
    """Independent sets find 10 (1 − .9¹⁰) = 6.513 modes (Proposition 4) with deviation .98; 5 errors of 400 sets.

    The radial kernel finds nearly all of them by ancestral steps, and more than independent sets by Restart.
    """
    model = make("sampler", "exact-denoiser", schedule="edm[sigma_max=3.0]", sampling_steps=50).fit(RING)
    found, off = modes(model.sample(4_000, seed=0, integrator="ddim[eta=1]"))
    assert found == pytest.approx(6.513, abs=5 * 0.98 / 20)
    assert off < 0.005
    radial = Repulsion(features="radial", strength=300.0, bandwidth=0.2, lowest=0.05)
    draw = model.draw(1_000, seed=0, integrator="ddim[eta=1]", guidance=radial)
    found, off = modes(draw.samples)
    assert found > 9.5
    assert off < 0.02
    assert draw.diagnostics["set_size"] == 10
    assert modes(model.sample(1_000, seed=0, integrator="restart", guidance=radial))[0] > 7.5


def test_weighted_sets_of_a_model() -> None:
    model = make("sampler", "exact-denoiser", schedule="edm[sigma_max=3.0]", sampling_steps=20).fit(RING)
    gentle = "repulsion[set_size=5,strength=0.5,bandwidth=0.5]"
    draw = model.weighted_sets(500, seed=1, guidance=gentle)
    assert draw.log_weights is not None
    by_set = draw.log_weights.view(100, 5)
    assert bool((by_set == by_set[:, :1]).all())
    assert 0 < draw.diagnostics["ess"] <= 1
    assert draw.nfe == 20
    with pytest.raises(ConfigurationError, match="guidance is None"):
        model.weighted_sets(500)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"features": "angles"}, "features is 'angles'"),
        ({"set_size": 1}, "set_size is 1"),
        ({"final_strength": 1.0}, "highest is None"),
        ({"final_strength": 1.0, "highest": 1.0, "lowest": 2.0}, "highest is 1.0 and lowest 2.0"),
        ({"kernel": "cubic"}, "kernel is 'cubic'"),
    ],
)
def test_potentials_are_checked(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Repulsion(**options)


def test_strength_and_bandwidth_fall_geometrically() -> None:
    potential = Repulsion(strength=100.0, final_strength=1.0, highest=10.0, lowest=0.1, bandwidth=1.0)
    pair = torch.zeros(1, 2, 2)
    values = [float(potential.log_phi(pair, level)) for level in (20.0, 10.0, 1.0, 0.1)]
    assert values == pytest.approx([-100.0, -100.0, -10.0, -1.0])
    assert [potential.acts(level) for level in (20.0, 10.0, 0.1, 0.05)] == [False, True, True, False]


def test_sets_must_be_whole_and_guidance_is_read_and_kept(tmp_path: Any) -> None:
    recipe = make("sampler", "edm", steps=3, sampling_steps=4, guidance="repulsion[set_size=4]")
    rows = points(64, "rows")
    model = recipe.fit(Target(event_shape=(2,), train=rows), seed=0)
    with pytest.raises(ConfigurationError, match=r"n is 10 and the guidance has sets of 4; .* such as 12"):
        model.sample(10)
    again = load(model.save(tmp_path / "model"))
    assert torch.equal(again.sample(8, seed=2), model.sample(8, seed=2))
    assert not torch.equal(model.sample(8, seed=2), model.sample(8, seed=2, guidance=None))
    assert make_part("potential", "repulsion[set_size=4]") == Repulsion(set_size=4)


def test_the_median_sets_the_bandwidth() -> None:
    sets = torch.tensor([[[0.0], [1.0], [3.0]]])
    similar = Repulsion(set_size=3, bandwidth=None).similarities(sets)
    squared = torch.tensor([[0.0, 1, 9], [1, 0, 4], [9, 4, 0]])
    torch.testing.assert_close(similar[0], (-squared / (1.0 / math.log(4))).exp())


def test_a_field_of_poisson_takes_guidance() -> None:
    model = make("sampler", "pfgmpp", steps=3).fit(Target(event_shape=(2,), train=points(64, "rows")), seed=0)
    pushed_apart = model.sample(20, seed=1, sampling_steps=6, guidance="repulsion[strength=3.0,highest=2.0]")
    assert bool(torch.isfinite(pushed_apart).all())
    assert not torch.equal(pushed_apart, model.sample(20, seed=1, sampling_steps=6))


def test_guidance_leaves_scores_and_likelihoods_alone() -> None:
    model = from_denoiser(lambda x, sigma: x / (1 + sigma**2), (2,), (0.01, 20.0), guidance="repulsion")
    torch.testing.assert_close(model.score(points(5), sigma=0.5), -points(5) / 1.25, rtol=1e-5, atol=1e-6)


def test_factors_that_keep_the_marginal_law() -> None:
    """Sets of three from three cells with weights .6, .3, .1 that shun equal cells; γ brings the weights back.

    The weights are those of the very sets that γ was found on, so they come back up to the pull towards 1 of ten
    samples in some thousands. What the sets are has changed: fewer pairs are equal.
    """
    p = torch.tensor([0.6, 0.3, 0.1], dtype=torch.float64)
    cell = torch.multinomial(p, 90_000, replacement=True, generator=make_generator(0)).view(-1, 3)
    equal = (cell.unsqueeze(1) == cell.unsqueeze(2)).sum((1, 2)).double()
    log_phi = -0.4 * equal

    def shares(log_w: Tensor) -> Tensor:
        w = log_w.softmax(0)
        return torch.stack([(w * (cell == k).double().mean(1)).sum() for k in range(3)])

    own = torch.bincount(cell.flatten(), minlength=3) / cell.numel()
    assert float((shares(log_phi) - own).abs().max()) > 0.08
    log_gamma = preserving(log_phi, cell, cells=3)
    kept = log_phi + log_gamma[cell].sum(1)
    torch.testing.assert_close(shares(kept), own.double(), rtol=0, atol=1e-3)
    assert float((kept.softmax(0) * equal).sum()) < float(equal.mean()) - 0.1
