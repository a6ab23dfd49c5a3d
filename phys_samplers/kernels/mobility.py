"""The mobility q(x) = Σ_j w_j k(x − y_j): a kernel averaged over reference rows, with its exact gradient."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from phys_samplers.kernels.base import Kernel


class KernelMean(nn.Module):
    """q and ∇q of a kernel over reference rows; each random reference batch is an exact positive mobility.

    Args:
        kernel: with its bandwidth resolved.
        reference: rows y (M, D).
        weights: (M,), summing to one; equal by default.
    """

    reference: Tensor
    weights: Tensor

    def __init__(self, kernel: Kernel, reference: Tensor, weights: Tensor | None = None) -> None:
        super().__init__()
        self.kernel = kernel
        self.register_buffer("reference", reference)
        if weights is None:
            weights = torch.full((len(reference),), 1 / len(reference), dtype=reference.dtype, device=reference.device)
        self.register_buffer("weights", weights)

    def forward(self, x: Tensor, variance: float = 0.0) -> tuple[Tensor, Tensor]:
        """q (B,) and ∇q (B, D) at ``x`` (B, D) for a kernel widened by ``variance``."""
        kernel = self.kernel if variance == 0 else self.kernel.widened(variance)
        # Tables of a quarter MiB stay in the cache and out of mmap, whose page faults cost more than the arithmetic
        # (2.4 to 3 times the time at 1,000 to 4,000 points); a GPU wants one large table.
        block = len(x) if x.is_cuda else max(1, 65_536 // len(self.reference))
        if len(x) <= block:
            return self._block(x, kernel)
        values, gradients = zip(*(self._block(part, kernel) for part in x.split(block)), strict=True)
        return torch.cat(values), torch.cat(gradients)

    def _block(self, x: Tensor, kernel: Kernel) -> tuple[Tensor, Tensor]:
        y = self.reference
        squared = torch.addmm(y.square().sum(1), x, y.T, alpha=-2).add_(x.square().sum(1, keepdim=True)).clamp_(min=0)
        value, slope = kernel.profile(squared, x.shape[1])
        # Σ_j w_j φ'(r_j²) · 2(x − y_j) as two matrix products: no (B, M, D) tensor.
        gradient = 2 * (x * (slope @ self.weights).unsqueeze(1) - slope @ (self.weights.unsqueeze(1) * y))
        return value @ self.weights, gradient

    def mean(self, variance: float = 0.0, at_most: int = 256) -> Tensor:
        """The mean of q over the blurred reference rows themselves, up to the Monte Carlo error of ``at_most`` rows.

        Exact for a Gaussian kernel; dividing fields by it makes one step size serve every data set. A tensor without
        axes, left on its device: sampling loops ask for it at every blur.
        """
        y = self.reference[:at_most]
        kernel = self.kernel.widened(2 * variance)
        squared = torch.cdist(y, y).square()
        value, _ = kernel.profile(squared, y.shape[1])
        off_diagonal = value.sum() - value.diagonal().sum()
        return off_diagonal / (len(y) * (len(y) - 1))
