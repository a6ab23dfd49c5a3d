"""Value networks: the gradient by hand against autograd, invariance, what knows of the step and what does not."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from phys_samplers.errors import ConfigurationError
from phys_samplers.fields import make_field, replica
from phys_samplers.fields.stacked import ACTIVATIONS, MLP, StackedMLP
from phys_samplers.options import make_part, part_options
from phys_samplers.randomness import Streams, make_generator
from phys_samplers.target import Target
from phys_value_gradient import fields
from phys_value_gradient.fields import (
    ValueDistances,
    ValueEnvironments,
    ValueField,
    ValueFourierMLP,
    ValueInverseDistances,
    ValueMLP,
    ValueNetwork,
)
from phys_value_gradient.layers import SLOPED, sloped_activation

SPECS = (ValueMLP, ValueFourierMLP, ValueDistances, ValueInverseDistances, ValueEnvironments)
INVARIANT = (ValueDistances, ValueInverseDistances, ValueEnvironments)
STEPS, ROWS = 5, 23


class Particles:
    """A law of n particles in m dimensions on the subspace of centred configurations."""

    def __init__(self, n: int, m: int) -> None:
        self.particles, self.event_shape = (n, m), (n * m,)
        mixed = torch.randn(n, n - 1, generator=make_generator(0, "subspace", n), dtype=torch.float64)
        basis = torch.linalg.qr(torch.cat((torch.ones(n, 1, dtype=torch.float64), mixed), 1)).Q[:, 1:].T
        self.subspace = torch.kron(basis, torch.eye(m, dtype=torch.float64))

    def log_prob(self, x: Tensor) -> Tensor:
        return -x.square().sum(1)


def particles(n: int = 4, m: int = 2) -> Target:
    return Target(event_shape=(n * m,), name="particles", law=Particles(n, m))


def built(spec: ValueField, *, replicas: int = 1, target: Target | None = None, steps: int = STEPS) -> ValueNetwork:
    """The network in double precision, its parameters moved away from where steps are equal."""
    target = particles() if target is None else target
    dim = target.dim if target.subspace is None else len(target.subspace)
    made = spec.build_value(dim, steps, streams=Streams(range(replicas), "values"), target=target).double()
    with torch.no_grad():
        for index, parameter in enumerate(made.parameters()):
            shift = Streams(range(replicas), "shift", index).normal(*parameter.shape[1:], dtype=torch.float64)
            parameter.add_(shift, alpha=0.2)
    return made


def states(*shape: int) -> Tensor:
    return 1.5 * torch.randn(*shape, generator=make_generator(1, "states"), dtype=torch.float64)


def steps_of(rows: int) -> Tensor:
    return torch.randint(STEPS, (rows,), generator=make_generator(2, "steps"))


def by_autograd(net: ValueNetwork, z: Tensor, t: Tensor | int) -> tuple[Tensor, Tensor]:
    z = z.clone().requires_grad_()
    value = net(z, t)
    (gradient,) = torch.autograd.grad(value.sum(), z)
    return value.detach(), gradient


@pytest.mark.parametrize("shared", [True, False], ids=["one step", "a step a row"])
@pytest.mark.parametrize("replicas", [1, 3])
@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("spec", SPECS)
def test_the_gradient_by_hand_is_that_of_autograd(
    spec: type[ValueField], name: str, depth: int, replicas: int, shared: bool
) -> None:
    net = built(spec(width=11, depth=depth, activation=name), replicas=replicas)
    z, t = states(replicas, ROWS, 6), 3 if shared else steps_of(ROWS)
    value, gradient = net.value_and_gradient(z, t)
    expected_value, expected = by_autograd(net, z, t)
    assert value.shape == (replicas, ROWS)
    assert gradient.shape == z.shape
    torch.testing.assert_close(value, expected_value, rtol=0, atol=1e-10)
    torch.testing.assert_close(gradient, expected, rtol=0, atol=1e-10)
    assert expected.abs().max() > 1e-3, "a gradient of zero would prove nothing"


@pytest.mark.parametrize("spec", SPECS)
def test_chunks_leave_the_result_as_it_is(spec: type[ValueField], monkeypatch: pytest.MonkeyPatch) -> None:
    net = built(spec(width=11), replicas=2)
    z, t = states(2, 70, 6), steps_of(70)
    whole = net.value_and_gradient(z, t), net.value_and_gradient(z, 1)
    monkeypatch.setattr(fields, "CHUNK", 2 * 11 * 33)  # 33, 33 and 4 rows
    parts = net.value_and_gradient(z, t), net.value_and_gradient(z, 1)
    for one, other in zip(whole, parts, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-13)
    with torch.no_grad():
        values = net(z, t)
    assert torch.equal(values, parts[0][0])
    torch.testing.assert_close(values, net(z, t).detach(), rtol=0, atol=1e-13)


@pytest.mark.parametrize("spec", SPECS)
def test_no_graph_is_made_and_states_are_left_alone(spec: type[ValueField]) -> None:
    net = built(spec(width=11))
    z = states(1, ROWS, 6).requires_grad_()
    before = z.detach().clone()
    value, gradient = net.value_and_gradient(z, 2)
    assert value.grad_fn is None
    assert gradient.grad_fn is None
    assert not value.requires_grad
    assert not gradient.requires_grad
    assert torch.equal(z, before)
    assert gradient.data_ptr() != z.data_ptr()


@pytest.mark.parametrize("spec", SPECS)
def test_an_empty_batch_has_no_values(spec: type[ValueField]) -> None:
    value, gradient = built(spec(width=3), replicas=2).value_and_gradient(states(2, 0, 6), 0)
    assert value.shape == (2, 0)
    assert gradient.shape == (2, 0, 6)


@pytest.mark.parametrize("spec", SPECS)
def test_gradients_in_the_parameters_are_finite_and_reach_all(spec: type[ValueField]) -> None:
    net = built(spec(width=11), replicas=2)
    z = states(2, STEPS * 4, 6)
    z[:, :2] = 0.0  # particles that coincide
    net(z, torch.arange(STEPS).repeat_interleave(4)).square().mean().backward()
    for label, parameter in net.named_parameters():
        assert parameter.grad is not None, label
        assert torch.isfinite(parameter.grad).all(), label
        assert parameter.grad.flatten(1).norm(dim=1).min() > 0, label


@pytest.mark.parametrize("spec", SPECS)
def test_a_replica_is_the_network_of_its_own_seed(spec: type[ValueField]) -> None:
    target, field = particles(), spec(width=11)
    stack = field.build_value(6, STEPS, streams=Streams([3, 8], "values"), target=target)
    alone = field.build_value(6, STEPS, streams=Streams([8], "values"), target=target)
    assert all(len(tensor) == 2 for tensor in (*stack.parameters(), *stack.buffers()))
    z, t = states(2, ROWS, 6).float(), steps_of(ROWS)
    torch.testing.assert_close(stack(z, t)[1:], alone(z[1:], t))
    torch.testing.assert_close(stack(z, t)[1:], replica(stack, 1)(z[1:], t))


@pytest.mark.parametrize("spec", SPECS)
def test_rows_with_steps_of_their_own_are_those_of_single_steps(spec: type[ValueField]) -> None:
    net = built(spec(width=11), replicas=2)
    z = states(2, ROWS, 6)
    for t in range(STEPS):
        torch.testing.assert_close(net(z, t), net(z, torch.full((ROWS,), t)), rtol=0, atol=1e-13)
    assert (net(z, 0) - net(z, 1)).abs().min() > 0


@pytest.mark.parametrize("depth", [1, 3])
def test_biases_of_each_step_make_separate_networks(depth: int) -> None:
    """At step t the network is the plain perceptron with row t of every table as its biases."""
    net = built(ValueMLP(width=11, depth=depth), replicas=2)
    z = states(2, ROWS, 6)
    plain = MLP(width=11, depth=depth).build(6, 1, streams=Streams([0, 1], "plain")).double()
    assert isinstance(plain, StackedMLP)
    for t in range(STEPS):
        with torch.no_grad():
            for layer, weight, table in zip(plain.hidden, net.weights, net.time.tables, strict=True):
                layer.weight.copy_(weight)
                layer.bias.copy_(table[:, t : t + 1])
            plain.out.weight.copy_(net.head)
            plain.out.bias.copy_(net.offset[:, t : t + 1])
        torch.testing.assert_close(net(z, t), plain(z).squeeze(-1), rtol=0, atol=1e-13)


@pytest.mark.parametrize("time_width", [None, 8])
def test_all_steps_are_near_each_other_at_first(time_width: int | None) -> None:
    """With tables they are equal, so that values of one step are a start for those of the next."""
    net = ValueMLP(width=32, time_width=time_width).build_value(
        2, STEPS, streams=Streams([0], "values"), target=particles()
    )
    z = states(1, ROWS, 2).float()
    values = torch.stack([net(z, t) for t in range(STEPS)])
    if time_width is None:
        assert (values == values[:1]).all()
    assert values.abs().max() < 1.0


def transformed(target: Target, z: Tensor, what: str) -> Tensor:
    """Coordinates of the configurations after a rotation, reflection, permutation or translation."""
    n, m = target.law.particles
    x = (z @ target.law.subspace).unflatten(-1, (n, m))
    if what in ("rotation", "reflection"):
        turn = torch.linalg.qr(states(m, m)).Q
        turn[:, 0] *= torch.det(turn) * (1.0 if what == "rotation" else -1.0)
        x = x @ turn
    elif what == "permutation":
        x = x[..., torch.randperm(n, generator=make_generator(3, "order")), :]
    else:
        x = x + states(m)
    return x.flatten(-2)


@pytest.mark.parametrize("what", ["rotation", "reflection", "permutation", "translation"])
@pytest.mark.parametrize(("n", "m"), [(4, 2), (5, 3)])
@pytest.mark.parametrize("spec", INVARIANT)
def test_values_of_particles_are_invariant(spec: type[ValueField], n: int, m: int, what: str) -> None:
    target = particles(n, m)
    net = built(spec(width=16), target=target)
    z = states(1, ROWS, (n - 1) * m)
    if what == "translation":  # leaves the subspace, so that the network sees x itself
        whole = Target(event_shape=(n * m,), law=Whole(n, m))
        net = built(spec(width=16), target=whole)
        z, moved = z @ target.law.subspace, transformed(target, z, what)
    else:
        moved = transformed(target, z, what) @ target.law.subspace.T
    assert (moved - z).abs().max() > 0.1
    torch.testing.assert_close(net(moved, 1), net(z, 1), rtol=0, atol=1e-12)
    torch.testing.assert_close(net.value_and_gradient(moved, 1)[0], net(z, 1).detach(), rtol=0, atol=1e-12)


class Whole:
    """Particles that are not kept centred."""

    def __init__(self, n: int, m: int) -> None:
        self.particles, self.event_shape = (n, m), (n * m,)


def test_distances_and_inverse_distances_are_those_of_the_definition() -> None:
    target = particles(3, 2)
    x = torch.tensor([[[0.0, 0.0], [3.0, 4.0], [0.0, 1.0]]], dtype=torch.float64)
    z = (x - x.mean(1, keepdim=True)).flatten(1).unsqueeze(0) @ target.law.subspace.T
    lengths = torch.tensor([2.0, 19.0, 26.0], dtype=torch.float64).sqrt()  # d² + 1, rising
    for spec, expected in ((ValueDistances, lengths), (ValueInverseDistances, 1 / lengths)):
        torch.testing.assert_close(built(spec(width=3), target=target).features(z, 0)[0, 0], expected)


@pytest.mark.parametrize("spec", INVARIANT)
def test_particles_that_coincide_have_finite_gradients(spec: type[ValueField]) -> None:
    net = built(spec(width=16))
    together = states(1, ROWS, 6)
    together[0, 0] = 0.0
    x = (together @ particles().law.subspace).unflatten(-1, (4, 2))
    x[0, 1, 1] = x[0, 1, 0]
    together = (x - x.mean(-2, keepdim=True)).flatten(-2) @ particles().law.subspace.T
    value, gradient = net.value_and_gradient(together, 1)
    assert torch.isfinite(value).all()
    assert torch.isfinite(gradient).all()
    assert gradient[0, 0].abs().max() < 1e-12, "all particles at one point pull in no direction"
    torch.testing.assert_close(gradient, by_autograd(net, together, 1)[1], rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", SLOPED)
def test_activations_and_their_slopes(name: str) -> None:
    h = torch.cat((torch.linspace(-30, 19.9, 400, dtype=torch.float64), torch.tensor([0.0, -80.0]).double()))
    h.requires_grad_()
    expected = ACTIVATIONS[name](h)
    (slope,) = torch.autograd.grad(expected.sum(), h)
    value, found = h.detach().clone(), torch.empty_like(h)
    sloped_activation(name)(value, found)
    torch.testing.assert_close(value, expected.detach(), rtol=0, atol=1e-12)
    torch.testing.assert_close(found, slope, rtol=0, atol=1e-12)


def test_every_activation_has_a_slope() -> None:
    assert SLOPED.keys() == ACTIVATIONS.keys()


@pytest.mark.parametrize(
    "name", ["value-mlp", "value-fourier-mlp", "value-distances", "value-inverse-distances", "value-environments"]
)
def test_the_networks_are_components(name: str) -> None:
    field = make_field(name, width=9, depth=2)
    assert isinstance(field, ValueField)
    assert (field.width, field.depth) == (9, 2)
    assert make_part("field", part_options(field)) == field
    with pytest.raises(ConfigurationError, match="value gradient sampler"):
        field.build(2, 2, streams=Streams([0]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width": 0}, "width is 0"),
        ({"activation": "step"}, "activation is 'step'"),
        ({"input_gain": 0.0}, "input_gain is 0.0"),
        ({"time_width": 3}, "time_width is 3"),
    ],
)
def test_bad_options_are_named(options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        ValueMLP(**options)


def test_what_does_not_fit_is_an_error() -> None:
    plain = Target(event_shape=(6,), name="plain", law=None)
    streams = Streams([0])
    with pytest.raises(ConfigurationError, match="names none"):
        ValueDistances().build_value(6, 3, streams=streams, target=plain)
    with pytest.raises(ConfigurationError, match="dim is 5"):
        ValueDistances().build_value(5, 3, streams=streams, target=particles())
    with pytest.raises(ConfigurationError, match="have 7 coordinates"):
        ValueDistances().build_value(7, 3, streams=streams, target=Target(event_shape=(7,), law=Whole(4, 2)))
    with pytest.raises(ConfigurationError, match="steps 0"):
        ValueMLP().build_value(2, 0, streams=streams, target=plain)
    net = ValueMLP().build_value(6, 3, streams=streams, target=plain)
    for t in (-1, 3):
        with pytest.raises(ConfigurationError, match=f"t is {t}"):
            net.value_and_gradient(torch.zeros(1, 2, 6), t)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("spec", SPECS)
def test_a_gpu_gives_the_same(spec: type[ValueField]) -> None:
    net = built(spec(width=11), replicas=2)
    z = states(2, ROWS, 6)
    expected = net.value_and_gradient(z, 1)
    found = net.cuda().value_and_gradient(z.cuda(), 1)
    for one, other in zip(expected, found, strict=True):
        torch.testing.assert_close(one, other.cpu(), rtol=0, atol=1e-10)
