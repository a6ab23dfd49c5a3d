"""What this family registers. Nothing here imports torch, so that listing stays instant."""

from __future__ import annotations

from collections.abc import Iterable

from phys_registry import Component, hookimpl
from phys_samplers.components import VALUE_GRADIENT

HINTON = """@article{hinton2002training,
  title = {Training Products of Experts by Minimizing Contrastive Divergence},
  author = {Hinton, Geoffrey E.},
  journal = {Neural Computation}, volume = {14}, number = {8}, pages = {1771--1800}, year = {2002}
}"""

TIELEMAN = """@inproceedings{tieleman2008training,
  title = {Training Restricted {Boltzmann} Machines Using Approximations to the Likelihood Gradient},
  author = {Tieleman, Tijmen},
  booktitle = {International Conference on Machine Learning}, pages = {1064--1071}, year = {2008}
}"""

SHORT_RUN = """@inproceedings{nijkamp2019learning,
  title = {Learning Non-Convergent Non-Persistent Short-Run {MCMC} Toward Energy-Based Model},
  author = {Nijkamp, Erik and Hill, Mitch and Zhu, Song-Chun and Wu, Ying Nian},
  booktitle = {Advances in Neural Information Processing Systems}, volume = {32}, year = {2019},
  eprint = {1904.09770}, archiveprefix = {arXiv}
}"""

ANATOMY = """@inproceedings{nijkamp2020anatomy,
  title = {On the Anatomy of {MCMC}-Based Maximum Likelihood Learning of Energy-Based Models},
  author = {Nijkamp, Erik and Hill, Mitch and Han, Tian and Zhu, Song-Chun and Wu, Ying Nian},
  booktitle = {AAAI Conference on Artificial Intelligence}, year = {2020},
  eprint = {1903.12370}, archiveprefix = {arXiv}
}"""

DU_MORDATCH = """@inproceedings{du2019implicit,
  title = {Implicit Generation and Modeling with Energy Based Models},
  author = {Du, Yilun and Mordatch, Igor},
  booktitle = {Advances in Neural Information Processing Systems}, volume = {32}, pages = {3608--3618}, year = {2019},
  eprint = {1903.08689}, archiveprefix = {arXiv}
}"""

SHORT = "langevin[sampling_steps=10,step_size=0.002,prior_std=1.0]"
"""Chains of ten steps from noise: as many as the walks of the value gradient sampler beside it have."""
WALKS = (
    "vgs[sampling_steps=10,total_variance=2.0,end_variance=0.005,policy=mean,width=64,depth=2,draws=2,batch_size=64,"
    "updates_per_walk=1]"
)
"""In standardised coordinates, down to modes of a standard deviation of 0.07."""

ALIKE = {"depth": 2, "batch_size": 128, "well": 1.0, "noise_share": 0.1, "learning_rate": 1.5e-3, "settle": 50}
"""What the two have in common: an energy that moves slowly enough for values to follow it."""


@hookimpl
def phys_components() -> Iterable[Component]:
    """The sampler."""
    yield Component(
        "sampler",
        "ebm",
        "phys_energy.recipe:EnergyBasedModel",
        summary="an energy learned by contrastive divergence, negatives from Langevin chains or a learned sampler",
        reference="arXiv:2502.13280, Sec. 5 and Algorithm 3; Hinton 2002",
        needs={"samples"},
        presets={
            "default": {},
            "short-run": {**ALIKE, "negatives": SHORT},
            "vgs": {**ALIKE, "negatives": WALKS},
        },
        citation="\n\n".join((HINTON, TIELEMAN, SHORT_RUN, ANATOMY, DU_MORDATCH, VALUE_GRADIENT)),
    )
