"""Statements of docs/mathematics.md that no other test checks; each test is named there."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from phys_bellman.kernels import GaussianKernel
from phys_bellman.losses import FieldMatching
from phys_samplers.randomness import Streams

Array = np.ndarray


class GivenFields:
    """Fields in place of the networks that the losses train."""

    tied = False

    def __init__(self, scalar: Callable[[Tensor], Tensor], gradient: Callable[[Tensor], Tensor]) -> None:
        self.scalar, self.gradient = scalar, gradient


def normal_density(x: Array, mean: float | Array, variance: float | Array) -> Array:
    return np.exp(-((x - mean) ** 2) / (2 * variance)) / np.sqrt(2 * math.pi * variance)


def stationary_variance(x: Array, mean: Array, variance: Array) -> float:
    """Of the chain x → N(mean(x), variance(x)) on a grid: the left null vector of its transition matrix."""
    steps = normal_density(x[None, :], mean[:, None], variance[:, None])
    steps /= steps.sum(1, keepdims=True)
    system = np.vstack([steps.T - np.eye(len(x)), np.ones(len(x))])
    law = np.linalg.lstsq(system, np.concatenate([np.zeros(len(x)), [1.0]]), rcond=None)[0]
    return float(law @ x**2)


def test_algorithm_2_read_literally_samples_a_power_of_the_target() -> None:
    """N(0, 1) with s = p, g = p': p^(2/η − 1) is N(0, 1/(2/η − 1)), which at η = 0.1 has the variance 1/19."""
    eta = 0.1
    near = np.linspace(-1.2, 1.2, 401)
    p = normal_density(near, 0.0, 1.0)
    literal = stationary_variance(near, near - eta * near * p, eta**2 * p)
    np.testing.assert_allclose(literal, 1 / 19, rtol=0.02)
    wide = np.linspace(-3.5, 3.5, 701)
    p = normal_density(wide, 0.0, 1.0)
    right = stationary_variance(wide, wide - eta * wide * p, eta * p)
    np.testing.assert_allclose(right, 1.0, rtol=0.05)  # the bias of a finite step


def test_gradient_loss_on_a_finite_sample_is_unbounded_below() -> None:
    rows = torch.tensor([[[0.0, 0.0], [1.0, 0.0], [0.0, 2.0]]])
    kernel = GaussianKernel(epsilon=1.0)

    def spikes(strength: float) -> Callable[[Tensor], Tensor]:
        def gradient(x: Tensor) -> Tensor:
            away = x.unsqueeze(2) - rows.unsqueeze(1)  # from every row, of which at most one is within reach
            bump = (1 - (2.1 * away).square().sum(-1, keepdim=True)).clamp(min=0).square()
            return -strength * (away * bump).sum(2)

        return gradient

    def loss(strength: float) -> float:
        fields: Any = GivenFields(lambda x: x.new_zeros(x.shape[:-1]), spikes(strength))
        return float(FieldMatching(kernel=kernel)(fields, rows, Streams([0], "unused")).detach())

    mean_kernel = float(kernel.value(rows - rows.roll(1, dims=1)).mean())
    for strength in (1.0, 1e3, 1e6):
        np.testing.assert_allclose(loss(strength), -strength * 2 * mean_kernel, rtol=1e-5)


def test_a_mobility_equal_to_the_target_has_no_spectral_gap() -> None:
    """Rayleigh quotients of ramps at distance r for N(0, 1): to 0 with q = p, bounded below with q = 1."""
    x = np.linspace(-12.0, 12.0, 200_001)
    p = normal_density(x, 0.0, 1.0)

    def quotient(mobility: Array, r: float) -> float:
        width = 1 / r
        f = np.clip((np.abs(x) - r) / width, 0.0, 1.0)
        slope = ((np.abs(x) > r) & (np.abs(x) < r + width)) / width
        variance = (p * f**2).sum() / p.sum() - ((p * f).sum() / p.sum()) ** 2
        return float((p * mobility * slope**2).sum() / p.sum() / variance)

    frozen = [quotient(p, r) for r in (2.0, 4.0, 6.0, 8.0)]
    assert all(late < early / 50 for early, late in itertools.pairwise(frozen[1:]))
    assert frozen[-1] < 1e-10
    heavy = (2 * math.pi * (0.5 + x**2)) ** -0.5
    for r in (2.0, 4.0, 6.0, 8.0):
        assert quotient(np.ones_like(x), r) > 1.0  # Poincaré's inequality of N(0, 1)
        assert quotient(heavy, r) > 0.1


def test_bellman_backup_of_a_gaussian() -> None:
    """X = r + γX' for X' ~ N(m, v) is N(r + γm, γ²v): density by 1/γ, derivative by 1/γ²."""
    reward, gamma, mean, variance = 0.7, 0.9, -0.3, 0.4
    x = np.linspace(-2.0, 2.0, 41)

    def slope(points: Array, m: float, v: float) -> Array:
        return -(points - m) / v * normal_density(points, m, v)

    before = (x - reward) / gamma
    after = (reward + gamma * mean, gamma**2 * variance)
    np.testing.assert_allclose(normal_density(before, mean, variance) / gamma, normal_density(x, *after), rtol=1e-12)
    np.testing.assert_allclose(slope(before, mean, variance) / gamma**2, slope(x, *after), rtol=1e-9, atol=1e-12)
