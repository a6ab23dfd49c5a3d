r"""The auxiliary process: how the target is carried, step by step, into something like the prior.

    q̃(x_t | x_{t+1}) = N(x_{t+1}/α_t, s_t² I),   t = T−1, …, 0,   from x_T ~ q

with α_t = 1 (variance exploding) or α_t = 1/√(1 − s_t²) (variance preserving). Then x_t = a_t x_T + √b_t ε in law, with
a_T = 1, b_T = 0 and, backwards, a_t = a_{t+1}/α_t, b_t = b_{t+1}/α_t² + s_t².

A policy x' = αx + μ + ησε with σ = αs and any η > 0 pays exactly

    log π(x'|x) − log q̃(x|x') = |μ|²/(2α²s²) + η μ·ε/(αs) + ½(η² − 1)|ε|² − D log(αη).

The second term has mean zero, and one may think of leaving it out; it stays, since with μ = −(α²s²/τ)∇V it cancels the
first-order noise of V(x')/τ in the temporal-difference target: a control variate for nothing.

Source: Yoon et al. 2025 (arXiv:2502.13280), Eq. 9; the schedules are named as in their App. E.3.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Literal, Self, get_args

import torch
from torch import Tensor

from phys_samplers.errors import ConfigurationError
from phys_samplers.options import check_values, draw_option, fit_option
from phys_samplers.paths import Extent, explore
from phys_samplers.sampler import Sampler
from phys_samplers.target import Target

Kind = Literal["ve", "vp"]
Shape = Literal["geometric", "quadratic", "linear"]


@dataclass(frozen=True)
class AuxiliaryProcess:
    """The kernels q̃ of all steps.

    Args:
        variances: s_t², t = 0..T−1; t = 0 is the prior's end.
        kind: ``"ve"`` or ``"vp"``.

    Raises:
        ConfigurationError: if a variance is not positive, or is 1 or more where variance is preserved.
    """

    variances: tuple[float, ...]
    kind: Kind = "ve"

    def __post_init__(self) -> None:
        check_values(self)
        top = 1.0 if self.kind == "vp" else math.inf
        if not self.variances or not all(0 < variance < top for variance in self.variances):
            raise ConfigurationError(
                f"the variances of the {self.kind} process run from {self.variances[:1]} to {self.variances[-1:]}; "
                f"expected numbers between 0 and {top:g}: lower start_variance or total_variance, or take more steps"
            )

    @property
    def steps(self) -> int:
        """T."""
        return len(self.variances)

    @property
    def total(self) -> float:
        """Σ s_t²."""
        return sum(self.variances)

    @cached_property
    def alphas(self) -> tuple[float, ...]:
        """α_t."""
        if self.kind == "ve":
            return (1.0,) * self.steps
        return tuple(1 / math.sqrt(1 - variance) for variance in self.variances)

    @cached_property
    def marginals(self) -> tuple[tuple[float, float], ...]:
        """(a_t, b_t) for t = 0..T."""
        pairs = [(1.0, 0.0)]
        for alpha, variance in zip(reversed(self.alphas), reversed(self.variances), strict=True):
            scale, blur = pairs[-1]
            pairs.append((scale / alpha, blur / alpha**2 + variance))
        return tuple(reversed(pairs))

    def columns(self, first: int, count: int, like: Tensor) -> tuple[Tensor | float, Tensor | float]:
        """α_t and s_t of ``count`` steps from ``first``, to multiply states (R, count, N, K) by.

        Returns:
            each (count, 1, 1); numbers where there is one step.
        """
        if count == 1:
            return self.alphas[first], math.sqrt(self.variances[first])
        alpha, s = _columns(self, like.dtype, like.device)
        return alpha[first : first + count], s[first : first + count]


@lru_cache(maxsize=32)
def _columns(process: AuxiliaryProcess, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    alpha = torch.tensor(process.alphas, dtype=dtype, device=device)
    variance = torch.tensor(process.variances, dtype=dtype, device=device)
    return alpha.view(-1, 1, 1), variance.sqrt().view(-1, 1, 1)


def log_ratio(
    shift: Tensor, noise: Tensor, alpha: Tensor | float, s: Tensor | float, scale: Tensor | float = 1.0
) -> Tensor:
    """log π(x'|x) − log q̃(x|x') of a step x' = αx + μ + ηαs ε; see the module.

    Args:
        shift: μ (..., K).
        noise: ε (..., K).
        alpha: α, a number or broadcastable to (..., 1).
        s: s, likewise.
        scale: η, likewise.

    Returns:
        (...).
    """
    drift = shift / (alpha * s)
    if isinstance(scale, float) and scale == 1:
        products = (0.5 * drift).add_(noise).mul_(drift)
    else:
        moved = torch.addcmul(drift, scale, noise) if isinstance(scale, Tensor) else drift.add(noise, alpha=scale)
        products = (moved + noise).mul_(moved.sub_(noise)).mul_(0.5)  # ½ (|d + ηε|² − |ε|²)
    stretch = alpha * scale
    if isinstance(stretch, Tensor):
        return products.sum(-1) - noise.shape[-1] * stretch.log().squeeze(-1)
    return products.sum(-1) - noise.shape[-1] * math.log(stretch)


def schedule(
    shape: Shape, steps: int, *, end: float, start: float | None = None, total: float | None = None
) -> tuple[float, ...]:
    """The variances s_t² of T steps, from the prior's end to the target's.

    Args:
        shape: ``geometric`` (s² falls by a constant factor; "exponential" in the paper), ``quadratic`` (s, the square
            root, is linear in t) or ``linear`` (s² is).
        steps: T.
        end: s_{T−1}², comparable with the square of the target's finest detail.
        start: s_0², or
        total: Σ s_t², from which s_0² follows; comparable with the square of the target's spread, whatever T is.

    Raises:
        ConfigurationError: on a bad value, if not just one of ``start`` and ``total`` is given, or if ``total`` is less
            than T steps of ``end``.
    """
    if shape not in get_args(Shape):
        raise ConfigurationError(f"spacing is {shape!r}; expected one of {', '.join(get_args(Shape))}")
    for name, value in (("end_variance", end), ("start_variance", start), ("total_variance", total)):
        if value is not None and not 0 < value < math.inf:
            raise ConfigurationError(f"{name} is {value!r}; expected a positive number")
    if (start is None) == (total is None):
        raise ConfigurationError(
            f"start_variance is {start} and total_variance {total}; expected one of them, and None for the other"
        )
    if start is not None:
        return _between(shape, steps, start, end)
    assert total is not None
    if total < end * steps * (1 - 1e-9):
        raise ConfigurationError(
            f"total_variance is {total:g}, less than {steps} steps of end_variance, {end:g}, together; raise the first "
            "or lower the second"
        )
    low, high = math.log(end), math.log(max(total, end))
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if sum(_between(shape, steps, math.exp(middle), end)) < total else (low, middle)
    return _between(shape, steps, math.exp(high), end)


REACH, FINEST = 1.5, 0.25
"""Σ s_t² in units of the mean square of a coordinate, and s_{T−1}² in units of the narrowest coordinate's variance."""


