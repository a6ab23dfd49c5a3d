r"""Log-likelihood of a denoiser's law, by the change of variables along the probability-flow ODE.

The ODE du/dλ = (u − D)/λ carries the law blurred by λ from one level to another, so that

    log p_{λ₀}(u(λ₀)) = log p_{λ₁}(u(λ₁)) + ∫_{λ₀}^{λ₁} ∇·(u − D)/λ dλ

(Chen et al. 2018, *Neural ordinary differential equations*, arXiv:1806.07366, Theorem 1; Song et al. 2021,
arXiv:2011.13456, App. D.2). It is followed upwards, from the smallest level λ₀ of the schedule, the noise that the
points are taken to have, to the largest one λ₁, where p is the prior of the sampler. Here it runs in z = u/s with
s² = 1 + λ² and in the angle φ = arctan λ (Salimans & Ho 2022, arXiv:2202.00512, App. D),

    dz/dφ = (z − sD)/λ,        d log q/dφ = −(d − s² tr ∂D/∂u)/λ        for the density q of z in d dimensions:

the right side is the velocity that ``v`` networks predict, of unit variance at every level, and standardised Gaussian
data stand still, so that a solver has nothing to do but what is not Gaussian. The grid has equal steps of
w = √λ/(1 + √λ): near λ = 1, where modes part, they are shorter than equal steps of log λ, and towards both ends shorter
than equal steps of φ, for narrow modes below and for networks that see log λ above.

The trace takes one vector-Jacobian product for each coordinate, or for each random vector v of independent signs:
E vᵀ(∂D/∂u)v is the trace (Hutchinson 1990). Such vectors stay the same along the whole path, as adaptive solvers need
(Grathwohl et al. 2019, FFJORD, arXiv:1810.01367, Sec. 3.1); the path does not depend on them, and the result is linear
in the trace, so the estimate is unbiased for every fixed grid.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from phys_samplers.denoisers.denoiser import Denoise
from phys_samplers.dynamics import Dynamics
from phys_samplers.errors import ConfigurationError
from phys_samplers.integrators.base import Integrator, uniform
from phys_samplers.integrators.driver import integrate

Divergence = Literal["auto", "exact", "hutchinson"]
PriorLogProb = Callable[[Tensor, float], Tensor]
"""log p of u (B, D) at the ratio λ: (B,)."""

EXACT_UP_TO = 32
"""Coordinates up to which ``divergence="auto"`` takes the exact trace."""
ROWS = 2**13
"""Rows of up to 32 coordinates that are integrated at once, fewer of more; the graph of one network call on them is in
memory."""


@dataclass(frozen=True, eq=False)
class Likelihood:
    """What the ODE says of points.

    Args:
        log_prob: log-density (B,) of the law blurred by the smallest level.
        standard_error: of each, from the spread over the random probes (B,); None if the trace is exact, or if there
            is one probe only.
        nfe: denoiser evaluations per point, each with its vector-Jacobian products.
    """

    log_prob: Tensor
    standard_error: Tensor | None
    nfe: int


class LikelihoodFlow(Dynamics):
    """z and, for each of K estimates of the divergence, log p along the path: states (B, D + K) at times φ.

    Args:
        denoise: D.
        dim: coordinates D.
        levels: λ₀ and λ₁.
        probes: random signs (K, B, D), or None for the exact trace (K = 1).
    """

    def __init__(self, denoise: Denoise, dim: int, levels: tuple[float, float], probes: Tensor | None = None) -> None:
        self._denoise, self._dim, self._probes = denoise, dim, probes
        self.event_shape = (dim + (1 if probes is None else len(probes)),)
        self.times = (math.atan(levels[0]), math.atan(levels[1]))

    def drift(self, x: Tensor, t: float) -> Tensor:
        """((z − sD)/λ, (d − s² tr ∂D/∂u)/λ): what leaves log q is gathered, so that it is added to that of the end."""
        ratio, scale = math.tan(t), 1 / math.cos(t)
        z = x[:, : self._dim]
        clean, trace = self._denoise_and_trace(z * scale, ratio)
        return torch.cat((torch.sub(z, clean, alpha=scale), self._dim - trace * scale**2), 1).div_(ratio)

    def _denoise_and_trace(self, u: Tensor, ratio: float) -> tuple[Tensor, Tensor]:
        """D (B, D) and the estimates (B, K) of tr ∂D/∂u, by one product with the Jacobian for each direction."""
        with torch.enable_grad():
            u = u.detach().requires_grad_()
            clean = self._denoise(u, ratio)
        directions = torch.eye(self._dim, dtype=u.dtype, device=u.device) if self._probes is None else self._probes
        last = len(directions) - 1
        # Rows do not see each other, so that one product serves them all.
        products = [
            (torch.autograd.grad(clean, u, v.expand_as(u), retain_graph=i < last)[0] * v).sum(1)
            for i, v in enumerate(directions)
        ]
        estimates = torch.stack(products, 1)
        return clean.detach(), estimates.sum(1, keepdim=True) if self._probes is None else estimates

    def prior(self, n: int, generator: torch.Generator) -> Tensor:
        """None: a likelihood starts from the points it is asked about."""
        raise TypeError("the ODE of a likelihood starts from the points it is asked about: it has no prior")


def log_likelihood(
    denoise: Denoise,
    prior_log_prob: PriorLogProb,
    u: Tensor,
    *,
    levels: tuple[float, float],
    integrator: Integrator,
    steps: int,
    divergence: Divergence = "auto",
    probes: int = 1,
    generator: torch.Generator | None = None,
) -> Likelihood:
    """log p of ``u``, points with noise of the smallest level.

    Args:
        denoise: D, differentiable in its first argument; rows must not see each other.
        prior_log_prob: log-density at the largest level.
        u: points (B, D), in the precision to compute in.
        levels: the smallest and the largest λ.
        integrator: any scheme for ODEs.
        steps: intervals of the grid; an adaptive scheme chooses its own.
        divergence: ``exact``: D products with the Jacobian an evaluation; ``hutchinson``: ``probes`` of them, unbiased;
            ``auto``: exact up to ``EXACT_UP_TO`` coordinates.
        probes: random vectors a point, if the trace is not exact.
        generator: of the probes, on the device of ``u``.

    Raises:
        ConfigurationError: on a bad option, or without a generator where one is needed.
        IncompatibleError: if the integrator is not one for ODEs.
        DivergenceError: if a point leaves the finite numbers.
    """
    dim = u.shape[1]
    exact = _exact(divergence, dim)
    if isinstance(probes, bool) or not isinstance(probes, int) or probes < 1:
        raise ConfigurationError(
            f"probes is {probes!r}; expected the number of random vectors, an integer of at least 1"
        )
    if not exact and generator is None:
        raise ConfigurationError("generator is None; expected a torch.Generator for the random vectors of the trace")
    narrow, wide = (math.sqrt(1 + level**2) for level in levels)
    values, nfe = [], 0
    for rows in u.split(max(1, ROWS * EXACT_UP_TO // max(dim, EXACT_UP_TO))):
        signs = None
        if not exact:
            # Rows first, so that a row's signs do not depend on where the rows are cut.
            shape = (len(rows), probes, dim)
            coins = torch.randint(2, shape, generator=generator, device=u.device, dtype=torch.int8)
            signs = (2 * coins - 1).to(u.dtype).transpose(0, 1)
        flow = LikelihoodFlow(denoise, dim, levels, signs)
        start = torch.cat((rows / narrow, rows.new_zeros(len(rows), 1 if exact else probes)), 1)
        solution = integrate(
            flow, start, integrator=integrator, grid=angles(levels, steps), generator=generator, bound=math.inf
        )
        z, gathered = solution.x.split((dim, solution.x.shape[1] - dim), 1)
        values.append(gathered + (prior_log_prob(z * wide, levels[1]) + dim * math.log(wide / narrow)).unsqueeze(1))
        nfe = max(nfe, solution.nfe)
    estimates = torch.cat(values)
    error = estimates.std(1) / math.sqrt(probes) if estimates.shape[1] > 1 else None
    return Likelihood(estimates.mean(1), error, nfe)


def angles(levels: tuple[float, float], steps: int) -> tuple[float, ...]:
    """The grid: ``steps`` intervals of φ = arctan λ between two levels, equal ones of w = √λ/(1 + √λ)."""
    low, high = levels
    shares = uniform(1 / (1 + low**-0.5), 1 / (1 + high**-0.5), steps)
    return (math.atan(low), *(math.atan((w / (1 - w)) ** 2) for w in shares[1:-1]), math.atan(high))


def _exact(divergence: str, dim: int) -> bool:
    if divergence not in get_args(Divergence):
        raise ConfigurationError(f"divergence is {divergence!r}; expected one of {', '.join(get_args(Divergence))}")
    return divergence == "exact" or (divergence == "auto" and dim <= EXACT_UP_TO)
