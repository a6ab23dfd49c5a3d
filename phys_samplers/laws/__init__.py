"""Laws of the benchmark: log-densities, scores in closed form, and exact samplers where there are any."""

from phys_samplers.laws.boxes import UniformBoxes, checkerboard, uniform_spans
from phys_samplers.laws.brownian import BrownianMotion
from phys_samplers.laws.cox import LogGaussianCoxProcess
from phys_samplers.laws.double_well import DoubleWell
from phys_samplers.laws.funnel import Funnel
from phys_samplers.laws.horseshoe import Horseshoe
from phys_samplers.laws.lennard_jones import LennardJones
from phys_samplers.laws.logistic import LogisticRegression
from phys_samplers.laws.many_well import ManyWell
from phys_samplers.laws.mixture import GaussianMixture, TwoMoons
from phys_samplers.laws.normal import StandardNormal
from phys_samplers.laws.pair_potential import PairPotential
from phys_samplers.laws.robust import RobustRegression
from phys_samplers.laws.student import StudentT
from phys_samplers.laws.zero_mean import zero_mean_basis

__all__ = [
    "BrownianMotion",
    "DoubleWell",
    "Funnel",
    "GaussianMixture",
    "Horseshoe",
    "LennardJones",
    "LogGaussianCoxProcess",
    "LogisticRegression",
    "ManyWell",
    "PairPotential",
    "RobustRegression",
    "StandardNormal",
    "StudentT",
    "TwoMoons",
    "UniformBoxes",
    "checkerboard",
    "uniform_spans",
    "zero_mean_basis",
]
