"""What the library itself registers: fields, losses, integrators, metrics, exact sampler, memoriser."""

from __future__ import annotations

from collections.abc import Iterable

from phys_registry import Component, hookimpl
from phys_samplers.integrators.declared import INTEGRATORS
from phys_samplers.metrics.declared import METRICS

PRESERVING, EXPLODING = "variance_preserving", "variance_exploding"
SCHEDULES = (
    (
        "linear",
        f"{PRESERVING}:LinearSchedule",
        "the chain of DDPM: beta rises linearly over 1,000 steps",
        "arXiv:2006.11239, Sec. 4",
        "ho2020ddpm",
    ),
    (
        "cosine",
        f"{PRESERVING}:CosineSchedule",
        "the chain of improved DDPM: the signal falls like a squared cosine",
        "arXiv:2102.09672, Eq. 17",
        "nichol2021improved",
    ),
    (
        "vp",
        f"{PRESERVING}:VPSchedule",
        "the variance-preserving SDE: beta rises linearly in continuous time",
        "arXiv:2011.13456, Eq. 32",
        "song2021scoresde",
    ),
    (
        "ve",
        f"{EXPLODING}:VESchedule",
        "the variance-exploding SDE: noise grows geometrically",
        "arXiv:2011.13456, Sec. 3.4",
        "song2021scoresde",
    ),
    (
        "edm",
        f"{EXPLODING}:EDMSchedule",
        "noise level as the time, on the rho grid of EDM",
        "arXiv:2206.00364, Eq. 5",
        "karras2022edm",
    ),
)


@hookimpl
def phys_components() -> Iterable[Component]:
    """The library's own components."""
    yield Component(
        "sampler",
        "exact",
        "phys_samplers.exact:ExactSampler",
        summary="draws from the target's own exact sampler: the floor of every table",
        needs={"sample"},
    )
    yield Component(
        "sampler",
        "training-rows",
        "phys_samplers.training_rows:TrainingRows",
        summary="hands out random training rows: the memorising end of every table",
        needs={"samples"},
    )
    yield Component(
        "return_model",
        "exact",
        "phys_samplers.rl.exact:ExactReturnModel",
        summary="the task's own exact laws, or the best that a family of laws could give: the floors of every table",
        needs={"experience", "sample"},
        presets={
            "default": {},
            "gaussians-51": {"bandwidth": 0.0224},  # as wide as those of return model bellman
            "atoms-51": {"atoms": 51},
            "quantiles-51": {"quantiles": 51},
        },
    )
    yield Component(
        "return_model",
        "law-solve",
        "phys_samplers.rl.law_solve:LawSolve",
        summary="laws on atoms, linear in features, by one linear solve: no training loop",
        reference="the projection of arXiv:1707.06887 in the equation of LSTD",
        needs={"experience"},
        citation="bellemare2017c51",
        presets={"default": {}, "fine": {"atoms": 401}},
    )
    for name, attribute, summary, citation in (
        ("mlp", "MLP", "multilayer perceptron with a choice of activation", ""),
        ("residual-mlp", "ResidualMLP", "perceptron whose hidden layers add to a running state", ""),
        (
            "fourier-mlp",
            "FourierMLP",
            "perceptron conditioned on time through random Fourier features",
            "tancik2020fourier",
        ),
        ("unet", "UNet", "small convolutional U-Net for square images of 8x8 to 28x28", "ronneberger2015unet"),
    ):
        yield Component("field", name, f"phys_samplers.fields:{attribute}", summary=summary, citation=citation)
    yield Component(
        "loss",
        "denoising",
        "phys_samplers.denoisers.denoiser:DenoisingLoss",
        summary="denoising score matching over noise levels with EDM weights and stable targets",
        reference="arXiv:2206.00364, Sec. 5; arXiv:2302.00670",
        citation="karras2022edm xu2023stable",
    )
    for name, target, summary, reference, citation in SCHEDULES:
        yield Component(
            "schedule",
            name,
            f"phys_samplers.schedules.{target}",
            summary=summary,
            reference=reference,
            citation=citation,
        )
    yield from INTEGRATORS
    yield from METRICS
