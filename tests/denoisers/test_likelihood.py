"""The likelihood by the probability-flow ODE: against closed forms, and against what a density must be."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from phys_samplers import make
from phys_samplers.denoisers import likelihood
from phys_samplers.denoisers.likelihood import Likelihood, LikelihoodFlow, angles, log_likelihood
from phys_samplers.denoisers.sampler import DenoiserModel, DenoiserSampler
from phys_samplers.errors import ConfigurationError, IncompatibleError, MissingCapability
from phys_samplers.integrators import RK4, Dopri5, Heun, Integrator
from phys_samplers.laws import GaussianMixture
from phys_samplers.metric import Scored
from phys_samplers.randomness import make_generator
from phys_samplers.standardise import Standardiser
from phys_samplers.target import Target

LEVELS = (0.004, 80.0)
Density = Callable[[Tensor, float], Tensor]


def wiener(mean: Tensor, covariance: Tensor) -> Callable[[Tensor, float], Tensor]:
    """The posterior mean of N(m, C): m + C (C + λ²)⁻¹ (u − m)."""

    def denoise(u: Tensor, ratio: float) -> Tensor:
        noisy = covariance + ratio**2 * torch.eye(len(mean), dtype=mean.dtype)
        return mean + (u - mean) @ torch.linalg.solve(noisy, covariance)

    return denoise


def mixture_denoiser(law: GaussianMixture) -> Callable[[Tensor, float], Tensor]:
    return lambda u, ratio: u + ratio**2 * law.blurred(ratio**2).score(u)


def mixture_prior(law: GaussianMixture) -> Density:
    return lambda u, ratio: law.blurred(ratio**2).log_prob(u)


def normal_prior(u: Tensor, ratio: float) -> Tensor:
    variance = 1 + ratio**2
    return -0.5 * (u.square().sum(1) / variance + u.shape[1] * math.log(2 * math.pi * variance))


def cauchy_prior(u: Tensor, ratio: float) -> Tensor:
    return -(math.pi * ratio * (1 + (u / ratio).square())).log().sum(1)


def correlated(dim: int) -> tuple[Tensor, Tensor]:
    """Mean and covariance with eigenvalues from 0.05 to 2 in a random basis."""
    generator = make_generator(dim, "covariance")
    basis = torch.linalg.qr(torch.randn(dim, dim, generator=generator, dtype=torch.float64)).Q
    values = torch.logspace(math.log10(0.05), math.log10(2.0), dim, dtype=torch.float64)
    return torch.linspace(-1, 1, dim, dtype=torch.float64), (basis * values) @ basis.T


def points(n: int, mean: Tensor, covariance: Tensor) -> Tensor:
    """Draws of half as much again as the spread of N(m, C)."""
    z = torch.randn(n, len(mean), generator=make_generator(0, "points"), dtype=mean.dtype)
    return mean + 1.5 * z @ torch.linalg.cholesky(covariance).T


def gaussian_answer(
    u: Tensor, mean: Tensor, covariance: Tensor, prior: Density, levels: tuple[float, float] = LEVELS
) -> Tensor:
    """The ODE of N(m, C) stretches the eigendirection of value v by √((v + λ₁²)/(v + λ₀²)), whatever the prior is."""
    values, basis = torch.linalg.eigh(covariance)
    stretch = ((values + levels[1] ** 2) / (values + levels[0] ** 2)).sqrt()
    end = mean + ((u - mean) @ basis * stretch) @ basis.T
    return prior(end, levels[1]) + stretch.log().sum()


def modes(dim: int) -> GaussianMixture:
    """Three modes of unequal width, roughly standardised."""
    means = torch.randn(3, dim, generator=make_generator(dim, "modes"), dtype=torch.float64)
    return GaussianMixture(means, torch.tensor([0.01, 0.05, 0.3]).double(), torch.tensor([0.5, 0.3, 0.2]).double())


def of_mixture(law: GaussianMixture, x: Tensor, integrator: Integrator, steps: int, **options: Any) -> Likelihood:
    prior = mixture_prior(law)
    return log_likelihood(mixture_denoiser(law), prior, x, levels=LEVELS, integrator=integrator, steps=steps, **options)


@pytest.mark.parametrize("prior", [normal_prior, cauchy_prior], ids=["normal", "cauchy"])
@pytest.mark.parametrize("dim", [1, 2, 5])
@pytest.mark.parametrize(
    ("integrator", "steps"), [(RK4(), 32), (Heun(), 512), (Dopri5(), 1)], ids=["rk4", "heun", "dopri5"]
)
def test_gaussians_have_their_density(integrator: Integrator, steps: int, dim: int, prior: Density) -> None:
    mean, covariance = correlated(dim)
    u = points(50, mean, covariance)
    result = log_likelihood(wiener(mean, covariance), prior, u, levels=LEVELS, integrator=integrator, steps=steps)
    torch.testing.assert_close(result.log_prob, gaussian_answer(u, mean, covariance, prior), rtol=0, atol=1e-3)
    assert result.standard_error is None
    if not integrator.adaptive:
        assert result.nfe == steps * (integrator.evaluations_per_step or 0)


def test_single_precision_is_enough() -> None:
    mean, covariance = (part.float() for part in correlated(5))
    u = points(50, mean, covariance)
    result = log_likelihood(wiener(mean, covariance), normal_prior, u, levels=LEVELS, integrator=RK4(), steps=32)
    exact = gaussian_answer(u.double(), mean.double(), covariance.double(), normal_prior)
    assert result.log_prob.dtype == torch.float32
    torch.testing.assert_close(result.log_prob.double(), exact, rtol=0, atol=1e-3)


@pytest.mark.parametrize("dim", [1, 2, pytest.param(5, marks=pytest.mark.slow)])
def test_mixtures_have_their_density(dim: int) -> None:
    """To the accuracy of the grid, worst where modes part: 0.024 nats at a point and 3e-4 in the mean with 32 steps."""
    law = modes(dim)
    clean = law.blurred(LEVELS[0] ** 2)
    x = clean.sample(200, make_generator(0, "x"))
    for steps, worst, mean in ((32, 0.05, 1e-3), (128, 1e-4, 3e-6)):
        error = of_mixture(law, x, RK4(), steps).log_prob - clean.log_prob(x)
        assert float(error.abs().max()) < worst
        assert abs(float(error.mean())) < mean


@pytest.mark.parametrize(("integrator", "steps"), [(Heun(), 128), (RK4(), 48)], ids=["heun", "rk4"])
def test_the_order_is_that_of_the_integrator(integrator: Integrator, steps: int) -> None:
    mean, covariance = correlated(2)
    u = points(20, mean, covariance)
    exact = gaussian_answer(u, mean, covariance, normal_prior)
    run = partial(log_likelihood, wiener(mean, covariance), normal_prior, u, levels=LEVELS, integrator=integrator)
    errors = [float((run(steps=n).log_prob - exact).abs().mean()) for n in (steps, 2 * steps)]
    assert math.log2(errors[0] / errors[1]) == pytest.approx(integrator.order, abs=0.25)


def test_the_grid_has_its_ends_and_equal_steps_of_its_variable() -> None:
    grid = angles(LEVELS, 10)
    ratios = torch.tensor(grid, dtype=torch.float64).tan()
    assert ratios[0] == pytest.approx(LEVELS[0])
    assert ratios[-1] == pytest.approx(LEVELS[1])
    steps = (ratios.sqrt() / (1 + ratios.sqrt())).diff()
    torch.testing.assert_close(steps, steps.mean().expand(10))


def test_random_traces_are_unbiased_and_know_their_error() -> None:
    """20,000 probes at each of 4 points: |error| < 4.5 standard errors, a false alarm in 37,000 runs. One probe spreads
    by 0.2 to 0.8 nats, the standard errors are below 0.01: a bias of a twentieth of that spread would be seen.
    """
    law, probes = modes(5), 20_000
    x = law.sample(4, make_generator(0, "x"))
    exact = of_mixture(law, x, RK4(), 12, divergence="exact").log_prob
    generator = make_generator(0, "probes")
    # one row a probe and point, so that a path costs one row of the network
    rows = x.repeat(probes // 20, 1)
    result = of_mixture(law, rows, RK4(), 12, divergence="hutchinson", probes=20, generator=generator)
    assert result.standard_error is not None
    estimates, errors = (part.view(-1, 4) for part in (result.log_prob, result.standard_error))
    spread = estimates.std(0)
    z = (estimates.mean(0) - exact) / (spread / math.sqrt(len(estimates)))
    assert float(z.abs().max()) < 4.5
    assert float(spread.max()) / math.sqrt(len(estimates)) < 0.01
    # the reported errors are those of the estimates: 1,000 of them give the spread to 2.2 %, with heavy tails to 5 %
    torch.testing.assert_close(errors.square().mean(0).sqrt(), spread, rtol=0.2, atol=0)


def test_one_probe_is_exact_where_coordinates_do_not_mix() -> None:
    mean, variances = torch.zeros(3).double(), torch.tensor([0.1, 1.0, 3.0]).double()
    u = torch.randn(10, 3, generator=make_generator(0, "u"), dtype=torch.float64)
    run = partial(log_likelihood, wiener(mean, variances.diag()), normal_prior, u, levels=LEVELS, integrator=RK4())
    one = run(steps=8, divergence="hutchinson", generator=make_generator(0, "probes"))
    torch.testing.assert_close(one.log_prob, run(steps=8, divergence="exact").log_prob)
    assert one.standard_error is None


@pytest.mark.parametrize("divergence", ["exact", "hutchinson"])
def test_rows_do_not_depend_on_how_they_are_cut(divergence: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    law = modes(2)
    x = law.sample(50, make_generator(0, "x"))
    options = {"divergence": divergence, "probes": 3}
    whole = of_mixture(law, x, RK4(), 4, generator=make_generator(1, "probes"), **options)
    monkeypatch.setattr(likelihood, "ROWS", 7)
    cut = of_mixture(law, x, RK4(), 4, generator=make_generator(1, "probes"), **options)
    torch.testing.assert_close(cut.log_prob, whole.log_prob, rtol=0, atol=1e-12)
    assert cut.nfe == whole.nfe == 16


def test_the_exact_trace_ends_where_it_costs_too_much() -> None:
    def run(dim: int) -> int:
        products = 0

        class Counted(torch.autograd.Function):
            @staticmethod
            def forward(ctx: Any, u: Tensor) -> Tensor:
                return u * 0.5

            @staticmethod
            def backward(ctx: Any, grad: Tensor) -> Tensor:  # type: ignore[override]
                nonlocal products
                products += 1
                return grad * 0.5

        def denoise(u: Tensor, ratio: float) -> Tensor:
            out: Tensor = Counted.apply(u)  # type: ignore[no-untyped-call]
            return out

        log_likelihood(
            denoise, normal_prior, torch.zeros(2, dim), levels=(0.1, 1.0), integrator=Heun(), steps=1,
            generator=make_generator(0, "probes"),
        )  # fmt: skip
        return products

    assert run(32) == 2 * 32
    assert run(33) == 2


class Gaussian(nn.Module):
    """The denoiser of N(m, v I) as a module, with the call of a trained one."""

    def __init__(self, mean: float, variance: float) -> None:
        super().__init__()
        self.mean, self.variance = mean, variance
        self.unused = nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        gain = self.variance / (self.variance + sigma.unsqueeze(-1).square())
        return self.mean + gain * self.unused * (x - self.mean)


def model_of(standardiser: Standardiser, *, kind: type[DenoiserModel] = DenoiserModel, **options: Any) -> DenoiserModel:
    dim = len(standardiser.mean)
    bounds = torch.tensor([[-0.1], [0.1]]).expand(2, dim)
    recipe = DenoiserSampler(schedule={"name": "edm", "sigma_min": 0.05, "sigma_max": 50.0}, **options)
    return kind(recipe, Gaussian(0.2, 0.5), standardiser, bounds, (dim,))


def test_a_model_speaks_of_data_units() -> None:
    mean, scale = torch.tensor([1.0, -20.0, 3.0]), torch.tensor([2.0, 0.1, 30.0])
    model = model_of(Standardiser(mean, scale))
    x = mean + scale * torch.randn(40, 3, generator=make_generator(0, "x"))
    standard = ((x - mean) / scale, torch.full((3,), 0.2), 0.5 * torch.eye(3))
    exact = gaussian_answer(*standard, normal_prior, levels=(0.05, 50.0)) - scale.log().sum()
    found = model.log_prob(x)
    assert found.shape == (40,)
    assert not found.requires_grad
    torch.testing.assert_close(found, exact, rtol=0, atol=1e-3)
    # prior and data agree up to terms of order 1/λ_max: it is the density of the blurred Gaussian
    blurred = torch.distributions.Normal(mean + 0.2 * scale, scale * math.sqrt(0.5 + 0.05**2))
    torch.testing.assert_close(found, blurred.log_prob(x).sum(1), rtol=0, atol=0.05)
    plain = model_of(Standardiser.identity(3)).log_prob((x - mean) / scale)
    torch.testing.assert_close(found, plain - scale.log().sum(), rtol=0, atol=1e-4)
    assert all(parameter.grad is None for parameter in model.module.parameters())


def test_clipping_does_not_enter() -> None:
    x = torch.linspace(-2, 2, 9).unsqueeze(1)
    plain, clipped = (model_of(Standardiser.identity(1), clip=clip).log_prob(x) for clip in (False, True))
    assert torch.equal(plain, clipped)


def test_double_precision_where_the_model_has_it() -> None:
    model = model_of(Standardiser.identity(2))
    model.standardiser = Standardiser(*(part.double() for part in (model.standardiser.mean, model.standardiser.scale)))
    model.module = model.module.double()
    x = torch.randn(5, 2, generator=make_generator(0, "x"), dtype=torch.float64)
    fine = model.log_prob(x, integrator="dopri5[rtol=1e-11,atol=1e-11]")
    assert fine.dtype == torch.float64
    torch.testing.assert_close(model.log_prob(x, steps=256), fine, rtol=0, atol=1e-9)


def test_seeds_decide_random_traces_and_nothing_else() -> None:
    target = Target(event_shape=(6, 6), train=torch.randn(100, 6, 6, generator=make_generator(0, "rows")))
    model: Any = make("sampler", "edm", steps=20, width=16, depth=2).fit(target)
    x = target.train[:5]  # type: ignore[index]
    assert model.log_prob(x, steps=4).shape == (5,)
    assert torch.equal(model.log_prob(x, steps=4, seed=3), model.log_prob(x, steps=4, seed=3))
    assert not torch.equal(model.log_prob(x, steps=4, seed=3), model.log_prob(x, steps=4, seed=4))
    exact = model.log_prob(x, steps=4, seed=3, divergence="exact")
    assert torch.equal(exact, model.log_prob(x, steps=4, seed=4, divergence="exact"))
    several = model.likelihood(x, steps=4, probes=8)
    assert bool(((several.log_prob - exact).abs() < 8 * several.standard_error).all())


@pytest.fixture(scope="module")
def quick() -> Any:
    """A learned law on the line, not a good one."""
    law = GaussianMixture([[-2.0], [2.0]], [0.25, 0.25], [0.3, 0.7])
    target = Target(event_shape=(1,), train=law.sample(2000, make_generator(0, "rows")), law=law)
    return make("sampler", "edm", steps=400, width=32, depth=2).fit(target, seed=0)


def test_a_learned_density_integrates_to_one(quick: Any) -> None:
    grid = torch.linspace(-12, 12, 2001)
    density = quick.log_prob(grid.unsqueeze(1)).double().exp()
    assert float(torch.trapezoid(density, grid)) == pytest.approx(1.0, abs=1e-4)


def test_a_learned_density_is_that_of_the_samples(quick: Any) -> None:
    """Kolmogorov's distance of 20,000 samples of the ODE from the density's integral: above 0.0165, at the level 1e-4,
    for exact samples; 0.005 more for the steps, and for the call that takes the last noise out.
    """
    grid = torch.linspace(-12, 12, 4001)
    density = quick.log_prob(grid.unsqueeze(1)).double().exp()
    cumulative = torch.cumulative_trapezoid(density, grid.double())
    x = quick.sample(20_000, seed=1, integrator="heun", sampling_steps=64).squeeze(1).sort().values
    counts = torch.searchsorted(x, grid[1:]) / len(x)
    assert float((counts - cumulative).abs().max()) < 0.0215


def test_the_metric_takes_it(quick: Any) -> None:
    law = GaussianMixture([[-2.0], [2.0]], [0.25, 0.25], [0.3, 0.7])
    rows = law.sample(2000, make_generator(1, "held out"))
    score = make("metric", "nll")(
        Scored(samples=rows, reference=rows, target=Target(event_shape=(1,)), generator=None, model=quick)
    )
    entropy = -float(law.log_prob(rows).mean())
    assert entropy - 0.01 < score < entropy + 0.1


class Shifted(DenoiserModel):
    """A family that forgot the density of its prior."""

    def prior(self, n: int, generator: torch.Generator, ratio: float) -> Tensor:
        return super().prior(n, generator, ratio) + 1


class Complete(Shifted):
    def prior_log_prob(self, u: Tensor, ratio: float) -> Tensor:
        return cauchy_prior(u, ratio)


def test_another_prior_needs_its_density() -> None:
    x = torch.zeros(3, 1)
    with pytest.raises(MissingCapability, match="Shifted has a prior of its own but no density"):
        model_of(Standardiser.identity(1), kind=Shifted).log_prob(x)
    other = model_of(Standardiser.identity(1), kind=Complete).log_prob(x)
    assert not torch.allclose(other, model_of(Standardiser.identity(1)).log_prob(x))


def test_refusals() -> None:
    model = model_of(Standardiser.identity(2))
    x = torch.zeros(3, 2)
    for options, message in (
        ({"divergence": "exakt"}, "divergence is 'exakt'; expected one of auto, exact, hutchinson"),
        ({"probes": 0}, "probes is 0"),
        ({"probes": 2.0}, r"probes is 2\.0"),
        ({"steps": 0}, "steps is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"integrator": Gaussian(0, 1)}, "integrator is Gaussian"),
    ):
        with pytest.raises(ConfigurationError, match=message):
            model.log_prob(x, **options)  # type: ignore[arg-type]
    for wrong in (torch.zeros(3), torch.zeros(3, 3), torch.zeros(3, 2, 1), torch.full((3, 2), math.nan)):
        with pytest.raises(ConfigurationError, match=r"x has shape .*expected finite points \(B, 2\)"):
            model.log_prob(wrong)
    with pytest.raises(IncompatibleError, match="'edm-heun' needs dynamics with a denoiser"):
        model.log_prob(x, integrator="edm-heun")
    with pytest.raises(ConfigurationError, match="generator is None"):
        log_likelihood(
            model.denoise, normal_prior, x, levels=(0.1, 1), integrator=RK4(), steps=2, divergence="hutchinson"
        )
    with pytest.raises(TypeError, match="no prior"):
        LikelihoodFlow(model.denoise, 2, LEVELS).prior(1, make_generator(0))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_the_gpu() -> None:
    rows = torch.randn(100, 36, generator=make_generator(0, "rows"))
    model: Any = make("sampler", "edm", steps=20, width=16, depth=2).fit(
        Target(event_shape=(36,), train=rows), device="cuda"
    )
    for divergence in ("exact", "hutchinson"):
        values = model.log_prob(rows[:5], steps=4, divergence=divergence)
        assert values.device.type == "cuda"
        assert bool(values.isfinite().all())
