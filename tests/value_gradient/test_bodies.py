"""Three-body functions: their definition, gradients, invariances; and what replay's pairs of states are."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from phys_samplers.density import FlatDensity
from phys_samplers.laws import LennardJones
from phys_samplers.laws.zero_mean import zero_mean_basis
from phys_samplers.randomness import make_generator
from phys_samplers.target import Density, Target
from phys_value_gradient import ReplaySampler
from phys_value_gradient.bodies import Bodies, count
from phys_value_gradient.features import Differences
from phys_value_gradient.replay import ReplayLoop

CENTRES, WIDTHS = torch.tensor([0.8, 1.4], dtype=torch.float64), torch.tensor([0.5, 0.7], dtype=torch.float64)


def made(particles: int, dims: int) -> tuple[Bodies, Tensor]:
    basis = zero_mean_basis(particles, dims).double()
    return Bodies(Differences((particles, dims), basis, replicas=1)), basis


def draw(name: str, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=make_generator(0, name), dtype=torch.float64)


def by_triples(x: Tensor, weights: Tensor) -> float:
    """Σ w_abl Σ_i Σ_jk g_a(r_ij) g_b(r_ik) (u_ij·u_ik)^l of one configuration (n, m), term by term."""
    total, index = 0.0, 0
    for order in range(3):
        for a in range(2):
            for b in range(a, 2):
                for i in range(len(x)):
                    others = [j for j in range(len(x)) if j != i]
                    for j in others:
                        for k in others:
                            first, second = x[i] - x[j], x[i] - x[k]
                            heights = torch.stack((first.norm(), second.norm())) - CENTRES[[a, b]]
                            cosine = first @ second / (first.norm() * second.norm())
                            bells = (-0.5 * (heights / WIDTHS[[a, b]]).square()).exp().prod()
                            total += float(weights[index] * bells * cosine**order)
                index += 1
    return total


@pytest.mark.parametrize("dims", [2, 3])
def test_functions_are_sums_over_triples(dims: int) -> None:
    bodies, basis = made(4, dims)
    weights, points = draw("weights", count(2)), draw("points", 2, len(basis))
    values, _ = bodies.value_and_gradient(points, weights, CENTRES, WIDTHS)
    for value, x in zip(values, (points @ basis).view(2, 4, dims), strict=True):
        assert float(value) == pytest.approx(by_triples(x, weights), rel=1e-10)


@pytest.mark.parametrize("dims", [2, 3])
def test_gradients_are_those_of_the_values_and_columns_add_up(dims: int) -> None:
    bodies, basis = made(5, dims)
    weights, points, along = draw("weights", count(2)), draw("points", 7, len(basis)), draw("along", 7, len(basis))
    _, gradient = bodies.value_and_gradient(points, weights, CENTRES, WIDTHS)
    up, down = (bodies.value_and_gradient(points + h * along, weights, CENTRES, WIDTHS)[0] for h in (1e-5, -1e-5))
    torch.testing.assert_close((up - down) / 2e-5, (gradient * along).sum(1), rtol=1e-6, atol=1e-6)
    columns = bodies.columns(points, CENTRES, WIDTHS)
    torch.testing.assert_close(torch.einsum("j,jnk->nk", weights, columns), gradient, rtol=1e-9, atol=1e-9)


def test_nothing_changes_when_all_particles_turn_or_swap_places() -> None:
    bodies, basis = made(5, 3)
    weights, x = draw("weights", count(2)), (draw("points", 6, 12) @ basis).view(6, 5, 3)
    turn = torch.linalg.qr(draw("turn", 3, 3))[0]  # of determinant +1 or −1

    def value(x: Tensor) -> Tensor:
        return bodies.value_and_gradient(x.flatten(1) @ basis.T, weights, CENTRES, WIDTHS)[0]

    for other in (x @ turn, -x, x[:, [3, 1, 4, 0, 2]], x + draw("shift", 1, 1, 3)):
        torch.testing.assert_close(value(other), value(x), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("process", ["ve", "vp"])
def test_states_of_a_single_end_give_its_kernel(process: str) -> None:
    """Ends all at x: states are N(a x, b I), whose ∇V^t(z) = (z − a x)/b is fitted exactly, whatever was drawn."""
    target = Density(lambda x: -0.5 * x.square().sum(-1), event_shape=(3,))
    recipe = ReplaySampler(process=process, sampling_steps=5, total_variance=2.0, end_variance=0.1, ridge=1e-7, rows=64)
    learning, end = ReplayLoop(recipe, target, seed=0, device="cpu"), torch.tensor([0.7, -1.2, 2.0])
    assert float(learning.regress(end.repeat(50, 1))) < 1e-4  # the ridge's; the noise itself would leave 1
    z = torch.randn(1, 1, 40, 3, generator=make_generator(0, "z"))
    for t, (a, b) in enumerate(recipe.auxiliary.marginals[:-1]):
        found = learning.landscape.values_and_gradients(z, t)[1]
        torch.testing.assert_close(found, (z - a * end) / b, rtol=2e-3, atol=2e-3 / math.sqrt(b))


def test_a_core_is_finite_where_particles_coincide() -> None:
    law = LennardJones(4).softened(0.8)
    x = torch.zeros(1, 12)
    log_prob, score = law.log_prob_and_score(x)
    assert torch.isfinite(log_prob).all()
    assert torch.equal(score, x)


def test_values_of_a_cluster_with_channels_are_those_of_their_columns() -> None:
    """Seven particles: gradients of the whole landscape add up from columns, and are finite at coinciding particles."""
    law = LennardJones(7)
    target = Target(event_shape=law.event_shape, law=law, name="lj7")
    recipe = ReplaySampler(sampling_steps=3, total_variance=0.5, end_variance=0.01, core=0.8, functions=4, channels=2)
    learning, dim = ReplayLoop(recipe, target, seed=0, device="cpu"), FlatDensity(target).dim
    learning.regress(0.6 * torch.randn(64, dim, generator=make_generator(0, "ends")))
    assert learning.fitted.weights.shape == (3, 2 + 4 + count(2))
    z = torch.randn(9, dim, generator=make_generator(1, "z"))
    for t in range(3):
        gradient = learning.landscape.values_and_gradients(z.view(1, 1, 9, dim), t)[1][0, 0]
        together = (learning.fitted.weights[t].view(-1, 1, 1) * learning.landscape.columns(z, t)).sum(0)
        torch.testing.assert_close(together, gradient, rtol=1e-3, atol=1e-3 * float(gradient.abs().amax()))
    value, gradient = learning.landscape.values_and_gradients(torch.zeros(1, 1, 1, dim), 1)
    assert torch.isfinite(value).all()
    assert torch.isfinite(gradient).all()
