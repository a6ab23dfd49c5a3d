r"""Stein variational gradient descent: particles that follow a deterministic flow and repel each other, by groups.

For n particles with scores s_j = ∇log p(x_j) and a kernel k,

    φ(x_i) = (1/n) Σ_j [k(x_j, x_i) s_j + ∇_{x_j} k(x_j, x_i)],        k(x, y) = exp(−|x − y|²/h),

the first part pulls towards high density with shared scores, the second pushes particles apart. It is the direction in
the unit ball of the kernel's space in which the Kullback–Leibler divergence to p falls fastest. The bandwidth is the
median heuristic h = med²/log n, with med the median distance of pairs, so that Σ_j k(x_i, x_j) is about one.

Source: Liu & Wang 2016, *Stein variational gradient descent*, Eq. 8 and Algorithm 1; the heuristic is in their
Section 5.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from phys_samplers.chains import DensityModel, DensitySampler
from phys_samplers.density import refuse_lost, refuse_without_density
from phys_samplers.options import draw_option
from phys_samplers.randomness import make_generator
from phys_samplers.sampler import Draw

ROWS = 64
"""The median is taken over the distances of about so many particles to all others."""


def median_bandwidth(squares: Tensor) -> Tensor:
    """h (G, 1, 1) of squared distances (G, n, n) between n ≥ 2 particles."""
    n = squares.shape[-1]
    some = squares[:, :: max(1, n // ROWS)]
    rows = some.shape[1]
    middle = rows + (rows * (n - 1) + 1) // 2  # past the zeros of the diagonal, one a row
    median = some.flatten(1).kthvalue(middle, 1).values
    return (median / math.log(n)).clamp(min=torch.finfo(squares.dtype).tiny).unflatten(0, (-1, 1, 1))


def direction(x: Tensor, score: Tensor) -> Tensor:
    """φ (G, n, D) for particles x (G, n, D) in groups that do not feel each other, with their scores (G, n, D)."""
    n = x.shape[1]
    if n == 1:
        return score
    squares = torch.cdist(x, x).square_()
    h = median_bandwidth(squares)
    kernel = squares.mul_(-1 / h).exp_()
    # Σ_j ∇_{x_j} k(x_j, x_i) = (2/h) Σ_j (x_i − x_j) k_ij
    return (kernel @ (score - (2 / h) * x) + (2 / h) * kernel.sum(2, keepdim=True) * x) / n


FORGETTING = 0.9
"""Share of the running mean of φ² that survives a step."""
TINY = 1e-6
"""Added to the root of that mean."""


class SVGDModel(DensityModel):
    """Particles ready to move; see ``DensityModel``."""

    recipe: SVGD

    @torch.no_grad()
    def draw(self, n: int, *, seed: int = 0, start: Tensor | None = None, **options: Any) -> Draw:
        """``n`` particles with their cost; see ``Model.draw``.

        The particles of a group are *not* independent, which no count of effective draws describes; groups are.
        Diagnostics: ``groups`` and ``group_size``; ``residual``, the root mean square of φ at the end, near zero when
        the flow has come to rest; ``virial``, −⟨(x − x̄)·∇log p(x)⟩/K, which is 1 for samples of the target, and falls
        below where the particles are too close together.
        """
        self.check_draw(n, start)
        recipe = self.recipe.for_draw(options)
        source = self.source()
        groups = -(-n // recipe.group_size)
        size = -(-n // groups)
        if start is None:
            generator = make_generator(seed, "prior", device=self._device)
            x = torch.randn(groups * size, source.dim, generator=generator, device=self._device, dtype=self.dtype)
            x = x.mul_(recipe.prior_std)
        else:
            rows = source.reduce(start.to(self._device))
            x = torch.cat([rows, rows[: groups * size - n]])  # the last group is filled from the first
        x = x.unflatten(0, (groups, size))
        memory = None
        for index in range(recipe.sampling_steps):
            score = source.score(x.flatten(0, 1)).unflatten(0, (groups, size))
            phi = direction(x, score)
            memory = phi.square() if memory is None else memory.lerp(phi.square(), 1 - FORGETTING)
            before, rate = x, recipe.step_size * (1 - index / recipe.sampling_steps)
            x = x + rate * phi / (memory.sqrt() + TINY)
        refuse_lost(
            x.flatten(0, 1),
            steps=recipe.sampling_steps,
            by="svgd",
            advice="the score is not finite there; start them nearer (start, prior_std)",
        )
        refuse_without_density(source, x.flatten(0, 1)[:n], by="svgd")
        around = before - before.mean((0, 1))
        facts = {
            "groups": groups,
            "group_size": size,
            "residual": math.sqrt(float(phi.square().mean())),
            "virial": -float((around * score).mean()),
        }
        return Draw(source.embed(x.flatten(0, 1)[:n]), source.evaluations * groups * size / n, facts)


@dataclass(frozen=True, kw_only=True)
class SVGD(DensitySampler):
    """Stein variational gradient descent: a few hundred gradients for particles that stand for a law together.

    The only randomness is the start. The rest point of finitely many particles is *not* the target: they are too close
    together, in high dimension by far (Ba et al. 2022); a standard normal law of 50 dimensions keeps less than a tenth
    of its variance with 100 particles, and modes keep the weight of their basins under the start. For modes and means
    at few gradients, not for spreads; read ``virial``.

    Steps are φ over a running root mean square of it, as in the authors' experiments, with a rate that falls linearly
    to zero so that particles come to rest.

    Args:
        sampling_steps: steps, one gradient each.
        step_size: rate of the first step, about the distance that a particle moves in it along each coordinate.
        group_size: particles that feel each other, at most; more samples make more groups of equal size.
        prior_std: standard deviation of the starting points N(0, prior_std² I).
    """

    needs: ClassVar[frozenset[str]] = frozenset({"score"})
    model: ClassVar[type[DensityModel]] = SVGDModel

    sampling_steps: int = draw_option(300, least=1)
    step_size: float = draw_option(0.3, above=0)
    group_size: int = draw_option(250, least=2)
    prior_std: float = draw_option(5.0, above=0)
