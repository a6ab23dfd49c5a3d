"""BAOAB as a recipe: underdamped Langevin dynamics with one gradient a step."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from phys_langevin.transitions import baoab
from phys_samplers.chains.chains import ChainSampler, Run
from phys_samplers.chains.checks import positive, refuse_lost
from phys_samplers.chains.record import ChainRecord
from phys_samplers.density import FlatDensity

CHECK_EVERY = 50
"""Steps between looks for lost particles; the only points where the device is waited for."""


@dataclass(frozen=True, kw_only=True)
class BAOAB(ChainSampler):
    """Underdamped Langevin dynamics, split as BAOAB: positions exact in harmonic wells, else wrong by O(h²) only.

    The defaults are untuned: h = 0.05 is stable while √(curvature/mass) < 40, and 1,000 steps make a time of 50.

    Args:
        step_size: h, in units of time √mass · length.
        friction: γ, inverse time after which the momentum is forgotten.
        mass: m, of every coordinate.
    """

    step_size: float = 0.05
    friction: float = 1.0
    mass: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        positive(step_size=self.step_size, friction=self.friction, mass=self.mass)

    def run(self, source: FlatDensity, x: Tensor, *, generator: torch.Generator, record: ChainRecord) -> Run:
        """Integrate from momenta in equilibrium; see ``ChainSampler.run``."""

        def normal() -> Tensor:
            return torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)

        state = baoab.init(x, source.score, mass=self.mass, noise=normal())
        temperature, half = x.new_zeros(()), self.sampling_steps // 2
        for index in range(self.sampling_steps):
            state, info = baoab.step(
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
                    step=index + 1,
                    total=self.sampling_steps,
                    by="baoab",
                    advice=f"take a smaller step_size (now {self.step_size:g}), below 2/√(largest curvature/mass)",
                )
        facts = {
            "step_size": self.step_size,
            "friction": self.friction,
            "kinetic_temperature": float(temperature) / (self.sampling_steps - half),
        }
        return Run(source.evaluations, facts)
