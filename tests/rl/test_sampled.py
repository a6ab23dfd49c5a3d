"""Return models known through draws: exact denoisers, limits, bootstrapping, and laws that they learn."""

from __future__ import annotations

import math

import pytest
import torch
from scipy import special, stats
from torch import Tensor

from phys_diffusion.returns import DDPMReturns, EDMReturns
from phys_electrostatic.flow import log_kernel
from phys_electrostatic.returns import PFGMppReturns, student_table, tabulated
from phys_langevin.returns import AnnealedNetwork, LangevinReturns
from phys_samplers.errors import ConfigurationError
from phys_samplers.fields.stacked import replica
from phys_samplers.randomness import Streams, make_generator
from phys_samplers.rl import Prediction, ReturnTask, Transitions
from phys_samplers.rl.denoised import probability_flow
from phys_samplers.rl.sampled import SampledReturns, stratified
from phys_value_gradient.returns import ValueGradientNetwork, ValueGradientReturns

SMALL = {"width": 32, "depth": 1, "head_width": 32}
FLOWS = [EDMReturns, DDPMReturns, PFGMppReturns]
ALL = [*FLOWS, LangevinReturns, ValueGradientReturns]
WEIGHTS, MEANS, SPREADS = (0.4, 0.6), (0.3, 0.7), (0.05, 0.08)
"""A law with two modes."""


def two_modes(levels: Tensor) -> Tensor:
    """Its quantiles."""
    x = torch.linspace(-0.5, 1.5, 40_001, dtype=torch.float64)
    below = sum(w * torch.special.ndtr((x - m) / s) for w, m, s in zip(WEIGHTS, MEANS, SPREADS, strict=True))
    return x[torch.searchsorted(below, levels.double())]


def middles(count: int) -> Tensor:
    return (torch.arange(count, dtype=torch.float64) + 0.5) / count


def starts(count: int) -> Tensor:
    return stratified(count, torch.full((1, 1, 1), 0.5, dtype=torch.float64))


def batch(replicas: int, rows: int, *, terminal: bool, features: int = 3) -> Transitions:
    noise = Streams(range(replicas), "batch")
    discount = torch.full((replicas, rows), 0.0 if terminal else 0.9)
    action = noise.integers(2, rows)
    z, following = noise.normal(rows, features), noise.normal(rows, features)
    return Transitions(z, action, noise.uniform(rows) * 0.1, discount, following, action, (0.9,))


@pytest.mark.parametrize(("mean", "spread"), [(0.3, 0.1), (0.5, 0.25), (0.8, 0.04)])
def test_with_the_exact_denoiser_of_a_gaussian_draws_are_its_quantiles(mean: float, spread: float) -> None:
    def denoise(x: Tensor, sigma: float) -> Tensor:
        return mean + spread**2 / (spread**2 + sigma**2) * (x - mean)

    exact = mean + spread * torch.special.ndtri(middles(64))
    fine = EDMReturns(sampling_steps=200, sigma_max=20.0, sigma_min=0.001).levels
    torch.testing.assert_close(probability_flow(denoise, starts(64), fine).flatten(), exact, atol=2e-4, rtol=0)
    coarse = probability_flow(denoise, starts(64), EDMReturns().levels).flatten()
    assert (coarse - exact).abs().mean() < 0.05 * spread
    assert (coarse.mean() - mean).abs() < 0.01 * spread + 1e-6


def test_ten_evaluations_follow_two_modes() -> None:
    """W1 with the exact denoiser; DDIM's is .014 at its best levels."""
    weights, means, spreads = (torch.tensor(v, dtype=torch.float64) for v in (WEIGHTS, MEANS, SPREADS))

    def denoise(x: Tensor, sigma: float) -> Tensor:
        variance = spreads**2 + sigma**2
        distance = x.unsqueeze(-1) - means
        share = (weights.log() - 0.5 * variance.log() - 0.5 * distance**2 / variance).softmax(-1)
        return (share * (means + distance * spreads**2 / variance)).sum(-1)

    ends = probability_flow(denoise, starts(256), EDMReturns().levels).flatten()
    assert (ends.sort().values - two_modes(middles(256))).abs().mean() < 0.004
    assert torch.equal(ends, ends.sort().values)  # the flow keeps the order


