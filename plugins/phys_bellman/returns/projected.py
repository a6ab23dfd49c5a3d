r"""The linear Bellman operator applied exactly to all states of a finite chain, projected onto Gaussians on a grid.

    w_z ← argmin_w ‖Σ_k w_k φ_k − Σ_rows p T_r φ·w_{z'}‖² = G⁻¹ Σ_rows p C_r w_{z'},

φ the fields s, g or F of the basis, C_r the products of the basis with its backup (see ``basis``), or the argmin under
Σw = 1. There is no network and no sampling: what is left is the error of the basis, so this is the best that fields
learned from transitions can become, and it says whether iterating converges at all.

With plain backups it may not: a step stretches the L² norm of s by up to γ^{−1/2} and that of g by up to γ^{−3/2}; only
that of F shrinks, by γ^{1/2}. Mixing over next states and the projection, which shrink too, decide who wins. With
bandwidth-preserving backups the blur of each step damps what the stretching amplifies.

Source: Li et al. 2024 (arXiv:2410.01796), Eq. 1 and 3, each with the factor 1/γ that they lack.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from phys_bellman.returns.basis import FieldProduct, GaussianBasis, backed_up, gram, terminal
from phys_samplers.errors import ConfigurationError
from phys_samplers.rl.law import ReturnLaw, ReturnScale
from phys_samplers.rl.markov import MarkovChain


@dataclass(frozen=True)
class ProjectedReturns:
    """Where the iteration has got to.

    Args:
        basis: the basis.
        weights: w (S, K) of the states that have rows, in order.
        changes: largest change of a weight at each iteration (n,).
    """

    basis: GaussianBasis
    weights: Tensor
    changes: Tensor

    @property
    def law(self) -> ReturnLaw:
        """The laws (S,), of returns in the unit of the scale."""
        return ReturnLaw(self.basis.centres(), self.weights, self.basis.bandwidth)


@dataclass(frozen=True, kw_only=True)
class ProjectedOperator:
    """The affine map of weights (S, K) that one backup is.

    Args:
        chain: the chain.
        gamma: γ.
        scale: the unit of returns.
        basis: the basis.
        product: of the fields in which the projection is orthogonal.
        preserve: whether backups preserve the bandwidth.
        normalise: whether Σw = 1 is imposed.

    Raises:
        ConfigurationError: for a product with F whose masses may differ.
    """

    chain: MarkovChain
    gamma: float
    scale: ReturnScale
    basis: GaussianBasis = GaussianBasis()  # noqa: RUF009 - frozen
    product: FieldProduct = FieldProduct()  # noqa: RUF009 - frozen
    preserve: bool = True
    normalise: bool = False

    def __post_init__(self) -> None:
        if self.product.cdf and not self.normalise:
            raise ConfigurationError("the product has a share of F, for which masses must agree; give normalise=True")

    def parts(self) -> tuple[list[tuple[Tensor, Tensor]], Tensor]:
        """([(P, Mᵀ), …], b): a backup makes Σ P w Mᵀ + b of w, P (S, S) and M (K, K) for each reward."""
        chain, count = self.chain, self.basis.count
        starts = len(chain.starts)
        state, following = (torch.searchsorted(chain.starts, some) for some in (chain.state, chain.next_state))
        solve, shift = self._projection()
        reward = self.scale.reward(chain.reward, self.gamma * (~chain.terminal).double())
        centres, ended = self.basis.centres(), chain.terminal
        final = chain.probability[ended].unsqueeze(1) * terminal(self.basis, self.product, centres, reward[ended])
        fixed = torch.zeros(starts, count, dtype=torch.float64).index_add_(0, state[ended], final) @ solve.T + shift
        moves = []
        for value in reward[~ended].unique():
            rows = ~ended & (reward == value)
            mixing = torch.zeros(starts, starts, dtype=torch.float64)
            mixing.index_put_((state[rows], following[rows]), chain.probability[rows], accumulate=True)
            moves.append(
                (mixing, pulled(self.basis, self.product, value, self.gamma, preserve=self.preserve) @ solve.T)
            )
        return moves, fixed

    def iterate(self, iterations: int = 2_000, tolerance: float = 1e-10, limit: float = 1e6) -> ProjectedReturns:
        """Backups from equal weights on, until no weight changes by ``tolerance``, or one exceeds ``limit``."""
        moves, fixed = self.parts()
        weights = torch.full_like(fixed, 1 / self.basis.count)
        changes: list[float] = []
        for _ in range(iterations):
            new = fixed.clone()
            for mixing, move in moves:
                new += mixing @ weights @ move
            changes.append(float((new - weights).abs().max()))
            weights = new
            if changes[-1] < tolerance or not changes[-1] < limit:
                break
        return ProjectedReturns(self.basis, weights, torch.tensor(changes, dtype=torch.float64))

    def fixed_point(self) -> tuple[ProjectedReturns, float]:
        """The weights that a backup leaves alone, and the spectral radius of the map.

        Iterating finds these weights if the radius is below one. By dense algebra in S·K unknowns, for small chains.
        """
        moves, fixed = self.parts()
        matrix = torch.stack([torch.kron(mixing, move.T.contiguous()) for mixing, move in moves]).sum(0)
        radius = float(torch.linalg.eigvals(matrix).abs().max())
        weights = torch.linalg.solve(torch.eye(len(matrix), dtype=matrix.dtype) - matrix, fixed.flatten())
        return ProjectedReturns(self.basis, weights.view_as(fixed), torch.zeros(0, dtype=torch.float64)), radius

    def _projection(self) -> tuple[Tensor, Tensor | float]:
        """(A, b): the weights Ac + b of least distance to a field whose products with the basis are c."""
        products = gram(self.basis, self.product)
        if not self.normalise:
            return torch.linalg.inv(products), 0.0
        count = self.basis.count
        bordered = torch.ones(count + 1, count + 1, dtype=torch.float64)
        bordered[:count, :count], bordered[count, count] = products, 0.0
        inverse = torch.linalg.inv(bordered)
        return inverse[:count, :count], inverse[:count, count]


def pulled(basis: GaussianBasis, product: FieldProduct, reward: Tensor, gamma: float, *, preserve: bool) -> Tensor:
    """Cᵀ (K, K): row k holds the products of the basis with the backup of its k-th Gaussian."""
    one = torch.eye(basis.count, dtype=torch.float64)
    rewards, discounts = reward.expand(basis.count), torch.full((basis.count,), gamma, dtype=torch.float64)
    return backed_up(basis, product, basis.centres(), one, rewards, discounts, preserve=preserve)


def stretch(basis: GaussianBasis, product: FieldProduct, reward: float, gamma: float, *, preserve: bool) -> float:
    """The largest factor by which a certain transition and the projection may lengthen the difference of two laws.

    Lengths are those of the product: for s alone √∫(s − s̃)². Without the projection they are γ^{−1/2}, γ^{−3/2} and
    γ^{1/2} at most for s, g and F.
    """
    free = torch.linalg.qr(torch.eye(basis.count, dtype=torch.float64) - 1 / basis.count).Q[:, : basis.count - 1]
    root = torch.linalg.cholesky(free.T @ gram(basis, product) @ free)
    pull = pulled(basis, product, torch.tensor(reward, dtype=torch.float64), gamma, preserve=preserve)
    step = free.T @ pull.T @ free
    left = torch.linalg.solve_triangular(root, step, upper=False)
    whole = torch.linalg.solve_triangular(root, left.T, upper=False)
    return float(torch.linalg.matrix_norm(whole, 2))
