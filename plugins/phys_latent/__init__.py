"""Samplers in other coordinates than the data's: codes of a variational autoencoder, or such as make tails light.

Names are imported when they are first used, so that listing the components costs no import of torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from phys_registry.lazy import lazy

if TYPE_CHECKING:
    from phys_latent.asinh import AsinhModel as AsinhModel
    from phys_latent.asinh import AsinhSampler as AsinhSampler
    from phys_latent.latent import LatentModel as LatentModel
    from phys_latent.latent import LatentSampler as LatentSampler
    from phys_latent.vae import VAE as VAE
    from phys_latent.vae import VAEModel as VAEModel

__getattr__, __dir__ = lazy(__name__)
