"""How a denoiser is drawn from: the options of every draw of the families that have one."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from phys_samplers.denoisers.guidance import Potential
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
