r"""BAOAB: underdamped Langevin dynamics by symmetric splitting, with one gradient a step.

    dx = p/m dt,    dp = ∇log π(x) dt − γ p dt + √(2γm) dW,        stationary law π(x) N(p; 0, m I).

A step of size h is B(h/2) A(h/2) O(h) A(h/2) B(h/2), with B the kick by the force, A the drift and O the exact
Ornstein–Uhlenbeck update of the momentum, p ← e^{−γh} p + √((1 − e^{−2γh}) m) z. The force at the end of a step is that
at the start of the next. For a harmonic potential the law of the positions is exact for every stable h (< 2/ω);
otherwise its error is O(h²).

Source: Leimkuhler & Matthews 2013, *Rational construction of stochastic numerical methods for molecular sampling*.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from phys_samplers.chains.chains import ChainRecord, Run, UntestedChainSampler
from phys_samplers.density import FlatDensity, refuse_lost
from phys_samplers.options import draw_option

Score = Callable[[Tensor], Tensor]
"""∇log π, (B, D) → (B, D)."""


class BAOABState(NamedTuple):
    """Position, momentum and force, each (B, D)."""

    x: Tensor
    momentum: Tensor
    force: Tensor


class BAOABInfo(NamedTuple):
    """Kinetic temperature p²/m (B,), averaged over coordinates; 1 on average in equilibrium up to O(h²)."""

    temperature: Tensor


def init(x: Tensor, score: Score, *, mass: float, noise: Tensor) -> BAOABState:
    """The state at ``x`` (B, D) with the momentum √mass · ``noise``, from a standard normal: one evaluation."""
    return BAOABState(x, math.sqrt(mass) * noise, score(x))


def step(
    state: BAOABState, score: Score, *, step_size: float, friction: float, mass: float, noise: Tensor
) -> tuple[BAOABState, BAOABInfo]:
    """One step: one evaluation.

    Args:
        state: of all particles.
        score: ∇log π.
        step_size: h > 0.
        friction: γ ≥ 0; at 0 this is the velocity Verlet scheme, which draws nothing.
        mass: m > 0.
        noise: standard normal (B, D).
    """
    decay = math.exp(-friction * step_size)
    kick = math.sqrt(-math.expm1(-2 * friction * step_size) * mass)
    half = 0.5 * step_size
    p = state.momentum + half * state.force
    x = state.x + (half / mass) * p
    p = decay * p + kick * noise
    x = x + (half / mass) * p
    force = score(x)
    p = p + half * force
    return BAOABState(x, p, force), BAOABInfo(p.square().mean(1) / mass)


CHECK_EVERY = 50
"""Steps between looks for lost particles; the only points where the device is waited for."""


@dataclass(frozen=True, kw_only=True)
class BAOAB(UntestedChainSampler):
    """Underdamped Langevin dynamics, split as BAOAB: positions exact in harmonic wells, else wrong by O(h²) only.

    The defaults are untuned: h = 0.05 is stable while √(curvature/mass) < 40, and 1,000 steps make a time of 50.

    Args:
        step_size: h, in units of time √mass · length.
        friction: γ, inverse time after which the momentum is forgotten.
        mass: m, of every coordinate.
    """

    step_size: float = draw_option(0.05, above=0)
    friction: float = draw_option(1.0, above=0)
    mass: float = draw_option(1.0, above=0)

    def run(self, source: FlatDensity, x: Tensor, *, generator: torch.Generator, record: ChainRecord) -> Run:
        """Integrate from momenta in equilibrium; see ``ChainSampler.run``."""

        def normal() -> Tensor:
            return torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)

        state = init(x, source.score, mass=self.mass, noise=normal())
        temperature, half = x.new_zeros(()), self.sampling_steps // 2
        for index in range(self.sampling_steps):
            state, info = step(
                state,
                source.score,
                step_size=self.step_size,
                friction=self.friction,
                mass=self.mass,
                noise=normal(),
            )
            record.observe(state.x)
            if index >= half:
                temperature = temperature + info.temperature.mean()
            if (index + 1) % CHECK_EVERY == 0 or index + 1 == self.sampling_steps:
                refuse_lost(
                    state.x,
                    steps=self.sampling_steps,
                    done=index + 1,
                    by="baoab",
                    advice=f"take a smaller step_size (now {self.step_size:g}), below 2/√(largest curvature/mass)",
                )
        facts = {
            "step_size": self.step_size,
            "friction": self.friction,
            "kinetic_temperature": float(temperature) / (self.sampling_steps - half),
        }
        return Run(source.evaluations, facts)
