"""FAB's loss and its annealed weights against quadrature on a line, and what the flow learns."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from phys_match.fab import Prioritised, annealed, bootstrap_loss
from phys_samplers import Density, make
from phys_samplers.laws import GaussianMixture
from phys_samplers.paths import UnitDensity
from phys_samplers.randomness import Streams
from phys_samplers.sampler import Model

LOG_Z = 0.4
LAW = GaussianMixture([[-0.8], [0.9]], [0.2, 0.3], [0.6, 0.4])
TARGET = Density(lambda x: LAW.log_prob(x) + LOG_Z, event_shape=(1,))
LINE = torch.linspace(-12, 12, 24_001, dtype=torch.float64)


class Normal:
    """q = N(shift, stretch²), in place of a flow."""

    def __init__(self, shift: Tensor, stretch: Tensor) -> None:
        self.shift, self.stretch = shift, stretch

    def log_prob(self, x: Tensor) -> Tensor:
        return torch.distributions.Normal(self.shift, self.stretch).log_prob(x[..., 0])

    def both(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.log_prob(x), -(x - self.shift) / self.stretch**2


def log_integral(shift: Tensor, stretch: Tensor) -> Tensor:
    """log ∫ p̃²/q by quadrature."""
    log_q = torch.distributions.Normal(shift, stretch).log_prob(LINE)
    log_p = LAW.double().log_prob(LINE.unsqueeze(1)) + LOG_Z
    return torch.trapezoid((2 * log_p - log_q).exp(), LINE).log()


def test_annealed_weights_are_unbiased() -> None:
    """Their mean is ∫ p̃²/q and that of w x is ∫ x p̃²/q, by quadrature.

    Five standard errors, of which one is below 1 %.
    """
    q = Normal(torch.tensor(0.3), torch.tensor(1.3))
    streams, density = Streams([0], "noise"), UnitDensity(TARGET, 1.0)
    x = 0.3 + 1.3 * streams.normal(60_000, 1)
    steps = torch.full((1, 3), math.log(0.2))
    moved, log_weights, rates = annealed(q, density, x, streams, steps, moves=1)
    weights = log_weights[0].double().exp()
    exact = log_integral(torch.tensor(0.3, dtype=torch.float64), torch.tensor(1.3, dtype=torch.float64)).exp()
    error = weights.std() / len(weights) ** 0.5
    assert error < 0.01 * exact
    assert abs(weights.mean() - exact) < 5 * error
    log_q = torch.distributions.Normal(0.3, 1.3).log_prob(LINE)
    log_p = LAW.double().log_prob(LINE.unsqueeze(1)) + LOG_Z
    first = torch.trapezoid(LINE * (2 * log_p - log_q).exp(), LINE)
    seen = weights * moved[0, :, 0].double()
    assert abs(seen.mean() - first) < 5 * seen.std() / len(seen) ** 0.5
    assert ((rates > 0.3) & (rates < 1)).all()
    LAW.float()


def test_the_gradient_of_the_loss_is_that_of_the_divergence() -> None:
    """On points of a grid, drawn in proportion to p̃²/q, against finite differences of log ∫ p̃²/q: seven digits."""
    values = torch.tensor([0.2, 1.2], dtype=torch.float64, requires_grad=True)
    log_q = torch.distributions.Normal(values[0], values[1]).log_prob(LINE)
    log_p = LAW.double().log_prob(LINE.unsqueeze(1)) + LOG_Z
    share = (2 * log_p - log_q.detach()).softmax(0)
    rows = torch.stack([bootstrap_loss(part.view(1, 1), part.detach().view(1, 1), 10.0)[0] for part in log_q[::240]])
    torch.testing.assert_close(rows, -log_q[::240])
    (found,) = torch.autograd.grad((share * -log_q).sum(), values)
    h = 1e-5
    exact = []
    for index in range(2):
        ends = []
        for sign in (1, -1):
            at = values.detach().clone()
            at[index] += sign * h
            ends.append(float(log_integral(at[0], at[1])))
        exact.append((ends[0] - ends[1]) / (2 * h))
    torch.testing.assert_close(found, torch.tensor(exact, dtype=torch.float64), rtol=1e-6, atol=1e-7)
    LAW.float()


def test_the_buffer_draws_by_weight_and_renews() -> None:
    buffer = Prioritised(Streams([0], "buffer"), capacity=8, dim=1)
    x, log_weights = torch.arange(4.0).view(1, 4, 1), torch.tensor([[0.0, 1.0, math.nan, 2.0]])
    buffer.add(x, log_weights, torch.zeros(1, 4))
    drawn, log_old, index = buffer.draw(20_000)
    shares = torch.bincount(index[0], minlength=4) / 20_000
    expected = torch.tensor([0.0, 1.0, -math.inf, 2.0]).softmax(0)
    torch.testing.assert_close(shares, expected, atol=0.02, rtol=0)
    torch.testing.assert_close(drawn[0, :, 0], index[0].float())
    assert not log_old.any()
    buffer.renew(torch.tensor([[3]]), torch.tensor([[0.5]]))
    assert float(buffer.ring.rows[0, 3, 1]) == pytest.approx(1.5)  # p²/q of a q that is higher by e^.5
    assert float(buffer.ring.rows[0, 3, 2]) == pytest.approx(0.5)


SMALL: dict[str, Any] = {"transforms": 2, "width": 16, "walks": 128, "batch_size": 128, "scale": 1.0}


@pytest.mark.slow
def test_a_flow_learns_two_modes_and_seeds_are_apart() -> None:
    pytest.importorskip("zuko", reason="FAB trains flows of zuko, the extra 'flows'")
    law = GaussianMixture([[-1.0, 0.0], [1.0, 0.0]], [0.1, 0.1], [0.7, 0.3])
    target = Density(lambda x: law.log_prob(x) + LOG_Z, event_shape=(2,))
    model = make("sampler", "fab", steps=150, **SMALL).fit(target, seed=0)
    draw = model.draw(4_000, seed=1)
    facts = draw.diagnostics
    assert facts["ess"] > 0.4
    assert abs(facts["log_z"] - LOG_Z) < 5 * facts["log_z_std"]
    assert draw.log_weights is not None
    heavy = float(draw.log_weights.softmax(0) @ (draw.samples[:, 0] < 0).float())
    assert heavy == pytest.approx(0.7, abs=0.06)
    recipe = make("sampler", "fab", steps=4, **SMALL)
    _, second = recipe.fit_replicas(target, seeds=[0, 3])
    assert isinstance(second, Model)
    alone = recipe.fit(target, seed=3)
    torch.testing.assert_close(second.sample(20, seed=1), alone.sample(20, seed=1), rtol=1e-4, atol=1e-4)
