"""Variational autoencoders, and samplers that run in their latent space.

Names are imported when they are first used, so that listing the components costs no import of torch.
"""

from phys_samplers.lazy import exports

__getattr__, __dir__, __all__ = exports(
    __name__, {"latent": ["LatentModel", "LatentSampler"], "vae": ["VAE", "VAEModel"]}
)
