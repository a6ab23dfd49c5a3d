"""Field models: stacked networks for scalar, gradient and denoising fields."""

from phys_samplers.fields.stacked import (
    MLP,
    Field,
    FourierMLP,
    ResidualMLP,
    StackedConv2d,
    StackedLinear,
    activation,
    make_field,
    parameters_per_replica,
    replica,
)
from phys_samplers.fields.unet import UNet

__all__ = [
    "MLP",
    "Field",
    "FourierMLP",
    "ResidualMLP",
    "StackedConv2d",
    "StackedLinear",
    "UNet",
    "activation",
    "make_field",
    "parameters_per_replica",
    "replica",
]
