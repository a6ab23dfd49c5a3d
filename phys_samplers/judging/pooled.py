r"""What all runs met together, weighted: importance sampling from a mixture that grows where density exceeds it.

Runs may each be wrong of the shares of what they found, and a part that one of them met by chance is worth more than
its few samples say. So a mixture of Student laws is fitted to the samples of all, rejected ones included, and to wide
laws around them. Of many points of it the one of largest weight p/q shows where it has too little; uphill of there a
part is added, with moments from its own draws, until weights are even. Fresh draws then estimate Z without bias, and a
part that was met once has the share that it should have.

Also asked are points at distances of all orders of magnitude from the origin and the middle of the samples, where
people put things: a needle there is met, however thin.

Source: Raftery & Bao 2010, *Estimating and Projecting Trends in HIV/AIDS Generalized Epidemics Using Incremental
Mixture Importance Sampling*, Section 3, with their optimisation; shares by Cappé et al. 2008, Eq. 13.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from phys_samplers.density import FlatDensity
from phys_samplers.diagnostics import tail_facts
from phys_samplers.errors import DensityError
from phys_samplers.evaluations import Evaluations
from phys_samplers.judging.evidence import Evidence, tested
from phys_samplers.judging.units import seen_units
from phys_samplers.randomness import make_generator
from phys_samplers.sampler import Draw
from phys_samplers.target import Target

NAME = "mixture of what was seen"
FREEDOM = 3.0
"""Degrees of freedom of the Student laws: tails that few densities exceed."""
WIDE = {1.5: 0.5, 5.0: 0.25}
"""Scales of the wide laws, in a quarter of the range of all samples, and shares of the points; of the law in which
samplers start is the rest."""
SEARCHED, NUMBERS = 2**17, 2**21
"""Points of the wide laws, at most, and their coordinates."""
FITTED, ADDED = 1_000, 512
"""Draws of each law fitted to a run, and of each part that is added."""
PARTS, EVEN = 16, 0.5
"""Parts added, at most, and the share of effective draws at which none is added any more."""
CLIMBERS, CLIMB = 16, 40
"""Points of largest weight that are led uphill each time, and steps."""
MOMENTS = 6
"""Rounds that find the moments of a part."""
DRAWN = 8_192
"""Fresh draws, of which n are kept by their weights."""
ROUNDS, LEAST = 30, 0.1
"""Of the fit of shares, and the part of all that is shared out evenly."""
NEEDLES = 4_096
"""Points asked at all distances of the origin and the middle."""


class Student:
    """A multivariate Student law, of centre (K,) and lower-triangular factor (K, K)."""

    def __init__(self, centre: Tensor, factor: Tensor) -> None:
        self.centre, self.factor = centre, factor
        dim = len(centre)
        eye = torch.eye(dim, dtype=factor.dtype, device=factor.device)
        self._inverse = torch.linalg.solve_triangular(factor, eye, upper=False).T
        self._moved = centre @ self._inverse
        self._constant = float(
            math.lgamma((FREEDOM + dim) / 2)
            - math.lgamma(FREEDOM / 2)
            - 0.5 * dim * math.log(FREEDOM * math.pi)
            - factor.diagonal().log().sum()
        )

    @classmethod
    def of(cls, rows: Tensor, weights: Tensor | None = None) -> Student:
        """With the moments of weighted rows (n, K)."""
        n, dim = rows.shape
        share = rows.new_full((n,), 1 / n) if weights is None else weights
        centre = share @ rows
        apart = rows - centre
        effective = float(1 / share.square().sum())
        covariance = (apart * share.unsqueeze(1)).T @ apart
        spread = covariance.diagonal().clamp(min=1e-24)
        shrink = min(1.0, dim / effective)  # of few rows only variances are known
        covariance = (1 - shrink) * covariance + torch.diag((shrink + 1e-6) * spread)
        return cls(centre, torch.linalg.cholesky(covariance))

    def log_prob(self, u: Tensor) -> Tensor:
        """log density (B,) at u (B, K)."""
        square = (u @ self._inverse - self._moved).square().sum(1)
        return self._constant - 0.5 * (FREEDOM + len(self.centre)) * torch.log1p(square / FREEDOM)

    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        """(n, K) of it."""
        noise = torch.randn(n, len(self.centre), generator=generator, dtype=self.centre.dtype, device=generator.device)
        gamma = torch.randn(n, int(FREEDOM), generator=generator, dtype=noise.dtype, device=noise.device)
        return self.centre + (noise / (gamma.square().mean(1, keepdim=True)).sqrt()) @ self.factor.T


Heights = Callable[[Tensor], Tensor]
"""log p (B,) at u (B, K); −∞ for what is no number."""


class Mixture:
    """Student laws, and all points at which p was asked.

    Args:
        height: log p.
        like: a point (K,).

    Attributes:
        u: points (N, K).
        log_p: log p there (N,).
        drawn: which are draws of the laws (N,); others were only asked (needles, climbers).
        laws: with ``counts`` of draws of each.
    """

    def __init__(self, height: Heights, like: Tensor) -> None:
        self.u = like.new_zeros(0, len(like))
        self.log_p = self._log_sum = self.u[:, 0]  # log Σ_k N_k f_k, of the laws at the points
        self.drawn = self.log_p > 0
        self.laws: list[Student] = []
        self.counts: list[int] = []
        self._height = height

    def ask(self, u: Tensor, *, drawn: bool = False) -> None:
        """Add points (n, K)."""
        self.u = torch.cat([self.u, u])
        self.log_p = torch.cat([self.log_p, self._height(u)])
        self.drawn = torch.cat([self.drawn, torch.full((len(u),), drawn, device=u.device)])
        self._log_sum = torch.cat([self._log_sum, self._log_density(u, u.new_tensor(self.counts))])

    def add(self, law: Student, n: int, generator: torch.Generator) -> None:
        """Add a law and ``n`` draws of it."""
        self.ask(law.draw(n, generator), drawn=True)
        self.laws.append(law)
        self.counts.append(n)
        self._log_sum = torch.logaddexp(self._log_sum, law.log_prob(self.u) + math.log(n))

    def log_weights(self) -> Tensor:
        """log p/q at all points (N,), where the laws have the shares of their draws."""
        return self.log_p - self._log_sum + math.log(sum(self.counts))

    def _log_density(self, u: Tensor, shares: Tensor) -> Tensor:
        if not self.laws:
            return u.new_full((len(u),), -math.inf)
        return torch.logsumexp(torch.stack([law.log_prob(u) for law in self.laws]) + shares.log().unsqueeze(1), 0)

    def fresh(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """``n`` further draws (n, K), and log p/q there (n,), where the laws have shares that make q nearest to p."""
        weights = self.log_weights()[self.drawn].softmax(0)
        (rows,) = torch.nonzero(self.drawn, as_tuple=True)
        u = self.u[rows[torch.multinomial(weights, n, replacement=True, generator=generator)]]
        log_laws = torch.stack([law.log_prob(u) for law in self.laws])
        shares = log_laws.new_full((len(log_laws),), 1 / len(log_laws))
        for _ in range(ROUNDS):
            shares = (log_laws + shares.log().unsqueeze(1)).softmax(0).mean(1).clamp(min=1e-12)
        shares = (1 - LEAST) * shares / shares.sum() + LEAST / len(shares)
        chosen = torch.multinomial(shares, n, replacement=True, generator=generator)
        counts = torch.bincount(chosen, minlength=len(shares)).tolist()
        u = torch.cat([law.draw(count, generator) for law, count in zip(self.laws, counts, strict=True)])
        return u, self._height(u) - self._log_density(u, shares)


def pooled(
    target: Target,
    runs: Sequence[Evidence],
    *,
    n: int,
    scale: float,
    seed: int,
    device: torch.device | str,
) -> Evidence | None:
    """The evidence of that mixture; None without samples to begin with.

    Args:
        target: the density.
        runs: what was met.
        n: samples.
        scale: of where people start.
        seed: of all draws.
        device: where to compute.
    """
    asked, began = Evaluations(), time.perf_counter()
    units = seen_units(target, runs, device=device)
    if units is None:
        return None
    density = FlatDensity(replace(target.to(device), evaluations=asked))
    precision = _precision(density, units.centre)
    centre, unit = (v.to(precision) for v in (units.centre, units.scale))
    generator = make_generator(seed, "pooled", device=device)

    def height(u: Tensor) -> Tensor:
        parts = (centre + unit * u.to(precision)).split(max(1, NUMBERS // len(centre)))
        log_p = torch.cat([density.log_prob(rows) for rows in parts]).to(u.dtype)
        return torch.where(log_p.isfinite(), log_p, -math.inf) - units.offset

    try:
        with torch.no_grad():
            mixture = _grown(height, density, centre, unit, runs, scale, generator)
            u, log_weights = mixture.fresh(DRAWN, generator)
            share = log_weights.softmax(0)
            ess = float(1 / share.square().sum())
            log_z = float(torch.logsumexp(log_weights, 0) - math.log(len(u)) + unit.log().sum())
            facts = {
                "log_z": log_z + units.offset,
                "log_z_std": max(0.0, 1 / ess - 1 / len(u)) ** 0.5,
                "ess": ess / len(u),
                "log_z_unbiased": True,
                **tail_facts(log_weights[torch.multinomial(share, n, replacement=True, generator=generator)]),
            }
            x = centre + unit * u.to(precision)
            drawn = Draw(density.embed(x), 0.0, facts, log_weights)
    except (ArithmeticError, ValueError, RuntimeError) as error:
        return Evidence(sampler=NAME, error=str(error), seconds=time.perf_counter() - began)
    found = tested(NAME, drawn, target.to(device), seed=seed)
    assert found.samples is not None
    assert found.z is not None
    assert found.log_prob is not None
    return replace(
        found,
        samples=found.samples[:n],
        z=found.z[:n],
        log_prob=found.log_prob[:n],
        effective=min(found.effective or 0.0, n),
        improvised=True,
        gradients=asked.gradients / n,
        densities=asked.densities / n,
        seconds=time.perf_counter() - began,
    )


def _precision(density: FlatDensity, at: Tensor) -> torch.dtype:
    """Double where the density takes it."""
    if at.device.type == "mps":
        return torch.float32
    try:
        density.log_prob(at.unsqueeze(0))
    except (DensityError, RuntimeError):
        return torch.float32
    return torch.float64


def _grown(
    height: Heights,
    density: FlatDensity,
    centre: Tensor,
    unit: Tensor,
    runs: Sequence[Evidence],
    scale: float,
    generator: torch.Generator,
) -> Mixture:
    """The mixture after all that was added."""
    dim, eye = len(centre), torch.eye(len(centre), dtype=centre.dtype, device=centre.device)
    mixture = Mixture(height, centre)
    origin = -centre / unit
    many = min(SEARCHED, NUMBERS // dim)
    for width, part in WIDE.items():
        mixture.add(Student(torch.zeros_like(centre), width * eye), int(part * many), generator)
    mixture.add(Student(origin, torch.diag(5 * scale / unit)), int((1 - sum(WIDE.values())) * many), generator)
    middles = [origin, torch.zeros_like(origin)]
    for run in runs:
        if run.z is not None:
            u = (run.z.to(centre) - centre) / unit
            mixture.add(Student.of(u), FITTED, generator)
            middles.append(u.quantile(0.5, 0))
    mixture.ask(_needles(torch.stack(middles), generator))
    for _ in range(PARTS):
        log_weights = mixture.log_weights()
        share = log_weights[mixture.drawn].softmax(0)
        best = mixture.u[log_weights.topk(CLIMBERS).indices]
        mixture.ask(_uphill(density, best, centre, unit))
        log_weights = mixture.log_weights()
        even = float(1 / share.square().sum()) > EVEN * FITTED
        if even and float(log_weights.max()) < float(torch.logsumexp(log_weights[mixture.drawn], 0)) - math.log(FITTED):
            break
        mixture.add(_part(height, mixture.u[log_weights.argmax()], generator), ADDED, generator)
    return mixture


def _needles(middles: Tensor, generator: torch.Generator) -> Tensor:
    """Points (NEEDLES + M, K) at the middles (M, K), and at distances from 1e-9 to 1 around them."""
    some = middles[torch.arange(NEEDLES, device=middles.device) % len(middles)]
    noise = torch.randn(some.shape, generator=generator, dtype=some.dtype, device=some.device)
    distance = torch.logspace(-9, 0, NEEDLES, dtype=some.dtype, device=some.device).unsqueeze(1)
    return torch.cat([middles, some + distance * noise / noise.norm(dim=1, keepdim=True)])


def _uphill(density: FlatDensity, u: Tensor, centre: Tensor, unit: Tensor) -> Tensor:
    """Where backtracking ascent leads from u (B, K)."""

    def asked(u: Tensor) -> tuple[Tensor, Tensor]:
        log_p, score = density.log_prob_and_score(centre + unit * u.to(centre.dtype))
        return log_p.nan_to_num(-math.inf, -math.inf, -math.inf), (score * unit).to(u.dtype)

    log_p, score = asked(u)
    length = torch.full_like(log_p, 0.1)
    for _ in range(CLIMB):
        there = u + length.unsqueeze(1) * score / score.norm(dim=1, keepdim=True).clamp(min=1e-300)
        higher, slope = asked(torch.where(there.isfinite(), there, u))
        rises = higher > log_p
        u, score = (torch.where(rises.unsqueeze(1), new, old) for new, old in ((there, u), (slope, score)))
        log_p = torch.where(rises, higher, log_p)
        length = torch.where(rises, 1.5 * length, 0.3 * length)
    return u


def _part(height: Heights, u: Tensor, generator: torch.Generator) -> Student:
    """A law of what is around u (K,): from the distances along axes at which log p falls by ½, then by moments."""
    dim = len(u)
    radii = torch.logspace(-9, 0.6, 33, dtype=u.dtype, device=u.device)
    eye = torch.eye(dim, dtype=u.dtype, device=u.device)
    points = u + radii.view(-1, 1, 1) * torch.cat([eye, -eye])
    falls = (height(u.unsqueeze(0)) - height(points.flatten(0, 1)).view(len(radii), 2 * dim)) > 0.5
    first = torch.where(falls.any(0), falls.int().argmax(0), len(radii) - 1)
    law = Student(u, torch.diag(radii[first].view(2, dim).amax(0)))
    for _ in range(MOMENTS):
        noise = torch.randn(max(ADDED, 8 * dim), dim, generator=generator, dtype=u.dtype, device=u.device)
        rows = law.centre + noise @ law.factor.T
        log_weights = height(rows) + 0.5 * noise.square().sum(1)
        for power in (1.0, 0.5, 0.25, 0.125, 0.0):  # tempered until many count
            share = (power * log_weights).nan_to_num(-math.inf, -math.inf, -math.inf).softmax(0)
            if float(1 / share.square().sum()) > len(rows) / 4:
                break
        else:
            break
        law = Student.of(rows, share)
    return law
