"""Products of fields, backups and the loss of linear fields against quadrature on a fine grid."""

from __future__ import annotations

import math

import pytest
import torch

from phys_bellman.declared import BLURRED
from phys_bellman.returns import BellmanReturns, FieldProduct, GaussianBasis, TabulatedBackups, backed_up, gram
from phys_samplers.errors import ConfigurationError
from phys_samplers.randomness import Streams, make_generator
from phys_samplers.rl import Transitions

BASIS = GaussianBasis(count=21, low=-0.1, high=1.1)
H = BASIS.bandwidth
X = torch.linspace(-4.0, 5.0, 18_001, dtype=torch.float64)
STEP = float(X[1] - X[0])
FIELDS = [(1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0), (0.5, 0.2, 2.0)]


def bells(centres: torch.Tensor, width: float) -> torch.Tensor:
    return torch.exp(-0.5 * ((X - centres.unsqueeze(1)) / width) ** 2) / (width * math.sqrt(2 * math.pi))


def fields(density: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """s, g and F on the grid, in units of h in which their squares integrate to numbers of the same size."""
    slope = torch.gradient(density, spacing=STEP, dim=-1)[0]
    return density * H**0.5, slope * H**1.5, (density.cumsum(-1) - 0.5 * density) * STEP * H**-0.5


def draws(*shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=make_generator(0, "weights"), dtype=torch.float64)


def law(rows: int = 1) -> torch.Tensor:
    weights = draws(rows, BASIS.count)
    return weights / weights.sum(-1, keepdim=True)


@pytest.mark.parametrize("weights", FIELDS)
def test_the_gram_matrix_is_that_of_the_fields(weights) -> None:
    first, second = law(2)
    change = first - second  # of equal mass, which products with F need
    exact = sum(
        share * float(field.square().sum()) * STEP
        for share, field in zip(weights, fields(change @ bells(BASIS.centres(), H)), strict=True)
    )
    assert float(change @ gram(BASIS, FieldProduct(*weights)) @ change) == pytest.approx(exact, rel=1e-4)


@pytest.mark.parametrize("preserve", [True, False])
@pytest.mark.parametrize(("reward", "discount"), [(0.13, 0.9), (-0.4, 0.5), (0.3, 0.0)])
def test_a_backup_is_the_law_of_what_it_says(preserve: bool, reward: float, discount: float) -> None:
    weights = law()[0]
    width = H if preserve or not discount else discount * H
    centres = reward + discount * BASIS.centres()
    density = weights @ bells(centres, width)
    if not discount:
        density = bells(torch.tensor([reward], dtype=torch.float64), H)[0]
    exact = bells(BASIS.centres(), H) @ density * STEP * H
    given = backed_up(
        BASIS,
        FieldProduct(),
        BASIS.centres(),
        weights,
        torch.tensor(reward, dtype=torch.float64),
        torch.tensor(discount, dtype=torch.float64),
        preserve=preserve,
    )
    assert torch.allclose(given, exact, atol=1e-7)


@pytest.mark.parametrize("preserve", [True, False])
@pytest.mark.parametrize("weights", FIELDS)
def test_tables_give_the_same_backups(weights, preserve: bool) -> None:
    discounts = (0.97, 0.9, 0.6)
    product = FieldProduct(*weights)
    laws = law(40).view(5, 8, -1)
    reward = 4 * draws(5, 8) - 2  # also far beyond all centres
    which = torch.randint(4, (5, 8), generator=make_generator(1, "which"))
    discount = torch.tensor((*discounts, 0.0), dtype=torch.float64)[which]
    exact = backed_up(BASIS, product, BASIS.centres(), laws, reward, discount, preserve=preserve)
    tabulated = TabulatedBackups(BASIS, product, discounts, preserve=preserve, like=laws)(laws, reward, discount)
    assert float((tabulated - exact).abs().max()) < 5e-5 * max(1.0, float(exact.abs().max()))


def batch(rows: int, features: int) -> Transitions:
    generator = make_generator(2, "batch")

    def uniform(*shape: int) -> torch.Tensor:
        return torch.rand(1, rows, *shape, generator=generator)

    action = torch.randint(2, (1, rows), generator=generator)
    discount = torch.where(uniform() < 0.3, 0.0, 0.9)
    return Transitions(uniform(features), action, 0.1 * uniform(), discount, uniform(features), 1 - action, (0.9,))


@pytest.mark.parametrize("positive", [False, True])
@pytest.mark.parametrize("weights", FIELDS)
def test_the_loss_is_the_squared_distance_of_fields_up_to_a_constant(weights, positive: bool) -> None:
    names = ("density_weight", "gradient_weight", "cdf_weight")
    options = {"positive": positive, **dict(zip(names, weights, strict=True))}
    recipe = BellmanReturns(**{**BLURRED, "low": -0.1, "high": 1.1}, atoms=21, width=8, depth=1, **options)
    nets = [recipe.build(3, 2, streams=Streams([seed], "weights")).double() for seed in (0, 1, 2)]
    for net in nets:
        for p in net.parameters():
            p.data *= 8  # initial weights are small
    rows = Transitions(*(part.double() if part.is_floating_point() else part for part in batch(6, 3)[:6]), (0.9,))
    target, noise = nets[2], Streams([0], "noise")
    following = target.law(rows.next_observation, rows.next_action, noise=noise).weights[0]
    exact, losses = [], []
    for net in nets[:2]:
        own = net.law(rows.observation, rows.action, noise=noise).weights[0]
        total = 0.0
        for i in range(6):
            reward, discount = float(rows.reward[0, i]), float(rows.discount[0, i])
            goal = bells(torch.tensor([reward], dtype=torch.float64), H)[0]
            if discount:
                goal = following[i] @ bells(reward + discount * BASIS.centres(), H)
            apart = own[i] @ bells(BASIS.centres(), H) - goal
            parts = zip(weights, fields(apart), strict=True)
            total += sum(share * float(field.detach().square().sum()) * STEP for share, field in parts)
        exact.append(total / 6)
        losses.append(float(net.loss(rows, target, noise).detach()))
    # the tables' 10⁻⁵ are of laws; these weights are of any sign and up to a hundred times larger
    assert losses[0] - losses[1] == pytest.approx(exact[0] - exact[1], rel=2e-3, abs=2e-4)


@pytest.mark.parametrize(
    "options", [{}, {"normalise": False}, {"whiten": None}, {"whiten": None, "normalise": False}, {"positive": True}]
)
def test_means_are_those_of_the_laws(options) -> None:
    recipe = BellmanReturns(**BLURRED, width=8, depth=1, **options)
    net = recipe.build(3, 2, streams=Streams([0, 1], "weights")).double()
    observation, noise = draws(2, 5, 3), Streams([0, 1], "noise")
    laws = net.law(observation, noise=noise)
    assert laws.weights.shape == (2, 5, 2, 51)
    assert torch.allclose(net.mean(observation, noise=noise), laws.mean, atol=1e-6)
    if recipe.normalise:
        assert torch.allclose(laws.total, torch.ones_like(laws.total), atol=1e-6)


def test_positive_weights_are_densities_and_their_logits_are_scaled() -> None:
    observation, noise = torch.ones(1, 1, 3), Streams([0], "noise")
    steep, flat = (
        BellmanReturns(**BLURRED, width=8, depth=1, positive=True, logit_scale=scale)
        .build(3, 2, streams=Streams([0], "w"))
        .law(observation, noise=noise)
        for scale in (100.0, 50.0)
    )
    assert bool((steep.weights > 0).all())
    assert bool((steep.density(torch.linspace(-0.2, 1.2, 57)) >= 0).all())
    ratio = steep.weights.log().diff() / flat.weights.log().diff()
    assert torch.allclose(ratio, torch.full_like(ratio, 2.0), rtol=1e-2)


def test_positive_weights_follow_the_natural_gradient() -> None:
    """The Jacobian of the softmax takes it to the gradient of the loss itself, by differences."""
    net = BellmanReturns(
        **{**BLURRED, "low": -0.1, "high": 1.1}, atoms=21, width=8, depth=1, positive=True, logit_scale=2.0
    ).build(3, 2, streams=Streams([0], "weights"))
    net.double()
    head, pull = 3 * draws(1, 1, 21), draws(1, 1, 21)
    head.requires_grad_()
    (natural,) = torch.autograd.grad(net.distance(head, pull).sum(), head)
    weights = net.weights(head.detach())[0, 0]
    jacobian = 2.0 * (torch.diag(weights) - torch.outer(weights, weights))
    step = 1e-5 * torch.eye(21, dtype=torch.float64).unsqueeze(1).unsqueeze(1)
    ends = [torch.stack([net.distance(head.detach() + sign * one, pull) for one in step]) for sign in (1, -1)]
    slope = (ends[0] - ends[1]).flatten() / 2e-5
    torch.testing.assert_close(jacobian @ natural[0, 0], slope, rtol=1e-5, atol=1e-8)


def test_sharp_laws_are_the_blurred_ones_without_their_blur() -> None:
    nets = [
        BellmanReturns(**{**BLURRED, "sharp": sharp}, width=8, depth=1).build(3, 2, streams=Streams([0], "w"))
        for sharp in (False, True)
    ]
    blurred, sharp = (net.law(torch.ones(1, 1, 3), noise=Streams([0], "noise")) for net in nets)
    grid = torch.linspace(-0.2, 1.2, 57)
    assert torch.allclose(sharp.density(grid, blurred.bandwidth), blurred.density(grid), atol=1e-5)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"atoms": 1}, "atoms is 1"),
        ({"low": 0.5, "high": 0.4}, "range 0.5 to 0.4"),
        ({"overlap": 0.0}, "overlap"),
        ({"density_weight": 0.0}, "one to be positive"),
        ({"gradient_weight": -1.0}, "gradient_weight is -1.0; expected a number of at least 0"),
        ({"cdf_weight": 1.0, "normalise": False}, "normalise=True"),
        ({"whiten": 0.0}, "whiten is 0.0"),
        ({"positive": True, "normalise": False}, "sums to one"),
        ({"logit_scale": 0.0}, "logit_scale is 0.0"),
        ({"sharp": True, "preserve": False}, "preserve=True"),
        ({"learning_rate": 0.0}, "learning_rate is 0.0"),
    ],
)
def test_bad_options_are_refused(options, named: str) -> None:
    with pytest.raises(ConfigurationError, match=named):
        BellmanReturns(**options)
