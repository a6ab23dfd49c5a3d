"""What this family registers. Nothing here imports torch, so that listing stays instant."""

from __future__ import annotations

from collections.abc import Iterable

from phys_registry import Component, hookimpl

DUANE = """@article{duane1987hybrid,
  title = {Hybrid {Monte} {Carlo}},
  author = {Duane, Simon and Kennedy, A. D. and Pendleton, Brian J. and Roweth, Duncan},
  journal = {Physics Letters B}, volume = {195}, number = {2}, pages = {216--222}, year = {1987}
}"""

NEAL = """@incollection{neal2011mcmc,
  title = {{MCMC} Using {Hamiltonian} Dynamics},
  author = {Neal, Radford M.},
  booktitle = {Handbook of Markov Chain Monte Carlo}, editor = {Brooks, Steve and Gelman, Andrew and Jones, Galin L.
    and Meng, Xiao-Li}, publisher = {Chapman and Hall/CRC}, year = {2011}, eprint = {1206.1901},
  archiveprefix = {arXiv}
}"""

HOFFMAN_GELMAN = """@article{hoffman2014nuts,
  title = {The {No-U-Turn} Sampler: Adaptively Setting Path Lengths in {Hamiltonian} {Monte} {Carlo}},
  author = {Hoffman, Matthew D. and Gelman, Andrew},
  journal = {Journal of Machine Learning Research}, volume = {15}, pages = {1593--1623}, year = {2014}
}"""

SYED = """@article{syed2022nonreversible,
  title = {Non-Reversible Parallel Tempering: A Scalable Highly Parallel {MCMC} Scheme},
  author = {Syed, Saifuddin and Bouchard-C{\\^o}t{\\'e}, Alexandre and Deligiannidis, George and Doucet, Arnaud},
  journal = {Journal of the Royal Statistical Society: Series B}, volume = {84}, number = {2}, pages = {321--350},
  year = {2022}, eprint = {1905.02939}, archiveprefix = {arXiv}
}"""

MENG_WONG = """@article{meng1996simulating,
  title = {Simulating Ratios of Normalizing Constants via a Simple Identity: A Theoretical Exploration},
  author = {Meng, Xiao-Li and Wong, Wing Hung},
  journal = {Statistica Sinica}, volume = {6}, number = {4}, pages = {831--860}, year = {1996}
}"""

LIU_WANG = """@inproceedings{liu2016stein,
  title = {{Stein} Variational Gradient Descent: A General Purpose {Bayesian} Inference Algorithm},
  author = {Liu, Qiang and Wang, Dilin},
  booktitle = {NeurIPS}, year = {2016}, eprint = {1608.04471}, archiveprefix = {arXiv}
}"""

BA = """@inproceedings{ba2022understanding,
  title = {Understanding the Variance Collapse of {SVGD} in High Dimensions},
  author = {Ba, Jimmy and Erdogdu, Murat A. and Ghassemi, Marzyeh and Sun, Shengyang and Suzuki, Taiji and Wu, Denny
    and Zhang, Tianzong},
  booktitle = {ICLR}, year = {2022}
}"""

DENSITY = frozenset({"log_prob", "score"})


@hookimpl
def phys_components() -> Iterable[Component]:
    """The samplers."""
    yield Component(
        "sampler",
        "hmc",
        "phys_monte_carlo.hamiltonian:HMC",
        summary="Hamiltonian Monte Carlo: unbiased, step size and diagonal masses adapted over all chains",
        reference="Duane et al. 1987; Neal 2011; Hoffman & Gelman 2014, Section 3.2",
        needs=DENSITY,
        citation="\n\n".join((DUANE, NEAL, HOFFMAN_GELMAN)),
    )
    yield Component(
        "sampler",
        "parallel-tempering",
        "phys_monte_carlo.tempering:ParallelTempering",
        summary="chains on a ladder from a Gaussian to the target that exchange states; crosses modes, gives log Z",
        reference="Syed et al. 2022, arXiv:1905.02939, Algorithms 1 and 4",
        needs=DENSITY,
        citation="\n\n".join((SYED, MENG_WONG, NEAL)),
    )
    yield Component(
        "sampler",
        "svgd",
        "phys_monte_carlo.svgd:SVGD",
        summary="Stein variational gradient descent: repelling particles on a deterministic flow; spreads too small",
        reference="Liu & Wang 2016, Algorithm 1; Ba et al. 2022 on the spreads",
        needs={"score"},
        citation="\n\n".join((LIU_WANG, BA)),
    )
