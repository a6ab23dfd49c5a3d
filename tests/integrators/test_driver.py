"""The driver: cost, divergence, refusals, determinism, recording."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from phys_samplers.dynamics import Dynamics, Noise
from phys_samplers.errors import ConfigurationError, DivergenceError, IncompatibleError
from phys_samplers.integrators import (
    RK4,
    SRA1,
    BrownianPath,
    Dopri5,
    Euler,
    EulerMaruyama,
    ExponentialOU,
    Heun,
    Integrator,
    Milstein,
    StochasticHeun,
    integrate,
    uniform,
)
from phys_samplers.randomness import make_generator

FIXED = [EulerMaruyama(), Milstein(), StochasticHeun(), SRA1(), ExponentialOU(), Euler(), Heun(), RK4()]
ODE = [Euler(), Heun(), RK4(), Dopri5()]


def linear(ou: Callable[..., Dynamics], noise: Noise, dim: int = 2) -> Dynamics:
    """dx = −x dt + noise, of any kind."""
    dynamics = ou(rate=1.0, centre=0.0, b=0.5, dim=dim)
    dynamics.noise = noise
    return dynamics


@pytest.mark.parametrize("integrator", FIXED, ids=lambda v: v.name)
def test_cost_is_counted_exactly(ou: Callable[..., Dynamics], integrator: Integrator) -> None:
    """Evaluations are as declared for the most demanding noise that the scheme accepts."""
    for noise, most in (("none", "none"), ("additive", "additive"), ("diagonal", "diagonal")):
        if noise in integrator.accepts:
            demanding = most
    dynamics = linear(ou, demanding)
    dynamics.calls_per_evaluation = 2
    asked = 0
    drift = dynamics.drift

    def watched(x: Tensor, t: float) -> Tensor:
        nonlocal asked
        asked += 1
        return drift(x, t)

    dynamics.drift = watched
    x0 = torch.zeros(5, 2)
    solution = integrate(dynamics, x0, integrator=integrator, grid=uniform(0, 1, 7), generator=make_generator(0, "n"))
    assert solution.steps == 7
    assert solution.nfe == 7 * integrator.evaluations_per_step * 2
    if integrator.name not in ("milstein", "exponential-ou"):  # one asks the diffusion again, one the relaxation
        assert solution.nfe == 2 * asked


@pytest.mark.parametrize("integrator", ODE, ids=lambda v: v.name)
def test_an_ode_scheme_refuses_an_sde(ou: Callable[..., Dynamics], integrator: Integrator) -> None:
    with pytest.raises(IncompatibleError, match=rf"'{integrator.name}'.*OrnsteinUhlenbeck.*'additive'.*sra1") as caught:
        integrate(ou(), torch.zeros(3, 1), integrator=integrator, grid=(0, 1), generator=make_generator(0, "n"))
    assert "rk4" not in str(caught.value).split("Use")[1]


def test_milstein_refuses_isotropic_noise_but_for_one_coordinate(ou: Callable[..., Dynamics]) -> None:
    with pytest.raises(IncompatibleError, match=r"Lévy areas.*euler-maruyama.*stochastic-heun"):
        Milstein().check(linear(ou, "isotropic", dim=2))
    Milstein().check(linear(ou, "isotropic", dim=1))


def test_sra1_refuses_noise_that_depends_on_the_state(ou: Callable[..., Dynamics]) -> None:
    with pytest.raises(IncompatibleError, match=r"'sra1'.*'diagonal'.*additive.*milstein"):
        SRA1().check(linear(ou, "diagonal"))


class NoSplit(Dynamics):
    event_shape = (1,)

    def drift(self, x: Tensor, t: float) -> Tensor:
        return -x

    def prior(self, n: int, generator: torch.Generator) -> Tensor:
        return torch.ones(n, 1)


class SplitsNothing(NoSplit):
    def relaxation(self, x: Tensor, t: float) -> None:
        return None


@pytest.mark.parametrize("dynamics", [NoSplit(), SplitsNothing()], ids=["undefined", "none"])
def test_exponential_ou_refuses_a_drift_without_a_linear_part(dynamics: Dynamics) -> None:
    with pytest.raises(IncompatibleError, match=rf"linear part.*{type(dynamics).__name__}.*euler-maruyama"):
        integrate(dynamics, torch.ones(2, 1), integrator=ExponentialOU(), grid=(0, 1))


@pytest.mark.parametrize("rate", [0.0, 1e-12, 1e-4, 50.0])
def test_exponential_ou_at_extreme_rates(ou: Callable[..., Dynamics], rate: float) -> None:
    """The step tends to Euler-Maruyama as rate·h → 0, and stays finite where rate·h is far beyond Euler's limit."""
    dynamics = ou(rate=rate, centre=2.0, b=1.0)
    x0 = torch.full((4, 1), -1.0, dtype=torch.float64)
    path = BrownianPath((4, 1), uniform(0, 10, 10), make_generator(0, "rate"))
    x = integrate(dynamics, x0, integrator=ExponentialOU(), grid=path.grid, brownian=path).x
    if rate < 1e-3:
        euler = integrate(dynamics, x0, integrator=EulerMaruyama(), grid=path.grid, brownian=path).x
        torch.testing.assert_close(x, euler, rtol=0, atol=100 * rate + 1e-12)
    else:
        stationary = 2.0 + path.dw[-1] / math.sqrt(2 * rate)
        torch.testing.assert_close(x, stationary, rtol=1e-9, atol=0)


