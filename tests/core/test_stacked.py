from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from phys_samplers.denoisers.denoiser import Denoiser
from phys_samplers.errors import ConfigurationError
from phys_samplers.fields import (
    MLP,
    Field,
    FourierMLP,
    ResidualMLP,
    StackedLinear,
    activation,
    parameters_per_replica,
    replica,
)
from phys_samplers.fields.stacked import ACTIVATIONS
from phys_samplers.randomness import Streams, make_generator

SEEDS = [4, 1, 9]
FIELDS = [
    MLP(width=7, depth=2),
    MLP(width=5, depth=1, activation="tanh"),
    ResidualMLP(width=6, depth=3, activation="softplus"),
    FourierMLP(width=6, depth=2, frequencies=3),
    FourierMLP(width=6, depth=2, residual=True, activation="gelu"),
]


def build(field: Field, seeds: list[int], *, conditioned: bool) -> nn.Module:
    return field.build(3, 2, streams=Streams(seeds, "weights"), conditioned=conditioned)


def inputs(replicas: int, batch: int = 11) -> tuple[torch.Tensor, torch.Tensor]:
    generator = make_generator(0, "inputs")
    return torch.randn(replicas, batch, 3, generator=generator), torch.randn(replicas, batch, generator=generator)


@pytest.mark.parametrize("conditioned", [False, True])
@pytest.mark.parametrize("field", FIELDS, ids=repr)
def test_a_stack_computes_what_its_replicas_compute(field: Field, conditioned: bool) -> None:
    stack = build(field, SEEDS, conditioned=conditioned)
    x, t = inputs(3)
    together = stack(x, t) if conditioned else stack(x)
    assert together.shape == (3, 11, 2)
    for r, seed in enumerate(SEEDS):
        alone = build(field, [seed], conditioned=conditioned)
        cut = replica(stack, r)
        state = alone.state_dict()
        assert state.keys() == cut.state_dict().keys()
        for name, value in cut.state_dict().items():
            assert torch.equal(value, state[name]), name
        arguments = (x[r : r + 1], t[r : r + 1]) if conditioned else (x[r : r + 1],)
        torch.testing.assert_close(together[r : r + 1], alone(*arguments), rtol=1e-5, atol=1e-6)
        assert torch.equal(cut(*arguments), alone(*arguments))


def test_a_replica_shares_nothing_with_its_stack() -> None:
    stack = build(FIELDS[3], SEEDS, conditioned=True)
    before = {name: value.clone() for name, value in stack.state_dict().items()}
    cut = replica(stack, 1)
    for tensor in (*cut.parameters(), *cut.buffers()):
        tensor.data.fill_(7.0)
    assert all(torch.equal(value, before[name]) for name, value in stack.state_dict().items())
    # also not the memory of the others, which a view of a slice would keep alive
    assert all(p.untyped_storage().nbytes() == p.numel() * 4 for p in replica(stack, 0).parameters())


def test_stacked_linear_is_the_affine_map_of_each_replica() -> None:
    layer = StackedLinear(3, 2, streams=Streams(SEEDS))
    x, _ = inputs(3)
    expected = torch.einsum("rbi,rio->rbo", x, layer.weight) + layer.bias
    torch.testing.assert_close(layer(x), expected)


def test_initial_weights_are_uniform_within_gain_over_root_inputs() -> None:
    layer = StackedLinear(400, 200, streams=Streams([0]), gain=2.0)
    weight, bound = layer.weight.detach(), 2.0 / math.sqrt(400)
    # 80,000 weights: their standard deviation a/√3 has a standard error of 0.16 %; the bound is 6 of them
    assert float(weight.abs().max()) <= bound
    assert float(weight.std()) == pytest.approx(bound / math.sqrt(3), rel=0.01)
    assert float(StackedLinear(4, 2, streams=Streams([0]), gain=0.0).weight.detach().abs().max()) == 0.0


def test_parameters_per_replica_counts_weights_and_biases() -> None:
    stack = build(MLP(width=7, depth=2), SEEDS, conditioned=False)
    assert parameters_per_replica(stack) == (3 * 7 + 7) + (7 * 7 + 7) + (7 * 2 + 2)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_have_a_gradient_and_go_through_a_network(name: str) -> None:
    stack = build(MLP(width=4, depth=2, activation=name), [0], conditioned=False)
    x = inputs(1)[0].requires_grad_()
    stack(x).sum().backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()


def test_unknown_activations_name_the_known_ones() -> None:
    with pytest.raises(ConfigurationError, match=r"activation is 'swish'; expected one of silu, gelu"):
        activation("swish")
    with pytest.raises(ConfigurationError, match="swish"):
        MLP(activation="swish")


@pytest.mark.parametrize("options", [{"width": 0}, {"depth": 0}])
def test_empty_networks_are_refused(options: dict[str, int]) -> None:
    with pytest.raises(ConfigurationError, match="at least 1"):
        MLP(**options)


