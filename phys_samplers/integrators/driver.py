"""The one loop that integrates: ODE and SDE, forwards and backwards in time, with the cost counted."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor

from phys_samplers.dynamics import Dynamics, Relaxation
from phys_samplers.errors import ConfigurationError, DivergenceError
from phys_samplers.integrators.base import Integrator, StepFailure, checked
from phys_samplers.integrators.brownian import BrownianPath, PathWalk
from phys_samplers.shapes import Coefficient, State


class Trajectory(NamedTuple):
    """Recorded states: ``times`` (K) and ``states`` (K, B, *event_shape), start and end included."""

    times: tuple[float, ...]
    states: Tensor


@dataclass(frozen=True, eq=False)
class Solution:
    """What integrating gave and what it cost.

    Args:
        x: final particles (B, *event_shape).
        nfe: network (or density) evaluations per particle, counted call by call.
        steps: steps taken; for an adaptive scheme the spans handed to it.
        lost: particles that are not finite or out of bounds (at most ``tolerate``).
        trajectory: recorded states, if asked for.
    """

    x: Tensor
    nfe: int
    steps: int
    lost: int
    trajectory: Trajectory | None = None


class WienerProcess:
    """Fresh increments from a generator; each integral is drawn only if the scheme asks for it.

    The tensors are buffers that the next step overwrites.

    Args:
        like: a state: its shape, dtype and device are those of the increments.
        generator: on the device of ``like``; may be None as long as nothing is drawn.

    Raises:
        ConfigurationError: if the generator lives on another device.
    """

    def __init__(self, like: Tensor, generator: torch.Generator | None) -> None:
        if generator is not None and generator.device.type != like.device.type:
            raise ConfigurationError(
                f"the generator is on {generator.device}, the particles are on {like.device}; "
                "expected the same device: make_generator(seed, ..., device=x0.device)"
            )
        self._like, self._generator = like, generator
        self._h = 0.0
        self._step = 0
        self._dw_step = self._i10_step = self._sign_step = -1  # the step whose increment each buffer holds
        self._dw: Tensor | None = None
        self._i10: Tensor | None = None
        self._sign: Tensor | None = None

    def advance(self, h: float) -> None:
        """Go on to the next step, of length ``h`` > 0."""
        self._h = h
        self._step += 1

    @property
    def dw(self) -> Tensor:
        """ΔW of the current step."""
        if self._dw is None:
            self._dw = self._buffer()
        if self._dw_step != self._step:
            self._dw_step = self._step
            self._dw.normal_(0.0, math.sqrt(self._h), generator=self._generator)
        return self._dw

    @property
    def i10(self) -> Tensor:
        """I₁₀ of the current step."""
        if self._i10 is None:
            self._i10 = self._buffer()
        if self._i10_step != self._step:
            dw, self._i10_step = self.dw, self._step
            self._i10.normal_(0.0, math.sqrt(self._h / 3), generator=self._generator).add_(dw).mul_(0.5 * self._h)
        return self._i10

    @property
    def sign(self) -> Tensor:
        """Random signs of the current step, one a coordinate."""
        if self._sign is None:
            self._sign = self._buffer()
        if self._sign_step != self._step:
            self._sign_step = self._step
            # the sign of a normal: three times as fast as bernoulli_ on a CPU
            self._sign.normal_(0.0, 1.0, generator=self._generator).ge_(0).mul_(2).sub_(1)
        return self._sign

    def normal(self) -> Tensor:
        """A fresh N(0, I) at every call."""
        return self._buffer().normal_(0.0, 1.0, generator=self._generator)

    def _buffer(self) -> Tensor:
        if self._generator is None:
            raise ConfigurationError(
                "this scheme draws random numbers, but generator is None; "
                'pass generator=make_generator(seed, "integrate", device=x0.device)'
            )
        return torch.empty_like(self._like, memory_format=torch.contiguous_format)


@torch.no_grad()
def integrate(
    dynamics: Dynamics,
    x0: Tensor,
    *,
    integrator: Integrator,
    grid: Iterable[float] | Tensor,
    generator: torch.Generator | None = None,
    brownian: BrownianPath | None = None,
    check_every: int = 50,
    bound: float = 1e6,
    tolerate: int = 0,
    record: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Solution:
    """Integrate ``dx = drift dt + diffusion dW`` along ``grid``, starting from ``x0``.

    No autograd graph is built (dynamics that need a gradient enable it themselves). The state keeps its dtype, times
    are Python floats. Between checks nothing is read back from the device.

    Args:
        dynamics: the equation.
        x0: start (B, *event_shape), or with more leading axes; not changed.
        integrator: the scheme.
        grid: increasing or decreasing times in double precision; an adaptive scheme uses the ends and the recorded
            points only.
        generator: source of the noise, on the device of ``x0``; not needed for an ODE.
        brownian: a Wiener path on this very grid, instead of ``generator``.
        check_every: look for lost particles every so many steps, and at the end.
        bound: a particle with a coordinate beyond it is lost; ``math.inf`` leaves only NaN and infinities.
        tolerate: number of lost particles that is no error.
        record: keep every ``record``-th state, the first and the last.
        progress: called with (steps done, steps in all) at every check.

    Raises:
        IncompatibleError: if the scheme does not fit the dynamics.
        ConfigurationError: on a bad grid, start, generator, path or option.
        DivergenceError: if more than ``tolerate`` particles are lost, with their number, the step and the time.
    """
    times = _times(grid)
    _check_options(dynamics, x0, check_every, tolerate, record)
    integrator.check(dynamics)
    if brownian is not None and (brownian.grid != times or brownian.dw.shape[1:] != x0.shape):
        raise ConfigurationError(
            f"the Brownian path has {len(brownian.grid)} times for states {tuple(brownian.dw.shape[1:])}, the grid has "
            f"{len(times)} for {tuple(x0.shape)}; expected a path on this very grid: pass grid=path.grid"
        )
    if integrator.adaptive:
        times = _recorded(times, record)
        record = None if record is None else 1
    steps = [(t, b - t, abs(b - t)) for t, b in pairwise(times)]
    total = len(steps)
    noise: WienerProcess | PathWalk = WienerProcess(x0, generator) if brownian is None else brownian.walk()
    counted = CountedDynamics(dynamics)
    step = integrator.begin().step
    confine = None if _inherits(dynamics, "confine") else dynamics.confine
    x, lost = x0, 0
    kept = [0] if record else []
    states = [x0] if record else []
    for start in range(0, total, check_every):
        stop = min(start + check_every, total)
        for done, (t, dt, h) in enumerate(steps[start:stop], start + 1):
            noise.advance(h)
            try:
                x = step(counted, x, t, dt, noise)
                if confine is not None:
                    x = confine(x)
            except StepFailure as failure:
                lost = _lost(failure.state, dynamics, bound)
                raise _divergence(integrator, failure.state, dynamics, lost, bound, done, total, failure) from failure
            if record and (done % record == 0 or done == total):
                kept.append(done)
                states.append(x)
        lost = _lost(x, dynamics, bound)
        if lost > tolerate:
            raise _divergence(integrator, x, dynamics, lost, bound, stop, total, times[stop])
        if progress is not None:
            progress(stop, total)
    trajectory = Trajectory(tuple(times[k] for k in kept), torch.stack(states)) if record else None
    return Solution(x, counted.nfe, total, lost, trajectory)


def _inherits(dynamics: Dynamics, method: str) -> bool:
    """Whether a method is that of ``Dynamics``, which need not be called: a call is dear beside a small step."""
    return getattr(getattr(dynamics, method), "__func__", None) is getattr(Dynamics, method)


def _times(grid: Iterable[float] | Tensor) -> tuple[float, ...]:
    if isinstance(grid, Tensor):
        if grid.dtype != torch.float64 or grid.ndim != 1:
            raise ConfigurationError(
                f"the time grid is a {grid.dtype} tensor of shape {tuple(grid.shape)}; expected a torch.float64 tensor "
                "of one axis (build it in double precision), or floats"
            )
        grid = grid.tolist()
    return checked(grid)


def _recorded(times: tuple[float, ...], record: int | None) -> tuple[float, ...]:
    """The points of the grid that an adaptive scheme has to hit."""
    return (*times[: -1 : record or len(times)], times[-1])


def _check_options(dynamics: Dynamics, x0: Tensor, check_every: int, tolerate: int, record: int | None) -> None:
    event = tuple(dynamics.event_shape)
    shape = tuple(x0.shape)
    if not x0.is_floating_point() or len(shape) <= len(event) or shape[len(shape) - len(event) :] != event:
        raise ConfigurationError(
            f"x0 is a {x0.dtype} tensor of shape {shape}; expected floating-point particles of shape "
            f"({', '.join(map(str, ('B', *event)))})"
        )
    for name, value, least in (("check_every", check_every, 1), ("tolerate", tolerate, 0), ("record", record, 1)):
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < least):
            raise ConfigurationError(f"{name} is {value!r}; expected an integer of at least {least}")


def _lost(x: Tensor, dynamics: Dynamics, bound: float) -> int:
    """How many particles are not finite or out of bounds; one read from the device."""
    # a NaN passes through amax and is not <= anything; reducing numbers is ten times as fast as reducing booleans
    largest = x.abs().flatten(-len(dynamics.event_shape)).amax(-1)
    return largest.numel() - int((largest <= min(bound, torch.finfo(x.dtype).max)).sum())


def _divergence(
    integrator: Integrator,
    x: Tensor,
    dynamics: Dynamics,
    lost: int,
    bound: float,
    done: int,
    total: int,
    cause: float | StepFailure,
) -> DivergenceError:
    name = integrator.name or type(integrator).__name__
    if isinstance(cause, StepFailure):
        where, t, advice = f"{cause}; ", cause.t, cause.advice
    else:
        where, t = "", cause
        advice = (
            "take smaller steps (a longer grid, or one that is finer where the drift is steep), an integrator of "
            "higher order or an exponential one, or raise bound if such values are right"
        )
    particles = math.prod(x.shape[: x.ndim - len(dynamics.event_shape)])
    return DivergenceError(
        f"{where}{lost} of {particles} particles are not finite or beyond ±{bound:g} after step {done} of {total} "
        f"(t = {t:.6g}) of {name} on {type(dynamics).__name__}: {advice}",
        lost=lost,
        total=particles,
        step=done,
    )


class CountedDynamics(Dynamics):
    """Dynamics that count their evaluations.

    A drift, a drift with the diffusion, a relaxation, a denoising, and a diffusion that depends on the state count as
    one evaluation each; an additive diffusion, a number that depends on time alone, counts as none. What an integrator
    of its own wants beyond the contract (attributes and methods) is found on the counted object through this one.

    Attributes:
        counted: the object that does the work.
        evaluations: number of evaluations so far.
    """

    def __init__(self, counted: Dynamics) -> None:
        self.counted = counted
        self.evaluations = 0
        self.event_shape = counted.event_shape
        self.noise = counted.noise
        self.times = counted.times
        self.calls_per_evaluation = counted.calls_per_evaluation
        self._diffusion_cost = int(counted.noise != "additive")
        self._apart = _inherits(counted, "drift_and_diffusion")

    @property
    def nfe(self) -> int:
        """Network (or density) evaluations so far, per particle."""
        return self.evaluations * self.calls_per_evaluation

    def drift(self, x: State, t: float) -> State:
        """Drift, counted."""
        self.evaluations += 1
        return self.counted.drift(x, t)

    def diffusion(self, x: State, t: float) -> Coefficient:
        """Diffusion, counted unless additive."""
        self.evaluations += self._diffusion_cost
        return self.counted.diffusion(x, t)

    def drift_and_diffusion(self, x: State, t: float) -> tuple[State, Coefficient]:
        """Both, counted once."""
        self.evaluations += 1
        if self._apart:
            return self.counted.drift(x, t), self.counted.diffusion(x, t)
        return self.counted.drift_and_diffusion(x, t)

    def relaxation(self, x: State, t: float) -> tuple[Relaxation, Tensor] | None:
        """Drift split and diffusion, counted once."""
        self.evaluations += 1
        return self.counted.relaxation(x, t)

    def denoise(self, x: State, t: float) -> State:
        """Denoised state, counted."""
        self.evaluations += 1
        return self.counted.denoise(x, t)  # type: ignore[attr-defined]

    def prior(self, n: int, generator: torch.Generator) -> Tensor:
        """Starting points of the counted dynamics."""
        return self.counted.prior(n, generator)

    def __getattr__(self, name: str) -> Any:
        if name == "counted":  # not yet set: copying or unpickling
            raise AttributeError(name)
        return getattr(self.counted, name)
