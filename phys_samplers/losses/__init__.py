"""Losses that several families share."""

from phys_samplers.losses.base import Loss
from phys_samplers.losses.denoising import DenoisingLoss

__all__ = ["DenoisingLoss", "Loss"]