class TestConditioning:
    def test_time_changes_the_output(self) -> None:
        for field in FIELDS:
            stack = build(field, SEEDS, conditioned=True)
            x, t = inputs(3)
            assert not torch.allclose(stack(x, t), stack(x, t + 0.3))

    def test_one_time_for_a_batch_is_that_time_for_every_row(self) -> None:
        for field in FIELDS:
            stack = build(field, SEEDS, conditioned=True)
            x, _ = inputs(3)
            t = torch.tensor([[0.1], [0.2], [0.3]])
            torch.testing.assert_close(stack(x, t), stack(x, t.expand(3, 11)))

    def test_a_conditioned_network_asks_for_time(self) -> None:
        with pytest.raises(ConfigurationError, match="conditioned on time"):
            build(FIELDS[3], [0], conditioned=True)(inputs(1)[0])

    def test_fourier_features_are_waves_of_unit_mean_square(self) -> None:
        stack = build(FourierMLP(frequencies=5, bandwidth=2.0), SEEDS, conditioned=True)
        embedding = stack.embedding
        frequency = embedding.frequency
        t = inputs(3)[1]
        features = embedding(t)
        assert features.shape == (3, 11, 10)
        torch.testing.assert_close(features.square().mean(-1), torch.ones(3, 11))
        angle = t[..., None] * frequency
        torch.testing.assert_close(features[..., :5], math.sqrt(2) * angle.cos())
        torch.testing.assert_close(features[..., 5:], math.sqrt(2) * angle.sin())

    def test_frequencies_have_the_bandwidth_and_are_not_trained(self) -> None:
        stack = build(FourierMLP(frequencies=20_000, bandwidth=2.0, width=1, depth=1), [0], conditioned=True)
        cycles = stack.embedding.frequency / (2 * math.pi)
        # 20,000 draws: the standard error of the standard deviation is 0.5 %; the bound is 6 of them
        assert float(cycles.std()) == pytest.approx(2.0, rel=0.03)
        assert "embedding.frequency" not in dict(stack.named_parameters())
        assert "embedding.frequency" in stack.state_dict()


class TestDenoiser:
    def test_it_is_the_identity_as_noise_vanishes(self) -> None:
        denoiser = Denoiser(FourierMLP(), 3, streams=Streams(SEEDS))
        x, _ = inputs(3)
        near = denoiser(x, torch.full((3, 11), 1e-4)).detach()
        # c_skip = 1 − σ²/σ_d² and c_out = σ
        assert float((near - x).abs().max()) < 1e-3
        assert float((near - x).abs().max()) > 0

    def test_it_forgets_its_input_as_noise_takes_over(self) -> None:
        """c_skip → 0 and c_out → σ_d: the network predicts in units of the data."""
        denoiser = Denoiser(FourierMLP(), 3, streams=Streams(SEEDS), sigma_data=0.5)
        x, _ = inputs(3)
        sigma = torch.full((3, 11), 1e6)
        raw = denoiser.network(x / sigma[..., None], 0.25 * sigma.log())
        torch.testing.assert_close(denoiser(x, sigma), 0.5 * raw, rtol=1e-4, atol=1e-6)

    @pytest.mark.parametrize("sigma_data", [0.5, 1.0, 3.0])
    def test_the_formula_at_an_ordinary_level(self, sigma_data: float) -> None:
        denoiser = Denoiser(FourierMLP(), 3, streams=Streams(SEEDS), sigma_data=sigma_data)
        x, t = inputs(3)
        sigma = t.exp()
        s = sigma[..., None]
        total = s**2 + sigma_data**2
        raw = denoiser.network(x / total.sqrt(), 0.25 * sigma.log())
        expected = sigma_data**2 / total * x + s * sigma_data / total.sqrt() * raw
        torch.testing.assert_close(denoiser(x, sigma), expected)

    @pytest.mark.parametrize("sigma_data", [0.5, 1.0, 3.0])
    def test_the_loss_weight_is_the_inverse_square_of_c_out(self, sigma_data: float) -> None:
        denoiser = Denoiser(FourierMLP(), 3, streams=Streams([0]), sigma_data=sigma_data)
        sigma = torch.logspace(-3, 3, 13).unsqueeze(0)
        c_out = sigma * sigma_data / (sigma**2 + sigma_data**2).sqrt()
        torch.testing.assert_close(denoiser.loss_weight(sigma), c_out**-2)

    def test_inputs_of_the_network_have_unit_variance_at_every_level(self) -> None:
        seen = []
        denoiser = Denoiser(FourierMLP(), 1, streams=Streams([0]), sigma_data=2.0)
        denoiser.network.register_forward_pre_hook(lambda module, arguments: seen.append(arguments[0]))
        generator = make_generator(5)
        clean = 2.0 * torch.randn(1, 40_000, 1, generator=generator)
        for level in (0.01, 1.0, 50.0):
            sigma = torch.full((1, 40_000), level)
            denoiser(clean + level * torch.randn(clean.shape, generator=generator), sigma)
        # 40,000 draws: the standard error of a variance is 0.7 %; the bound is 6 of them
        assert [float(x.var()) for x in seen] == pytest.approx([1.0] * 3, rel=0.043)
