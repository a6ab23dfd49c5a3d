"""What the diffusion family registers."""

from __future__ import annotations

from collections.abc import Iterable

from phys_registry import Component, hookimpl

EDM_PAPER = {
    # no bounds to speak of on the levels, and the clean row itself as the target
    "loss": "denoising[stable_target=false,sigma_min=0.0001,sigma_max=1000.0]",
    "schedule": "edm[sigma_min=0.004,sigma_max=160.0]",
    "sampling_steps": 18,
}
"""Karras et al. 2022, Table 1 (deterministic sampling, CIFAR-10), for data of unit variance: its σ doubled."""

DDPM_PAPER = {
    "loss": "denoising[levels=schedule,stable_target=false]",
    "sampling_steps": 1000,
}
"""Ho et al. 2020, Sec. 4: T = 1,000, β from 10⁻⁴ to 0.02, L_simple, every step of the chain."""


@hookimpl
def phys_components() -> Iterable[Component]:
    """The samplers, and models of returns."""
    yield Component(
        "sampler",
        "edm",
        "phys_diffusion.recipes:EDM",
        summary="preconditioned denoiser trained over log-normal noise levels, sampled by Heun steps (EDM)",
        reference="arXiv:2206.00364, Table 1, Algorithms 1 and 2",
        needs={"samples"},
        citation="karras2022edm",
        presets={"default": {}, "paper": EDM_PAPER},
    )
    yield Component(
        "sampler",
        "ddpm",
        "phys_diffusion.recipes:DDPM",
        summary="noise prediction on a chain of noising steps, sampled by ancestral steps (DDPM)",
        reference="arXiv:2006.11239, Algorithms 1 and 2",
        needs={"samples"},
        citation="ho2020ddpm",
        presets={"default": {}, "paper": DDPM_PAPER},
    )
    yield Component(
        "sampler",
        "disco",
        "phys_diffusion.disco:DisCo",
        summary="EDM told discrete latents that an encoder learns with it, drawn from their own law (DisCo-Diff)",
        reference="arXiv:2407.03300, Eq. 2 and 3; thesis, ch. 4",
        needs={"samples"},
        citation="xu2024disco",
        presets={"default": {}},
    )
    yield Component(
        "return_model",
        "edm",
        "phys_diffusion.returns:EDMReturns",
        summary="denoiser of returns (EDM), bootstrapped through samples, quantiles by the probability flow",
        reference="arXiv:2206.00364, Sec. 5; arXiv:2211.01095, Algorithm 2",
        needs={"experience"},
        citation="karras2022edm",
        presets={"default": {}},
    )
    yield Component(
        "return_model",
        "ddpm",
        "phys_diffusion.returns:DDPMReturns",
        summary="noise prediction of returns on a chain (DDPM), bootstrapped through samples, few deterministic steps",
        reference="arXiv:2006.11239, Eq. 14; arXiv:2211.01095, Algorithm 2",
        needs={"experience"},
        citation="ho2020ddpm",
        presets={"default": {}},
    )
