"""What the library itself registers: fields, losses, schedules, integrators, metrics, exact sampler, memoriser.

Nothing here imports torch, so that listing stays instant.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from phys_registry import Component, hookimpl
from phys_samplers.metrics.declared import METRICS, SET_METRICS

_ALL = ("additive", "diagonal", "isotropic", "none")


def _integrator(
    name: str,
    target: str,
    summary: str,
    *,
    reference: str,
    citation: str = "",
    equation: str = "both",
    order: float | None = None,
    strong: tuple[float | None, float | None] = (None, None),
    weak: float | None = None,
    evaluations: int | None,
    accepts: tuple[str, ...],
) -> Component:
    traits: dict[str, Any] = {
        "equation": equation,
        "order": order,
        "strong_order": strong[0],
        "strong_order_additive": strong[1],
        "weak_order": weak,
        "evaluations_per_step": evaluations,
        "accepts": accepts,
    }
    return Component(
        "integrator",
        name,
        f"phys_samplers.integrators.{target}",
        summary=summary,
        reference=reference,
        citation=citation,
        traits=traits,
    )


INTEGRATORS: tuple[Component, ...] = (
    _integrator(
        "euler-maruyama",
        "euler_maruyama:EulerMaruyama",
        "Euler-Maruyama: the simplest scheme, for every kind of noise.",
        reference="Maruyama 1955",
        citation="maruyama1955",
        order=1.0,
        strong=(0.5, 1.0),
        weak=1.0,
        evaluations=1,
        accepts=_ALL,
    ),
    _integrator(
        "milstein",
        "euler_maruyama:Milstein",
        "Milstein's scheme without derivatives, for diagonal noise.",
        reference="Milstein 1975; Kloeden & Platen 1992, Section 11.1",
        citation="milstein1975 kloeden1992",
        order=1.0,
        strong=(1.0, 1.0),
        weak=1.0,
        evaluations=2,
        accepts=("additive", "diagonal", "none"),
    ),
    _integrator(
        "stochastic-heun",
        "stochastic_runge_kutta:StochasticHeun",
        "Ito-consistent stochastic Heun, for every kind of noise.",
        reference="Roberts 2012, arXiv:1210.0933",
        citation="roberts2012",
        order=2.0,
        strong=(1.0, 1.0),
        weak=1.0,
        evaluations=2,
        accepts=_ALL,
    ),
    _integrator(
        "sra1",
        "stochastic_runge_kutta:SRA1",
        "Stochastic Runge-Kutta of strong order 1.5 for additive noise.",
        reference="Roessler 2010, scheme SRA1",
        citation="roessler2010",
        order=2.0,
        strong=(1.5, 1.5),
        weak=2.0,
        evaluations=2,
        accepts=("additive", "none"),
    ),
    _integrator(
        "exponential-ou",
        "exponential_ou:ExponentialOU",
        "Exponential integrator: solves the Ornstein-Uhlenbeck part of the drift exactly.",
        reference="Gillespie 1996 (exact update)",
        citation="gillespie1996",
        order=1.0,
        strong=(0.5, 1.0),
        weak=1.0,
        evaluations=1,
        accepts=_ALL,
    ),
    _integrator(
        "euler",
        "runge_kutta:Euler",
        "Euler's method for ODEs.",
        reference="Euler 1768",
        equation="ode",
        order=1.0,
        evaluations=1,
        accepts=("none",),
    ),
    _integrator(
        "heun",
        "runge_kutta:Heun",
        "Heun's method (explicit trapezoidal rule) for ODEs.",
        reference="Heun 1900",
        citation="heun1900",
        equation="ode",
        order=2.0,
        evaluations=2,
        accepts=("none",),
    ),
    _integrator(
        "rk4",
        "runge_kutta:RK4",
        "The classic fourth-order Runge-Kutta method for ODEs.",
        reference="Kutta 1901",
        citation="kutta1901",
        equation="ode",
        order=4.0,
        evaluations=4,
        accepts=("none",),
    ),
    _integrator(
        "dopri5",
        "runge_kutta:Dopri5",
        "Adaptive Dormand-Prince 5(4) for ODEs, by torchdiffeq.",
        reference="Dormand & Prince 1980",
        citation="dormand1980",
        equation="ode",
        order=5.0,
        evaluations=None,
        accepts=("none",),
    ),
    _integrator(
        "ddim",
        "ddim:DDIM",
        "DDIM: deterministic at eta=0 (exponential Euler), the ancestral step of DDPM at eta=1.",
        reference="arXiv:2010.02502, Eq. 12; arXiv:2006.11239, Eq. 6-7",
        citation="song2021ddim",
        equation="denoising",
        order=1.0,
        evaluations=1,
        accepts=("none",),
    ),
    _integrator(
        "corrected-heun",
        "edm_heun:CorrectedHeun",
        "EDM's Heun steps with Bellman or Langevin steps at constant noise between them.",
        reference="arXiv:2206.00364, Algorithm 2; arXiv:2410.01796, Eq. 13",
        citation="karras2022edm",
        equation="denoising",
        order=None,
        evaluations=None,
        accepts=("none",),
    ),
    _integrator(
        "edm-heun",
        "edm_heun:EDMHeun",
        "EDM's sampler: Heun's method in the noise level, with or without noise added back.",
        reference="arXiv:2206.00364, Algorithms 1 and 2",
        citation="karras2022edm",
        equation="denoising",
        order=2.0,
        evaluations=2,
        accepts=("none",),
    ),
    _integrator(
        "dpmpp-2m",
        "dpmpp_2m:DPMpp2M",
        "DPM-Solver++(2M): second order at one evaluation a step, by remembering the last one.",
        reference="arXiv:2211.01095, Algorithm 2",
        citation="lu2022dpmpp",
        equation="denoising",
        order=2.0,
        evaluations=1,
        accepts=("none",),
    ),
    _integrator(
        "restart",
        "restart:Restart",
        "Restart: Heun steps that go back up by noise and down again near the end.",
        reference="arXiv:2306.14878",
        citation="xu2023restart",
        equation="denoising",
        evaluations=None,
        accepts=("none",),
    ),
    _integrator(
        "predictor-corrector",
        "ddim:PredictorCorrector",
        "Ancestral steps, each followed by Langevin steps at the level it reached.",
        reference="arXiv:2011.13456, Algorithms 2 and 4",
        citation="song2021scoresde",
        equation="denoising",
        evaluations=None,
        accepts=("none",),
    ),
)
"""Every built-in integrator; the traits repeat the class attributes, which a test compares."""


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
    for name, target, summary in (
        ("json-lines", "JsonLines", "a file with one JSON object a line"),
        ("tensorboard", "TensorBoard", "event files for TensorBoard (extra log)"),
        ("wandb", "WeightsAndBiases", "a run of Weights & Biases (extra log)"),
    ):
        yield Component("logger", name, f"phys_samplers.training.logs:{target}", summary=summary)
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
        "phys_samplers.exact:TrainingRows",
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
    yield Component(
        "potential",
        "repulsion",
        "phys_samplers.denoisers.guidance:Repulsion",
        summary="minus a kernel of features, summed over the pairs of a set",
        reference="arXiv:2310.13102, Eq. 4",
        citation="corso2023particle",
    )
    yield Component(
        "potential",
        "learned",
        "phys_samplers.denoisers.learned:LearnedPotential",
        summary="a network that learn_potential trained, whose guidance draws sets from a wanted law",
        reference="arXiv:2310.13102, Sec. 5",
        citation="corso2023particle",
    )
    yield Component(
        "sampler",
        "exact-denoiser",
        "phys_samplers.denoisers.given:GivenDenoiser",
        summary="comes down from noise with the exact denoiser of a law that knows how to blur itself",
        reference="arXiv:2206.00364, Eq. 3",
        citation="karras2022edm",
    )
    yield from INTEGRATORS
    yield from METRICS
    yield from SET_METRICS
