"""Restart with several intervals and other solvers: the source's counts of evaluations, memory, refusals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from phys_samplers.dynamics import Dynamics
from phys_samplers.errors import ConfigurationError
from phys_samplers.integrators import DPMpp2M, Integrator, Restart, integrate, power
from phys_samplers.options import make_part
from phys_samplers.randomness import make_generator

Flow = Callable[[], Dynamics]
START = torch.tensor([[-2.0], [0.3]], dtype=torch.float64)

FIVE = ((19.35, 40.79), (1.09, 1.92), (0.59, 1.09), (0.30, 0.59), (0.06, 0.30))
TABLE_B8 = [
    (623, 36, ((10, 3), (10, 3), (7, 6), (7, 6), (7, 25)), FIVE),
    (535, 36, ((6, 1), (6, 1), (7, 6), (7, 6), (7, 25)), FIVE),
    (385, 36, ((3, 1), (6, 1), (6, 5), (6, 5), (6, 20)), FIVE),
    (203, 36, ((4, 1), (4, 1), (4, 5), (4, 5), (6, 6)), FIVE),
    (165, 18, ((3, 1), (4, 1), (4, 5), (4, 5), (4, 10)), FIVE),
    (99, 18, ((3, 1), (4, 1), (4, 4), (4, 1), (4, 4)), FIVE),
    (67, 18, ((5, 1), (5, 1), (5, 1), (5, 1)), (*FIVE[:3], FIVE[4])),
    (39, 14, ((3, 1), (3, 1), (3, 1)), (*FIVE[:2], FIVE[4])),
]
"""Evaluations, N_main, (N_R, K) and (t_min, t_max) of ImageNet 64×64 in the thesis (Table B.8)."""


def cost(scheme: Integrator, flow: Flow, main_steps: int) -> int:
    grid = (*power(80.0, 0.002, main_steps - 1, 7.0), 0.0)
    return integrate(flow(), START, integrator=scheme, grid=grid, generator=make_generator(0), bound=1e9).nfe


@pytest.mark.parametrize(("nfe", "main", "rounds", "spans"), TABLE_B8)
def test_evaluations_of_several_intervals(gaussian_flow: Flow, nfe: int, main: int, rounds: Any, spans: Any) -> None:
    scheme = Restart(
        restart_min=tuple(low for low, _ in spans),
        restart_max=tuple(high for _, high in spans),
        restart_steps=tuple(levels for levels, _ in rounds),
        repeats=tuple(repeats for _, repeats in rounds),
    )
    counted = 2 * main - 1 + sum(2 * repeats * (levels - 1) for levels, repeats in rounds)
    assert cost(scheme, gaussian_flow, main) == counted
    assert counted == nfe


def test_solvers_of_main_grid_and_way_back_are_chosen_apart(gaussian_flow: Flow) -> None:
    """Stable Diffusion's Euler main with Heun restarts: 30 + 2K (N_R − 1); and the other way round."""
    assert cost(Restart(main="ddim", restart_steps=4, repeats=3), gaussian_flow, 30) == 30 + 2 * 3 * 3
    assert cost(Restart(back="ddim", restart_steps=4, repeats=3), gaussian_flow, 30) == 59 + 3 * 3
    assert cost(Restart(main="dpmpp-2m", back="dpmpp-2m", restart_steps=4), gaussian_flow, 30) == 30 + 2 * 3


def test_a_main_solver_with_memory_starts_anew_after_a_restart(mixture_flow: Flow) -> None:
    """Below a restart that hardly moves, the way is that of a fresh run from its end; above it, that of the solver."""
    x0 = torch.tensor([[3.0, -4.0], [0.2, 0.1]], dtype=torch.float64)
    grid = power(5.0, 0.05, 8, 7.0)
    level = grid[4]
    scheme = Restart(restart_min=level, restart_max=level * (1 + 1e-12), restart_steps=2, repeats=1, main="dpmpp-2m")
    ours = integrate(mixture_flow(), x0, integrator=scheme, grid=grid, generator=make_generator(0)).x
    half = integrate(mixture_flow(), x0, integrator=DPMpp2M(), grid=grid[:5]).x
    fresh = integrate(mixture_flow(), half, integrator=DPMpp2M(), grid=grid[4:]).x
    whole = integrate(mixture_flow(), x0, integrator=DPMpp2M(), grid=grid).x
    torch.testing.assert_close(ours, fresh, rtol=0, atol=1e-4)
    assert float((ours - whole).abs().max()) > 10 * float((ours - fresh).abs().max())


def test_it_is_read_from_a_text_and_written_as_options() -> None:
    scheme = make_part("integrator", "restart[restart_min=[0.06,1.09],restart_max=[0.3,1.92],repeats=[4,1],main=ddim]")
    assert [tuple(i) for i in scheme.intervals] == [(1.09, 1.92, 3, 1), (0.06, 0.3, 3, 4)]
    assert scheme == Restart(restart_min=(0.06, 1.09), restart_max=(0.3, 1.92), repeats=(4, 1), main="ddim")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"restart_min": (0.1, 0.2)}, None),
        ({"restart_min": (0.1, 0.2), "repeats": (1, 2, 3)}, "different numbers of intervals"),
        ({"restart_min": ()}, "different numbers of intervals"),
        ({"restart_min": (0.1, 0.7)}, "restart_min is 0.7 and restart_max 0.6"),
        ({"restart_min": (0.1, -0.7)}, "restart_min is"),
        ({"main": "ddim[eta=1]"}, "main is 'ddim.*adds no noise"),
        ({"back": "heun"}, "back is 'heun'; expected a denoising integrator"),
    ],
)
def test_intervals_and_solvers_are_checked(options: dict[str, Any], message: str | None) -> None:
    if message is None:
        Restart(**options)
        return
    with pytest.raises(ConfigurationError, match=message):
        Restart(**options)
