"""DDPM and EDM as recipes: the shared denoiser sampler with the loss, schedule and integrator of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from phys_samplers.denoisers.denoiser import DenoisingLoss, Parametrisation
from phys_samplers.denoisers.sampler import DenoiserSampler
from phys_samplers.objective import Loss
from phys_samplers.options import Part, draw_option


@dataclass(frozen=True, kw_only=True)
class EDM(DenoiserSampler):
    """Karras et al. 2022 (arXiv:2206.00364): preconditioned denoiser, log-normal levels, Heun steps on the ρ grid.

    The network sees standardised data, so σ_data = 1 where the paper has ½: its σ and P_mean are those of the paper
    doubled. The default's span of noise levels, 20 to 0.01, was chosen by W2 to validation rows of two small tasks:
    with 40 steps it scores as the paper's span does, with 10 or 20 steps better. See ``DenoiserSampler`` for the
    options.
    """

    trained_by: ClassVar[type[Loss]] = DenoisingLoss
    takes_conditions: ClassVar[bool] = True


@dataclass(frozen=True, kw_only=True)
class DDPM(DenoiserSampler):
    """Ho, Jain & Abbeel 2020 (arXiv:2006.11239): noise prediction on a chain of T steps, ancestral sampling.

    With fewer ``sampling_steps`` than T the chain passes every few of its levels, by the same posterior (Nichol &
    Dhariwal 2021). ``integrator="ddim"`` is DDIM. See ``DenoiserSampler`` for the options; the schedule decides the
    training levels too, so it cannot change after fitting.
    """

    trained_by: ClassVar[type[Loss]] = DenoisingLoss
    takes_conditions: ClassVar[bool] = True

    loss: Part = "denoising[levels=schedule]"
    parametrisation: Parametrisation = "epsilon"
    schedule: Part = draw_option("linear")
    integrator: Part = draw_option("ddim[eta=1]")
    sampling_steps: int = draw_option(300, least=1)
    clip: bool = draw_option(True)
