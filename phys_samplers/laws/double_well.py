"""Four particles in the plane with a double-well potential, DW-4 (Köhler et al. 2020, "Equivariant Flows").

    −log p(x) = Σ_{i<j} v(|x_i − x_j|),    v(r) = 0.9 (r − 4)⁴ − 4 (r − 4)²

These are the constants of arXiv:2502.13280, App. E.1, as its authors and their forerunners use them: a = 0, b = −4,
c = 0.9, d₀ = 4, τ = 1, where ½ Σ over ordered pairs is the sum over unordered ones.

Draws are exact, by rejection. Particle 1 is at the origin and the others around it independently, at radii of density
∝ r e^{−v(r)} and uniform angles; the three remaining pairs decide. The third particle is judged before the fourth is
drawn, so that most proposals cost two radii and an angle. One in 500 is accepted: some 50 µs a draw on one core.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from phys_samplers.laws.pair_potential import PairPotential
from phys_samplers.shapes import Draws

QUARTIC, QUADRATIC, REST = 0.9, -4.0, 4.0
LOWEST = -(QUADRATIC**2) / (4.0 * QUARTIC)
"""The smallest value of v."""
RADII = (REST - 3.0, REST + 3.0)
"""Outside, v is 41 above its minimum or more: less than 1e-17 of the probability."""
CELLS, FINE, DEFENSIVE = 4096, 16, 0.02
"""Of the table that radii are proposed from: cells, points per cell to make it with, uniform share of its mass."""
BATCH = 1 << 14


def pair_energy(distance: Tensor) -> Tensor:
    """v(r)."""
    squared = (distance - REST).square()
    return squared * (QUARTIC * squared + QUADRATIC)


class DoubleWell(PairPotential):
    """DW-4, an 8-dimensional law on a 6-dimensional subspace.

    ``log_z`` is from quadrature, to 1e-6: with particles 1 and 2 a distance apart, the integral over the other two is
    a convolution in the plane (``tests/laws/test_particles.py``).
    """

    log_z = 29.667232
    core = 1e-12  # the force on each other of coinciding particles has no direction, though its size is 198

    def __init__(self) -> None:
        super().__init__(4, 2)

    def pair(self, squared: Tensor) -> tuple[Tensor, Tensor]:
        """v(√s), and its derivative in s: v'(r)/(2r)."""
        r = squared.sqrt()
        u = r - REST
        return pair_energy(r), u * (2.0 * QUARTIC * u.square() + QUADRATIC) / r

    def sample(self, n: int, generator: torch.Generator) -> Draws:
        """``n`` independent draws (n, 8) on the generator's device, centred.

        In double precision until the end: in single, a last bit that differs between processors would decide about one
        proposal in 10⁷ otherwise, and all rows after it would be others.
        """
        proposal = _Radii(generator)
        found: list[Tensor] = []
        missing = n
        while missing > 0:
            found.append(_accepted(proposal))
            missing -= len(found[-1])
        x = torch.cat([torch.empty(0, 4, 2, dtype=torch.float64, device=generator.device), *found])[:n]
        turn = proposal.uniform(n) * (2.0 * math.pi)
        cosine, sine = turn.cos()[:, None], turn.sin()[:, None]
        x = torch.stack([cosine * x[..., 0] - sine * x[..., 1], sine * x[..., 0] + cosine * x[..., 1]], -1)
        return (x - x.mean(1, keepdim=True)).flatten(1).to(self.subspace.dtype)


class _Radii:
    """Radii of density q, cells of equal mass under 0.98 p + 0.02 uniform, with log p/q − max log p/q for rejection.

    p ∝ r e^{−v(r)}. The uniform part keeps cells narrow where p is small, so that q ≥ 0.95 p everywhere: rejection by
    p/q is cheap, and makes the radii exact whatever the table. A table costs one look-up where an inverse
    distribution function costs a search.
    """

    def __init__(self, generator: torch.Generator) -> None:
        self._generator, device = generator, generator.device
        fine = torch.linspace(*RADII, FINE * CELLS + 1, dtype=torch.float64)
        log_p = fine.log() - (pair_energy(fine) - LOWEST)
        step = (RADII[1] - RADII[0]) / (FINE * CELLS)
        p = log_p.exp()
        density = (1.0 - DEFENSIVE) * p / (p.sum() * step) + DEFENSIVE / (RADII[1] - RADII[0])
        mass = torch.cat([density.new_zeros(1), (0.5 * (density[1:] + density[:-1])).cumsum(0)])
        wanted = torch.linspace(0.0, float(mass[-1]), CELLS + 1, dtype=torch.float64)
        after = torch.searchsorted(mass, wanted).clamp(1, len(fine) - 1)
        edges = fine[after - 1] + step * (wanted - mass[after - 1]) / (mass[after] - mass[after - 1])
        width = edges.diff()
        cell = torch.searchsorted(edges, fine).clamp(1, CELLS) - 1
        # |(log p)'| is below 75 on the range, so that between the fine points log p/q is higher by 75 step at most
        bound = float((log_p + width[cell].log()).max()) + 75.0 * step
        self._edges, self._width = edges.to(device), width.to(device)
        self._log_width = (width.log() - bound).to(device)

    def uniform(self, n: int) -> Tensor:
        """Uniform draws (n,) on [0, 1)."""
        return torch.rand(n, generator=self._generator, device=self._generator.device, dtype=torch.float64)

    def __call__(self, n: int) -> tuple[Tensor, Tensor]:
        """``n`` radii and the logarithms of their probabilities to be kept."""
        position = CELLS * self.uniform(n)
        cell = position.long()
        r = self._edges[cell] + (position - cell) * self._width[cell]
        return r, r.log() - (pair_energy(r) - LOWEST) + self._log_width[cell]


def _accepted(proposal: _Radii) -> Tensor:
    """The accepted (k, 4, 2) of a batch of proposals, particle 1 at the origin and particle 2 on the first axis."""
    (a, log_a), (b, log_b) = proposal(BATCH), proposal(BATCH)
    angle = proposal.uniform(BATCH) * (2.0 * math.pi)
    cosine = angle.cos()
    apart = (a.square() + b.square() - 2.0 * a * b * cosine).clamp_min(0.0).sqrt()
    kept = (proposal.uniform(BATCH).log() < log_a + log_b - (pair_energy(apart) - LOWEST)).nonzero().squeeze(1)
    second = torch.stack([a[kept], torch.zeros_like(a[kept])], -1)
    third = torch.stack([cosine[kept], angle[kept].sin()], -1) * b[kept].unsqueeze(-1)

    c, log_c = proposal(len(kept))
    angle = proposal.uniform(len(kept)) * (2.0 * math.pi)
    fourth = torch.stack([angle.cos(), angle.sin()], -1) * c.unsqueeze(-1)
    others = pair_energy((fourth - second).norm(dim=-1)) + pair_energy((fourth - third).norm(dim=-1)) - 2.0 * LOWEST
    good = proposal.uniform(len(kept)).log() < log_c - others
    x = torch.stack([torch.zeros_like(second), second, third, fourth], 1)
    return x[good]
