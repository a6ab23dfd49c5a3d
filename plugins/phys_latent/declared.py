"""What the latent-space samplers register."""

from __future__ import annotations

from collections.abc import Iterable

from phys_registry import Component, hookimpl


@hookimpl
def phys_components() -> Iterable[Component]:
    """The autoencoder by itself, with a sampler in the place of its prior; and coordinates for heavy tails."""
    yield Component(
        "sampler",
        "vae",
        "phys_latent.vae:VAE",
        summary="variational autoencoder: decodes draws of a normal prior",
        reference="arXiv:1312.6114; arXiv:2006.13202, Sec. 3",
        needs={"samples"},
        citation="kingma2014vae rybkin2021calibrated",
    )
    yield Component(
        "sampler",
        "latent",
        "phys_latent.latent:LatentSampler",
        summary="any data-driven sampler, fitted to the codes of a variational autoencoder and decoded",
        reference="arXiv:2410.01796, App. F.1; arXiv:2112.10752",
        needs={"samples"},
        citation="li2024bellman rombach2022latent kingma2014vae rybkin2021calibrated",
    )
    yield Component(
        "sampler",
        "asinh",
        "phys_latent.asinh:AsinhSampler",
        summary="any data-driven sampler, fitted to rows whose heavy tails an inverse hyperbolic sine makes light",
        reference="of this library; see docs/bellman.md",
        needs={"samples"},
    )