def test_exponential_ou_integrates_the_rest_of_the_drift(ou: Callable[..., Dynamics]) -> None:
    """A constant rest shifts the centre by rest/rate: the same path either way."""

    class Shifted(type(ou())):  # type: ignore[misc]
        def relaxation(self, x: Tensor, t: float) -> tuple:
            (rate, centre, _), b = super().relaxation(x, t)
            return type(super().relaxation(x, t)[0])(rate, centre - 1.5, 1.5 * rate.expand_as(x)), b

    path = BrownianPath((4, 1), uniform(0, 3, 5), make_generator(0, "rest"))
    x0 = torch.ones(4, 1, dtype=torch.float64)
    ends = [integrate(d, x0, integrator=ExponentialOU(), grid=path.grid, brownian=path).x for d in (ou(), Shifted())]
    torch.testing.assert_close(*ends, rtol=1e-13, atol=1e-13)


class Runaway(Dynamics):
    """dx/dt = x³: from |x| > 1 Euler's method with h = 1 leaves every bound within a few steps."""

    event_shape = (2,)

    def drift(self, x: Tensor, t: float) -> Tensor:
        return x**3

    def prior(self, n: int, generator: torch.Generator) -> Tensor:
        return torch.zeros(n, 2)


def test_divergence_stops_with_the_number_lost_at_the_next_check() -> None:
    x0 = torch.zeros(10, 2)
    x0[3, 1] = x0[7, 0] = 2.0
    seen: list[tuple[int, int]] = []
    with pytest.raises(DivergenceError, match=r"2 of 10 particles.*step 20 of 100 \(t = 20\).*smaller steps") as caught:
        integrate(
            Runaway(),
            x0,
            integrator=Euler(),
            grid=uniform(0, 100, 100),
            check_every=20,
            progress=lambda done, total: seen.append((done, total)),
        )
    error = caught.value
    assert (error.lost, error.total, error.step) == (2, 10, 20)
    assert seen == []


def test_bound_and_tolerated_losses() -> None:
    x0 = torch.zeros(4, 2)
    x0[0, 0] = 5.0
    x0[1, 1] = math.nan
    with pytest.raises(DivergenceError, match="2 of 4") as caught:
        integrate(Runaway(), x0, integrator=Euler(), grid=(0, 1e-9), bound=4.0)
    assert caught.value.lost == 2
    assert integrate(Runaway(), x0, integrator=Euler(), grid=(0, 1e-9), tolerate=1).lost == 1
    x0[2, 0] = math.inf
    solution = integrate(Runaway(), x0, integrator=Euler(), grid=(0, 1e-9), bound=math.inf, tolerate=2)
    assert solution.lost == 2
    assert float(solution.x[0, 0]) == pytest.approx(5.0)


@pytest.mark.parametrize("integrator", [EulerMaruyama(), StochasticHeun(), SRA1()], ids=lambda v: v.name)
def test_same_seed_same_bits_and_global_state_untouched(ou: Callable[..., Dynamics], integrator: Integrator) -> None:
    x0 = torch.ones(64, 3)
    before, copy = torch.get_rng_state(), x0.clone()

    def run(seed: int) -> Tensor:
        generator = make_generator(seed, "integrate")
        return integrate(ou(dim=3), x0, integrator=integrator, grid=uniform(0, 1, 9), generator=generator).x

    assert torch.equal(run(0), run(0))
    assert not torch.equal(run(0), run(1))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(x0, copy)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("integrator", [*FIXED, Dopri5()], ids=lambda v: v.name)
def test_dtype_is_kept_and_no_graph_is_built(
    ou: Callable[..., Dynamics], integrator: Integrator, dtype: torch.dtype
) -> None:
    dynamics = linear(ou, "none" if integrator.equation == "ode" else "additive")
    x0 = torch.ones(4, 2, dtype=dtype, requires_grad=True)
    solution = integrate(dynamics, x0, integrator=integrator, grid=uniform(0, 1, 5), generator=make_generator(0, "d"))
    assert solution.x.dtype == dtype
    assert not solution.x.requires_grad


class Energy(Dynamics):
    """A drift that is a gradient: it asks autograd for it by itself."""

    event_shape = (2,)

    def drift(self, x: Tensor, t: float) -> Tensor:
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            return torch.autograd.grad(-0.5 * x.square().sum(), x)[0]

    def prior(self, n: int, generator: torch.Generator) -> Tensor:
        return torch.ones(n, 2)


@pytest.mark.parametrize("integrator", [RK4(), Dopri5(rtol=1e-7, atol=1e-7)], ids=lambda v: v.name)
def test_dynamics_may_use_autograd(integrator: Integrator) -> None:
    x = integrate(Energy(), torch.ones(3, 2), integrator=integrator, grid=uniform(0, 1, 20)).x
    torch.testing.assert_close(x, torch.full((3, 2), math.exp(-1.0)), rtol=1e-5, atol=0)


