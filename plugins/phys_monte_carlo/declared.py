"""What this family registers. Nothing here imports torch, so that listing stays instant."""

from __future__ import annotations

from collections.abc import Iterable

from phys_registry import Component, hookimpl

DENSITY = frozenset({"log_prob", "score"})


@hookimpl
def phys_components() -> Iterable[Component]:
    """The samplers."""
    yield Component(
        "sampler",
        "hmc",
        "phys_monte_carlo.hmc:HMC",
        summary="Hamiltonian Monte Carlo: unbiased, step size and diagonal masses adapted over all chains",
        reference="Duane et al. 1987; Neal 2011; Hoffman & Gelman 2014, Section 3.2",
        needs=DENSITY,
        citation="duane1987hybrid neal2011mcmc hoffman2014nuts",
    )
    yield Component(
        "sampler",
        "nuts",
        "phys_monte_carlo.nuts:NUTS",
        summary="the No-U-Turn Sampler: unbiased; length, step size and masses of trajectories find themselves",
        reference="Hoffman & Gelman 2014; Betancourt 2017, Appendix A; Phan et al. 2019, arXiv:1912.11554",
        needs=DENSITY,
        citation="hoffman2014nuts betancourt2017conceptual phan2019composable",
    )
    yield Component(
        "sampler",
        "parallel-tempering",
        "phys_monte_carlo.tempering:ParallelTempering",
        summary="chains on a ladder from a Gaussian to the target that exchange states; crosses modes, gives log Z",
        reference="Syed et al. 2022, arXiv:1905.02939, Algorithms 1 and 4",
        needs=DENSITY,
        citation="syed2022nonreversible meng1996simulating neal2011mcmc",
    )
    yield Component(
        "sampler",
        "metadynamics",
        "phys_monte_carlo.biased:Metadynamics",
        summary="well-tempered metadynamics: a filled-up collective variable lets chains cross; exact weights",
        reference="Barducci, Bussi & Parrinello 2008, Eq. 2 and 4; Laio & Parrinello 2002",
        needs=DENSITY,
        citation="barducci2008welltempered laio2002escaping",
    )
    yield Component(
        "sampler",
        "coupled-replicas",
        "phys_monte_carlo.biased:CoupledReplicas",
        summary="sets of chains that repel each other, and weights that undo it",
        reference="Hummer & Köfinger 2015; thesis of Xu 2024, Sec. 6.3.1",
        needs=DENSITY,
        citation="hummer2015bayesian",
    )
    yield Component(
        "sampler",
        "svgd",
        "phys_monte_carlo.svgd:SVGD",
        summary="Stein variational gradient descent: repelling particles on a deterministic flow; spreads too small",
        reference="Liu & Wang 2016, Algorithm 1; Ba et al. 2022 on the spreads",
        needs={"score"},
        citation="liu2016stein ba2022understanding",
    )
    yield Component(
        "sampler",
        "smc",
        "phys_monte_carlo.smc:SMC",
        summary="sequential Monte Carlo from a fitted Gaussian, temperatures adapted; log Z with its standard error",
        reference="Del Moral, Doucet & Jasra 2006; Zhou et al. 2016; Lee & Whiteley 2018",
        needs=DENSITY,
        citation="delmoral2006sequential zhou2016toward lee2018variance",
    )
    yield Component(
        "sampler",
        "ais",
        "phys_monte_carlo.ais:AIS",
        summary="annealed importance sampling from a fitted Gaussian: independent weighted samples, unbiased Z",
        reference="Neal 2001; Geffner & Domke 2021 for moves without a test",
        needs=DENSITY,
        citation="neal2001annealed zhou2016toward geffner2021mcmc",
    )
