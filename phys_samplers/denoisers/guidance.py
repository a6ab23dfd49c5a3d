r"""Particle guidance: a set of n particles comes down together, each pushed by a potential of all of them.

    score of particle i:   ∇_{x_i} log p_t(x_i) + ∇_{x_i} log Φ_t(x_1, …, x_n),

in the reverse SDE as in the ODE (Corso et al. 2023, arXiv:2310.13102, Eq. 1 and 4; Xu 2024, *On physics-inspired
generative models*, Eq. 6.1 and 6.4). A denoiser with D + λ² ∇ log Φ in place of D does that in every integrator, and on
Poisson flows it is the electric repulsion of App. A.3.5 up to its strength. Samples come in sets and are not
independent within one. What the sets are drawn from is a reweighting of the product law (Theorem 5); ``weigh`` gives
the weights of whole paths, which undo it exactly.

A potential that does not change when one particle is transformed keeps that invariance of the sampler (Proposition 3).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import torch
from torch import Tensor

from phys_samplers.denoisers.denoiser import Denoise
from phys_samplers.errors import ConfigurationError
from phys_samplers.options import check_values, draw_option
from phys_samplers.standardise import Standardiser

Features = Callable[[Tensor], Tensor]
"""(B, *event_shape) → (B, F), differentiable."""


@dataclass(frozen=True, kw_only=True)
class Potential(ABC):
    """log Φ_t of a set; a frozen dataclass.

    Args:
        set_size: n, particles in a set.
        highest: the largest level λ, in units of the standardised data, at which it acts; None for no bound.
        lowest: the smallest.
    """

    set_size: int = draw_option(10, least=2)
    highest: float | None = draw_option(None, above=0)
    lowest: float = draw_option(0.0, least=0)

    def __post_init__(self) -> None:
        check_values(self)

    @abstractmethod
    def log_phi(self, sets: Tensor, level: float) -> Tensor:
        """log Φ (S,) of sets (S, n, *event_shape) in data units, at the level λ."""

    def acts(self, level: float) -> bool:
        """Whether it pushes at this level."""
        return self.lowest <= level <= (math.inf if self.highest is None else self.highest)


@dataclass(frozen=True, kw_only=True)
class Repulsion(Potential):
    """log Φ = −α/(2n) Σ_ij k(f(x_i), f(x_j)): a kernel of features (Eq. 6.4 and B.2 of the thesis).

    With ``final_strength`` α falls geometrically from ``strength`` at the level ``highest`` to it at ``lowest``, and so
    does h with ``final_bandwidth``; the thesis tunes both ends.

    Args:
        kernel: of the squared distance d²: ``gaussian`` exp(−d²/h), ``rational`` 1/(1 + d²/h).
        features: ``euclidean``: the coordinates; ``radial``: the direction x/|x| from the origin; or a differentiable
            function (B, *event_shape) → (B, F), such as a network.
        strength: α.
        final_strength: α at ``lowest``; None for a constant.
        bandwidth: h; None for the median of the squared distances of a set over log(n + 1), as in SVGD.
        final_bandwidth: h at ``lowest``; None for a constant.
    """

    kernel: Literal["gaussian", "rational"] = draw_option("gaussian")
    features: Any = draw_option("euclidean")
    strength: float = draw_option(30.0, least=0)
    final_strength: float | None = draw_option(None, above=0)
    bandwidth: float | None = draw_option(None, above=0)
    final_bandwidth: float | None = draw_option(None, above=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not callable(self.features) and self.features not in ("euclidean", "radial"):
            raise ConfigurationError(
                f"features is {self.features!r}; expected 'euclidean', 'radial' or a differentiable function of points"
            )
        fades = self.final_strength is not None or self.final_bandwidth is not None
        if fades and not (self.highest is not None and 0 < self.lowest < self.highest):
            raise ConfigurationError(
                f"highest is {self.highest} and lowest {self.lowest}; expected 0 < lowest < highest where strength or "
                "bandwidth change between them"
            )

    def log_phi(self, sets: Tensor, level: float) -> Tensor:
        """See ``Potential.log_phi``."""
        n = sets.shape[1]
        strength = self._between(self.strength, self.final_strength, level)
        similar = self.similarities(sets, level)
        return similar.sum((1, 2)) * (-0.5 * strength / n)

    def similarities(self, sets: Tensor, level: float = 1.0) -> Tensor:
        """k(x_i, x_j) (S, n, n)."""
        features = self.feature_map(sets.flatten(0, 1)).unflatten(0, sets.shape[:2])
        squared = (features.unsqueeze(2) - features.unsqueeze(1)).square().sum(-1)
        if self.bandwidth is None:
            width: Any = squared.detach().flatten(1).median(1).values.clamp_min(1e-12).view(-1, 1, 1)
            width = width / math.log(sets.shape[1] + 1)
        else:
            width = self._between(self.bandwidth, self.final_bandwidth, level)
        return (-squared / width).exp() if self.kernel == "gaussian" else 1 / (1 + squared / width)

    def feature_map(self, x: Tensor) -> Tensor:
        """f(x), (B, *event_shape) → (B, F)."""
        if callable(self.features):
            mapped: Tensor = self.features(x).flatten(1)
            return mapped
        flat = x.flatten(1)
        if self.features == "euclidean":
            return flat
        return flat / flat.norm(dim=1, keepdim=True).clamp_min(torch.finfo(flat.dtype).tiny)

    def _between(self, first: float, last: float | None, level: float) -> float:
        if last is None or self.highest is None:
            return first
        share = math.log(self.highest / level) / math.log(self.highest / self.lowest)
        return first * (last / first) ** min(max(share, 0.0), 1.0)


def check_sets(potential: Potential, n: int) -> None:
    """Refuse a number of samples that is not one of whole sets.

    Raises:
        ConfigurationError: naming both.
    """
    if n % potential.set_size:
        raise ConfigurationError(
            f"n is {n} and the guidance has sets of {potential.set_size}; expected a multiple, such as "
            f"{-(-n // potential.set_size) * potential.set_size}"
        )


def pushed(potential: Potential, u: Tensor, level: float, standardiser: Standardiser, shape: tuple[int, ...]) -> Tensor:
    """∇_u log Φ (B, D) at standardised particles u (B, D), whose sets follow one another."""
    with torch.enable_grad():
        u = u.detach().requires_grad_()
        sets = standardiser.inverse(u, shape).unflatten(0, (-1, potential.set_size))
        (gradient,) = torch.autograd.grad(potential.log_phi(sets, level).sum(), u)
    return gradient


def guided(denoise: Denoise, potential: Potential, standardiser: Standardiser, shape: tuple[int, ...]) -> Denoise:
    """D + λ² ∇ log Φ: the denoiser whose score is the guided one."""

    def with_push(u: Tensor, level: float) -> Tensor:
        clean = denoise(u, level)
        if not potential.acts(level):
            return clean
        return clean.add_(pushed(potential, u, level, standardiser, shape), alpha=level**2)

    return with_push


def weigh(
    denoise: Denoise,
    potential: Potential,
    standardiser: Standardiser,
    shape: tuple[int, ...],
    start: Tensor,
    levels: tuple[float, ...],
    generator: torch.Generator,
) -> tuple[Tensor, Tensor]:
    r"""Sets by ancestral steps with the potential, and log weights that make them independent draws of the sampler.

    With and without the potential a step is Gaussian with the same variance, so that the ratio of the two densities of
    a path is known, and E[w f] under guidance is E[f] of independent ancestral sampling with the same steps, for every
    f of the set: Theorem 5 on paths, for any number of steps and any denoiser. In particular E[w] = 1. The last step,
    to 0, is D itself in both.

    Args:
        denoise: D.
        potential: log Φ.
        standardiser: to data units.
        shape: of an event.
        start: u (B, D) at the largest level; sets follow one another.
        levels: falling, the last 0.
        generator: of the noise.

    Returns:
        Particles u (B, D) and log w (B/n,), one a set.
    """
    log_w = start.new_zeros(len(start) // potential.set_size, dtype=torch.float64)
    u = start
    for high, low in pairwise(levels):
        clean = denoise(u, high)
        if low <= 0:
            u = clean
            continue
        spread = low * math.sqrt(1 - (low / high) ** 2)
        z = torch.randn(u.shape, generator=generator, dtype=u.dtype, device=u.device)
        ahead = torch.lerp(clean, u, (low / high) ** 2)
        if potential.acts(high):
            # the mean moves by (1 − low²/high²) high² ∇ log Φ
            shift = pushed(potential, u, high, standardiser, shape) * ((1 - (low / high) ** 2) * high**2 / spread)
            # N(x; m, v)/N(x; m + √v s, v) at x = m + √v (s + z)
            ratio = -(shift * z + 0.5 * shift.square()).sum(1)
            log_w += ratio.to(torch.float64).view(-1, potential.set_size).sum(1)
            z = z + shift
        u = ahead.add_(z, alpha=spread)
    return u, log_w


def preserving(log_phi: Tensor, cell: Tensor, *, cells: int, rounds: int = 200, damping: float = 0.5) -> Tensor:
    r"""log γ on a grid of cells, with which Φ(x_1, …, x_n) Π γ(x_i) keeps the marginal law (thesis, Eq. 6.7, A.3.3).

    The marginal density is p(x) E[Φ Π γ | x_1 = x]/E[Φ Π γ], so γ is divided by that ratio, raised to ``damping``, over
    and over: iterative proportional fitting over all sets at once, of which Eq. A.52 is the stochastic form. A cell
    that few samples fall in is drawn towards the ratio 1, as if ten more with it were there.

    Args:
        log_phi: log Φ (S,) of independent sets of the law.
        cell: of every particle (S, n), integers below ``cells``.
        cells: their number.
        rounds: of the iteration.
        damping: exponent of an update.

    Returns:
        log γ (cells,).
    """
    flat = cell.flatten()
    count = torch.bincount(flat, minlength=cells).to(log_phi) + 10
    log_gamma = log_phi.new_zeros(cells)
    for _ in range(rounds):
        log_w = log_phi + log_gamma[cell].sum(1)
        w = (log_w - log_w.logsumexp(0)).exp() * len(log_w)
        mass = log_phi.new_full((cells,), 10.0).index_add_(0, flat, w.repeat_interleave(cell.shape[1]))
        log_gamma -= damping * (mass / count).log()
    return log_gamma