def test_trajectory_and_progress(ou: Callable[..., Dynamics]) -> None:
    grid, seen = uniform(0, 1, 10), []
    path = BrownianPath((4, 1), grid, make_generator(0, "record"))
    x0 = torch.ones(4, 1, dtype=torch.float64)
    solution = integrate(
        ou(),
        x0,
        integrator=EulerMaruyama(),
        grid=torch.tensor(grid, dtype=torch.float64),
        brownian=path,
        record=4,
        check_every=4,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert seen == [(4, 10), (8, 10), (10, 10)]
    assert solution.trajectory is not None
    times, states = solution.trajectory
    assert times == (grid[0], grid[4], grid[8], grid[10])
    assert states.shape == (4, 4, 1)
    assert torch.equal(states[0], x0)
    assert torch.equal(states[-1], solution.x)
    part = integrate(ou(), x0, integrator=EulerMaruyama(), grid=grid[:5], brownian=truncated(path, 4))
    assert torch.equal(states[1], part.x)


def truncated(path: BrownianPath, steps: int) -> BrownianPath:
    """The first intervals of a path."""
    short = path.coarsen(1)
    short.grid, short.dw, short.i10 = path.grid[: steps + 1], path.dw[:steps], path.i10[:steps]
    return short


def test_leading_axes_are_allowed(ou: Callable[..., Dynamics]) -> None:
    x0 = torch.ones(3, 5, 2)
    x0[1, 4, 0] = math.nan
    with pytest.raises(DivergenceError, match="1 of 15"):
        integrate(ou(dim=2), x0, integrator=EulerMaruyama(), grid=(0, 1), generator=make_generator(0, "axes"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"generator": None}, "generator is None"),
        ({"grid": (0.0, 0.0)}, "strictly increase"),
        ({"grid": torch.linspace(0, 1, 5)}, "torch.float64"),
        ({"x0": torch.ones(4, 3)}, r"\(B, 1\)"),
        ({"x0": torch.ones(4, 1, dtype=torch.int64)}, "floating-point"),
        ({"check_every": 0}, "check_every is 0"),
        ({"record": 0}, "record is 0"),
        ({"tolerate": -1}, "tolerate is -1"),
    ],
    ids=lambda v: next(iter(v)) if isinstance(v, dict) else "",
)
def test_bad_input_is_named(ou: Callable[..., Dynamics], changes: dict, message: str) -> None:
    given = {"x0": torch.ones(4, 1), "grid": (0.0, 1.0), "generator": make_generator(0, "bad"), **changes}
    with pytest.raises(ConfigurationError, match=message):
        integrate(ou(), given.pop("x0"), integrator=EulerMaruyama(), **given)


def test_a_path_on_another_grid_is_refused(ou: Callable[..., Dynamics]) -> None:
    path = BrownianPath((4, 1), uniform(0, 1, 4), make_generator(0, "path"))
    with pytest.raises(ConfigurationError, match=r"grid=path\.grid"):
        integrate(ou(), torch.ones(4, 1), integrator=EulerMaruyama(), grid=uniform(0, 1, 2), brownian=path)


class Kick(Dynamics):
    """Dynamics with a method of their own, and a scheme that uses it."""

    event_shape = (1,)
    strength = 2.0

    def drift(self, x: Tensor, t: float) -> Tensor:
        return torch.zeros_like(x)

    def prior(self, n: int, generator: torch.Generator) -> Tensor:
        return torch.zeros(n, 1)


def test_a_scheme_reaches_what_the_dynamics_have_beyond_the_contract() -> None:
    class Kicker(Euler):
        def step(self, dynamics, x, t, dt, noise):
            return super().step(dynamics, x, t, dt, noise) + dynamics.strength

    assert integrate(Kick(), torch.zeros(1, 1), integrator=Kicker(), grid=uniform(0, 1, 3)).x.item() == 6.0


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("integrator", [*FIXED, Dopri5()], ids=lambda v: v.name)
def test_on_cuda(ou: Callable[..., Dynamics], integrator: Integrator) -> None:
    dynamics = linear(ou, "none" if integrator.equation == "ode" else "additive")
    x0 = torch.ones(4096, 2, device="cuda")
    generator = make_generator(0, "cuda", device="cuda")
    before = torch.cuda.get_rng_state()
    x = integrate(dynamics, x0, integrator=integrator, grid=uniform(0, 5, 100), generator=generator).x
    assert x.device.type == "cuda"
    assert torch.equal(torch.cuda.get_rng_state(), before)
    spread = 0.0 if integrator.equation == "ode" else 0.5 / math.sqrt(2)
    assert float(x.std()) == pytest.approx(spread, abs=0.03)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_generator_on_another_device_is_refused(ou: Callable[..., Dynamics]) -> None:
    x0 = torch.ones(4, 1, device="cuda")
    with pytest.raises(ConfigurationError, match="same device"):
        integrate(ou(), x0, integrator=EulerMaruyama(), grid=(0, 1), generator=make_generator(0, "cpu"))
