r"""Laws of returns by one linear solve: the distributional Bellman equation, projected onto atoms and linear features.

On K atoms z the law at an observation (and action) with features φ has the weights w = Θᵀφ. The backup r + γz_k, shared
by its two neighbours on the grid, is a matrix C_r (K, K) whose columns sum to one and which keeps means inside the grid
(the projection of C51; Bellemare et al. 2017). The fixed point of the projected equation, over rows that go on and
terminal ones,

    Σ_i ω_i φ_i (w(φ_i) − C_{r_i} w(φ'_i))ᵀ = 0     ⟺     A₀ Θ = B + Σ_r A_r Θ C_rᵀ,

is linear in Θ: with the sums A₀, A_r, B of ``moments``, no step of it depends on the number of rows, and another γ,
reward or resample of the data costs one more solve. It is LSTD (Bradtke & Barto 1996) with a law in place of a value:
Θz is its solution, with the same features, wherever no atom is moved beyond the ends of the grid.

A constant is among the features and is not shrunk by the ridge, so that all laws have mass one whatever the ridge is.
The solve starts at a law of mass one, and its Krylov space holds differences of laws alone: the mass, a neutral mode of
the operator, never enters, and data without a terminal row are no special case. Off the policy that the data come from
the operator need not contract; GMRES (Saad & Schultz 1986) asks of it only that the solution be unique, and the
residual says whether that was so.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from phys_samplers.errors import ConfigurationError
from phys_samplers.rl.law import ReturnLaw, ReturnScale
from phys_samplers.rl.moments import Rows, Total, dense

RIDGES = (1e-9, 1e-7, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
"""Among which cross-validation chooses."""
COARSE = 33
"""Atoms of the laws that a ridge is chosen by."""
RESTART = (10, 160)
"""Directions that GMRES keeps at first, and at most: twice as many after a cycle that did not halve the residual."""
FAINT = 1e-6
"""A ridge beside which directions of features are left out at once."""
NEGLIGIBLE = 1e-3
"""Variance along a direction of features, over the ridge, below which it is left out."""


@dataclass(frozen=True)
class Solution:
    """Weights of laws, linear in features.

    Args:
        theta: Θᵀ (K, d), the constant first.
        scale: the unit in which the atoms lie evenly from 0 to 1.
        residual: of the equation, after the regression on features: the root mean square over the data, relative to
            that of the weights of terminal rows or of where the iteration started.
        iterations: applications of the operator.
        ridge: what was added to A₀, in units of the mean square of a feature.
    """

    theta: Tensor
    scale: ReturnScale
    residual: float
    iterations: int
    ridge: float

    def law(self, features: Tensor) -> ReturnLaw:
        """The laws (N,) at features (N, d − 1), or at places of ones (N,), in the unit of the rewards."""
        rest = self.theta.T[1:]
        raw = self.theta[:, 0] + (rest[features] if features.ndim == 1 else features.double() @ rest)
        return ReturnLaw(grid(raw.shape[-1]), monotone(raw)).moved(self.scale.width, self.scale.low)


def monotone(weights: Tensor) -> Tensor:
    """The weights (..., K) of a law: halfway between the least increasing function above F and the greatest below."""
    below = weights.cumsum(-1)
    below = below / below[..., -1:]
    above = below.cummax(-1).values
    under = below.flip(-1).cummin(-1).values.flip(-1)
    rising = (0.5 * (above + under)).clamp(0, 1)
    return torch.diff(rising, dim=-1, prepend=torch.zeros_like(rising[..., :1]))


class Backup:
    """Θ ↦ B + Σ_r A_r Θ C_rᵀ for one γ and reward function; matrices of weights are (K, d) here.

    Args:
        total: the moments.
        gamma: γ.
        scale: the unit of returns.
        atoms: K.
    """

    def __init__(self, total: Total, gamma: float, scale: ReturnScale, atoms: int) -> None:
        size = len(total.square)
        self.going = total.going.mT.reshape(-1, size)  # the A_rᵀ below one another (R d, d)
        reward = scale.reward(total.rewards, torch.tensor(gamma, dtype=torch.float64))
        left, upper = neighbours((reward.unsqueeze(1) + gamma * grid(atoms)).flatten(), atoms)
        row = left + atoms * torch.arange(len(reward)).repeat_interleave(atoms)
        places = torch.stack((torch.cat((row, row + 1)), torch.arange(atoms).repeat(2 * len(reward))))
        shape = (atoms * len(reward), atoms)
        self.moves = torch.sparse_coo_tensor(
            places, torch.cat((1 - upper, upper)), shape, check_invariants=False
        ).coalesce()
        left, upper = neighbours(scale.forward(total.last_rewards).unsqueeze(1), atoms)
        ends = torch.zeros(len(left), atoms, dtype=torch.float64).scatter_(1, left, 1 - upper)
        self.ended = ends.scatter_add_(1, left + 1, upper).T @ total.ended

    def linear(self, theta: Tensor, going: Tensor) -> Tensor:
        """Σ_r C_r Θ A_rᵀ (K, d), for ``going`` the A_rᵀ below one another (R d, d)."""
        atoms, size = theta.shape
        moved = torch.sparse.mm(self.moves, theta)  # (R K, d)
        if len(moved) != atoms:
            moved = moved.view(-1, atoms, size).transpose(0, 1).reshape(atoms, -1)
        return moved @ going

    def __call__(self, theta: Tensor) -> Tensor:
        """B + Σ_r C_r Θ A_rᵀ (K, d)."""
        return self.ended + self.linear(theta, self.going)


def grid(atoms: int) -> Tensor:
    """z (K,)."""
    return torch.linspace(0, 1, atoms, dtype=torch.float64)


def cholesky(total: Total, ridge: float) -> Tensor:
    """The factor of A₀ with the ridge on all but the constant.

    Raises:
        ConfigurationError: if it has none.
    """
    extra = torch.full_like(total.square.diagonal(), ridge * total.unit)
    extra[0] = 0.0
    factor, failed = torch.linalg.cholesky_ex(total.square + extra.diag())
    if int(failed):
        raise ConfigurationError(
            f"the features are not told apart by the data at ridge {ridge:g}; expected a larger ridge, e.g. 1e-6"
        )
    return factor


def directions(total: Total, ridge: float) -> Tensor:
    """V (d, k): the constant, and the principal directions of features (centred) that matter beside the ridge.

    A direction whose variance e is far below the ridge λ moves laws by e/(e + λ), and is left out.
    """
    square, mean = total.square, total.square[0, 1:]
    variance, along = torch.linalg.eigh(square[1:, 1:] - torch.outer(mean, mean))
    along = along[:, variance > NEGLIGIBLE * ridge * total.unit]
    found = square.new_zeros(len(square), 1 + along.shape[1])
    found[0, 0], found[0, 1:], found[1:, 1:] = 1.0, -(mean @ along), along
    return found


def neighbours(place: Tensor, atoms: int) -> tuple[Tensor, Tensor]:
    """The atom to the left of places in [0, 1], and the share of the one to its right."""
    at = (place * (atoms - 1)).clamp(0, atoms - 1)
    left = at.floor().clamp_(max=atoms - 2)
    return left.long(), at - left


def solve(
    total: Total,
    gamma: float,
    scale: ReturnScale,
    *,
    atoms: int = 201,
    ridge: float = 1e-9,
    tolerance: float = 1e-5,
    limit: int = 5_000,
    start: Tensor | None = None,
    share: float | None = None,
) -> Solution:
    """The laws of returns, given the moments of the data.

    Args:
        total: the moments.
        gamma: γ, at most 1.
        scale: between what returns lie.
        atoms: K.
        ridge: see ``Solution``.
        tolerance: of the residual.
        limit: applications of the operator at most.
        start: Θᵀ to start from, of mass one.
        share: of the residual at ``start`` that may remain, for what differs little from there; None for ``tolerance``.

    Raises:
        ConfigurationError: if there is no unique solution, or GMRES does not find it.
    """
    backup, factor = Backup(total, gamma, scale, atoms), cholesky(total, ridge)
    # with A₀ = LLᵀ and ΘᵀL for the unknown, lengths are root mean squares over the data
    pull = torch.linalg.solve_triangular(factor, backup.going.view(-1, *total.square.shape), upper=False)
    pull = torch.linalg.solve_triangular(factor.T, pull, upper=True, left=False).reshape(backup.going.shape)
    fixed = torch.linalg.solve_triangular(factor.T, backup.ended, upper=True, left=False)
    if start is None:
        start = torch.zeros(atoms, len(total.square), dtype=torch.float64)
        start[:, 0] = 1 / atoms
        if atoms > 2 * COARSE and not (atoms - 1) % 4:  # a quarter of these atoms serves to begin with
            coarse = solve(total, gamma, scale, atoms=(atoms + 3) // 4, ridge=ridge, tolerance=1e-3, limit=limit)
            start = torch.zeros_like(start)
            start[::4] = coarse.theta
    found, residual, iterations = gmres(
        lambda t: t - backup.linear(t, pull), fixed, start @ factor, tolerance, limit, share
    )
    if not residual < max(1e-4, tolerance):
        raise ConfigurationError(
            f"the equation of laws at gamma {gamma:g} is close to singular: its residual is {residual:.1e} after "
            f"{iterations} iterations; expected data closer to the policy, fewer features or a ridge above {ridge:g}"
        )
    theta = torch.linalg.solve_triangular(factor, found, upper=False, left=False)
    return Solution(theta, scale, residual, iterations, ridge)


def gmres(
    matrix: Callable[[Tensor], Tensor],
    fixed: Tensor,
    start: Tensor,
    tolerance: float,
    limit: int,
    share: float | None = None,
) -> tuple[Tensor, float, int]:
    """x with matrix(x) = fixed, the residual over the size of what is given, and how often ``matrix`` was applied."""
    (keep, most), previous = RESTART, math.inf
    x, used = start, 0
    size = max(float(fixed.norm()), float(start.norm()), 1e-300)
    while True:
        rest = fixed - matrix(x)
        used += 1
        error = float(rest.norm())
        if share is not None and used == 1:
            tolerance = min(max(share * error / size, 1e-13), tolerance)
        if error <= tolerance * size or used >= limit or not error < 1e150:
            return x, error / size, used
        keep, previous = min(2 * keep, most) if error > 0.5 * previous else keep, error
        basis = rest.new_empty(keep + 1, rest.numel())
        basis[0] = rest.flatten() / error
        columns: list[list[float]] = []
        turns: list[tuple[float, float]] = []  # Givens' rotations, which keep the small system triangular
        right = [error]
        for k in range(keep):
            step = matrix(basis[k].view_as(rest)).flatten()
            used += 1
            column = torch.zeros(k + 1, dtype=rest.dtype)
            before, after = math.inf, float(step.norm())
            while after <= 0.1 * before or before == math.inf:  # Gram and Schmidt, again where digits were lost
                part = basis[: k + 1] @ step
                step = step - part @ basis[: k + 1]
                column += part
                before, after = after, float(step.norm())
                if not after > 0:
                    break
            values = [*column.tolist(), after]
            for i, (cosine, sine) in enumerate(turns):
                values[i], values[i + 1] = (
                    cosine * values[i] + sine * values[i + 1],
                    cosine * values[i + 1] - sine * values[i],
                )
            length = math.hypot(values[k], values[k + 1])
            if not length > 0:
                break
            cosine, sine = values[k] / length, values[k + 1] / length
            turns.append((cosine, sine))
            columns.append([*values[:k], length])
            right[k:] = [cosine * right[k], -sine * right[k]]
            if abs(right[-1]) <= 0.5 * tolerance * size or used >= limit or after <= 1e-14 * error:
                break
            basis[k + 1] = step / after
        count = len(columns)
        small = torch.zeros(count, count, dtype=rest.dtype)
        for k, values in enumerate(columns):
            small[: k + 1, k] = torch.tensor(values, dtype=rest.dtype)
        aim = torch.tensor(right[:count], dtype=rest.dtype).unsqueeze(1)
        found = torch.linalg.solve_triangular(small, aim, upper=True)
        x = x + (found.T @ basis[:count]).view_as(x)


def chosen_ridge(total: Total, kept: Rows, gamma: float, scale: ReturnScale) -> float:
    """The ridge whose laws best predict given backups at rows that are left out.

    With the backups y of a first solve, the mean square error of their regression on φ over all rows is known from the
    moments but for a constant, which the rows that were kept tell; of rows left out it is larger by (1 − d/N)⁻², d the
    effective number of features (generalised cross-validation; Golub, Heath & Wahba 1979). Errors are those of
    distribution functions on ``COARSE`` atoms; with the ridge that is found all is done once more.
    """
    phi, following = dense(kept.features, len(total.square)), dense(kept.following, len(total.square))
    weight = kept.weight.double() / kept.weight.double().mean()
    discount = gamma * (~kept.terminal).double()
    place = scale.reward(kept.reward.double(), discount).unsqueeze(1) + discount.unsqueeze(1) * grid(COARSE)
    left, upper = neighbours(place, COARSE)
    backup, ridge = Backup(total, gamma, scale, COARSE), 1e-4
    ridges = [one for one in RIDGES if one >= total.least]
    for _ in range(2):
        theta = solve(total, gamma, scale, atoms=COARSE, ridge=ridge, tolerance=1e-6).theta
        after = following @ theta.T
        aim = torch.zeros_like(after).scatter_add_(1, left, after * (1 - upper))
        aim.scatter_add_(1, left + 1, after * upper)
        target = backup(theta).cumsum(0)
        errors, counts = [], []
        for one in ridges:
            factor = cholesky(total, one)
            fitted = torch.cholesky_solve(target.T, factor)
            errors.append(float((fitted * (total.square @ fitted - 2 * target.T)).sum()))
            counts.append(float(torch.cholesky_solve(total.square, factor).trace()))
            if one == ridge:
                rest = aim.cumsum(1) - phi @ fitted
                constant = float((weight * rest.square().sum(1)).mean()) - errors[-1]
        scores = [
            max(constant + error, 1e-12) / max(1 - count / total.rows, 1e-6) ** 2
            for error, count in zip(errors, counts, strict=True)
        ]
        ridge = ridges[min(range(len(scores)), key=scores.__getitem__)]
    return ridge
