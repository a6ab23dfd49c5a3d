"""Field matching: the losses whose minimisers are the mobility q and the gradient field g* = ½(∇q + q ∇log p).

For a kernel k and independent x₁, x₂ ~ p (Li et al. 2024, arXiv:2410.01796):

    Eq. 8:   E[ s(x₁)² − 2 k(x₁,x₂) s(x₁) ],   E[ |g(x₁)|² + k(x₁,x₂) tr ∇g(x₁) ]
    Eq. 10:  the second term sliced, E_v[ (vᵀg)² + k vᵀ∇g v ]; k itself may be sliced too (kernel ``sliced``).

Minimising pointwise after integration by parts gives s* = q = E_y k(x, y) and g* = ∇(pq)/(2p). The paper reads them as
p and ∇p, which holds for the full normalised kernel as ε → 0; for any other kernel p is still stationary under
dx = g* dt + √q dW. On a finite sample the gradient term is unbounded below (tr ∇g → −∞ at the data points), so it
needs held-out rows and an early stop. All pairs are made within the batch: row i with row i + 1.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from phys_bellman.networks import FieldNetworks
from phys_samplers.errors import ConfigurationError
from phys_samplers.kernels import Kernel, SliceAverageKernel
from phys_samplers.losses import Loss
from phys_samplers.randomness import Streams


@dataclass(frozen=True, kw_only=True)
class FieldLoss(Loss):
    """What the field-matching losses share.

    Args:
        kernel: with its bandwidth resolved.
        constant: c; k/c is matched instead of k, for both fields alike, which rescales time only. With c = E[k] the
            fields are of order one on every data set.
    """

    kernel: Kernel = field(default_factory=SliceAverageKernel)
    constant: float = 1.0

    def pairs(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """x₁ and x₂, each (R, B, D): every row with its neighbour in the batch."""
        return rows, rows.roll(1, dims=1)

    def scalar_term(self, module: FieldNetworks, x: Tensor, k: Tensor) -> Tensor:
        """s² − 2ks averaged over the batch: (R,)."""
        s = module.scalar(x)
        return (s.square() - 2 * k * s).mean(-1)


@dataclass(frozen=True, kw_only=True)
class FieldMatching(FieldLoss):
    """Eq. 7 and 8: the full trace of ∇g, D backward passes; for small D and for checking the sliced form."""

    def __call__(self, module: FieldNetworks, rows: Tensor, streams: Streams) -> Tensor:  # type: ignore[override]
        """See ``Loss``."""
        x, y = self.pairs(rows)
        k = self.kernel.estimate(x - y, streams)[0] / self.constant
        loss = self.scalar_term(module, x, k)
        if module.tied:
            return loss
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            g = module.gradient(x)
            trace = torch.zeros_like(k)
            for i in range(x.shape[-1]):
                (row,) = torch.autograd.grad(g[..., i].sum(), x, create_graph=True)
                trace = trace + row[..., i]
        return loss + (g.square().sum(-1) + k * trace).mean(-1)


@dataclass(frozen=True, kw_only=True)
class SlicedFieldMatching(FieldLoss):
    """Eq. 9–11 and Algorithm 1: random directions v ~ N(0, I) in place of the trace.

    Args:
        directions: number of directions v per row.
    """

    directions: int = 1

    def __post_init__(self) -> None:
        if self.directions < 1:
            raise ConfigurationError(f"directions is {self.directions}; expected at least 1")

    def __call__(self, module: FieldNetworks, rows: Tensor, streams: Streams) -> Tensor:  # type: ignore[override]
        """See ``Loss``."""
        x, y = self.pairs(rows)
        k = self.kernel.estimate(x - y, streams)[0] / self.constant
        loss = self.scalar_term(module, x, k)
        if module.tied:
            return loss
        for _ in range(self.directions):
            v = streams.normal(*x.shape[1:], dtype=x.dtype)
            with torch.enable_grad():
                x = x.detach().requires_grad_()
                projected = (v * module.gradient(x)).sum(-1)
                (slope,) = torch.autograd.grad(projected.sum(), x, create_graph=True)
            curvature = (slope * v).sum(-1)
            loss = loss + (projected.square() + k * curvature).mean(-1) / self.directions
        return loss


@dataclass(frozen=True, kw_only=True)
class DenoisingFieldMatching(FieldLoss):
    """The estimator without a Jacobian, for the law blurred by σ: x̃ = x + σn, ỹ = y + σn'.

    ∇log p_σ(x̃) = E[(x − x̃)/σ² | x̃] makes g* of p_σ a plain regression on ½(∇k(x̃, ỹ) + k(x̃, ỹ)(x − x̃)/σ²), and s
    regresses on k(x̃, ỹ). Each x is blurred twice, x ± σn: the two targets' noise mostly cancels.

    Args:
        sigma: σ, in the coordinates of the rows.
    """

    sigma: float = 0.1

    def __post_init__(self) -> None:
        if not self.sigma > 0:
            raise ConfigurationError(f"sigma is {self.sigma}; expected a positive blur")

    def __call__(self, module: FieldNetworks, rows: Tensor, streams: Streams) -> Tensor:  # type: ignore[override]
        """See ``Loss``."""
        x, y = self.pairs(rows)
        noise, other = streams.normal(*x.shape[1:], dtype=x.dtype), streams.normal(*x.shape[1:], dtype=x.dtype)
        y = torch.add(y, other, alpha=self.sigma)
        signed = torch.cat((noise, -noise), 1)
        blurred = torch.add(torch.cat((x, x), 1), signed, alpha=self.sigma)
        k, slope = self.kernel.estimate(blurred - torch.cat((y, y), 1), streams)
        k, slope = k / self.constant, slope / self.constant
        loss = self.scalar_term(module, blurred, k)
        if module.tied:
            return loss
        target = 0.5 * torch.addcmul(slope, k.unsqueeze(-1), signed, value=-1 / self.sigma)
        return loss + (module.gradient(blurred) - target).square().sum(-1).mean(-1)
