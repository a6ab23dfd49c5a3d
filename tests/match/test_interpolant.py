"""Walks along interpolants: weights that are exact at every step, residuals that vanish at the solution."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from phys_match.interpolant import Interpolant, piloted, walk, work
from phys_match.nets import TimedDrift, residual
from phys_match.tangents import basis, divergence, with_tangents
from phys_samplers import Density, make
from phys_samplers.fields import make_field
from phys_samplers.laws import GaussianMixture
from phys_samplers.paths import UnitDensity
from phys_samplers.randomness import Streams
from phys_samplers.sampler import Model
from phys_samplers.target import Target

LOG_Z = 0.7
MEAN, STD = torch.tensor([0.6, -0.3]), 0.5
GAUSSIAN = Density(
    lambda x: LOG_Z - 0.5 * ((x - MEAN) / STD).square().sum(-1) - math.log(2 * math.pi * STD**2), event_shape=(2,)
)
MODES = GaussianMixture([[-1.0, 0.0], [1.0, 0.0]], [0.05, 0.05], [0.7, 0.3])


def course_of(steps: int, target: Target = GAUSSIAN, std: float = 1.0) -> Interpolant:
    """Equal steps of β, Langevin moves as long as they are fit for the narrow end."""
    even = torch.linspace(0, 1, steps + 1, dtype=torch.float64)
    return Interpolant(UnitDensity(target, 1.0), std, even, torch.full_like(even, 2.0 / steps), torch.zeros_like(even))


class Still(nn.Module):
    """b = 0."""

    def displacement(self, k: float, x: Tensor, steps: int) -> Tensor:
        return torch.zeros_like(x)

    def with_log_det(self, k: float, x: Tensor, steps: int) -> tuple[Tensor, Tensor]:
        return torch.zeros_like(x), torch.zeros_like(x[..., 0])


class Exact(nn.Module):
    """What carries N(0, I) to N(m, s² I) along π_β: their precisions and their precisions times means mix."""

    def field(self, k: float, x: Tensor, steps: int) -> tuple[Tensor, Tensor, Tensor]:
        """Mean, relative rate of the standard deviation, rate of the mean, at β = k/K."""
        beta, precision = k / steps, 1 / STD**2
        total = 1 + beta * (precision - 1)
        mean = beta * precision * MEAN.to(x) / total
        rate = precision * MEAN.to(x) / total**2
        return mean, x.new_tensor(-0.5 * (precision - 1) / total), rate

    def displacement(self, k: float, x: Tensor, steps: int) -> Tensor:
        mean, growth, rate = self.field(k, x, steps)
        return (rate + growth * (x - mean)) / steps

    def with_log_det(self, k: float, x: Tensor, steps: int) -> tuple[Tensor, Tensor]:
        growth = self.field(k, x, steps)[1]
        return self.displacement(k, x, steps), torch.full_like(x[..., 0], 2 * math.log1p(float(growth) / steps))


@pytest.mark.parametrize("field", ["mlp", "residual-mlp", "fourier-mlp[activation=tanh]"])
def test_tangents_are_those_of_autograd(field: str) -> None:
    network = make_field(field, width=16, depth=3).build(3, 3, streams=Streams([0, 1], "w"), conditioned=True)
    network = network.double()
    streams = Streams([0, 1], "x")
    x, t = streams.normal(5, 3, dtype=torch.float64), streams.uniform(5, dtype=torch.float64)
    values, along = with_tangents(network, x, t, basis(x))
    torch.testing.assert_close(values, network(x, t))
    jacobian = torch.autograd.functional.jacobian(lambda y: network(y, t).sum(1), x)  # (R, O, R, N, D)
    exact = torch.stack([jacobian[r, :, r] for r in range(2)])  # (R, O, N, D)
    torch.testing.assert_close(along.permute(1, 3, 2, 0), exact)
    _, spreading = divergence(network, x, t)
    torch.testing.assert_close(spreading, torch.einsum("rini->rn", exact))
    signs = (torch.rand(4_000, 2, 5, 3, generator=torch.Generator().manual_seed(0)) - 0.5).sign().double()
    _, estimated = divergence(network, x, t, signs)
    off = exact - torch.diag_embed(exact.diagonal(dim1=1, dim2=3)).permute(0, 2, 1, 3)
    error = (off + off.transpose(1, 3)).square().sum((1, 3)).div(2 * 4_000).sqrt()
    assert ((estimated - spreading).abs() < 5 * error).all()


class Random(TimedDrift):
    """A drift that nobody trained, one for all runs."""

    def __init__(self) -> None:
        field = make_field("fourier-mlp", width=16, depth=2)
        network = field.build(2, 2, streams=Streams([0], "weights"), conditioned=True, out_gain=0.5)
        super().__init__(network, torch.zeros(6), 1)
        self.requires_grad_(False)

    def displacement(self, k: float, x: Tensor, steps: int) -> Tensor:
        return super().displacement(k, x.reshape(1, -1, 2), steps).view(x.shape)

    def with_log_det(self, k: float, x: Tensor, steps: int) -> tuple[Tensor, Tensor]:
        moved, log_det = super().with_log_det(k, x.reshape(1, -1, 2), steps)
        return moved.view(x.shape), log_det.view(x.shape[:-1])


@pytest.mark.parametrize("diffusion", [0.0, 0.3])
@pytest.mark.parametrize("least", [None, 0.9])
def test_weights_are_unbiased_for_a_random_drift(diffusion: float, least: float | None) -> None:
    """E[w] = Z at six steps, with and without resampling, over 400 runs of 100 paths.

    Five standard errors, of which one is below 2 %.
    """
    course, drift, streams = course_of(6), Random(), Streams([0], "noise")
    start, noise = streams.normal(40_000, 2), streams.normal(6, 40_000, 2)
    runs = start.view(400, 100, 2), noise.view(6, 400, 100, 2).transpose(0, 1)
    seen = walk(
        course,
        drift,
        runs[0],
        runs[1] if diffusion else None,
        diffusion=diffusion,
        uniform=streams.uniform(6, 400)[0].T,
        least=least,
    )
    estimates = (seen.log_weights.double() - LOG_Z).exp().mean(1)
    error = float(estimates.std()) / 20
    assert error < 0.02
    assert abs(float(estimates.mean()) - 1) < 5 * error
    assert least is None or float(seen.times.mean()) > 1


def test_without_a_drift_walks_are_unadjusted_annealed_importance_sampling() -> None:
    """An independent loop of the same kernels: normal densities of torch, β by β."""
    course, streams = course_of(5), Streams([0], "noise")
    seen = walk(course, Still(), streams.normal(7, 2), streams.normal(5, 7, 2), diffusion=0.4)
    path, prior = seen.states[0], torch.distributions.Normal(0.0, 1.0)
    expected = GAUSSIAN.log_prob(path[-1]) - prior.log_prob(path[0]).sum(-1)
    for k in range(5):
        beta, length = (k + 1) / 5, 0.4 * 2.0 / 5

        def kernel(x: Tensor, beta: float = beta, length: float = length) -> torch.distributions.Normal:
            return torch.distributions.Normal(
                x + length * ((1 - beta) * -x + beta * GAUSSIAN.score(x)), math.sqrt(2 * length)
            )

        expected += kernel(path[k + 1]).log_prob(path[k]).sum(-1) - kernel(path[k]).log_prob(path[k + 1]).sum(-1)
    torch.testing.assert_close(seen.log_weights[0], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("diffusion", "order"), [(0.0, 1.0), (0.1, 0.5)])
def test_with_the_exact_drift_the_spread_of_weights_falls_with_the_step(diffusion: float, order: float) -> None:
    """std log w = O(K^−order) for a moving Gaussian: quarter steps leave 4^−order of it, within 20 %."""
    spreads = []
    for steps in (32, 128):
        streams = Streams([0], "noise")
        noise = streams.normal(steps, 3_000, 2) if diffusion else None
        seen = walk(course_of(steps), Exact(), streams.normal(3_000, 2), noise, diffusion=diffusion)
        spreads.append(float(seen.log_weights.std()))
        assert float(seen.log_weights.mean()) == pytest.approx(LOG_Z, abs=0.1)
    assert spreads[1] / spreads[0] < 1.2 * 4**-order
    assert spreads[0] < 0.4


def test_weights_of_continuous_time_are_off_by_the_step() -> None:
    """log Ẑ of e^A with b = 0 on a Gaussian: its bias falls like 1/K, by kernels there is none."""
    biases = []
    for steps in (8, 32):
        streams, course = Streams([0], "noise"), course_of(steps)
        seen = walk(course, Still(), streams.normal(20_000, 2), streams.normal(steps, 20_000, 2), diffusion=0.4)
        rates = torch.zeros(1, steps, 20_000)
        biases.append(float(work(course, Still(), seen, rates)[0].logsumexp(0)) - math.log(20_000) - LOG_Z)
        assert float(seen.log_weights[0].logsumexp(0)) - math.log(20_000) == pytest.approx(LOG_Z, abs=0.05)
    assert abs(biases[0]) > 0.05
    assert 0.15 < biases[1] / biases[0] < 0.4


def test_the_residual_vanishes_at_the_exact_solution() -> None:
    """With the drift above and F = d log Z_β/dβ, at any state; with a drift that is off it does not."""
    course, exact = course_of(8), Exact()

    class Network(nn.Module):
        def forward(self, x: Tensor, t: Tensor) -> Tensor:
            rows = [exact.displacement(float(t[0, n]) * 8 + 0.5, x[:, n], 8) * 8 for n in range(x.shape[1])]
            return torch.stack(rows, 1)

    precision = 1 / STD**2
    middle = (torch.arange(8, dtype=torch.float64) + 0.5) / 8
    total = 1 + middle * (precision - 1)
    mean_of = middle.view(-1, 1) * precision * MEAN.double() / total.view(-1, 1)
    # E[log p̃ − log N(0, I)] under N(mean, I/total)
    first = -0.5 * precision * ((mean_of - MEAN).square().sum(-1) + 2 / total) + LOG_Z - math.log(STD**2)
    rates = first + 0.5 * (mean_of.square().sum(-1) + 2 / total)
    drift = TimedDrift(Network(), rates, 1).double()
    x = Streams([0], "x").normal(8, 2, dtype=torch.float64)
    value, score = course.density.both(x)
    k = torch.arange(8).unsqueeze(0)
    found = residual(drift, course, x, value, score, k, None)
    assert float(found.detach().abs().max()) < 1e-4  # F is kept in single precision
    drift.parts.data += 0.1
    assert float(residual(drift, course, x, value, score, k, None).detach().abs().min()) > 1


def test_the_pilot_keeps_the_conditional_effective_size() -> None:
    """Betas rise to one, and energies are those of π_β: of the prior at one end, of the target at the other."""
    density = UnitDensity(GAUSSIAN, 1.0)
    course = piloted(density, 16, std=1.0)
    assert (course.betas.diff() > 0).all()
    assert course.betas[0] == 0
    assert course.betas[-1] == 1
    target = LOG_Z - math.log(STD**2) - 1 + 0.5 * (float(MEAN.square().sum()) + 2 * STD**2)
    assert float(course.energies[-1]) == pytest.approx(target, abs=0.2)
    finer = course.finer(2)
    torch.testing.assert_close(finer.betas[::2], course.betas)
    torch.testing.assert_close(finer.lengths[::2], course.lengths / 2)
    again = piloted(density, 16, std=1.0)
    torch.testing.assert_close(course.betas, again.betas, rtol=0, atol=0)


SMALL: dict[str, Any] = {"width": 24, "depth": 2, "interpolation_steps": 10, "batch_size": 256, "scale": 1.0}


@pytest.mark.parametrize(
    "name", ["nets", pytest.param("pinn", marks=pytest.mark.slow), pytest.param("lfis", marks=pytest.mark.slow)]
)
def test_what_is_learned_beats_the_walk_without_it(name: str) -> None:
    """Two modes of unequal weight: ESS above that of the untrained flow, log Z within five standard errors."""
    target = Density(lambda x: MODES.log_prob(x) + LOG_Z, event_shape=(2,))
    more = (
        {"steps": 60, "particles": 1_024, "interpolation_steps": 20}
        if name == "lfis"
        else {"steps": 300, "walks": 64, "refill_every": 50}
    )
    recipe = make("sampler", name, **{**SMALL, **more})
    draw = recipe.fit(target, seed=0).draw(4_000, seed=1)
    facts = draw.diagnostics
    still = walk(
        piloted(UnitDensity(target, 1.0), 10, std=1.2),
        Still(),
        torch.randn(1, 4_000, 2, generator=torch.Generator().manual_seed(0)),
        None,
        diffusion=0.0,
    ).log_weights
    before = float((2 * still.logsumexp(1) - (2 * still).logsumexp(1)).exp()) / 4_000
    assert facts["ess"] > 2 * before
    assert abs(facts["log_z"] - LOG_Z) < 5 * facts["log_z_std"]
    assert facts["log_z_std"] < 0.05
    assert draw.log_weights is not None
    heavy = float(draw.log_weights.softmax(0) @ (draw.samples[:, 0] < 0).float())
    assert heavy == pytest.approx(0.7, abs=0.06)


@pytest.mark.parametrize("name", ["nets", "pinn", "lfis"])
def test_seeds_of_a_stack_are_those_of_single_fits(name: str) -> None:
    more = (
        {"steps": 3, "particles": 32} if name == "lfis" else {"steps": 8, "walks": 8, "refill_every": 4, "horizon": 0.5}
    )
    recipe = make("sampler", name, **{**SMALL, "interpolation_steps": 3, "batch_size": 16, "probes": 1}, **more)
    _, second = recipe.fit_replicas(GAUSSIAN, seeds=[0, 3])
    assert isinstance(second, Model)
    alone = recipe.fit(GAUSSIAN, seed=3)
    torch.testing.assert_close(second.sample(20, seed=1), alone.sample(20, seed=1), rtol=1e-4, atol=1e-4)
