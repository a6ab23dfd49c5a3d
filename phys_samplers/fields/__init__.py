"""Field models: stacked networks for scalar, gradient and denoising fields."""

from phys_samplers.fields.denoiser import Denoiser
from phys_samplers.fields.mlp import MLP, Field, FourierMLP, ResidualMLP
from phys_samplers.fields.stacked import StackedLinear, activation, parameters_per_replica, replica

__all__ = [
    "MLP",
    "Denoiser",
    "Field",
    "FourierMLP",
    "ResidualMLP",
    "StackedLinear",
    "activation",
    "parameters_per_replica",
    "replica",
]
