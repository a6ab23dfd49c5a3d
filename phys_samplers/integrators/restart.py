r"""Restart: Heun's method for dx/dσ = (x − D)/σ, which near the end goes back up by noise and down again, K times.

Where the main grid passes t_min, K times over,

    x ← x + √(t_max² − t_min²) z,        then Heun's method from t_max to t_min,

on levels equally spaced in σ^{1/ρ}. The noise contracts the errors made above t_max, and the ODE in between makes few
of its own. The way back has N_R levels, so N_R − 1 steps of two evaluations; with N main steps, the last to 0,

    NFE = 2N − 1 + 2K (N_R − 1).

If t_min is no level of the main grid, it is rounded to the nearer of the two levels around it, as in the source; to the
other one if the nearer is 0 or not below t_max. A grid that does not pass t_min is integrated without restarts.

Source: Xu et al. 2023, *Restart sampling for improving generative processes* (arXiv:2306.14878); also Xu 2024, *On
physics-inspired generative models*, Eq. 5.1–5.2, Algorithm 9 and the count of evaluations in App. B.3. The loop of
the pseudocode over the way back, m = 0, …, N_R − 1 to level m + 1, is a step longer than its grid; the count is right.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import torch

from phys_samplers.dynamics import Dynamics
from phys_samplers.errors import ConfigurationError
from phys_samplers.integrators.base import BrownianIncrement, Integrator, power
from phys_samplers.integrators.edm_heun import heun_step
from phys_samplers.options import draw_option
from phys_samplers.shapes import State


@dataclass(frozen=True, kw_only=True)
class Restart(Integrator):
    """See the module. Defaults are those of CIFAR-10 on EDM, with levels for data of unit variance (there ½).

    Args:
        restart_min: t_min, where a restart begins and ends.
        restart_max: t_max, the level it goes up to.
        restart_steps: N_R, levels of the way back with both ends, so that it has N_R − 1 Heun steps.
        repeats: K, restarts.
        rho: ρ, how much the way back favours small noise.
    """

    name = "restart"
    equation = "denoising"
    evaluations_per_step = None

    restart_min: float = draw_option(0.28, above=0)
    restart_max: float = draw_option(0.6, above=0)
    restart_steps: int = draw_option(3, least=2)
    repeats: int = draw_option(2, least=1)
    rho: float = draw_option(7.0, above=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.restart_min < self.restart_max:
            raise ConfigurationError(
                f"restart_min is {self.restart_min} and restart_max {self.restart_max}; "
                "expected 0 < restart_min < restart_max"
            )

    @property
    def adds_noise(self) -> bool:
        """See ``Integrator.adds_noise``."""
        return True

    def step(self, dynamics: Dynamics, x: State, t: float, dt: float, noise: BrownianIncrement) -> State:
        """One step of the main grid, with the restarts if it passes t_min; see ``Integrator.step``."""
        end = t + dt
        level = self._level(t, end)
        if level == t:
            x = self._restart(dynamics, x, t, noise)
        x = heun_step(dynamics, x, t, end)
        return self._restart(dynamics, x, end, noise) if level == end else x

    def _level(self, t: float, end: float) -> float | None:
        """The end of this step that t_min is rounded to, if t_min lies between its ends."""
        wanted = self.restart_min
        # t + dt may miss the next time of the grid by a rounding error, which must not lose a t_min that lies on it
        if not end <= wanted * (1 + 1e-9) < t:
            return None
        usable = [level for level in (t, end) if 0 < level < self.restart_max]
        if not usable:
            raise ConfigurationError(
                f"restart_max is {self.restart_max}, and the grid steps from {t:.4g} to {end:.4g} across restart_min "
                f"({wanted}) without a positive level below restart_max; take a finer grid or a higher restart_max"
            )
        return min(usable, key=lambda level: abs(level - wanted))

    def _restart(self, dynamics: Dynamics, x: State, level: float, noise: BrownianIncrement) -> State:
        """K times up to t_max by noise, and back to ``level`` by the ODE."""
        levels = power(self.restart_max, level, self.restart_steps - 1, self.rho)
        for _ in range(self.repeats):
            x = torch.add(x, noise.normal(), alpha=math.sqrt(self.restart_max**2 - level**2))
            for high, low in pairwise(levels):
                x = heun_step(dynamics, x, high, low)
        return x
