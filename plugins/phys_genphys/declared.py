"""What the GenPhys family registers: the sampler, its loss, and the equations."""

from __future__ import annotations

from collections.abc import Iterable

from phys_registry import Component, hookimpl

PAPER = "arXiv:2304.02637"


@hookimpl
def phys_components() -> Iterable[Component]:
    """The kind ``pde``, its equations, the sampler and its loss."""
    yield Component("kind", "pde", "phys_genphys.pde:PDE", summary="an equation whose point source is a density flow")
    yield Component(
        "command",
        "genphys",
        "phys_genphys.command:command",
        summary="Which equations can be generative models, by their dispersion relations.",
        reference=f"{PAPER}, Sec. 3",
        citation="liu2023genphys",
    )
    yield Component(
        "sampler",
        "genphys",
        "phys_genphys.genphys:GenPhys",
        summary="the density flow of a PDE run backwards, births and deaths by weights (GenPhys)",
        reference=f"{PAPER}, Alg. 1",
        needs={"samples"},
        citation="liu2023genphys",
        presets={"default": {}, "screened-poisson": {"pde": "screened-poisson"}},
    )
    yield Component(
        "loss",
        "field-regression",
        "phys_genphys.genphys:FieldRegression",
        summary="regression on the flow, and the births, of single sources of a PDE",
        reference=f"{PAPER}, Alg. 1",
        citation="liu2023genphys",
    )
    for name, target, summary in (
        ("diffusion", "pde:Diffusion", "heat: Gaussian kernels"),
        ("poisson", "pde:Poisson", "electrostatics: straight lines, Cauchy kernels"),
        ("fractional-diffusion", "pde:FractionalDiffusion", "stable kernels of exponent 2 beta, at most 2"),
        ("screened-poisson", "screened:ScreenedPoisson", "Yukawa: Poisson's lines with deaths"),
        ("helmholtz", "screened:Helmholtz", "Poisson's lines with births, inside a ball"),
        ("mixed-diffusion-poisson", "screened:MixedDiffusionPoisson", "Poisson's law early, diffusion's late"),
        ("dissipative-wave", "wave:DissipativeWave", "damped waves behind their front, in one or two dimensions"),
    ):
        yield Component(
            "pde",
            name,
            f"phys_genphys.{target}",
            summary=summary,
            reference=f"{PAPER}, Table 1 and 2",
            citation="liu2023genphys",
        )
