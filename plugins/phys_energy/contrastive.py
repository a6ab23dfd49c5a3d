r"""Contrastive divergence: the loss whose gradient is that of the negative log-likelihood, and its regulariser.

With x⁺ of the data and x⁻ of the model p_θ ∝ exp(−E_θ/τ), held fixed,

    L = mean E(x⁺) − mean E(x⁻) + γ (mean E(x⁺)² + mean E(x⁻)²),        ∇_θ L|_{γ=0} = −τ ∇_θ E_data[log p_θ].

What γ does: E is known up to a constant, which the squares choose, and they bound it. Where data and model have the
densities p and q, the loss is stationary for an unrestricted E if p − q + 2γE (p + q) = 0, so that

    q/p = (1 + 2γE)/(1 − 2γE),        |E| ≤ 1/(2γ):

in units of τ, energies span 1/(γτ) at most, and within the data q/p is wrong by the factor 1 + 4γE.

Source: Hinton 2002; Du & Mordatch 2019 (squares); Yoon et al. 2025 (arXiv:2502.13280), Sec. 5, 7.3.1, Algorithm 3.
"""

from __future__ import annotations

from torch import Tensor


def contrastive_loss(data: Tensor, negatives: Tensor, *, gamma: float = 0.0) -> Tensor:
    """L (R,), one per replica.

    Args:
        data: energies (R, B) of data.
        negatives: energies (R, M) of negative samples, which must not carry a graph to where they came from.
        gamma: γ.
    """
    loss = data.mean(1) - negatives.mean(1)
    if not gamma:
        return loss
    return loss + gamma * (data.square().mean(1) + negatives.square().mean(1))
