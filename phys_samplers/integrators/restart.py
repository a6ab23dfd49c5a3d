r"""Restart: an ODE solver that at some levels goes back up by noise and down again, several times over.

Where the main grid passes t_min, K times over,

    x ← the forward process from t_min to t_max,        then an ODE solver from t_max back to t_min,

on levels equally spaced in σ^{1/ρ}. The noise contracts the errors made above t_max, and the ODE in between makes few
of its own. The noise of diffusion is √(t_max² − t_min²) z; that of other dynamics is theirs to know
(``DenoisingDynamics.perturb``). There may be several such intervals, each with numbers of its own. The way back has N_R
levels, so N_R − 1 steps; with N main steps, the last to 0, and Heun's method for both,

    NFE = 2N − 1 + Σ_j 2K_j (N_Rj − 1).

If t_min is no level of the main grid, it is rounded to the nearer of the two levels around it, as in the source; to the
other one if the nearer is 0 or not below t_max. A grid that does not pass t_min is integrated without restarts.

Source: Xu et al. 2023, *Restart sampling for improving generative processes* (arXiv:2306.14878); also Xu 2024, *On
physics-inspired generative models*, Eq. 5.1–5.2, Algorithm 9 and the count of evaluations in App. B.3. The loop of
the pseudocode over the way back, m = 0, …, N_R − 1 to level m + 1, is a step longer than its grid; the count is right.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple

from phys_samplers.dynamics import Dynamics
from phys_samplers.errors import ConfigurationError
from phys_samplers.integrators.base import BrownianIncrement, Integrator, power
from phys_samplers.options import Part, draw_option, make_part
from phys_samplers.shapes import State

_MEMORY = "_memory"
"""Where a run keeps its main solver, which may remember earlier steps."""


class Interval(NamedTuple):
    """Where a restart leads: t_min, t_max, N_R levels, K times."""

    low: float
    high: float
    levels: int
    repeats: int


@dataclass(frozen=True, kw_only=True)
class Restart(Integrator):
    """See the module. Defaults are those of CIFAR-10 on EDM, with levels for data of unit variance (there ½).

    Several intervals are lists of numbers, ``restart[restart_min=[1.09,0.06],restart_max=[1.92,0.3]]``; an option of
    one number holds for all of them.

    Args:
        restart_min: t_min, where a restart begins and ends.
        restart_max: t_max, the level it goes up to.
        restart_steps: N_R, levels of the way back with both ends, so that it has N_R − 1 steps.
        repeats: K, restarts.
        rho: ρ, how much the way back favours small noise.
        main: the ODE solver of the main grid, a denoising integrator without noise. One with a memory forgets what was
            before a restart.
        back: the solver of the way back.
    """

    name = "restart"
    equation = "denoising"
    evaluations_per_step = None
    by_kernel = True

    restart_min: float | tuple[float, ...] = draw_option(0.28, above=0)
    restart_max: float | tuple[float, ...] = draw_option(0.6, above=0)
    restart_steps: int | tuple[int, ...] = draw_option(3, least=2)
    repeats: int | tuple[int, ...] = draw_option(2, least=1)
    rho: float = draw_option(7.0, above=0)
    main: Part = draw_option("edm-heun")
    back: Part = draw_option("edm-heun")

    def __post_init__(self) -> None:
        super().__post_init__()
        for low, high, _, _ in self.intervals:
            if not low < high:
                raise ConfigurationError(
                    f"restart_min is {low} and restart_max {high}; expected 0 < restart_min < restart_max"
                )
        for role in ("main", "back"):
            solver = make_part("integrator", getattr(self, role))
            if solver.equation != "denoising" or solver.adds_noise:
                raise ConfigurationError(
                    f"{role} is {getattr(self, role)!r}; expected a denoising integrator that adds no noise, such as "
                    "edm-heun, ddim or dpmpp-2m"
                )

    @cached_property
    def intervals(self) -> tuple[Interval, ...]:
        """The intervals, that of the highest t_max first.

        Raises:
            ConfigurationError: if options list different numbers of them, or none.
        """
        columns = {name: getattr(self, name) for name in ("restart_min", "restart_max", "restart_steps", "repeats")}
        lengths = {name: len(value) for name, value in columns.items() if isinstance(value, tuple)}
        count = max(lengths.values(), default=1)
        if any(length != count for length in lengths.values()) or not count:
            raise ConfigurationError(
                f"the options list different numbers of intervals, or none: {lengths}; expected one value for all of "
                "them or as many as there are intervals"
            )
        rows = zip(*(v if isinstance(v, tuple) else (v,) * count for v in columns.values()), strict=True)
        return tuple(sorted(map(Interval._make, rows), key=lambda interval: -interval.high))

    @cached_property
    def _solvers(self) -> tuple[Integrator, Integrator]:
        """Main and way back, as they are."""
        return make_part("integrator", self.main), make_part("integrator", self.back)

    @property
    def adds_noise(self) -> bool:
        """See ``Integrator.adds_noise``."""
        return True

    def begin(self) -> Integrator:
        """A copy whose main solver has a memory of its own; see ``Integrator.begin``."""
        run = copy.copy(self)
        run.__dict__[_MEMORY] = self._solvers[0].begin()
        return run

    def step(self, dynamics: Dynamics, x: State, t: float, dt: float, noise: BrownianIncrement) -> State:
        """One step of the main grid, with the restarts if it passes a t_min; see ``Integrator.step``."""
        end = t + dt
        levels = [(self._level(interval, t, end), interval) for interval in self.intervals]
        x = self._restarts(dynamics, x, t, noise, [interval for level, interval in levels if level == t])
        x = self.__dict__.get(_MEMORY, self._solvers[0]).step(dynamics, x, t, dt, noise)
        return self._restarts(dynamics, x, end, noise, [interval for level, interval in levels if level == end])

    def _level(self, interval: Interval, t: float, end: float) -> float | None:
        """The end of this step that t_min is rounded to, if t_min lies between its ends."""
        wanted = interval.low
        # t + dt may miss the next time of the grid by a rounding error, which must not lose a t_min that lies on it
        if not end <= wanted * (1 + 1e-9) < t:
            return None
        usable = [level for level in (t, end) if 0 < level < interval.high]
        if not usable:
            raise ConfigurationError(
                f"restart_max is {interval.high}, and the grid steps from {t:.4g} to {end:.4g} across restart_min "
                f"({wanted}) without a positive level below restart_max; take a finer grid or a higher restart_max"
            )
        return min(usable, key=lambda level: abs(level - wanted))

    def _restarts(
        self, dynamics: Dynamics, x: State, level: float, noise: BrownianIncrement, intervals: list[Interval]
    ) -> State:
        """K times up to t_max by noise and back to ``level`` by the ODE, for each interval."""
        for interval in intervals:
            levels = power(interval.high, level, interval.levels - 1, self.rho)
            for _ in range(interval.repeats):
                x = dynamics.perturb(x, level, interval.high, noise)  # type: ignore[attr-defined]
                back = self._solvers[1].begin()
                for high, low in pairwise(levels):
                    x = back.step(dynamics, x, high, low - high, noise)
        if intervals and _MEMORY in self.__dict__:
            self.__dict__[_MEMORY] = self._solvers[0].begin()
        return x
