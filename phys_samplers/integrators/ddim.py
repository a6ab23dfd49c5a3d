r"""DDIM: the exact step of a noising process run backwards, for a denoised sample held fixed over the step.

Given x at σ and D = D(x, σ), with ε = (x − D)/σ, the step to the level s < σ is

    x ← D + √(s² − v) ε + √v z,        v = η² s² (σ² − s²)/σ².

``eta = 0`` is deterministic: the exponential Euler method of the probability-flow ODE dx/dσ = (x − D)/σ, order 1.
``eta = 1`` draws from the Gaussian posterior of x_s given x_σ and x₀ = D, the ancestral step of DDPM (Ho et al. 2020,
arXiv:2006.11239, Eq. 6–7, with the smaller of its two variances).

Source: Song, Meng & Ermon 2021, *Denoising diffusion implicit models* (arXiv:2010.02502), Eq. 12 and 16, divided by √ᾱ.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from phys_samplers.dynamics import Dynamics
from phys_samplers.integrators.base import BrownianIncrement, Integrator
from phys_samplers.options import draw_option
from phys_samplers.shapes import State


@dataclass(frozen=True, kw_only=True)
class DDIM(Integrator):
    """See the module.

    Args:
        eta: η, from 0 (deterministic) to 1 (ancestral).
    """

    name = "ddim"
    equation = "denoising"
    order = 1.0
    evaluations_per_step = 1

    eta: float = draw_option(0.0, least=0, most=1)

    @property
    def adds_noise(self) -> bool:
        """See ``Integrator.adds_noise``."""
        return self.eta > 0

    def step(self, dynamics: Dynamics, x: State, t: float, dt: float, noise: BrownianIncrement) -> State:
        """One step; see ``Integrator.step``."""
        s = t + dt
        clean = dynamics.denoise(x, t)  # type: ignore[attr-defined]
        if s <= 0:
            return clean
        variance = (self.eta * s / t) ** 2 * (t * t - s * s)
        x = torch.lerp(clean, x, math.sqrt(s * s - variance) / t)
        return x.add_(noise.normal(), alpha=math.sqrt(variance)) if variance > 0 else x


_ANCESTRAL = DDIM(eta=1.0)


@dataclass(frozen=True, kw_only=True)
class PredictorCorrector(Integrator):
    r"""Predictor-corrector sampling: an ancestral step to the next level, then Langevin steps at that level.

    Given x at σ and D = D(x, σ), the predictor draws x at s < σ from the Gaussian posterior for x₀ = D, and the
    corrector takes M steps along the score g = (D(x, s) − x)/s² of the law there:

        x ← D + (s/σ)² (x − D) + s √(1 − s²/σ²) z
        x ← x + ε g + √(2ε) z,        ε = 2r² / ⟨g²⟩,

    with the mean ⟨g²⟩ over the coordinates of all particles. For a Gaussian of variance V that is ε = 2r²V, and the
    corrector alone ends at the variance V/(1 − r²). At level 0 there is no score to step along: the last step returns
    D. N steps cost N + M(N − 1) evaluations.

    Source: Song et al. 2021 (arXiv:2011.13456), Algorithm 2, the ancestral predictor of App. F (``ddim`` with eta = 1)
    and the corrector of Algorithm 4 (App. G), ε = 2 (r |z|/|g|)², with norms averaged over the batch and |z| by √D as
    advised there. Both norms are taken as root mean squares here, which leaves ε without noise of its own. **The step
    size couples the particles**: a particle's way depends on the batch it is in, by O(B^{−½}).

    Args:
        corrector_steps: M, Langevin steps a level.
        snr: r, root of the signal-to-noise ratio of a Langevin step; .16 is the source's for variance-exploding noise.
    """

    name = "predictor-corrector"
    equation = "denoising"
    evaluations_per_step = None

    corrector_steps: int = draw_option(1, least=1)
    snr: float = draw_option(0.16, above=0, below=1)

    @property
    def adds_noise(self) -> bool:
        """See ``Integrator.adds_noise``."""
        return True

    def step(self, dynamics: Dynamics, x: State, t: float, dt: float, noise: BrownianIncrement) -> State:
        """Predictor and corrector; see ``Integrator.step``."""
        level = t + dt
        x = _ANCESTRAL.step(dynamics, x, t, dt, noise)
        for _ in range(self.corrector_steps if level > 0 else 0):
            pull = dynamics.denoise(x, level) - x  # type: ignore[attr-defined]
            # ε g = (ε/s²) pull with ε/s² = 2r² s²/⟨pull²⟩, a number that stays on the device
            share = pull.square().mean().reciprocal_().mul_(2 * (self.snr * level) ** 2)
            x = torch.addcmul(x, pull, share).addcmul_(noise.normal(), (2 * share).sqrt_(), value=level)
        return x
