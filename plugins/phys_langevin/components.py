"""What the Langevin family registers. Nothing here imports torch, so that listing stays instant."""

from __future__ import annotations

from collections.abc import Iterable

from phys_registry import Component, hookimpl
from phys_samplers.components import EDM

ROBERTS_TWEEDIE = """@article{roberts1996langevin,
  title = {Exponential convergence of {Langevin} distributions and their discrete approximations},
  author = {Roberts, Gareth O. and Tweedie, Richard L.},
  journal = {Bernoulli}, volume = {2}, number = {4}, pages = {341--363}, year = {1996}
}"""

ROBERTS_ROSENTHAL = """@article{roberts1998optimal,
  title = {Optimal scaling of discrete approximations to {Langevin} diffusions},
  author = {Roberts, Gareth O. and Rosenthal, Jeffrey S.},
  journal = {Journal of the Royal Statistical Society: Series B},
  volume = {60}, number = {1}, pages = {255--268}, year = {1998}
}"""

HOFFMAN_GELMAN = """@article{hoffman2014nuts,
  title = {The {No-U-Turn} Sampler: Adaptively Setting Path Lengths in {Hamiltonian} {Monte} {Carlo}},
  author = {Hoffman, Matthew D. and Gelman, Andrew},
  journal = {Journal of Machine Learning Research}, volume = {15}, pages = {1593--1623}, year = {2014}
}"""

LEIMKUHLER_MATTHEWS = """@article{leimkuhler2013rational,
  title = {Rational Construction of Stochastic Numerical Methods for Molecular Sampling},
  author = {Leimkuhler, Benedict and Matthews, Charles},
  journal = {Applied Mathematics Research eXpress}, volume = {2013}, number = {1}, pages = {34--56}, year = {2013}
}"""

SONG_ERMON = """@inproceedings{song2019generative,
  title = {Generative Modeling by Estimating Gradients of the Data Distribution},
  author = {Song, Yang and Ermon, Stefano},
  booktitle = {NeurIPS}, year = {2019}, eprint = {1907.05600}, archiveprefix = {arXiv}
}"""

VINCENT = """@article{vincent2011connection,
  title = {A Connection Between Score Matching and Denoising Autoencoders},
  author = {Vincent, Pascal},
  journal = {Neural Computation}, volume = {23}, number = {7}, pages = {1661--1674}, year = {2011}
}"""

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
        citation=ROBERTS_TWEEDIE,
    )
    yield Component(
        "sampler",
        "mala",
        "phys_langevin.metropolis:MALA",
        summary="Metropolis-adjusted Langevin: unbiased, step size adapted to an acceptance of 0.574",
        reference="Roberts & Tweedie 1996, Section 1.4.2; Hoffman & Gelman 2014, Section 3.2",
        needs=DENSITY,
        citation="\n\n".join((ROBERTS_TWEEDIE, ROBERTS_ROSENTHAL, HOFFMAN_GELMAN)),
    )
    yield Component(
        "sampler",
        "baoab",
        "phys_langevin.underdamped:BAOAB",
        summary="underdamped Langevin dynamics by the BAOAB splitting, one gradient a step",
        reference="Leimkuhler & Matthews 2013",
        needs=DENSITY,
        citation=LEIMKUHLER_MATTHEWS,
    )
    yield Component(
        "sampler",
        "annealed-langevin",
        "phys_langevin.annealed:AnnealedLangevin",
        summary="Langevin dynamics over falling noise levels, with a score learned by denoising (NCSN)",
        reference="arXiv:1907.05600, Algorithm 1",
        needs={"samples"},
        citation="\n\n".join((SONG_ERMON, VINCENT, EDM)),
    )
    yield Component(
        "return_model",
        "langevin",
        "phys_langevin.returns:LangevinReturns",
        summary="conditional score of returns by annealed Langevin dynamics, bootstrapped through samples",
        reference="arXiv:1907.05600, Algorithm 1",
        needs={"experience"},
        citation="\n\n".join((SONG_ERMON, VINCENT)),
        presets={"default": {}},
    )
