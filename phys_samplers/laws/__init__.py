"""Exact laws: normalised log-densities, scores in closed form and exact samplers of the benchmark's targets."""

from phys_samplers.laws.boxes import UniformBoxes, checkerboard, uniform_spans
from phys_samplers.laws.funnel import Funnel
from phys_samplers.laws.mixture import GaussianMixture
from phys_samplers.laws.moons import TwoMoons
from phys_samplers.laws.normal import StandardNormal

__all__ = [
    "Funnel",
    "GaussianMixture",
    "StandardNormal",
    "TwoMoons",
    "UniformBoxes",
    "checkerboard",
    "uniform_spans",
]
