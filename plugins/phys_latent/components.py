"""What the latent-space samplers register."""

from __future__ import annotations

from collections.abc import Iterable

from phys_registry import Component, hookimpl
from phys_samplers.components import BELLMAN

KINGMA = """@inproceedings{kingma2014vae,
  title = {Auto-Encoding Variational {B}ayes}, author = {Kingma, Diederik P. and Welling, Max},
  booktitle = {ICLR}, year = {2014}, eprint = {1312.6114}, archiveprefix = {arXiv}
}"""

CALIBRATED = """@inproceedings{rybkin2021calibrated,
  title = {Simple and Effective {VAE} Training with Calibrated Decoders},
  author = {Rybkin, Oleh and Daniilidis, Kostas and Levine, Sergey},
  booktitle = {ICML}, year = {2021}, eprint = {2006.13202}, archiveprefix = {arXiv}
}"""

ROMBACH = """@inproceedings{rombach2022latent,
  title = {High-Resolution Image Synthesis with Latent Diffusion Models},
  author = {Rombach, Robin and Blattmann, Andreas and Lorenz, Dominik and Esser, Patrick and Ommer, Bj{\\"o}rn},
  booktitle = {CVPR}, year = {2022}, eprint = {2112.10752}, archiveprefix = {arXiv}
}"""


@hookimpl
def phys_components() -> Iterable[Component]:
    """The autoencoder by itself, and with a sampler in the place of its prior."""
    yield Component(
        "sampler",
        "vae",
        "phys_latent.vae:VAE",
        summary="variational autoencoder: decodes draws of a normal prior",
        reference="arXiv:1312.6114; arXiv:2006.13202, Sec. 3",
        needs={"samples"},
        citation=f"{KINGMA}\n\n{CALIBRATED}",
    )
    yield Component(
        "sampler",
        "latent",
        "phys_latent.latent:LatentSampler",
        summary="any data-driven sampler, fitted to the codes of a variational autoencoder and decoded",
        reference="arXiv:2410.01796, App. F.1; arXiv:2112.10752",
        needs={"samples"},
        citation=f"{BELLMAN}\n\n{ROMBACH}\n\n{KINGMA}\n\n{CALIBRATED}",
    )
