"""How a denoiser is drawn from: the options of every draw, and the noising processes that it runs backwards.

For x_t = α x₀ + σ n, with λ = σ/α, f = d log α/dt and D at u = x/α, the score
is (αD − x)/σ² (Tweedie), and

    dx/dt = f x + ℓ' (x − αD)                                      probability-flow ODE
    dx    = [f x + 2ℓ' (x − αD)] dt + σ √(2ℓ') dW,  backwards      reverse SDE (Anderson 1982)

with ℓ' = d log λ/dt (Song et al. 2021, arXiv:2011.13456, Eq. 6 and 13, where g² = 2σ²ℓ'). In the variable u the ODE is
du/dλ = (u − D)/λ for every schedule (Karras et al. 2022, arXiv:2206.00364, Eq. 4).
"""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from phys_samplers.denoisers.denoiser import Denoise, Prior
from phys_samplers.denoisers.guidance import Potential
from phys_samplers.dynamics import Dynamics, Noise
from phys_samplers.integrators.base import Integrator
from phys_samplers.options import Part, draw_option, make_part
from phys_samplers.sampler import Sampler
from phys_samplers.schedules.base import NoiseSchedule


@dataclass(frozen=True, kw_only=True)
class ReverseProcess(Sampler):
    """How samples come down from noise with a denoiser, wherever the denoiser is from.

    Args:
        schedule: α and σ over time, by name or object. Its levels in units of the standardised data.
        integrator: by name or object. ``ddim``, ``edm-heun`` and other denoising schemes step from level to level and
            end at noise 0; an ODE integrator follows the probability flow, an SDE integrator the reverse SDE, both
            to the schedule's last level, from which one more call of the denoiser takes the noise out.
        sampling_steps: steps of the integrator (some cost two evaluations, see ``nfe`` of a draw).
        clip: bring every D into the box of the training rows.
        guidance: a potential, by name or object, that pushes the particles of a set apart (see ``guidance``): samples
            then come in sets of its ``set_size``, one after the other, and are independent between sets only.
        guidance_weight: w of classifier-free guidance, where there are conditions: 0 is the law given the condition,
            −1 the law of all rows, above 0 sharpens (see ``conditional``).
    """

    schedule: Part = draw_option("edm")
    integrator: Part = draw_option("edm-heun")
    sampling_steps: int = draw_option(40, least=1)
    clip: bool = draw_option(False)
    guidance: Part | None = draw_option(None)
    guidance_weight: float = draw_option(0.0, least=-1)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.times  # noqa: B018 - what only sampling uses is made here too, so that it is refused before training
        self.potential  # noqa: B018

    @cached_property
    def schedule_part(self) -> NoiseSchedule:
        """The schedule as an object, made once: a chain computes its constants when it is made."""
        schedule: NoiseSchedule = make_part("schedule", self.schedule)
        return schedule

    @cached_property
    def integrator_part(self) -> Integrator:
        """The integrator as an object."""
        integrator: Integrator = make_part("integrator", self.integrator)
        return integrator

    @cached_property
    def potential(self) -> Potential | None:
        """The guidance as an object."""
        return None if self.guidance is None else make_part("potential", self.guidance)

    @cached_property
    def times(self) -> tuple[float, ...]:
        """What the integrator passes: down to 0 if it works by denoising, else to the last time with noise."""
        return self.schedule_part.grid(self.sampling_steps, to_zero=self.integrator_part.equation == "denoising")


class _Scheduled(Dynamics):
    """What the ODE and the SDE of a schedule share.

    Args:
        denoise: D.
        prior: of the starting points u.
        dim: coordinates D.
        schedule: α and σ.
    """

    def __init__(self, denoise: Denoise, prior: Prior, dim: int, *, schedule: NoiseSchedule) -> None:
        self._denoise, self._prior = denoise, prior
        self.schedule = schedule
        self.event_shape = (dim,)
        self.times = (schedule.start, schedule.end)

    def _drift(self, x: Tensor, t: float, factor: float) -> Tensor:
        """f x + factor ℓ' (x − αD)."""
        alpha, rate = math.exp(self.schedule.log_alpha(t)), factor * self.schedule.log_ratio_rate(t)
        clean = self._denoise(x / alpha if alpha != 1 else x, self.schedule.ratio(t))
        return clean.mul_(-alpha * rate).add_(x, alpha=self.schedule.log_alpha_rate(t) + rate)

    @abstractmethod
    def drift(self, x: Tensor, t: float) -> Tensor:
        """See ``Dynamics.drift``."""

    def prior(self, n: int, generator: torch.Generator) -> Tensor:
        """Starting points x = αu."""
        return self._prior(n, generator) * self.schedule.level(self.schedule.start)[0]


class ProbabilityFlow(_Scheduled):
    """The ODE with the marginals of the noising process."""

    def drift(self, x: Tensor, t: float) -> Tensor:
        """f x + ℓ' (x − αD)."""
        return self._drift(x, t, 1.0)


class ReverseSDE(_Scheduled):
    """The noising SDE run backwards."""

    noise: Noise = "additive"

    def drift(self, x: Tensor, t: float) -> Tensor:
        """The drift f x + 2ℓ' (x − αD)."""
        return self._drift(x, t, 2.0)

    def diffusion(self, x: Tensor, t: float) -> Tensor:
        """σ √(2ℓ'), of shape (1, 1)."""
        sigma = self.schedule.level(t)[1]
        value = sigma * math.sqrt(2 * self.schedule.log_ratio_rate(t))
        return torch.full((1, 1), value, dtype=x.dtype, device=x.device)