@pytest.mark.parametrize("aux_dim", [2.0, 8.0, 64.0])
def test_field_lines_carry_their_flux_to_two_charges(aux_dim: float) -> None:
    """Of the lines that leave the quantiles of Student's law, each atom gets the share of its charge."""
    atoms, charges = torch.tensor([0.2, 0.8], dtype=torch.float64), torch.tensor([0.3, 0.7], dtype=torch.float64)

    def denoise(x: Tensor, sigma: float) -> Tensor:
        kernel = log_kernel((x.unsqueeze(-1) - atoms).square(), sigma, 1, aux_dim)
        return ((charges.log() + kernel).softmax(-1) * atoms).sum(-1)

    levels = EDMReturns(sampling_steps=100, sigma_max=30.0, sigma_min=1e-4).levels
    ends = probability_flow(denoise, tabulated(student_table(aux_dim), starts(1000)), levels).flatten()
    assert (((ends - 0.2).abs() < 1e-3) | ((ends - 0.8).abs() < 1e-3)).double().mean() > 0.99
    assert float((ends < 0.5).double().mean()) == pytest.approx(0.3, abs=0.01)


@pytest.mark.parametrize("aux_dim", [1.0, 2.5, 32.0, 1e7])
def test_the_kernels_quantiles_are_students(aux_dim: float) -> None:
    scores = torch.linspace(-5, 5, 1001, dtype=torch.float64) + 1e-3
    exact = torch.from_numpy(stats.t.ppf(special.ndtr(scores.numpy()), aux_dim))
    torch.testing.assert_close(tabulated(student_table(aux_dim), scores), exact, rtol=1e-3, atol=1e-4)


def test_many_augmented_dimensions_are_edm() -> None:
    streams, data = Streams([3], "weights"), batch(1, 8, terminal=False)
    edm = EDMReturns(**SMALL).build(3, 2, streams=streams)
    poisson = PFGMppReturns(aux_dim=1e7, **SMALL).build(3, 2, streams=Streams([3], "weights"))
    none = PFGMppReturns(aux_dim=None, **SMALL).build(3, 2, streams=Streams([3], "weights"))
    losses, points = [], []
    for network in (edm, poisson, none):
        losses.append(network.loss(data, network, Streams([3], "noise")).detach())
        points.append(network.law(data.observation, noise=Streams([3], "laws")).points)
    torch.testing.assert_close(losses[1], losses[0], rtol=1e-4, atol=0)
    torch.testing.assert_close(points[1], points[0], rtol=0, atol=1e-4)
    assert torch.equal(losses[2], losses[0])
    assert torch.equal(points[2], points[0])
    heavy = PFGMppReturns(aux_dim=2.0, **SMALL).build(3, 2, streams=Streams([3], "weights"))
    assert (heavy.loss(data, heavy, Streams([3], "noise")).detach() / losses[0] - 1).abs() > 1e-3


def test_the_chain_of_ddpm() -> None:
    """ᾱ_T = Π(1 − β_t) = 4.036 · 10⁻⁵ for the paper's β; a silent network predicts no noise."""
    recipe = DDPMReturns(**SMALL)
    alpha = 1 / (1 + (recipe.sigmas / 0.3) ** 2)
    assert float(alpha[-1]) == pytest.approx(4.036e-5, rel=1e-3)
    assert float(alpha[0]) == pytest.approx(1 - 1e-4, rel=1e-9)
    network = recipe.build(3, 1, streams=Streams([0], "weights"))
    torch.nn.init.zeros_(network.head.out.weight)
    torch.nn.init.zeros_(network.head.out.bias)
    x = torch.linspace(0, 1, 5).view(1, 1, 5)
    context = network.contexts(torch.ones(1, 1, 3), torch.zeros(1, 1, dtype=torch.int64))
    torch.testing.assert_close(network.denoise(context, x, torch.full((1, 1, 1), 0.2)), x)
    # |ε|² has mean one: the loss of such a network
    loss = network.matching(context, torch.full((1, 1, 20_000), 0.5), Streams([0], "noise")).detach()
    assert float(loss) == pytest.approx(1.0, abs=4 * math.sqrt(2 / 20_000))


