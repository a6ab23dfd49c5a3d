"""PFGM++ with many augmented dimensions is EDM: the same normals give the same numbers, up to 1/D."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from phys_electrostatic import EmpiricalDenoiser, PoissonDenoisingLoss, empirical_flow
from phys_electrostatic.flow import log_kernel, widening
from phys_electrostatic.pfgmpp import PoissonDenoiser, point_level
from phys_samplers.denoisers.denoiser import Denoiser, DenoisingLoss
from phys_samplers.fields import MLP
from phys_samplers.integrators import EDMHeun, integrate
from phys_samplers.randomness import Streams, make_generator
from phys_samplers.schedules import EDMSchedule

DIMS = (1e3, 1e4, 1e5, 1e6)
ROWS = torch.randn(1, 64, 3, generator=make_generator(0, "rows"), dtype=torch.float64)
SIGMA = torch.linspace(0.1, 4.0, 64, dtype=torch.float64).unsqueeze(0)
POINTS = ROWS + SIGMA.unsqueeze(-1) * torch.randn(1, 64, 3, generator=make_generator(1, "x"), dtype=torch.float64)


def gap(value: Tensor, limit: Tensor) -> float:
    return float(((value - limit).norm() / limit.norm()).detach())


def check_rate(gaps: list[float], power: float) -> None:
    """Below 10⁻³ at the end, and ten times D divides a gap by 10^power, within a fifth of the exponent."""
    assert gaps[-1] < 1e-3
    for before, after in pairwise(gaps):
        assert math.log10(before / after) == pytest.approx(power, abs=0.2)


def test_stable_targets_fall_like_one_over_d() -> None:
    limit = DenoisingLoss().posterior_mean(POINTS, SIGMA, ROWS)
    check_rate([gap(PoissonDenoisingLoss(aux_dim=d).posterior_mean(POINTS, SIGMA, ROWS), limit) for d in DIMS], 1.0)


def test_the_empirical_denoiser_falls_like_one_over_d() -> None:
    limit = EmpiricalDenoiser(ROWS[0])(POINTS[0], 0.7)
    check_rate([gap(EmpiricalDenoiser(ROWS[0], d)(POINTS[0], 0.7), limit) for d in DIMS], 1.0)


def test_the_log_kernel_is_stable_for_large_d() -> None:
    squared, sigma = torch.tensor([1e-6, 1.0, 1e4]), torch.tensor(2.0)
    torch.testing.assert_close(log_kernel(squared, sigma, 3, 1e9), log_kernel(squared, sigma, 3, None))


def test_paths_of_the_exact_flow_fall_like_one_over_d() -> None:
    schedule = EDMSchedule()
    start = 80 * torch.randn(32, 3, generator=make_generator(2, "start"), dtype=torch.float64)

    def end(aux_dim: float | None) -> Tensor:
        flow = empirical_flow(ROWS[0], aux_dim=aux_dim, schedule=schedule, by_denoising=True)
        grid = schedule.grid(20, to_zero=False)  # ends at .004: at 0 every path is on a row
        return integrate(flow, start, integrator=EDMHeun(), grid=grid).x

    limit = end(None)
    gaps = [gap(end(d), limit) for d in DIMS]
    assert gaps[-1] < 1e-3
    # a path near a boundary between two rows may turn: the rate is that of the ends of the list
    assert math.log10(gaps[0] / gaps[-1]) > 2.5


def test_perturbed_points_approach_those_of_edm() -> None:
    """The same normals; what is left is the spread of χ²_D/D, √(2/D): the gap falls like 1/√D, its mean square 1/D."""
    limit = DenoisingLoss().perturb(ROWS, SIGMA, Streams([0], "noise"))
    points = [PoissonDenoisingLoss(aux_dim=d).perturb(ROWS, SIGMA, Streams([0], "noise")) for d in DIMS]
    gaps = [gap(x - ROWS, limit - ROWS) for x in points]
    assert gaps[-1] < 2e-3
    assert math.log10(gaps[0] / gaps[-1]) == pytest.approx(1.5, abs=0.2)
    assert gap(points[-1], limit) < 1e-3
    exactly = PoissonDenoisingLoss().perturb(ROWS, SIGMA, Streams([0], "noise"))
    torch.testing.assert_close(exactly, limit, rtol=0, atol=0)


@pytest.mark.parametrize("stable_target", [True, False])
def test_the_training_loss_is_that_of_edm(stable_target: bool) -> None:
    spec = MLP(width=16)
    plain = Denoiser(spec, 3, streams=Streams([0], "weights"))
    limit = DenoisingLoss(stable_target=stable_target)(plain, ROWS.float(), Streams([0], "noise"))
    for d, bound in ((1e4, 1e-1), (1e6, 1e-2), (1e10, 1e-3)):
        loss = PoissonDenoisingLoss(aux_dim=d, stable_target=stable_target)
        heavy = PoissonDenoiser(spec, 3, streams=Streams([0], "weights"), aux_dim=d)
        assert gap(loss(heavy, ROWS.float(), Streams([0], "noise")), limit) < bound
    none = PoissonDenoisingLoss(stable_target=stable_target)
    assert torch.equal(none(plain, ROWS.float(), Streams([0], "noise")), limit)


class Given(nn.Module):
    """A fixed denoiser, in double precision."""

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        return x / (1 + sigma.unsqueeze(-1).square())

    def loss_weight(self, sigma: Tensor) -> Tensor:
        return 1 + sigma.square().reciprocal()


def test_the_mean_training_loss_falls_like_one_over_d() -> None:
    """Over many batches, on the same normals and χ²: 16 × 64 points, in double precision."""
    data = ROWS.expand(16, -1, -1)
    limit = DenoisingLoss()(Given(), data, Streams(range(16), "noise")).mean()
    gaps = [
        gap(PoissonDenoisingLoss(aux_dim=d)(Given(), data, Streams(range(16), "noise")).mean(), limit) for d in DIMS
    ]
    assert gaps[-1] < 1e-3
    assert gaps[0] > 5 * gaps[-1]


def test_points_have_the_level_of_edm_in_the_limit() -> None:
    check_rate([gap(point_level(POINTS, SIGMA, d), SIGMA) for d in DIMS], 1.0)


def test_no_widening_in_the_limit() -> None:
    assert torch.equal(widening(Streams([0]), 5, None), torch.ones(1, 5, dtype=torch.float64))
