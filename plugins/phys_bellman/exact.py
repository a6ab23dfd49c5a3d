"""Exact Bellman fields of a known law: theory can be tested, and fields looked at, without training."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from phys_bellman.kernels import GaussianKernel, Kernel, KernelMean

if TYPE_CHECKING:
    from phys_samplers.target import Target


class ExactFields:
    """s = q and g = ½(∇q + q ∇log p) for a target with a score.

    The mobility is in closed form for a Gaussian mixture under the Gaussian kernel (a mixture blurred by ε); for any
    other pair it is the kernel mean over weighted reference points: a quadrature grid makes it exact to rounding, draws
    of the law make it an exact positive mobility close to q.

    Args:
        target: with a score; a law with ``blurred(variance)`` and ``log_prob`` counts as a mixture.
        kernel: with its bandwidth resolved.
        reference: points (M, D) to average over; unnecessary in the closed form.
        weights: of the points, summing to one; equal by default.
    """

    def __init__(
        self, target: Target, kernel: Kernel, reference: Tensor | None = None, weights: Tensor | None = None
    ) -> None:
        target.require("score", by="ExactFields")
        self.target = target
        self.kernel = kernel
        self.mean: KernelMean | None = None
        self.blurred = None
        if reference is not None:
            self.mean = KernelMean(kernel, reference, weights)
        elif isinstance(kernel, GaussianKernel) and callable(getattr(target.law, "blurred", None)):
            self.blurred = target.law.blurred(kernel.variance)
        else:
            raise TypeError(
                f"no closed form of the mobility of {type(kernel).__name__} under target {target.name!r}; give "
                "reference points (a quadrature grid with weights, or draws of the law)"
            )

    def mobility(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """q (B,) and ∇q (B, D)."""
        if self.mean is not None:
            return self.mean(x)
        assert self.blurred is not None
        assert isinstance(self.kernel, GaussianKernel)
        log_density, score = self.blurred.log_prob(x), self.blurred.score(x)
        dim = x.shape[-1]
        log_c = 0.0 if self.kernel.normalised else 0.5 * dim * math.log(2 * math.pi * self.kernel.variance)
        q = torch.exp(log_density + log_c)
        return q, q.unsqueeze(-1) * score

    def __call__(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """s (B,) and g (B, D) at x (B, D)."""
        q, slope = self.mobility(x)
        return q, 0.5 * (slope + q.unsqueeze(-1) * self.target.score(x))
