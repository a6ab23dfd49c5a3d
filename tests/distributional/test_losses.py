"""Projections and losses against their definitions, one number at a time; initial laws; shapes; refusals."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor

from phys_distributional.categorical import Atoms, CategoricalL2Returns
from phys_distributional.quantile_regression import quantile_huber
from phys_samplers import make
from phys_samplers.errors import ConfigurationError
from phys_samplers.randomness import Streams, make_generator
from phys_samplers.rl import Transitions

MODELS = {
    "dqn": ("dqn", {}),
    "dqn-huber": ("dqn", {"kappa": 0.05}),
    "c51": ("c51", {}),
    "categorical-l2": ("categorical-l2", {}),
    "categorical-l2-cramer": ("categorical-l2", {"metric": "cramer"}),
    "qr-dqn": ("qr-dqn", {}),
    "qr-dqn-pinball": ("qr-dqn", {"kappa": 0.0}),
    "iqn": ("iqn", {}),
}
REPLICAS, ROWS, FEATURES, ACTIONS = 2, 6, 4, 3


def network(key: str, seeds=(3, 4), **options):
    name, given = MODELS[key]
    recipe = make("return_model", name, width=16, **given, **options)
    return recipe.build(FEATURES, ACTIONS, streams=Streams(seeds, "weights"))


def stirred(key: str, seeds=(3, 4), size: float = 0.3, **options):
    """A network whose laws are not the initial ones."""
    net = network(key, seeds, **options)
    noise = Streams(seeds, "stirred")
    with torch.no_grad():
        net.trunk.out.weight.add_(noise.normal(*net.trunk.out.weight.shape[1:]), alpha=size)
    return net


def transitions(seeds=(3, 4)) -> Transitions:
    draw = Streams(seeds, "transitions")
    discount = torch.where(draw.uniform(ROWS) < 0.3, 0.0, 0.9)
    return Transitions(
        draw.normal(ROWS, FEATURES),
        draw.integers(ACTIONS, ROWS),
        draw.uniform(ROWS) * 0.3,
        discount,
        draw.normal(ROWS, FEATURES),
        draw.integers(ACTIONS, ROWS),
        (0.9,),
    )


def projected(atoms: Atoms, weights: list[float], reward: float, discount: float) -> list[float]:
    """Algorithm 1 of the source, atom by atom."""
    z = [atoms.low + i * atoms.spacing for i in range(atoms.count)]
    out = [0.0] * atoms.count
    for mass, point in zip(weights, z, strict=True):
        moved = min(max(reward + discount * point, atoms.low), atoms.high)
        for i in range(atoms.count):
            out[i] += mass * max(0.0, 1.0 - abs(moved - z[i]) / atoms.spacing)
    return out


@pytest.mark.parametrize("atoms", [Atoms(), Atoms(2), Atoms(7, -0.5, 2.0)], ids=str)
@pytest.mark.parametrize("signed", [False, True], ids=["laws", "signed weights"])
def test_backup_is_the_projection_of_the_source(atoms: Atoms, signed: bool) -> None:
    generator = make_generator(0, "weights")
    weights = torch.rand(2, 9, atoms.count, generator=generator, dtype=torch.float64)
    if signed:
        weights = weights - 0.4
    reward = torch.rand(2, 9, generator=generator, dtype=torch.float64) * 2 - 0.7
    reward[0, :3] = torch.tensor([atoms.low, atoms.high, atoms.low + atoms.spacing], dtype=torch.float64)
    discount = torch.tensor([0.0, 1.0, 0.9], dtype=torch.float64).repeat(3).expand(2, -1)
    given = weights.clone()
    backed_up = atoms.backed_up(weights, reward, discount)
    assert torch.equal(weights, given)
    for r in range(2):
        for b in range(9):
            exact = projected(atoms, weights[r, b].tolist(), reward[r, b].item(), discount[r, b].item())
            assert torch.allclose(backed_up[r, b], torch.tensor(exact, dtype=torch.float64), atol=1e-12)


def test_backup_keeps_mass_always_and_the_mean_inside_the_range() -> None:
    atoms = Atoms()
    generator = make_generator(1, "weights")
    weights = torch.rand(40, 51, generator=generator, dtype=torch.float64).softmax(-1)
    reward = torch.rand(40, generator=generator, dtype=torch.float64) * 0.1
    discount = torch.full((40,), 0.9, dtype=torch.float64)
    z = atoms.points(weights)
    inside = atoms.backed_up(weights, reward, discount)
    assert torch.allclose(inside.sum(-1), torch.ones(40, dtype=torch.float64))
    assert torch.allclose(inside @ z, reward + 0.9 * (weights @ z))
    for far, end in ((5.0, -1), (-5.0, 0)):
        outside = atoms.backed_up(weights, torch.full_like(reward, far), discount)
        assert torch.allclose(outside[:, end], torch.ones(40, dtype=torch.float64))


def test_backup_is_the_nearest_law_in_cramers_distance() -> None:
    """No weights of the same mass on the atoms are closer to a moved law."""
    atoms = Atoms(6)
    weights = torch.tensor([0.3, 0.1, 0.2, 0.0, 0.3, 0.1], dtype=torch.float64)
    z = atoms.points(weights)
    backed_up = atoms.backed_up(weights, torch.tensor(0.07, dtype=torch.float64), torch.tensor(0.9).double())
    x = torch.linspace(0, 1, 20_001, dtype=torch.float64)[:-1] + 1 / 40_000
    exact = (x.unsqueeze(-1) >= 0.07 + 0.9 * z).double() @ weights
    steps = (x.unsqueeze(-1) >= z).double()
    error = steps @ backed_up - exact
    # ∂/∂w_i of ∫(F − F')² is the same for all i, which is stationarity under Σw = const
    slopes = steps.T @ error / len(x)
    assert torch.allclose(slopes[:-1], slopes[-1].expand(5), atol=1e-4)


def by_pairs(quantiles: Tensor, levels: Tensor, samples: Tensor, kappa: float) -> Tensor:
    u = samples.unsqueeze(-2) - quantiles.unsqueeze(-1)
    near = 0.5 * u**2 / kappa if kappa else u.abs()
    far = u.abs() - 0.5 * kappa
    huber = torch.where(u.abs() <= kappa, near, far)
    weight = (levels.unsqueeze(-1) - (u < 0).to(u)).abs()
    return (weight * huber).mean(-1).sum(-1)


@pytest.mark.parametrize("kappa", [0.0, 0.01, 0.3, 5.0])
@pytest.mark.parametrize("own_levels", [False, True])
def test_quantile_huber_is_that_of_all_pairs(kappa: float, own_levels: bool) -> None:
    generator = make_generator(0, "quantiles")
    theta = torch.rand(3, 5, 7, generator=generator, dtype=torch.float64).requires_grad_()
    levels = torch.rand(*((3, 5, 7) if own_levels else (7,)), generator=generator, dtype=torch.float64)
    samples = torch.rand(3, 5, 11, generator=generator, dtype=torch.float64) * 1.4 - 0.2
    loss = quantile_huber(theta, levels, samples, kappa)
    exact = by_pairs(theta, levels, samples, kappa)
    assert torch.allclose(loss, exact, atol=1e-12)
    (slope,) = torch.autograd.grad(loss.sum(), theta, retain_graph=True)
    (wanted,) = torch.autograd.grad(exact.sum(), theta)
    assert torch.allclose(slope, wanted, atol=1e-10)


def test_quantile_huber_in_single_precision() -> None:
    """Sums of squares do not lose the digits of κ²."""
    generator = make_generator(1, "quantiles")
    theta = torch.rand(20, 51, generator=generator).requires_grad_()
    levels, samples = (torch.arange(51) + 0.5) / 51, torch.rand(20, 51, generator=generator)
    (slope,) = torch.autograd.grad(quantile_huber(theta, levels, samples, 1e-3).sum(), theta)
    exact = theta.detach().double().requires_grad_()
    (wanted,) = torch.autograd.grad(by_pairs(exact, levels.double(), samples.double(), 1e-3).sum(), exact)
    assert torch.allclose(slope.double(), wanted, atol=1e-6)


def test_gradient_of_one_quantile_by_hand() -> None:
    """θ = 0.5 at τ = 0.25; samples 0.2 (far below), 0.45 (near), 0.9 (far above), 0.5 (at it); κ = 0.1."""
    theta = torch.tensor([0.5], dtype=torch.float64, requires_grad=True)
    samples = torch.tensor([0.2, 0.45, 0.9, 0.5], dtype=torch.float64)
    (slope,) = torch.autograd.grad(quantile_huber(theta, torch.tensor([0.25]), samples, 0.1), theta)
    assert slope.item() == pytest.approx((0.75 * 1 + 0.75 * 0.5 - 0.25 * 1 + 0) / 4)


def test_losses_are_those_of_the_sources() -> None:
    """With the lagged laws in hand: cross entropy, squared distances, quantile Huber, squared or Huber differences."""
    batch, noise = transitions(), Streams([3, 4], "noise")
    for key in MODELS:
        net, lagged = stirred(key), stirred(key, size=0.5)
        loss = net.loss(batch, lagged, Streams([3, 4], "noise"))
        assert loss.shape == (REPLICAS,)
        if key == "iqn":
            continue
        law = net.law(batch.observation, batch.action, noise=noise)
        following = lagged.law(batch.next_observation, batch.next_action, noise=noise)
        moved = batch.reward.unsqueeze(-1) + batch.discount.unsqueeze(-1) * following.points
        if key.startswith("dqn"):
            error = (law.mean - batch.reward - batch.discount * following.mean).abs()
            huber = torch.where(error <= 0.05, 0.5 * error**2, 0.05 * (error - 0.025))
            wanted = error**2 if key == "dqn" else huber
        elif key.startswith("qr"):
            levels = (torch.arange(51) + 0.5) / 51
            wanted = by_pairs(law.points, levels, moved, 0.0 if "pinball" in key else 0.01)
        else:
            z = torch.linspace(0, 1, 51)
            near = (1 - 50 * (moved.clamp(0, 1).unsqueeze(-2) - z.unsqueeze(-1)).abs()).clamp(min=0)
            aim = (near @ following.weights.unsqueeze(-1)).squeeze(-1)
            if key == "c51":
                wanted = -(aim * law.weights.log()).sum(-1)
            elif "cramer" in key:
                wanted = (law.weights - aim).cumsum(-1).square().sum(-1) / 50
            else:
                wanted = (law.weights - aim).square().sum(-1)
        assert torch.allclose(loss, wanted.mean(-1), rtol=1e-4, atol=1e-6), key


def test_implicit_loss_is_quantile_huber_at_drawn_levels() -> None:
    net, lagged, batch = stirred("iqn"), stirred("iqn", size=0.5), transitions()
    drawn = Streams([3, 4], "noise").uniform(ROWS, 16)
    with torch.no_grad():
        following = lagged.at(batch.next_observation, batch.next_action, drawn[..., 8:])
        moved = batch.reward.unsqueeze(-1) + batch.discount.unsqueeze(-1) * following
        theta = net.at(batch.observation, batch.action, drawn[..., :8])
    wanted = by_pairs(theta, drawn[..., :8], moved, 0.01).mean(-1)
    assert torch.allclose(net.loss(batch, lagged, Streams([3, 4], "noise")), wanted, rtol=1e-5)


def test_implicit_laws_are_quantiles_at_the_middles() -> None:
    net, batch = stirred("iqn", levels=5), transitions()
    middles = torch.tensor([0.1, 0.3, 0.5, 0.7, 0.9]).expand(REPLICAS, ROWS, 5)
    law = net.law(batch.observation, batch.action, noise=Streams([3, 4], "noise"))
    assert torch.allclose(law.points, net.at(batch.observation, batch.action, middles), atol=1e-5)


@pytest.mark.parametrize("key", MODELS)
def test_laws_have_their_shapes_and_mass(key: str) -> None:
    net, batch, noise = stirred(key), transitions(), Streams([3, 4], "noise")
    law = net.law(batch.observation, noise=noise)
    assert law.weights.shape[:3] == (REPLICAS, ROWS, ACTIONS)
    assert torch.allclose(law.total, torch.ones(REPLICAS, ROWS, ACTIONS), atol=1e-5)
    assert torch.allclose(net.mean(batch.observation, noise=noise), law.mean, atol=1e-5)
    one, chosen = net.law(batch.observation, batch.action, noise=noise), law.chosen(batch.action)
    assert one.weights.shape == (REPLICAS, ROWS, law.weights.shape[-1])
    assert torch.allclose(one.points.expand_as(one.weights), chosen.points, atol=1e-6)
    assert torch.allclose(one.weights, chosen.weights, atol=1e-6)


@pytest.mark.parametrize("key", MODELS)
def test_laws_are_alike_at_first(key: str) -> None:
    """All models expect about ½ before they have seen anything, and those with a law have the uniform one."""
    law = network(key).law(transitions().observation, noise=Streams([3, 4], "noise"))
    assert (law.mean - 0.5).abs().max() < 0.02
    if not key.startswith("dqn"):
        levels = torch.tensor([0.1, 0.25, 0.5, 0.75, 0.9])
        # half a spacing of atoms, and initial weights
        assert (law.quantiles(levels) - levels).abs().max() < 0.05


@pytest.mark.parametrize("key", MODELS)
def test_no_gradient_goes_to_the_lagged_network(key: str) -> None:
    net, lagged = stirred(key), stirred(key, size=0.5)
    net.loss(transitions(), lagged, Streams([3, 4], "noise")).sum().backward()
    assert all(parameter.grad is None for parameter in lagged.parameters())
    assert all(parameter.grad is not None for parameter in net.parameters())


@pytest.mark.parametrize("key", MODELS)
def test_replicas_are_single_networks(key: str) -> None:
    """Losses and gradients of two stacked replicas are those of each alone, with its own seeds."""
    both, lagged = stirred(key), stirred(key, size=0.5)
    losses = both.loss(transitions(), lagged, Streams([3, 4], "noise"))
    losses.sum().backward()
    for index, seed in enumerate((3, 4)):
        one = stirred(key, (seed,))
        loss = one.loss(transitions((seed,)), stirred(key, (seed,), size=0.5), Streams([seed], "noise"))
        assert torch.allclose(loss[0], losses[index], rtol=1e-5)
        loss.sum().backward()
        for stacked, single in zip(both.parameters(), one.parameters(), strict=True):
            assert torch.allclose(stacked.grad[index], single.grad[0], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("key", MODELS)
def test_every_number_has_the_replica_axis_first(key: str) -> None:
    net = copy.deepcopy(network(key))
    for value in (*net.parameters(), *net.buffers()):
        assert value.shape[0] == REPLICAS


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("dqn", {"kappa": 0.0}, "kappa is 0.0; expected a positive number, or None"),
        ("dqn", {"learning_rate": 0.0}, "learning_rate is 0.0"),
        ("c51", {"atoms": 1}, "atoms is 1; expected an integer of at least 2"),
        ("c51", {"low": 1.0}, "low is 1.0; expected a number below 1"),
        ("c51", {"low": 0.5, "high": 0.5}, "low is 0.5 and high 0.5; expected the lower first"),
        ("qr-dqn", {"quantiles": 0}, "quantiles is 0; expected an integer of at least 1"),
        ("qr-dqn", {"kappa": -1.0}, "kappa is -1.0; expected a number of at least 0"),
        ("iqn", {"draws": 0}, "draws is 0; expected an integer of at least 1"),
        ("iqn", {"levels": -1}, "levels is -1; expected an integer of at least 1"),
        ("iqn", {"kappa": float("nan")}, "kappa is nan"),
    ],
)
def test_bad_options_are_refused(name: str, options: dict, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        make("return_model", name, **options)


def test_a_metric_that_is_not_there_is_refused_by_the_class_too() -> None:
    with pytest.raises(ConfigurationError, match="metric is 'l1'; expected one of weights, cramer"):
        CategoricalL2Returns(metric="l1")  # type: ignore[arg-type]