def test_langevin_steps_keep_a_blurred_point() -> None:
    """With the exact denoiser of an atom, the last level's law is N(atom, σ_min²) whatever ε; the end is clean."""

    class Point(AnnealedNetwork):
        def denoise(self, context: Tensor, x: Tensor, sigma: Tensor) -> Tensor:
            if last and float(sigma) == pytest.approx(0.05) and next(calls) == 4:
                return x  # instead of taking the last noise out
            return torch.full_like(x, 0.3)

    recipe = LangevinReturns(sigma_min=0.05, sigma_max=1.0, sampling_steps=4, steps_per_level=4, epsilon=2.0)
    network = Point(recipe, 3, 1, streams=Streams([0], "weights"))
    context, scores = torch.zeros(1, 1, 64), Streams([0], "scores").normal(1, 20_000)
    last = False
    assert torch.equal(network.draw(context, scores, Streams([0], "noise")), torch.full((1, 1, 20_000), 0.3))
    last, calls = True, iter(range(10))
    noisy = network.draw(context, scores, Streams([0], "noise"))
    # five standard errors; what is left of the level before is e^{-16} of it
    assert float(noisy.std()) == pytest.approx(0.05, rel=5 / math.sqrt(2 * 20_000))
    assert float(noisy.mean()) == pytest.approx(0.3, abs=5 * 0.05 / math.sqrt(20_000))


def test_optimal_values_balance_the_cost_of_walks() -> None:
    """E exp(V^t − V^{t+1} − log π/q̃) = 1 at every step, for V^t = −log q̃_t of a Gaussian, whatever the policy."""

    class Exact(ValueGradientNetwork):
        def value(self, context: Tensor, x: Tensor, level: Tensor) -> Tensor:
            variance = 0.3**2 - self.blur**2 + level.square()
            return 0.5 * (x - 0.4).square() / variance + 0.5 * variance.log()

    network = Exact(ValueGradientReturns(blur=0.1), 3, 1, streams=Streams([0], "weights"))
    scores = Streams([0], "scores").normal(1, 40_000)
    walks = network.walks(torch.zeros(1, 1, 64), scores, Streams([0], "noise"))
    ratio = (walks.values[..., :-1] - walks.values[..., 1:] - walks.costs).exp()
    error = ratio.std((1, 2)) / math.sqrt(40_000)
    assert ((ratio.mean((1, 2)) - 1).abs() < 5 * error).all()
    assert (error < 0.01).all()


@pytest.mark.parametrize("recipe", ALL)
def test_bootstrapping_moves_the_lagged_networks_draws(recipe: type[SampledReturns]) -> None:
    network = recipe(**SMALL).build(3, 2, streams=Streams([0, 1], "weights"))
    ended = batch(2, 6, terminal=True)
    y = network.bootstrapped(ended, network, Streams([0, 1], "noise"))
    assert y.shape == (2, 6, network.draws)
    assert torch.equal(y, ended.reward.unsqueeze(-1).expand_as(y))
    going = batch(2, 6, terminal=False)
    y = network.bootstrapped(going, network, Streams([0, 1], "noise"))
    assert (y.std(-1) > 0).all()
    lagged = recipe(**SMALL).build(3, 2, streams=Streams([5, 6], "weights"))
    network.loss(going, lagged, Streams([0, 1], "noise")).sum().backward()
    assert all(p.grad is None for p in lagged.parameters())
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in network.parameters())


