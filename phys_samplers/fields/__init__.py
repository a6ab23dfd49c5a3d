"""Field models: stacked networks for scalar, gradient and denoising fields."""

from phys_samplers.fields.denoiser import Denoiser, denoise_at
from phys_samplers.fields.mlp import MLP, Field, FourierMLP, ResidualMLP, make_field
from phys_samplers.fields.stacked import StackedConv2d, StackedLinear, activation, parameters_per_replica, replica
from phys_samplers.fields.unet import UNet

__all__ = [
    "MLP",
    "Denoiser",
    "Field",
    "FourierMLP",
    "ResidualMLP",
    "StackedConv2d",
    "StackedLinear",
    "UNet",
    "activation",
    "denoise_at",
    "make_field",
    "parameters_per_replica",
    "replica",
]
