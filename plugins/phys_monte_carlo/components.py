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

DEL_MORAL = """@article{delmoral2006sequential,
  title = {Sequential {Monte} {Carlo} samplers},
  author = {Del Moral, Pierre and Doucet, Arnaud and Jasra, Ajay},
  journal = {Journal of the Royal Statistical Society: Series B}, volume = {68}, number = {3}, pages = {411--436},
  year = {2006}
}"""

NEAL_AIS = """@article{neal2001annealed,
  title = {Annealed importance sampling},
  author = {Neal, Radford M.},
  journal = {Statistics and Computing}, volume = {11}, number = {2}, pages = {125--139}, year = {2001}
}"""

ZHOU = """@article{zhou2016toward,
  title = {Toward Automatic Model Comparison: An Adaptive Sequential {Monte} {Carlo} Approach},
  author = {Zhou, Yan and Johansen, Adam M. and Aston, John A. D.},
  journal = {Journal of Computational and Graphical Statistics}, volume = {25}, number = {3}, pages = {701--726},
  year = {2016}
}"""

LEE_WHITELEY = """@article{lee2018variance,
  title = {Variance estimation in the particle filter},
  author = {Lee, Anthony and Whiteley, Nick},
  journal = {Biometrika}, volume = {105}, number = {3}, pages = {609--625}, year = {2018}
}"""

GEFFNER_DOMKE = """@inproceedings{geffner2021mcmc,
  title = {{MCMC} Variational Inference via Uncorrected {Hamiltonian} Annealing},
  author = {Geffner, Tomas and Domke, Justin},
  booktitle = {NeurIPS}, year = {2021}, eprint = {2107.04150}, archiveprefix = {arXiv}
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
    yield Component(
        "sampler",
        "smc",
        "phys_monte_carlo.smc:SMC",
        summary="sequential Monte Carlo from a fitted Gaussian, temperatures adapted; log Z with its standard error",
        reference="Del Moral, Doucet & Jasra 2006; Zhou et al. 2016; Lee & Whiteley 2018",
        needs=DENSITY,
        citation="\n\n".join((DEL_MORAL, ZHOU, LEE_WHITELEY)),
    )
    yield Component(
        "sampler",
        "ais",
        "phys_monte_carlo.ais:AIS",
        summary="annealed importance sampling from a fitted Gaussian: independent weighted samples, unbiased Z",
        reference="Neal 2001; Geffner & Domke 2021 for moves without a test",
        needs=DENSITY,
        citation="\n\n".join((NEAL_AIS, ZHOU, GEFFNER_DOMKE)),
    )
