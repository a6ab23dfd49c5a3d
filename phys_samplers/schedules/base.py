r"""What a noise schedule is: the scale α(t) and the noise σ(t) of x_t = α(t) x₀ + σ(t) n, n ~ N(0, I).

With the noise-to-signal ratio λ = σ/α and f = d log α/dt, the linear SDE whose kernel this is reads

    dx = f x dt + g dW,        g² = dσ²/dt − 2 f σ² = 2 σ² d log λ/dt

(Kingma et al. 2021, *Variational diffusion models*, arXiv:2107.00630, App. A). Its reversal and its probability-flow
ODE need f and d log λ/dt alone. Every schedule here has σ(0) = 0.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from phys_samplers.integrators.base import check_steps, checked
from phys_samplers.options import check_values
from phys_samplers.randomness import Streams

Scalar = TypeVar("Scalar", float, Tensor)
"""Sampling loops ask for single times, as floats in double precision and without a trip through torch; training asks
for a batch of them."""


def exp(x: Scalar) -> Scalar:
    """e^x."""
    return x.exp() if isinstance(x, Tensor) else math.exp(x)


def expm1(x: Scalar) -> Scalar:
    """e^x − 1."""
    return x.expm1() if isinstance(x, Tensor) else math.expm1(x)


def log(x: Scalar) -> Scalar:
    """Natural logarithm; −∞ at 0."""
    if isinstance(x, Tensor):
        return x.log()
    return math.log(x) if x > 0 else -math.inf


@dataclass(frozen=True, kw_only=True)
class NoiseSchedule(ABC):
    """α and σ as functions of time; a frozen dataclass whose fields are its constants.

    Times run from ``start``, where the noise is largest, down to ``end``, the last one with noise, and to 0.
    """

    def __post_init__(self) -> None:
        check_values(self)

    @property
    @abstractmethod
    def start(self) -> float:
        """The time of the largest noise."""

    @property
    @abstractmethod
    def end(self) -> float:
        """The time of the smallest noise that a network is asked about; positive."""

    @abstractmethod
    def log_alpha(self, t: Scalar) -> Scalar:
        """log α at t, a float or a tensor."""

    @abstractmethod
    def log_ratio(self, t: Scalar) -> Scalar:
        """log λ = log(σ/α) at t; −∞ at 0."""

    @abstractmethod
    def log_alpha_rate(self, t: float) -> float:
        """f = d log α/dt."""

    @abstractmethod
    def log_ratio_rate(self, t: float) -> float:
        """d log λ/dt, positive."""

    def level(self, t: float) -> tuple[float, float]:
        """(α, σ) at t."""
        alpha = exp(self.log_alpha(t))
        return alpha, alpha * self.ratio(t)

    def ratio(self, t: float) -> float:
        """λ = σ/α at t."""
        return math.exp(self.log_ratio(t)) if t > 0 else 0.0

    def training_ratios(self, streams: Streams, batch: int) -> Tensor:
        """λ (R, B) at times drawn uniformly."""
        t = streams.uniform(batch, dtype=torch.float64).mul_(self.start - self.end).add_(self.end)
        return self.log_ratio(t).exp()

    def grid(self, steps: int, *, to_zero: bool) -> tuple[float, ...]:
        """``steps`` intervals from ``start``.

        Args:
            steps: number of intervals, at least 1.
            to_zero: whether the last interval leads to time 0, where no noise is left, instead of to ``end``.

        Raises:
            ConfigurationError: if ``steps`` is not an integer of at least 1, or a chain has too few of them.
        """
        check_steps(steps)
        if to_zero:
            return checked((*(self.points(steps - 1) if steps > 1 else (self.start,)), 0.0))
        return checked(self.points(steps))

    def points(self, steps: int) -> tuple[float, ...]:
        """``steps`` intervals from ``start`` to ``end``; equal ones here."""
        times = ((steps - i) * self.start + i * self.end for i in range(steps))
        return (*(t / steps for t in times), self.end)
