"""Diffusion models: DDPM and EDM, two settings of one denoiser, a noise schedule and a way backwards.

Names are imported when they are first used, so that listing the components costs no import of torch.
"""

from phys_samplers.lazy import exports

__getattr__, __dir__, __all__ = exports(__name__, {"recipes": ["DDPM", "EDM"]})
