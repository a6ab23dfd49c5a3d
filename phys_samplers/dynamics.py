"""A sampler as a law of motion: dx = drift(x, t) dt + diffusion(x, t) dW, started from a prior.

Sampling is always *prior, then integrator*. All equations are in the sense of Itô.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Literal, NamedTuple, Protocol

import torch
from torch import Tensor

from phys_samplers.shapes import Coefficient, State

Noise = Literal["none", "additive", "diagonal", "isotropic"]
"""How the diffusion depends on the state.

``none``       an ODE;
``additive``   b(t), the same for every state;
``diagonal``   b_i(x_i, t) for coordinate i: commutative noise;
``isotropic``  b(x, t) times the identity, with b depending on all of x: *not* commutative for D > 1, so that
               strong order 1 would need Lévy areas.
"""


class Normals(Protocol):
    """A source of noise."""

    def normal(self) -> Tensor:
        """A fresh N(0, I) of the shape of the state at every call."""
        ...


class Relaxation(NamedTuple):
    """Drift split as ``rate · (centre − x) + rest`` with ``rate`` ≥ 0: solved exactly by exponential integrators."""

    rate: Tensor
    centre: Tensor
    rest: Tensor | None


class Dynamics(ABC):
    """Drift, diffusion, prior and time span of a sampler. ``x`` is (B, *event_shape), ``t`` a float.

    Attributes:
        event_shape: shape of one particle.
        noise: how the diffusion depends on the state.
        times: (start, end) of the integration; end < start for a process run backwards.
        calls_per_evaluation: network (or density) evaluations that one drift-and-diffusion evaluation costs.
    """

    event_shape: tuple[int, ...]
    noise: Noise = "none"
    times: tuple[float, float] = (0.0, 1.0)
    calls_per_evaluation: int = 1

    @abstractmethod
    def drift(self, x: State, t: float) -> State:
        """Drift at (x, t), shape of ``x``."""

    def diffusion(self, x: State, t: float) -> Coefficient:
        """Diffusion coefficient, broadcastable to ``x`` (e.g. (B, 1) when isotropic). Not defined for an ODE."""
        raise TypeError(f"{type(self).__name__} is an ODE: it has no diffusion")

    def drift_and_diffusion(self, x: State, t: float) -> tuple[State, Coefficient]:
        """Both coefficients; override where they share work."""
        return self.drift(x, t), self.diffusion(x, t)

    def relaxation(self, x: State, t: float) -> tuple[Relaxation, Tensor] | None:
        """The drift split for exponential integrators, with the diffusion; None if the drift has no such part."""
        return None

    def confine(self, x: State) -> State:
        """The state after a step, brought back to where the dynamics live, without waiting for the device."""
        return x

    @abstractmethod
    def prior(self, n: int, generator: torch.Generator) -> Tensor:
        """``n`` starting points (n, *event_shape) on the generator's device."""


class DenoisingDynamics(Dynamics):
    """Dynamics whose state at time t = σ is a clean sample with noise of level σ, and which know its denoiser.

    Every process x_t = α(t) x₀ + σ(t) n is of this form for x_t/α(t) at σ(t)/α(t). What such dynamics know beyond a
    drift serves integrators made for them: exponential, multistep and ancestral schemes, and those that add noise back.
    Time falls, and may end at 0, where drift and diffusion are not defined.
    """

    @abstractmethod
    def denoise(self, x: State, t: float) -> State:
        """The estimate D(x, σ = t) of x₀, of the shape of ``x``; one evaluation."""

    def perturb(self, x: State, low: float, high: float, noise: Normals) -> State:
        """A state at time ``low`` brought to ``high`` > ``low`` by the process forwards: Gaussian noise here.

        Dynamics whose clean samples get another noise override it: what it adds must take their law at ``low`` to that
        at ``high``, whatever the clean samples are.
        """
        return torch.add(x, noise.normal(), alpha=math.sqrt(high**2 - low**2))

    def mobility(self, x: Tensor, t: float) -> tuple[Tensor, Tensor] | None:
        """A positive mobility q (B,) of the law at t and its gradient (B, *event_shape); None stands for q = 1."""
        return None
