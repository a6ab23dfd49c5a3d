"""Bellman Diffusion as a model of returns: linear fields on a basis."""

from phys_bellman.returns.basis import FieldProduct, GaussianBasis, TabulatedBackups, backed_up, gram
from phys_bellman.returns.linear import BellmanReturns, LinearFieldNetwork, PositiveFieldNetwork
from phys_bellman.returns.paper import BellmanMLP, FieldPerceptrons
from phys_bellman.returns.projected import ProjectedOperator, ProjectedReturns, stretch

__all__ = [
    "BellmanMLP",
    "BellmanReturns",
    "FieldPerceptrons",
    "FieldProduct",
    "GaussianBasis",
    "LinearFieldNetwork",
    "PositiveFieldNetwork",
    "ProjectedOperator",
    "ProjectedReturns",
    "TabulatedBackups",
    "backed_up",
    "gram",
    "stretch",
]
