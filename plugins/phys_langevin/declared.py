"""What the Langevin family registers. Nothing here imports torch, so that listing stays instant."""

from __future__ import annotations

from collections.abc import Iterable

from phys_registry import Component, hookimpl

DENSITY = frozenset({"log_prob", "score"})


@hookimpl
def phys_components() -> Iterable[Component]:
    """The samplers, and a model of returns."""
    yield Component(
        "sampler",
        "langevin",
        "phys_langevin.langevin:LangevinDynamics",
        summary="overdamped Langevin dynamics in the target's density (ULA), or with the score of a fitted model",
        reference="Roberts & Tweedie 1996, Section 1.4.1",
        needs=DENSITY,
        citation="roberts1996langevin",
    )
    yield Component(
        "sampler",
        "mala",
        "phys_langevin.mala:MALA",
        summary="Metropolis-adjusted Langevin: unbiased, step size adapted to an acceptance of 0.574",
        reference="Roberts & Tweedie 1996, Section 1.4.2; Hoffman & Gelman 2014, Section 3.2",
        needs=DENSITY,
        citation="roberts1996langevin roberts1998optimal hoffman2014nuts",
    )
    yield Component(
        "sampler",
        "baoab",
        "phys_langevin.baoab:BAOAB",
        summary="underdamped Langevin dynamics by the BAOAB splitting, one gradient a step",
        reference="Leimkuhler & Matthews 2013",
        needs=DENSITY,
        citation="leimkuhler2013rational",
    )
    yield Component(
        "sampler",
        "annealed-langevin",
        "phys_langevin.annealed:AnnealedLangevin",
        summary="Langevin dynamics over falling noise levels, with a score learned by denoising (NCSN)",
        reference="arXiv:1907.05600, Algorithm 1",
        needs={"samples"},
        citation="song2019generative vincent2011connection karras2022edm",
    )
    yield Component(
        "return_model",
        "langevin",
        "phys_langevin.returns:LangevinReturns",
        summary="conditional score of returns by annealed Langevin dynamics, bootstrapped through samples",
        reference="arXiv:1907.05600, Algorithm 1",
        needs={"experience"},
        citation="song2019generative vincent2011connection",
        presets={"default": {}},
    )
