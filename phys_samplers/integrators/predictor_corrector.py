r"""Predictor-corrector sampling: an ancestral step to the next level, then Langevin steps at that level.

Given x at σ and D = D(x, σ), the predictor draws x at s < σ from the Gaussian posterior for x₀ = D, and the corrector
takes M steps along the score g = (D(x, s) − x)/s² of the law there:

    x ← D + (s/σ)² (x − D) + s √(1 − s²/σ²) z
    x ← x + ε g + √(2ε) z,        ε = 2r² / ⟨g²⟩,

with the mean ⟨g²⟩ over the coordinates of all particles. For a Gaussian of variance V that is ε = 2r²V, and the
corrector alone ends at the variance V/(1 − r²). At level 0 there is no score to step along: the last step returns D. N
steps cost N + M(N − 1) evaluations.

Source: Song et al. 2021 (arXiv:2011.13456), Algorithm 2, the ancestral predictor of App. F (``ddim`` with eta = 1) and
the corrector of Algorithm 4 (App. G), ε = 2 (r |z|/|g|)², with norms averaged over the batch and |z| by √D as advised
there. Both norms are taken as root mean squares here, which leaves ε without noise of its own. **The step size couples
the particles**: a particle's way depends on the batch it is in, by O(B^{−½}).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from phys_samplers.dynamics import Dynamics, Noise
from phys_samplers.errors import ConfigurationError
from phys_samplers.integrators.base import BrownianIncrement, Equation, Integrator
from phys_samplers.integrators.ddim import DDIM

_ANCESTRAL = DDIM(eta=1.0)


@dataclass(frozen=True, kw_only=True)
class PredictorCorrector(Integrator):
    """See the module.

    Args:
        corrector_steps: M, Langevin steps a level.
        snr: r, root of the signal-to-noise ratio of a Langevin step; .16 is the source's for variance-exploding noise.
    """

    name: ClassVar[str] = "predictor-corrector"
    equation: ClassVar[Equation] = "denoising"
    evaluations_per_step: ClassVar[int | None] = None
    accepts: ClassVar[frozenset[Noise]] = frozenset({"none"})

    corrector_steps: int = 1
    snr: float = 0.16

    def __post_init__(self) -> None:
        steps = self.corrector_steps
        if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
            raise ConfigurationError(
                f"corrector_steps is {steps!r}; expected an integer of at least 1 (for none: ddim with eta=1)"
            )
        if not 0 < self.snr < 1:
            raise ConfigurationError(f"snr is {self.snr}; expected more than 0 and less than 1, e.g. 0.16")

    @property
    def adds_noise(self) -> bool:
        """See ``Integrator.adds_noise``."""
        return True

    def step(self, dynamics: Dynamics, x: Tensor, t: float, dt: float, noise: BrownianIncrement) -> Tensor:
        """Predictor and corrector; see ``Integrator.step``."""
        level = t + dt
        x = _ANCESTRAL.step(dynamics, x, t, dt, noise)
        for _ in range(self.corrector_steps if level > 0 else 0):
            pull = dynamics.denoise(x, level) - x  # type: ignore[attr-defined]
            # ε g = (ε/s²) pull with ε/s² = 2r² s²/⟨pull²⟩, a number that stays on the device
            share = pull.square().mean().reciprocal_().mul_(2 * (self.snr * level) ** 2)
            x = torch.addcmul(x, pull, share).addcmul_(noise.normal(), (2 * share).sqrt_(), value=level)
        return x
