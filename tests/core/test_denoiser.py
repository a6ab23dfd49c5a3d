"""The denoiser's parametrisations: what the network sees, what it has to say, and how the loss weighs it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, get_args

import pytest
import torch
from torch import Tensor, nn

from phys_samplers.denoisers.denoiser import Denoiser, Parametrisation
from phys_samplers.errors import ConfigurationError
from phys_samplers.fields.stacked import MLP, Field
from phys_samplers.randomness import Streams
from phys_samplers.schedules import LinearSchedule

NAMES = get_args(Parametrisation)
each = pytest.mark.parametrize("name", NAMES)
SIGMA = torch.tensor([[0.01, 0.3, 1.0, 4.0, 80.0]], dtype=torch.float64)


class Spoken(nn.Module):
    """A network that says what it is told, and remembers what it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.answer = torch.zeros(())
        self.asked: list[Tensor] = []

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        self.asked = [x, t]
        return self.answer.expand_as(x)


@dataclass(frozen=True, kw_only=True)
class SpokenField(Field):
    def build(self, in_features: int, out_features: int, **options: Any) -> nn.Module:
        assert options["conditioned"]
        return Spoken()


def denoiser(name: str, **options: Any) -> Denoiser:
    return Denoiser(SpokenField(), 3, streams=Streams([0]), parametrisation=name, **options)


def told(module: Denoiser, answer: Tensor, x: Tensor, sigma: Tensor = SIGMA) -> Tensor:
    """D(x, σ) if the network answers so."""
    module.network.answer = answer
    return module(x, sigma)


def pair(sigma_data: float = 1.0) -> tuple[Tensor, Tensor]:
    """Clean samples and noise, (1, 5, 3)."""
    clean = Streams([0], "clean").normal(5, 3, dtype=torch.float64) * sigma_data
    return clean, Streams([0], "noise").normal(5, 3, dtype=torch.float64)


@each
@pytest.mark.parametrize("sigma_data", [0.5, 1.0])
def test_the_network_sees_unit_variance_and_a_quarter_of_log_sigma(name: str, sigma_data: float) -> None:
    module, (clean, noise) = denoiser(name, sigma_data=sigma_data), pair(sigma_data)
    x = clean + SIGMA[..., None] * noise
    module(x, SIGMA)
    seen, time = module.network.asked
    torch.testing.assert_close(seen, x / (SIGMA**2 + sigma_data**2).sqrt()[..., None])
    torch.testing.assert_close(time, SIGMA.log() / 4)


def test_the_network_sees_the_state_of_a_variance_preserving_chain() -> None:
    """x at σ is x_t/√ᾱ at √(1 − ᾱ)/√ᾱ, and c_in x is x_t."""
    schedule, (clean, noise) = LinearSchedule(), pair()
    alpha, sigma = schedule.level(321.0)
    state = alpha * clean + sigma * noise
    module = denoiser("epsilon")
    module(state / alpha, torch.full((1, 5), schedule.ratio(321.0), dtype=torch.float64))
    torch.testing.assert_close(module.network.asked[0], state)


def targets(clean: Tensor, noise: Tensor, sigma_data: float) -> dict[str, Tensor]:
    """What the network has to say for D = x₀, as the papers define it.

    With cos φ = σ_d/√(σ² + σ_d²) = α and sin φ = σ α/σ_d the state of a variance-preserving process, for data over σ_d,
    is z = α x₀/σ_d + sin φ ε; v = α ε − sin φ x₀/σ_d (Salimans & Ho 2022, App. D).
    """
    sigma = SIGMA[..., None]
    angle = torch.atan2(sigma, torch.full_like(sigma, sigma_data))
    velocity = angle.cos() * noise - angle.sin() * clean / sigma_data
    return {"epsilon": noise, "x0": clean / sigma_data, "v": velocity, "edm": -velocity}


@each
@pytest.mark.parametrize("sigma_data", [0.5, 1.0, 3.0])
def test_the_right_answer_gives_the_clean_sample(name: str, sigma_data: float) -> None:
    clean, noise = pair(sigma_data)
    x = clean + SIGMA[..., None] * noise
    answer = targets(clean, noise, sigma_data)[name]
    torch.testing.assert_close(told(denoiser(name, sigma_data=sigma_data), answer, x), clean, rtol=1e-9, atol=1e-9)


def test_v_is_minus_edm() -> None:
    clean, noise = pair()
    x = clean + SIGMA[..., None] * noise
    assert torch.equal(told(denoiser("v"), noise, x), told(denoiser("edm"), -noise, x))


@pytest.mark.parametrize("sigma_data", [0.5, 1.0])
def test_edm_is_table_1_of_its_paper(sigma_data: float) -> None:
    """arXiv:2206.00364, Table 1: c_skip and c_out, read off a network that says 0 and 1."""
    module, one = denoiser("edm", sigma_data=sigma_data), torch.ones(1, 5, 3, dtype=torch.float64)
    total = SIGMA**2 + sigma_data**2
    skip = told(module, 0 * one, one)[..., 0]
    torch.testing.assert_close(skip, sigma_data**2 / total)
    out = told(module, one, 0 * one)[..., 0]
    torch.testing.assert_close(out, SIGMA * sigma_data / total.sqrt())
    # targets of unit variance for Gaussian data: (x₀ − c_skip x)/c_out
    variance = ((1 - skip) ** 2 * sigma_data**2 + skip**2 * SIGMA**2) / out**2
    torch.testing.assert_close(variance, torch.ones_like(variance), rtol=1e-9, atol=0)


@each
@pytest.mark.parametrize("sigma_data", [0.5, 1.0])
def test_the_loss_weighs_the_error_of_the_network_by_one(name: str, sigma_data: float) -> None:
    """w(σ) |D − x₀|² = |F − F*|² at every level; for ``epsilon`` that is L_simple (arXiv:2006.11239, Eq. 14)."""
    clean, noise = pair(sigma_data)
    x = clean + SIGMA[..., None] * noise
    answer = Streams([0], "answer").normal(5, 3, dtype=torch.float64)
    module = denoiser(name, sigma_data=sigma_data)
    weighted = module.loss_weight(SIGMA)[..., None] * (told(module, answer, x) - clean).square()
    error = (answer - targets(clean, noise, sigma_data)[name]).square()
    torch.testing.assert_close(weighted, error, rtol=1e-6, atol=1e-9)


def test_weights_of_edm_are_equation_8_of_its_paper() -> None:
    weight = denoiser("edm", sigma_data=0.5).loss_weight(SIGMA)
    torch.testing.assert_close(weight, (SIGMA**2 + 0.25) / (SIGMA * 0.5) ** 2)


@each
def test_one_level_for_all_particles_and_replicas_of_their_own(name: str) -> None:
    module = Denoiser(MLP(width=8, depth=2), 3, streams=Streams([0, 1]), parametrisation=name)
    x = Streams([0, 1], "x").normal(6, 3)
    level = torch.tensor([[0.3], [2.0]])
    torch.testing.assert_close(module(x, level), module(x, level.expand(2, 6)), rtol=1e-5, atol=1e-6)
    alone = Denoiser(MLP(width=8, depth=2), 3, streams=Streams([1]), parametrisation=name)
    torch.testing.assert_close(module(x, level)[1:], alone(x[1:], level[1:]), rtol=1e-5, atol=1e-6)


def test_an_unknown_parametrisation_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="'noise'; expected one of edm, v, epsilon, x0"):
        denoiser("noise")
