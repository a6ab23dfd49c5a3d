"""What the electrostatic family registers."""

from __future__ import annotations

from collections.abc import Iterable

from phys_registry import Component, hookimpl

PFGMPP = """@inproceedings{xu2023pfgmpp,
  title = {{PFGM++}: Unlocking the Potential of Physics-Inspired Generative Models},
  author = {Xu, Yilun and Liu, Ziming and Tian, Yonglong and Tong, Shangyuan and Tegmark, Max and Jaakkola, Tommi},
  booktitle = {ICML}, year = {2023}, eprint = {2302.04265}, archiveprefix = {arXiv}
}"""


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
        citation=PFGMPP,
    )
    yield Component(
        "loss",
        "poisson-denoising",
        "phys_electrostatic.denoising:PoissonDenoisingLoss",
        summary="denoising with the heavy-tailed noise of D augmented dimensions",
        reference="arXiv:2302.04265, Eq. 4",
        citation=PFGMPP,
    )
