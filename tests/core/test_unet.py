"""The stacked U-Net and its convolution: each replica alone, exact references, sizes, conditioning."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from phys_samplers import make
from phys_samplers.denoisers.denoiser import Denoiser, DenoisingLoss
from phys_samplers.errors import ConfigurationError
from phys_samplers.fields import StackedConv2d, UNet, parameters_per_replica, replica
from phys_samplers.fields.stacked import fold, unfold
from phys_samplers.randomness import Streams, make_generator
from phys_samplers.training import TrainingPlan, train

SEEDS = [4, 1, 9]
SMALL = UNet(width=8, depth=2, frequencies=3)


def build(
    seeds: list[int], field: UNet = SMALL, *, conditioned: bool = True, side: int = 8, out: int = 64
) -> nn.Module:
    dim = field.channels * side**2
    return field.build(dim, out, streams=Streams(seeds, "weights"), conditioned=conditioned)


def inputs(replicas: int, dim: int = 64, batch: int = 5) -> tuple[Tensor, Tensor]:
    generator = make_generator(0, "inputs")
    return torch.randn(replicas, batch, dim, generator=generator), torch.randn(replicas, batch, generator=generator)


class TestConvolution:
    @pytest.mark.parametrize("size", [1, 3, 5])
    def test_it_is_the_convolution_of_each_replica(self, size: int) -> None:
        layer = StackedConv2d(2, 3, size, streams=Streams(SEEDS)).double()
        x = inputs(3, 2 * 36)[0].double().requires_grad_()
        out = unfold(layer(fold(x, 2, 6)), 3)
        rows = [
            functional.conv2d(x[r].reshape(-1, 2, 6, 6), layer.weight[r], layer.bias[r], padding="same").flatten(1)
            for r in range(3)
        ]
        expected = torch.stack(rows)
        torch.testing.assert_close(out, expected, rtol=1e-12, atol=1e-12)
        leaves = (x, layer.weight, layer.bias)
        ours = torch.autograd.grad(out.pow(2).sum(), leaves)
        theirs = torch.autograd.grad(expected.pow(2).sum(), leaves)
        for a, b in zip(ours, theirs, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)

    def test_folding_is_undone_by_unfolding(self) -> None:
        x = inputs(3, 2 * 9)[0]
        image = fold(x, 2, 3)
        assert image.shape == (5, 6, 3, 3)
        # channel 1 of replica 2, row 0, column 2
        assert torch.equal(image[:, 5, 0, 2], x[2, :, 9 + 2])
        assert torch.equal(unfold(image, 3), x)

    def test_initial_weights_are_uniform_within_gain_over_root_inputs(self) -> None:
        layer = StackedConv2d(40, 100, streams=Streams([0]), gain=2.0)
        weight, bound = layer.weight.detach(), 2.0 / math.sqrt(40 * 9)
        # 36,000 weights: their standard deviation a/√3 has a standard error of 0.24 %; the bound is 6 of them
        assert float(weight.abs().max()) <= bound
        assert float(weight.std()) == pytest.approx(bound / math.sqrt(3), rel=0.0145)
        assert float(StackedConv2d(2, 2, streams=Streams([0]), gain=0.0).weight.detach().abs().max()) == 0.0

    def test_even_kernels_are_refused(self) -> None:
        with pytest.raises(ConfigurationError, match="size of the kernel is 2; expected an odd number"):
            StackedConv2d(1, 1, 2, streams=Streams([0]))


class TestReplicas:
    @pytest.mark.parametrize("conditioned", [False, True])
    def test_a_stack_computes_what_its_replicas_compute(self, conditioned: bool) -> None:
        stack = build(SEEDS, conditioned=conditioned)
        x, t = inputs(3)
        together = stack(x, t) if conditioned else stack(x)
        assert together.shape == (3, 5, 64)
        for r, seed in enumerate(SEEDS):
            alone = build([seed], conditioned=conditioned)
            cut = replica(stack, r)
            state = alone.state_dict()
            assert state.keys() == cut.state_dict().keys()
            for name, value in cut.state_dict().items():
                assert torch.equal(value, state[name]), name
            arguments = (x[r : r + 1], t[r : r + 1]) if conditioned else (x[r : r + 1],)
            torch.testing.assert_close(together[r : r + 1], alone(*arguments), rtol=1e-4, atol=1e-5)
            assert torch.equal(cut(*arguments), alone(*arguments))

    def test_training_steps_agree_with_single_runs(self) -> None:
        """Also with weights that are strided views of one matrix, which they are in the training loop."""

        def trained(seeds: list[int]) -> nn.Module:
            rows = inputs(1, batch=40)[0][0]
            module = Denoiser(SMALL, 64, streams=Streams(seeds, "weights"))
            batches, noise = Streams(seeds, "batches"), Streams(seeds, "noise")
            loss = DenoisingLoss(stable_target=False)
            plan = TrainingPlan(steps=8, log_every=4)
            train(module, lambda: loss(module, rows[batches.integers(40, 8)], noise), plan)
            return module

        stack = trained(SEEDS)
        for r, seed in enumerate(SEEDS):
            ours, theirs, initial = replica(stack, r), trained([seed]), Denoiser(SMALL, 64, streams=Streams([seed]))
            for name, value in theirs.state_dict().items():
                torch.testing.assert_close(ours.state_dict()[name], value, rtol=0, atol=1e-4, msg=name)
            moved = [not torch.equal(p, q) for p, q in zip(theirs.parameters(), initial.parameters(), strict=True)]
            assert all(moved)

    def test_views_of_one_matrix_serve_as_weights(self) -> None:
        stack = build(SEEDS)
        x, t = inputs(3)
        expected = stack(x, t)
        for p in stack.parameters():
            wide = torch.zeros(3, p[0].numel() + 7)
            wide[:, 3:-4] = p.detach().flatten(1)
            p.data = wide[:, 3:-4].unflatten(1, p.shape[1:])
        torch.testing.assert_close(stack(x, t), expected)

    def test_equal_seeds_are_equal_networks(self) -> None:
        first, again, other = (build([seed]).state_dict() for seed in (4, 4, 5))
        assert all(torch.equal(first[name], again[name]) for name in first)
        assert not torch.equal(first["enter.weight"], other["enter.weight"])


class TestNetwork:
    def test_gradients_are_finite_differences(self) -> None:
        module = build([0, 3], UNet(width=2, depth=2, frequencies=2), side=3, out=9).double()
        x, t = (v.double() for v in inputs(2, 9, batch=2))
        generator = make_generator(1)
        for p in module.parameters():
            # also where the initial weights are zero
            p.data += 0.1 * torch.randn(p.shape, generator=generator, dtype=torch.float64)
        parameters = [x.requires_grad_(), t.requires_grad_(), *module.parameters()]

        def value() -> Tensor:
            return module(x, t).sin().sum()

        gradients = torch.autograd.grad(value(), parameters)
        for _ in range(3):
            directions = [torch.randn(p.shape, generator=generator, dtype=torch.float64) for p in parameters]
            values = []
            with torch.no_grad():
                for step in (1e-6, -2e-6):
                    torch._foreach_add_(parameters, directions, alpha=step)
                    values.append(float(value()))
                torch._foreach_add_(parameters, directions, alpha=1e-6)
            expected = sum(float((g * d).sum()) for g, d in zip(gradients, directions, strict=True))
            assert (values[0] - values[1]) / 2e-6 == pytest.approx(expected, rel=1e-5, abs=1e-6)

    def test_second_derivatives_exist(self) -> None:
        """Losses on the gradient of a scalar field differentiate twice."""
        module = build(SEEDS, conditioned=False, out=1).double()
        x = inputs(3)[0].double().requires_grad_()
        (gradient,) = torch.autograd.grad(module(x).sum(), x, create_graph=True)
        gradient.square().sum().backward()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in module.parameters() if p.grad is not None)
        assert float(module.enter.weight.grad.abs().max()) > 0

    @pytest.mark.parametrize(
        ("side", "depth", "channels"), [(8, 1, 1), (8, 4, 1), (28, 3, 1), (28, 4, 1), (9, 3, 2), (5, 3, 3), (1, 1, 1)]
    )
    def test_sides_even_and_odd(self, side: int, depth: int, channels: int) -> None:
        dim = channels * side**2
        module = build(SEEDS, UNet(width=3, depth=depth, channels=channels), side=side, out=dim)
        x, t = inputs(3, dim, batch=2)
        out = module(x, t)
        assert out.shape == x.shape
        assert out.isfinite().all()

    def test_rows_are_apart(self) -> None:
        """No row sees another: what a row becomes does not depend on the batch."""
        module = build([0])
        x, t = inputs(1)
        torch.testing.assert_close(module(x, t)[:, 2:3], module(x[:, 2:3], t[:, 2:3]), rtol=1e-4, atol=1e-5)

    def test_every_pixel_sees_every_pixel(self) -> None:
        module = build([0], side=8)
        x = inputs(1, batch=1)[0]
        jacobian = torch.autograd.functional.jacobian(lambda v: module(v, torch.zeros(1, 1)).flatten(), x)
        assert jacobian.view(64, 64).abs().min() > 0

    def test_outputs_that_are_no_images_are_averages_over_pixels(self) -> None:
        module = build(SEEDS, out=3)
        x, t = inputs(3)
        out = module(x, t)
        assert out.shape == (3, 5, 3)
        module.pooled = False
        torch.testing.assert_close(module(x, t).unflatten(-1, (3, 64)).mean(-1), out)

    def test_out_gain_scales_the_last_layer(self) -> None:
        x, t = inputs(1)
        full, small = (SMALL.build(64, 64, streams=Streams([0]), out_gain=gain)(x, t) for gain in (1.0, 0.1))
        torch.testing.assert_close(small, 0.1 * full)

    def test_parameters_per_replica_of_a_small_one(self) -> None:
        """Counted by hand for width 2 and two resolutions of a 4×4 image without time."""
        module = build(SEEDS, UNet(width=2, depth=2), conditioned=False, side=4, out=16)
        enter, place, out = 9 * 2 + 2, 2 * 16, 9 * 2 + 1
        first = up = 2 * (9 * 2 * 2 + 2)
        second = (9 * 2 * 4 + 4) + (9 * 4 * 4 + 4) + (2 * 4 + 4)
        lift = 4 * 2 + 2
        modulation = 2 * ((2 + 2) + (2 + 4) + (2 + 2) + 2)
        assert parameters_per_replica(module) == enter + place + out + first + second + lift + up + modulation

    def test_the_default_is_small(self) -> None:
        assert 60_000 < parameters_per_replica(UNet().build(64, 64, streams=Streams([0]))) < 150_000

    def test_it_is_a_component(self) -> None:
        assert make("field", "unet", width=8, depth=2) == UNet(width=8, depth=2)


class TestConditioning:
    def test_time_changes_the_output(self) -> None:
        module = build(SEEDS)
        x, t = inputs(3)
        assert not torch.allclose(module(x, t), module(x, t + 0.3))

    def test_one_time_for_a_batch_is_that_time_for_every_row(self) -> None:
        module = build(SEEDS)
        x, _ = inputs(3)
        t = torch.tensor([[0.1], [0.2], [0.3]])
        torch.testing.assert_close(module(x, t), module(x, t.expand(3, 5)), rtol=1e-5, atol=1e-6)

    def test_a_conditioned_network_asks_for_time(self) -> None:
        with pytest.raises(ConfigurationError, match="conditioned on time"):
            build([0])(inputs(1)[0])


class TestErrors:
    @pytest.mark.parametrize(("dim", "channels"), [(63, 1), (64, 3), (2, 1)])
    def test_coordinates_that_are_no_square_image(self, dim: int, channels: int) -> None:
        with pytest.raises(ConfigurationError, match=rf"{channels} channel\(s\) is asked for {dim} coordinates"):
            UNet(channels=channels, depth=1).build(dim, dim, streams=Streams([0]))

    def test_images_too_small_for_their_depth(self) -> None:
        with pytest.raises(ConfigurationError, match=r"depth is 5 and the side of the image 8; .* 16 pixels"):
            UNet(depth=5).build(64, 64, streams=Streams([0]))

    @pytest.mark.parametrize(
        "options", [{"width": 0}, {"depth": 0}, {"channels": 0}, {"frequencies": 0}, {"bandwidth": 0.0}]
    )
    def test_options_out_of_range(self, options: dict[str, int]) -> None:
        with pytest.raises(ConfigurationError, match=next(iter(options))):
            UNet(**options)