@dataclass(frozen=True, kw_only=True)
class Scheduled(Sampler):
    """A recipe of walks with such a process.

    Args:
        sampling_steps: T.
        process: ``"ve"`` or ``"vp"``; see the module.
        spacing: of s_t²: ``"geometric"``, ``"quadratic"`` or ``"linear"``.
        start_variance: s_0²; or None, and
        total_variance: Σ s_t², from which s_0² follows, comparable with the square of the target's spread; None for
            ``REACH`` times the mean square of a coordinate, which particles find before training (``explore``).
        end_variance: s_{T−1}², comparable with the square of its finest detail; None for ``FINEST`` times the square of
            the detail that they find, if that is small enough beside the total.
        corrections: MALA steps after the walk.
    """

    sampling_steps: int = fit_option(20, least=1)
    process: Kind = fit_option("ve")
    spacing: Shape = fit_option("geometric")
    start_variance: float | None = fit_option(None, above=0)
    total_variance: float | None = fit_option(25.0, above=0)
    end_variance: float | None = fit_option(0.05, above=0)
    corrections: int = draw_option(0, least=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.start_variance is not None and self.total_variance is not None:
            raise ConfigurationError(
                f"start_variance is {self.start_variance} and total_variance {self.total_variance}; "
                "expected one of them to be None"
            )
        if self.settled:
            self.auxiliary  # noqa: B018 - building a part validates its options

    @property
    def settled(self) -> bool:
        """Whether all variances are known; those of a model are."""
        return self.end_variance is not None and (self.start_variance or self.total_variance) is not None

    def settle(self, target: Target, *, device: torch.device | str, extent: Extent | None = None) -> Self:
        """This recipe with the variances that suit ``target``, on ``device``, where none were given.

        Args:
            target: to be sampled.
            device: where to compute.
            extent: of the target; None to let particles find it.
        """
        if self.settled:
            return self
        extent = extent or explore(target, device=device)
        start, total, end = self.start_variance, self.total_variance, self.end_variance
        if start is None and total is None:
            total = max(REACH * extent.spread**2, self.sampling_steps * (end or 0.0))
        if end is None:
            bound = start if total is None else total / self.sampling_steps
            end = min(FINEST * extent.detail**2, 0.25 * (bound or 1.0))
        return self.with_options(total_variance=total, end_variance=end)

    @property
    def auxiliary(self) -> AuxiliaryProcess:
        """The auxiliary process."""
        assert self.end_variance is not None, "settle() comes first"
        variances = schedule(
            self.spacing,
            self.sampling_steps,
            end=self.end_variance,
            start=self.start_variance,
            total=self.total_variance,
        )
        return AuxiliaryProcess(variances, self.process)


def _between(shape: Shape, steps: int, start: float, end: float) -> tuple[float, ...]:
    shares = [t / (steps - 1) for t in range(steps)] if steps > 1 else [0.0]
    if shape == "geometric":
        return tuple(start ** (1 - u) * end**u for u in shares)
    if shape == "linear":
        return tuple(start * (1 - u) + end * u for u in shares)
    return tuple((math.sqrt(start) * (1 - u) + math.sqrt(end) * u) ** 2 for u in shares)
