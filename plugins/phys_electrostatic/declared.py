"""What the electrostatic family registers."""

from __future__ import annotations

from collections.abc import Iterable

from phys_registry import Component, hookimpl

PFGMPP_PAPER = {
    "aux_dim": 2048.0,
    "loss": "poisson-denoising[stable_target=false,sigma_min=0.0001,sigma_max=1000.0]",
    "schedule": "edm[sigma_min=0.004,sigma_max=160.0]",
    "sampling_steps": 18,
}
"""CIFAR-10 of Sec. 5: D = 2048, all else as EDM (App. C.2), here for data of unit variance: σ doubled."""

PFGM_PAPER = {
    "parametrisation": "field",
    "gamma": 5.0,
    "loss": "poisson-field[points=128,sigma=0.01,tau=0.03,power=291.0,restrict=0.687]",
    "batch_size": 4096,
    "schedule": "geometric[sigma_min=0.001,sigma_max=40.0]",
    "integrator": {"name": "dopri5", "rtol": 1e-4, "atol": 1e-4},
    "norm_clip": 3000.0,
}
"""CIFAR-10 of Sec. 4 and App. B.1-B.2 (thesis Sec. 7.4, B.5.2): |B| = 128, |B_L| = 4096, σ = .01, τ = .03, M = 291 (200
where |ε_z| < .005), γ = 5, z from 40 to 10⁻³ by RK45 at 10⁻⁴, norms of starting points up to 3000; meant for images
with a root mean square norm of 30, here in units of the standardised data. The box of the rows (clip) stays on: without
it, errors of the learned field far away carry some particles off."""


@hookimpl
def phys_components() -> Iterable[Component]:
    """The samplers and their losses."""
    yield Component(
        "sampler",
        "pfgmpp",
        "phys_electrostatic.pfgmpp:PFGMpp",
        summary="electric field in N + D dimensions, anchored at the norm of the D augmented ones (PFGM++)",
        reference="arXiv:2302.04265, Eq. 2 and 4, Alg. 1-2",
        needs={"samples"},
        citation="xu2023pfgmpp",
        presets={"default": {}, "paper": PFGMPP_PAPER},
    )
    yield Component(
        "loss",
        "poisson-denoising",
        "phys_electrostatic.pfgmpp:PoissonDenoisingLoss",
        summary="denoising with the heavy-tailed noise of D augmented dimensions",
        reference="arXiv:2302.04265, Eq. 4",
        citation="xu2023pfgmpp",
    )
    yield Component(
        "sampler",
        "pfgm",
        "phys_electrostatic.pfgm:PFGM",
        summary="normalised electric field in N + 1 dimensions, anchored at the added one (PFGM)",
        reference="arXiv:2209.11178, Eq. 4-5 and 8, Alg. 1-2",
        needs={"samples"},
        citation="xu2022pfgm",
        presets={"default": {}, "paper": PFGM_PAPER},
    )
    yield Component(
        "loss",
        "poisson-field",
        "phys_electrostatic.pfgm:PoissonFieldLoss",
        summary="regression on the normalised electric field of a large batch",
        reference="arXiv:2209.11178, Alg. 1-2",
        citation="xu2022pfgm",
    )
    yield Component(
        "schedule",
        "geometric",
        "phys_electrostatic.pfgm:GeometricSchedule",
        summary="noise levels that fall exponentially in time, as PFGM anchors its ODE",
        reference="arXiv:2209.11178, Eq. 8",
        citation="xu2022pfgm",
    )
    yield Component(
        "return_model",
        "pfgmpp",
        "phys_electrostatic.returns:PFGMppReturns",
        summary="electric field of returns in 1 + D dimensions (PFGM++), bootstrapped through samples",
        reference="arXiv:2302.04265, Sec. 4.1 and App. C.2",
        needs={"experience"},
        citation="xu2023pfgmpp",
        presets={"default": {}},
    )
