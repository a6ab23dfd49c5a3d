r"""EDM's Heun steps with relaxation steps at constant noise between them: a predictor with a reversible corrector.

After the step that ends at the level s, if corrector_min ≤ s ≤ corrector_max, M steps of the diffusion that keeps the
law p_s of data with noise s as it is, for any positive mobility q (the dynamics' own; 1 if they have none):

    dx = ½ (∇q + q ∇log p_s) dτ + √q dW,        ∇log p_s = (D − x)/s²,

each of size δs² in the exponential form that solves the relaxation towards D exactly, with a = δq/2,

    x ← x + (1 − e^{−a}) (D − x) + ½ δs² ∇q + s √(1 − e^{−2a}) z.

With q = 1 these are Langevin steps; with Bellman fields s = q, g = ½ (∇q + q ∇log p) they are Bellman diffusion (Li
et al. 2024, arXiv:2410.01796, Eq. 13) in the law of noise s. The predictor is the probability-flow ODE of the same law,
which with its score written (2g − ∇s)/s needs the Bellman fields only. N steps cost 2N − 1 evaluations, a corrector
step one more.

D is held fixed over a corrector step. That is right across a thin sheet of data, where D hardly moves with x; along
directions in which the data are smooth at the scale s, D moves with x and the step adds too little noise,
1 − e^{−2a} in place of 2a. Large steps therefore sharpen: on 24 levels with δ = 1 the variance of a Gaussian of
variance ½ comes out 9 % lower than without the corrector, with δ = 0.1 as it was.

Sources: Karras et al. 2022 (arXiv:2206.00364, Algorithm 2) for the predictor, Song et al. 2021 (arXiv:2011.13456, Sec.
4.2) for correcting at constant noise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from phys_samplers.dynamics import Dynamics
from phys_samplers.errors import ConfigurationError
from phys_samplers.integrators.base import BrownianIncrement
from phys_samplers.integrators.edm_heun import EDMHeun


@dataclass(frozen=True, kw_only=True)
class CorrectedHeun(EDMHeun):
    """See the module, and ``EDMHeun`` for the options of the predictor.

    Args:
        corrector_steps: M, at each level of the grid between the bounds.
        corrector_size: δ, in units of the squared level.
        corrector_min: lowest level that is corrected.
        corrector_max: highest.
    """

    name: ClassVar[str] = "corrected-heun"
    order: ClassVar[float | None] = None
    evaluations_per_step: ClassVar[int | None] = None

    corrector_steps: int = 3
    corrector_size: float = 1.0
    corrector_min: float = 0.05
    corrector_max: float = 0.3

    def __post_init__(self) -> None:
        super().__post_init__()
        steps = self.corrector_steps
        if isinstance(steps, bool) or not isinstance(steps, int) or steps < 0:
            raise ConfigurationError(f"corrector_steps is {steps!r}; expected an integer of at least 0")
        if not self.corrector_size > 0:
            raise ConfigurationError(f"corrector_size is {self.corrector_size}; expected a positive number, e.g. 1")
        if not 0 < self.corrector_min <= self.corrector_max:
            raise ConfigurationError(
                f"corrector_min is {self.corrector_min} and corrector_max {self.corrector_max}; expected "
                "0 < corrector_min <= corrector_max"
            )

    @property
    def adds_noise(self) -> bool:
        """See ``Integrator.adds_noise``."""
        return super().adds_noise or self.corrector_steps > 0

    def step(self, dynamics: Dynamics, x: Tensor, t: float, dt: float, noise: BrownianIncrement) -> Tensor:
        """Predictor and corrector; see ``Integrator.step``."""
        x = super().step(dynamics, x, t, dt, noise)
        level = t + dt
        if self.corrector_min <= level <= self.corrector_max:
            for _ in range(self.corrector_steps):
                x = relaxed(dynamics, x, level, self.corrector_size, noise)
        return x


def relaxed(dynamics: Dynamics, x: Tensor, level: float, size: float, noise: BrownianIncrement) -> Tensor:
    """One step of size ``size`` · level² of the diffusion above in the law of noise ``level``."""
    clean = dynamics.denoise(x, level)  # type: ignore[attr-defined]
    field = dynamics.mobility(x, level)  # type: ignore[attr-defined]
    if field is None:
        a = 0.5 * size
        x = torch.lerp(x, clean, -math.expm1(-a))
        return x.add_(noise.normal(), alpha=level * math.sqrt(-math.expm1(-2 * a)))
    q, slope = field
    a = (0.5 * size * q).unsqueeze(-1)
    x = torch.addcmul(x, -torch.expm1(-a), clean - x).add_(slope, alpha=0.5 * size * level**2)
    return x.addcmul_((-torch.expm1(-2 * a)).sqrt_(), noise.normal(), value=level)
