"""The mixture of what was seen: shares come right whatever those of the runs, and Ẑ is unbiased."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from phys_samplers import Density
from phys_samplers.judging.evidence import Evidence
from phys_samplers.judging.pooled import Mixture, Student, pooled
from phys_samplers.randomness import make_generator


def parts(x: Tensor) -> Tensor:
    """¼ N(0, 0.05² I) + ¾ N((9, 0), I), in two dimensions, times e³."""
    near = -0.5 * (x / 0.05).square().sum(1) - 2 * math.log(0.05) + math.log(0.25)
    far = -0.5 * (x - x.new_tensor([9.0, 0.0])).square().sum(1) + math.log(0.75)
    return torch.logaddexp(near, far) - math.log(2 * math.pi) + 3


def met(name: str, z: Tensor) -> Evidence:
    return Evidence(sampler=name, samples=z, z=z, log_prob=parts(z))


@pytest.mark.parametrize("narrow", [300, 3, 0])
def test_shares_and_log_z_are_right_whatever_those_of_the_runs(narrow: int) -> None:
    """Of 600 samples 300, 3 or none are in the narrow part, which has 150; then it is met as it lies at the origin."""
    z = torch.randn(600, 2, generator=make_generator(0, "seen")) + torch.tensor([9.0, 0.0])
    z[:narrow] = 0.05 * (z[:narrow] - torch.tensor([9.0, 0.0]))
    found = pooled(Density(parts, (2,)), [met("chains", z)], n=600, scale=1.0, seed=0, device="cpu")
    assert found is not None
    assert found.samples is not None
    assert found.log_z is not None
    assert found.samples.shape == (600, 2)
    assert found.improvised
    assert found.effective == 600
    assert abs(found.log_z - 3) < 4 * found.log_z_std < 0.1
    share = float((found.samples[:, 0] < 4).double().mean())
    assert abs(share - 0.25) < 4 * math.sqrt(0.25 * 0.75 / 600)


def test_estimates_of_z_are_unbiased_where_the_mixture_fits_badly() -> None:
    """Of one law that is too narrow, off, and of an infinite variance of weights in no direction: mean Ẑ/Z is one."""

    def height(u: Tensor) -> Tensor:
        return -0.5 * u.square().sum(1) - 1.5 * math.log(2 * math.pi)

    generator, ratios = make_generator(0, "unbiased"), []
    for _ in range(200):
        mixture = Mixture(height, torch.zeros(3))
        mixture.add(Student(torch.full((3,), 0.7), 0.8 * torch.eye(3)), 50, generator)
        ratios.append(mixture.fresh(200, generator)[1].exp().mean())
    mean, error = torch.stack(ratios).mean(), torch.stack(ratios).std() / math.sqrt(200)
    assert abs(float(mean) - 1) < 4 * float(error) < 0.05


def test_without_samples_there_is_nothing_to_pool() -> None:
    lost = [Evidence(sampler="hmc", error="lost")]
    assert pooled(Density(parts, (2,)), lost, n=600, scale=1.0, seed=0, device="cpu") is None
