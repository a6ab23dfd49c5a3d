"""Field matching: the losses whose minimisers are the mobility q and the gradient field g* = ½(∇q + q ∇log p).

For a kernel k and independent x₁, x₂ ~ p (Li et al. 2024, arXiv:2410.01796):

    Eq. 8:   E[ s(x₁)² − 2 k(x₁,x₂) s(x₁) ],   E[ |g(x₁)|² + k(x₁,x₂) tr ∇g(x₁) ]
    Eq. 10:  the second term sliced, E_v[ (vᵀg)² + k vᵀ∇g v ]; k itself may be sliced too (kernel ``sliced``).

Minimising pointwise after integration by parts gives s* = q = E_y k(x, y) and g* = ∇(pq)/(2p). The paper reads them as
p and ∇p, which holds for the full normalised kernel as ε → 0; for any other kernel p is still stationary under
dx = g* dt + √q dW. On a finite sample the gradient term is unbounded below (tr ∇g → −∞ at the data points), so it
needs held-out rows and the best weights of training by them (which is what training keeps), or ``jitter``.

Every loss is linear in k given x₁, up to a constant, so that averaging k over many partners x₂ of a row makes it the
mean over all those pairs at the price of one pass through the networks. Both fields see the same k, always: with
k of their own they would have mobilities that differ, and another stationary law.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from phys_bellman.kernels import Kernel, SliceAverageKernel
from phys_bellman.networks import FieldNetworks
from phys_samplers.objective import Loss
from phys_samplers.options import fit_option
from phys_samplers.randomness import Streams

Pairs = Literal["adjacent", "all"]

PAIRS_AT_ONCE = 2**16
"""Pairs of each replica whose differences are in memory together."""


@dataclass(frozen=True, kw_only=True)
class FieldLoss(Loss):
    """What the field-matching losses share.

    Args:
        kernel: with its bandwidth resolved.
        constant: c; k/c is matched instead of k, for both fields alike, which rescales time only. With c = E[k] the
            fields are of order one on every data set.
        pairs: partners x₂ of a row x₁: its neighbour in the batch (``adjacent``: B independent pairs) or every other
            row (``all``: a U-statistic of B(B − 1) pairs, as unbiased and of no greater variance).
        jitter: standard deviation of fresh noise added to the rows at every step, in their coordinates. The fields are
            then those of the law blurred by it, and the loss is bounded below.
    """

    kernel: Kernel = field(default_factory=SliceAverageKernel)
    constant: float = 1.0
    pairs: Pairs = "adjacent"
    jitter: float = fit_option(0.0, least=0)

    def jittered(self, rows: Tensor, streams: Streams) -> Tensor:
        """The rows (R, B, D) of this step."""
        if self.jitter == 0:
            return rows
        return torch.add(rows, streams.normal(*rows.shape[1:], dtype=rows.dtype), alpha=self.jitter)

    def kernel_mean(self, x: Tensor, y: Tensor, streams: Streams) -> tuple[Tensor, Tensor]:
        """k/c (R, B) and its gradient by x (R, B, D), averaged over the partners y of every row x (R, B, D)."""
        rows = torch.arange(x.shape[1], device=x.device)
        shifts = rows[1:] if self.pairs == "all" else rows[1:2]
        partners = (rows.unsqueeze(1) - shifts) % len(rows)  # (B, 1) or (B, B − 1), never x's own row
        block = max(1, PAIRS_AT_ONCE // len(shifts))
        means = []
        for some, theirs in zip(x.split(block, 1), partners.split(block), strict=True):
            pairs = (some.unsqueeze(2) - y[:, theirs]).flatten(1, 2)
            k, slope = self.kernel.estimate(pairs, streams)
            means.append((k.unflatten(1, theirs.shape).mean(2), slope.unflatten(1, theirs.shape).mean(2)))
        k, slope = (torch.cat(parts, 1) / self.constant for parts in zip(*means, strict=True))
        return k, slope

    def scalar_term(self, module: FieldNetworks, x: Tensor, k: Tensor) -> Tensor:
        """s² − 2ks averaged over the batch: (R,)."""
        s = module.scalar(x)
        return (s.square() - 2 * k * s).mean(-1)


@dataclass(frozen=True, kw_only=True)
class FieldMatching(FieldLoss):
    """Eq. 7 and 8: the full trace of ∇g, D backward passes; for small D and for checking the sliced form."""

    def __call__(self, module: FieldNetworks, rows: Tensor, streams: Streams) -> Tensor:  # type: ignore[override]
        """See ``Loss``."""
        x = self.jittered(rows, streams)
        k, _ = self.kernel_mean(x, x, streams)
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
        slices: directions v per row, n in Table 2 of the paper (with as many w in the kernel ``sliced``).
    """

    slices: int = fit_option(1, least=1)

    def __call__(self, module: FieldNetworks, rows: Tensor, streams: Streams) -> Tensor:  # type: ignore[override]
        """See ``Loss``."""
        x = self.jittered(rows, streams)
        k, _ = self.kernel_mean(x, x, streams)
        loss = self.scalar_term(module, x, k)
        if module.tied:
            return loss
        for _ in range(self.slices):
            v = streams.normal(*x.shape[1:], dtype=x.dtype)
            with torch.enable_grad():
                x = x.detach().requires_grad_()
                projected = (v * module.gradient(x)).sum(-1)
                (slope,) = torch.autograd.grad(projected.sum(), x, create_graph=True)
            curvature = (slope * v).sum(-1)
            loss = loss + (projected.square() + k * curvature).mean(-1) / self.slices
        return loss


@dataclass(frozen=True, kw_only=True)
class DenoisingFieldMatching(FieldLoss):
    """The estimator without a Jacobian, for the law blurred by σ: x̃ = x + σn, ỹ = y + σn'.

    ∇log p_σ(x̃) = E[(x − x̃)/σ² | x̃] makes g* of p_σ a plain regression on ½(∇k(x̃, ỹ) + k(x̃, ỹ)(x − x̃)/σ²), and s
    regresses on k(x̃, ỹ). Each x is blurred twice, x ± σn: the two targets' noise mostly cancels.

    Args:
        sigma: σ, in the coordinates of the rows.
    """

    sigma: float = fit_option(0.1, above=0)

    def __call__(self, module: FieldNetworks, rows: Tensor, streams: Streams) -> Tensor:  # type: ignore[override]
        """See ``Loss``."""
        x = self.jittered(rows, streams)
        noise, other = streams.normal(*x.shape[1:], dtype=x.dtype), streams.normal(*x.shape[1:], dtype=x.dtype)
        y = torch.add(x, other, alpha=self.sigma)
        signed = torch.cat((noise, -noise), 1)
        blurred = torch.add(torch.cat((x, x), 1), signed, alpha=self.sigma)
        means = [self.kernel_mean(half, y, streams) for half in blurred.chunk(2, 1)]
        k, slope = (torch.cat(parts, 1) for parts in zip(*means, strict=True))
        loss = self.scalar_term(module, blurred, k)
        if module.tied:
            return loss
        target = 0.5 * torch.addcmul(slope, k.unsqueeze(-1), signed, value=-1 / self.sigma)
        return loss + (module.gradient(blurred) - target).square().sum(-1).mean(-1)