@pytest.mark.parametrize("recipe", ALL)
def test_replicas_are_independent_and_laws_have_their_shapes(recipe: type[SampledReturns]) -> None:
    made = recipe(points=5, **SMALL)
    network = made.build(3, 2, streams=Streams([0, 1], "weights"))
    data = batch(2, 6, terminal=False)
    law = network.law(data.observation, noise=Streams([0, 1], "laws"))
    assert law.points.shape == law.weights.shape == (2, 6, 2, 5)
    assert network.law(data.observation, data.action, noise=Streams([0, 1], "laws")).points.shape == (2, 6, 5)
    assert network.mean(data.observation, noise=Streams([0, 1], "laws")).shape == (2, 6, 2)
    losses = network.loss(data, network, Streams([0, 1], "noise"))
    second = Transitions(*(part[1:] for part in data[:6]), data.discounts)
    alone = replica(network, 1)
    torch.testing.assert_close(alone.loss(second, alone, Streams([1], "noise")), losses[1:], rtol=1e-4, atol=1e-5)
    one = alone.law(second.observation, noise=Streams([1], "laws"))
    torch.testing.assert_close(one.points, law.points[1:], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("recipe", FLOWS)
def test_laws_of_flows_are_deterministic(recipe: type[SampledReturns]) -> None:
    network = recipe(**SMALL).build(3, 2, streams=Streams([0], "weights"))
    data = batch(1, 6, terminal=False)
    one = network.law(data.observation, noise=Streams([0], "laws"))
    other = network.law(data.observation, data.action, noise=Streams([9], "other"))
    torch.testing.assert_close(one.chosen(data.action).points, other.points)


def test_bad_options_are_named() -> None:
    for make, name in (
        (lambda: EDMReturns(sigma_min=3.0), "sigma_min"),
        (lambda: EDMReturns(sampling_steps=1), "sampling_steps"),
        (lambda: DDPMReturns(chain=4), "chain"),
        (lambda: PFGMppReturns(aux_dim=-1.0), "aux_dim"),
        (lambda: LangevinReturns(epsilon=0.0), "epsilon"),
        (lambda: ValueGradientReturns(blur=0.0), "blur"),
    ):
        with pytest.raises(ConfigurationError, match=name):
            make()


@pytest.mark.parametrize(
    "recipe",
    [EDMReturns, *(pytest.param(r, marks=pytest.mark.slow) for r in (DDPMReturns, PFGMppReturns, LangevinReturns))],
)
def test_a_law_with_two_modes_is_learned(recipe: type[SampledReturns]) -> None:
    """After few updates of a small network W1 is a third of that of the best normal law, .07, but for chance."""
    levels = torch.rand(2_000, generator=make_generator(0, "rewards"), dtype=torch.float64)
    one = torch.ones(2_000, 1)
    experience = Prediction(
        observation=one,
        reward=two_modes(levels).float(),
        terminal=one[:, 0] > 0,
        next_observation=one,
        probability=one[:, 0] / 2_000,
        queries=one[:1],
        gamma=0.9,
        returns=(0, 1),
        updates=250,
        batch_size=64,
    )
    task = ReturnTask(event_shape=(1,), name="two modes", experience=experience)
    (model,) = recipe(points=64, learning_rate=5e-3, **SMALL).fit_replicas(task, seeds=[0])
    points = model.laws().points[0].sort().values
    assert (points - two_modes(middles(64))).abs().mean() < 0.035


@pytest.mark.slow
def test_the_mean_of_a_chain_is_found_by_bootstrapping() -> None:
    """Reward 1 in the second of two states; v = (I − γP)⁻¹ r."""
    gamma, moves = 0.9, torch.tensor([[0.5, 0.5], [0.7, 0.3]], dtype=torch.float64)
    reward = torch.tensor([0.0, 1.0], dtype=torch.float64)
    states = torch.eye(2)
    here, there = torch.tensor([0, 0, 1, 1]), torch.tensor([0, 1, 0, 1])
    experience = Prediction(
        observation=states[here],
        reward=reward[here].float(),
        terminal=torch.zeros(4, dtype=torch.bool),
        next_observation=states[there],
        probability=0.5 * moves[here, there].float(),
        queries=states,
        gamma=gamma,
        returns=(0, 10),
        updates=500,
        polyak=0.05,
        batch_size=32,
    )
    task = ReturnTask(event_shape=(1,), name="chain", experience=experience)
    (model,) = EDMReturns(learning_rate=5e-3, **SMALL).fit_replicas(task, seeds=[0])
    exact = torch.linalg.solve(torch.eye(2, dtype=torch.float64) - gamma * moves, reward)
    assert ((model.laws().mean - exact).abs() < 0.3).all()  # of a range of ten


@pytest.mark.parametrize("recipe", ALL)
def test_evaluations_are_those_of_the_head_in_a_draw(recipe: type[SampledReturns], monkeypatch) -> None:
    network = recipe(**SMALL).build(3, 2, streams=Streams([0], "weights"))
    calls = []
    forward = network.head.forward
    monkeypatch.setattr(network.head, "forward", lambda *given: (calls.append(1), forward(*given))[1])
    network.law(batch(1, 6, terminal=False).observation, noise=Streams([0], "laws"))
    assert len(calls) == network.evaluations
