r"""What an integrator is: one pure step of ``dx = drift dt + diffusion dW`` (Itô), with its orders declared.

Time may run backwards. A step of ``dt < 0`` is the forward step of the same equation in the clock ``s = −t``, where
the drift is ``−drift`` and the increments have variance ``|dt|``: every scheme here multiplies drifts by the signed
``dt``, and takes its stochastic integrals over ``|dt|``.

Time grids are tuples of Python floats (double precision), whatever the precision of the state. A grid of ``steps``
intervals has ``steps + 1`` points, hits both ends exactly and may decrease.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, Literal, Protocol

from torch import Tensor

from phys_samplers.dynamics import DenoisingDynamics, Dynamics, Noise
from phys_samplers.errors import ConfigurationError, IncompatibleError
from phys_samplers.options import check_values
from phys_samplers.shapes import State

Equation = Literal["ode", "sde", "both", "denoising"]

ANY_NOISE: frozenset[Noise] = frozenset({"none", "additive", "diagonal", "isotropic"})


class BrownianIncrement(Protocol):
    """The Wiener process over one step of length ``h = |dt|``; every tensor has the shape and dtype of ``x``.

    The tensors may be buffers that the next step overwrites: a scheme must not return or keep them.
    """

    @property
    def dw(self) -> Tensor:
        """ΔW = ∫ dW over the step, N(0, h)."""
        ...

    @property
    def i10(self) -> Tensor:
        """I₁₀ = ∫∫ dW du = ∫ (s_end − s) dW(s), N(0, h³/3) with covariance h²/2 with ``dw``."""
        ...

    @property
    def sign(self) -> Tensor:
        """Fair random signs ±1, one a coordinate, independent of all else."""
        ...

    def normal(self) -> Tensor:
        """A fresh N(0, I) at every call, for schemes that add noise of their own; not part of a ``BrownianPath``."""
        ...


class StepFailure(ArithmeticError):  # noqa: N818 - reads as the condition it names
    """Raised by an adaptive scheme that cannot go on; the driver turns it into a ``DivergenceError`` with counts.

    Attributes:
        state: the last state it saw (or a state whose particles are not finite where the drift was not).
        t: time of that state.
        advice: what the user can do.
    """

    def __init__(self, message: str, *, state: Tensor, t: float, advice: str) -> None:
        super().__init__(message)
        self.state, self.t, self.advice = state, t, advice


@dataclass(frozen=True, kw_only=True)
class Integrator(ABC):
    """One scheme. Subclasses are frozen dataclasses that can be made without arguments.

    Attributes:
        name: component name, for messages.
        equation: what it integrates: ``"ode"``, ``"sde"``, ``"both"`` (with b = 0 it is the ODE scheme its docstring
            names), or ``"denoising"``: denoising dynamics only, by their denoiser, and down to time 0 if asked; it may
            add noise of its own.
        order: order of convergence on an ODE.
        strong_order: strong order for the most general noise it accepts that commutes (diagonal, else additive); None
            for ODE methods.
        strong_order_additive: strong order for additive noise.
        weak_order: weak order for the most general noise it accepts.
        evaluations_per_step: evaluations that one step needs at most; None if it is adaptive or its options decide.
        accepts: the kinds of noise it integrates.
        adaptive: chooses its own steps, so that the driver hands it whole spans instead of grid intervals.
        by_kernel: what noise it adds is that of the dynamics' own forward kernel, ``DenoisingDynamics.perturb``, so
            that it fits flows of any noise; others add Gaussian noise.
    """

    name: ClassVar[str] = ""
    equation: ClassVar[Equation]
    order: ClassVar[float | None] = None
    strong_order: ClassVar[float | None] = None
    strong_order_additive: ClassVar[float | None] = None
    weak_order: ClassVar[float | None] = None
    evaluations_per_step: ClassVar[int | None]
    accepts: ClassVar[frozenset[Noise]] = frozenset({"none"})
    adaptive: ClassVar[bool] = False
    by_kernel: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_values(self)

    @abstractmethod
    def step(self, dynamics: Dynamics, x: State, t: float, dt: float, noise: BrownianIncrement) -> State:
        """The state at ``t + dt`` from ``x`` at ``t``; ``x`` is left as it is.

        Args:
            dynamics: the equation.
            x: (B, *event_shape).
            t: time, a Python float in double precision.
            dt: signed step.
            noise: the Wiener process over the step, ignored by ODE schemes.
        """

    @property
    def adds_noise(self) -> bool:
        """Whether a step of it is random, with these options."""
        return self.equation in ("sde", "both")

    def begin(self) -> Integrator:
        """The scheme for one run: itself, or, for schemes that remember earlier steps, a fresh copy with a memory."""
        return self

    def check(self, dynamics: Dynamics) -> None:
        """Raise unless the scheme integrates ``dynamics``.

        Raises:
            IncompatibleError: naming both, the reason, and the integrators that fit.
        """
        noise = effective_noise(dynamics)
        if self.equation == "denoising" and not isinstance(dynamics, DenoisingDynamics):
            raise IncompatibleError(
                f"integrator {self._label} needs dynamics with a denoiser (DenoisingDynamics), and "
                f"{type(dynamics).__name__} has none. Use {_joined(fitting(noise))}"
            )
        if noise in self.accepts:
            return
        raise IncompatibleError(
            f"integrator {self._label} cannot integrate {type(dynamics).__name__}, whose noise is {noise!r}: "
            f"{self._reason(noise)}. Use {_joined(fitting(noise))}"
        )

    @property
    def _label(self) -> str:
        return repr(self.name or type(self).__name__)

    def _reason(self, noise: Noise) -> str:
        if self.equation == "ode":
            return "it solves ODEs only and would drop the noise"
        return f"it holds for {_joined(sorted(self.accepts))} noise only"


def effective_noise(dynamics: Dynamics) -> Noise:
    """The kind of noise, where isotropic noise on a single coordinate counts as diagonal."""
    if dynamics.noise == "isotropic" and math.prod(dynamics.event_shape) == 1:
        return "diagonal"
    return dynamics.noise


def fitting(noise: Noise) -> list[str]:
    """Names of the built-in integrators that take ``noise`` as it stands, whatever the dynamics."""
    from phys_samplers.declared import INTEGRATORS

    return [c.name for c in INTEGRATORS if noise in c.traits["accepts"] and c.traits["equation"] != "denoising"]


def _joined(names: Sequence[str]) -> str:
    return " or ".join(filter(None, [", ".join(names[:-1]), names[-1]])) if names else "no built-in integrator fits"


def uniform(t0: float, t1: float, steps: int) -> tuple[float, ...]:
    """``steps`` equal intervals from ``t0`` to ``t1``.

    Raises:
        ConfigurationError: if ``steps`` < 1, or the ends are equal or not finite.
    """
    check_steps(steps)
    t0, t1 = float(t0), float(t1)
    # a weighted mean of the ends for every point, so that rounding does not pile up along the grid
    return checked((*(((steps - i) * t0 + i * t1) / steps for i in range(steps)), t1))


def geometric(t0: float, t1: float, steps: int) -> tuple[float, ...]:
    """``steps`` intervals with a constant ratio of neighbouring times: t_i = t0 (t1/t0)^{i/steps}.

    Raises:
        ConfigurationError: if ``steps`` < 1, or the ends are not positive, finite and different.
    """
    check_steps(steps)
    t0, t1 = float(t0), float(t1)
    if not (0.0 < t0 < math.inf and 0.0 < t1 < math.inf):
        raise ConfigurationError(
            f"a geometric grid from {t0} to {t1}: expected two positive finite times; "
            "end at a small positive time instead of 0, or use a uniform grid"
        )
    low, high = math.log(t0), math.log(t1)
    return checked((t0, *(math.exp(((steps - i) * low + i * high) / steps) for i in range(1, steps)), t1))


def power(t0: float, t1: float, steps: int, exponent: float) -> tuple[float, ...]:
    """``steps`` equal intervals of t^{1/ρ} from ``t0`` to ``t1``: finer near 0 for ρ > 1, geometric as ρ → ∞.

    The grid of EDM (Karras et al. 2022, arXiv:2206.00364, Eq. 5).

    Args:
        t0: start, not negative.
        t1: end, not negative.
        steps: number of intervals.
        exponent: ρ.

    Raises:
        ConfigurationError: if ``steps`` < 1, the exponent is not positive and finite, or the ends are negative, not
            finite or equal.
    """
    check_steps(steps)
    t0, t1 = float(t0), float(t1)
    if not (0.0 <= t0 < math.inf and 0.0 <= t1 < math.inf and 0.0 < exponent < math.inf):
        raise ConfigurationError(
            f"a power grid from {t0} to {t1} with exponent {exponent}: expected two finite times that are not negative "
            "and a positive finite exponent, e.g. 7"
        )
    first, last = t0 ** (1 / exponent), t1 ** (1 / exponent)
    inner = (((steps - i) * first + i * last) / steps for i in range(1, steps))
    return checked((t0, *(root**exponent for root in inner), t1))


def checked(times: Iterable[float]) -> tuple[float, ...]:
    """The same times as a tuple of floats, if they make a grid.

    Raises:
        ConfigurationError: unless there are at least two finite, strictly increasing or strictly decreasing times.
    """
    grid = tuple(float(t) for t in times)
    if len(grid) < 2:
        raise ConfigurationError(
            f"the time grid has {len(grid)} point(s); expected at least 2, e.g. uniform(0, 1, 200)"
        )
    down = grid[-1] < grid[0]
    for i, (a, b) in enumerate(pairwise(grid)):
        if not (math.isfinite(a) and math.isfinite(b)) or (b >= a if down else b <= a):
            raise ConfigurationError(
                f"the time grid goes from {a} to {b} at points {i} and {i + 1}; "
                "expected finite times that strictly increase, or strictly decrease"
            )
    return grid


def check_steps(steps: int) -> None:
    """Raise unless ``steps`` is a number of intervals.

    Raises:
        ConfigurationError: if it is not an integer of at least 1.
    """
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
        raise ConfigurationError(f"steps is {steps!r}; expected the number of intervals, an integer of at least 1")
