"""The loss against exponential families, whose likelihood is known."""

from __future__ import annotations

import pytest
import torch

from phys_energy import contrastive_loss
from phys_samplers.randomness import make_generator

VARIANCE = 0.5


@pytest.mark.parametrize("theta", [0.5, 2.0, 5.0])
def test_gradient_is_that_of_the_negative_log_likelihood(theta: float) -> None:
    """E = ½θx²: −∇_θ E_data[log p_θ] = ½ (E_data[x²] − 1/θ). Here both expectations are exact: x⁻ are ±1/√θ."""
    parameter = torch.tensor(theta, dtype=torch.float64, requires_grad=True)
    data = torch.tensor([[-1.0, 1.0]], dtype=torch.float64) * VARIANCE**0.5
    negatives = torch.tensor([[-1.0, 1.0]], dtype=torch.float64) / theta**0.5
    loss = contrastive_loss(0.5 * parameter * data.square(), 0.5 * parameter * negatives.square())
    (gradient,) = torch.autograd.grad(loss.sum(), parameter)
    assert gradient.item() == pytest.approx(0.5 * (VARIANCE - 1 / theta), abs=1e-12)


def test_exact_negatives_lead_to_the_inverse_variance() -> None:
    """Stochastic descent with draws of N(0, 1/θ). The average of the last 1,000 θ has the standard error of 256,000
    rows, θ √(4/n) = .008; the tolerance is above 6 of them, a false alarm below 1e-8."""
    generator = make_generator(0, "exact negatives")
    theta = torch.tensor(0.5, requires_grad=True)
    kept = []
    for step in range(1_200):
        data = VARIANCE**0.5 * torch.randn(1, 256, generator=generator)
        negatives = torch.randn(1, 256, generator=generator) / theta.detach().sqrt()
        loss = contrastive_loss(0.5 * theta * data.square(), 0.5 * theta * negatives.square())
        (gradient,) = torch.autograd.grad(loss.sum(), theta)
        with torch.no_grad():
            theta -= 0.2 * gradient
        if step >= 200:
            kept.append(theta.item())
    assert sum(kept) / len(kept) == pytest.approx(1 / VARIANCE, abs=0.05)


@pytest.mark.parametrize("gamma", [0.05, 0.5])
def test_squares_bound_a_free_energy(gamma: float) -> None:
    """On a finite space with densities p and q held, E = (q − p)/(2γ(p + q)) minimises the loss, within ±1/(2γ)."""
    p, q = torch.tensor([0.5, 0.4, 0.1, 0.0]), torch.tensor([0.1, 0.4, 0.2, 0.3])
    energy = ((q - p) / (2 * gamma * (p + q))).requires_grad_()
    data, negatives = energy.repeat_interleave((10 * p).int()), energy.repeat_interleave((10 * q).int())
    loss = contrastive_loss(data.unsqueeze(0), negatives.unsqueeze(0), gamma=gamma)
    (gradient,) = torch.autograd.grad(loss.sum(), energy)
    assert gradient.abs().max().item() < 1e-6
    assert energy.abs().max().item() <= 1 / (2 * gamma) + 1e-6


def test_one_loss_per_replica() -> None:
    data, negatives = torch.tensor([[1.0, 3.0], [0.0, 0.0]]), torch.tensor([[1.0], [2.0]])
    assert contrastive_loss(data, negatives).tolist() == [1.0, -2.0]
    assert contrastive_loss(data, negatives, gamma=0.1).tolist() == pytest.approx([1.0 + 0.1 * (5 + 1), -2.0 + 0.4])
