"""Bellman Diffusion as a model of returns: linear fields on a basis."""

from phys_bellman.returns.basis import FieldProduct, GaussianBasis, TabulatedBackups, backed_up, gram
from phys_bellman.returns.linear import BellmanReturns, LinearFieldNetwork

__all__ = [
    "BellmanReturns",
    "FieldProduct",
    "GaussianBasis",
    "LinearFieldNetwork",
    "TabulatedBackups",
    "backed_up",
    "gram",
]
