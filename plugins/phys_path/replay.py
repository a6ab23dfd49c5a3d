r"""Replay: the forward chain is fitted to ends of its own paths, moved in the density and carried back.

A sampler that follows a wrong control ends beside the law, and learning from its own states never shows it what it
misses. So

1.  simulate paths, and choose ends x_K in proportion to w^τ, τ ≤ 1 the largest that leaves a tenth of them effective;
2.  move them by a few MALA steps in the density itself, which keep the law of the ends if they have it;
3.  draw steps k and x_k from B given x_K, all at once where B learns nothing: x_k = A_k x_K + √C_k ε;
4.  follow the gradient of the likelihood of F, averaged over x_{k+1} given both, which is a Gaussian of mean m and
    variance s:

        L = Σ_k E[−log F(x_{k+1} | x_k)] = Σ_k E[ (|m − μ_F(x_k)|² + D s)/(2 v_F) + ½ D log 2π v_F ].

    Two unbiased estimates of m are at hand: from x_K itself, and, where the ends are of the target, from its score
    there, with (x_k + C_k ∇log p̃(x_K) / A_k) / A_k for x_K, since A_k ∇log p_k(x_k) = E[∇log p̃(x_K) | x_k]. Their
    errors have opposite signs: within a normal mode of variance s² the average with weights C_k and A_k² s² has none.
    s² is learned for every k by the same loss, of which the variance of the estimate is a part.

Where the ends are of the target, L is the relative entropy of the backward paths to the forward ones, up to a constant:
it is least where P_F = P_B, punishes lost modes, and needs no simulation to be asked. For Ornstein-Uhlenbeck chains it
is denoising score matching, and with scores of the ends its mixture with target score matching.

The buffer also serves objectives of weights (``replayed``), which hold on any paths: those carried back from it show
what the sampler's own paths do not reach.

Sources: Sendera et al. 2024 (arXiv:2402.05098), local search from a buffer with trajectory balance; Akhound-Sadegh et
al. 2024 (arXiv:2402.06121), regression on noised states of a buffer that the sampler refills; Vincent 2011, *A
Connection Between Score Matching and Denoising Autoencoders*.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from phys_path.paths import Control
from phys_samplers.paths import UnitDensity

TINY = 1e-12


def likelihood(
    control: Control, density: UnitDensity, ends: Tensor, end_scores: Tensor, steps: Tensor, noise: Tensor
) -> Tensor:
    """K times the mean of E[−log F(x_{k+1} | x_k)] over rows, (R,): L of the module where ``steps`` are uniform.

    Its gradient is that with the less noisy estimate of m.

    Args:
        control: of a process whose B learns nothing.
        density: of the target.
        ends: x_K (R, N, D).
        end_scores: of the target there.
        steps: k (N,).
        noise: ε (R, N, D), standard normal.
    """
    process = control.process.like(ends)
    kept, blur, gain, growth, v = (
        part[: process.steps][steps, None]
        for part in (process.kept, process.blur, process.gain, process.growth, process.variances)
    )
    off = blur.sqrt() * noise
    x = torch.addcmul(off, kept, ends)
    mean = torch.addcmul(gain * off, process.kept[1:][steps, None], ends)
    # Through its end x_{k+1} moves by this much.
    through = process.kept[1:][steps, None] - gain * kept
    signal = kept.square() * control.log_within[:, steps, None].exp()
    share = signal / (signal + blur).clamp(min=TINY)  # 0 for a point, of which the end alone tells
    other = (off + blur * end_scores / kept.clamp(min=TINY)) / kept.clamp(min=TINY)
    steered = control.steer(x, (steps.to(ends) / process.steps).expand(ends.shape[:2]))
    push = steered + control.gated(density.score(x), control.gate[:, steps, None] * v.sqrt())
    missed = mean - growth * x - v.sqrt() * push
    log_width, dim = control.log_widths[:, steps], ends.shape[-1]
    precision = (-2 * log_width).exp() / v[:, 0]
    spread = dim * process.between[steps]
    constant = dim * (math.log(2 * math.pi) + v[:, 0].log())
    value = precision * (missed.detach().square().sum(-1) + spread) + 2 * dim * log_width + constant
    steady = precision.detach() * (missed + through * share * other).square().sum(-1)
    return 0.5 * process.steps * (value + steady - steady.detach()).mean(1)
