"""Laws of the benchmark: log-densities, scores in closed form, and exact samplers where there are any."""

from phys_samplers.laws.boxes import UniformBoxes, checkerboard, uniform_spans
from phys_samplers.laws.brownian import BrownianMotion
from phys_samplers.laws.cox import LogGaussianCoxProcess
from phys_samplers.laws.funnel import Funnel
from phys_samplers.laws.logistic import LogisticRegression
from phys_samplers.laws.mixture import GaussianMixture
from phys_samplers.laws.moons import TwoMoons
from phys_samplers.laws.normal import StandardNormal

__all__ = [
    "BrownianMotion",
    "Funnel",
    "GaussianMixture",
    "LogGaussianCoxProcess",
    "LogisticRegression",
    "StandardNormal",
    "TwoMoons",
    "UniformBoxes",
    "checkerboard",
    "uniform_spans",
]
