"""The equations of Tables 9.1 and 9.2 of the thesis with what they print, and others: trials of the classifier."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from phys_genphys.classify import Answer, Classification, classify


@dataclass(frozen=True)
class Equation:
    """One row.

    Args:
        name: of the equation.
        relation: as the classifier reads it.
        parameters: values that stand for the constants.
        table: ``9.1``, ``9.2``, or empty.
        printed: the verdict of the table.
        note: what is to be said about the difference, if there is one.
    """

    name: str
    relation: str
    parameters: Mapping[str, float] = field(default_factory=dict)
    table: str = ""
    printed: Answer | None = None
    note: str = ""

    def classify(self) -> Classification:
        """The verdict of the classifier."""
        return classify(self.relation, **self.parameters)


TABLE_1 = (
    Equation("diffusion", "dt - lap", {}, "9.1", "yes"),
    Equation("Poisson", "dt**2 + lap", {}, "9.1", "yes"),
    Equation("ideal wave", "dt**2 - lap", {}, "9.1", "no"),
    Equation(
        "dissipative wave",
        "dt**2 + 2*eps*dt - lap",
        {"eps": 1.0},
        "9.1",
        "conditional",
        "Eq. 9.8 alone accepts it for every eps; the condition is the front, which lasts until t >> 1/eps",
    ),
    Equation(
        "Helmholtz",
        "dt**2 + lap + k0**2",
        {"k0": 1.0},
        "9.1",
        "conditional",
        "Eq. 9.8 alone rejects it: Im w = 0 for k <= k0",
    ),
    Equation("screened Poisson (Yukawa)", "dt**2 + lap - m**2", {"m": 1.0}, "9.1", "yes"),
    Equation("Schroedinger (free)", "I*dt + lap", {}, "9.1", "no"),
)
TABLE_2 = (
    Equation("mixed diffusion Poisson", "a*dt**2 - b*dt + lap", {"a": 1.0, "b": 1.0}, "9.2", "yes"),
    Equation(
        "fractional diffusion, beta <= 1",
        "dt + (-lap)**beta",
        {"beta": 0.75},
        "9.2",
        "yes",
        "the table has all beta > 0",
    ),
    Equation(
        "fractional diffusion, beta > 1",
        "dt + (-lap)**beta",
        {"beta": 1.5},
        "9.2",
        "yes",
        "contradicted: Eq. 9.8 holds, but the kernel takes negative values for every beta > 1",
    ),
    Equation("third-order diffusion", "dt**3 - lap", {}, "9.2", "yes", "on the branch w = -i k^(2/3)"),
    Equation(
        "elasticity (biharmonic)",
        "dt + lap**2",
        {},
        "9.2",
        "yes",
        "contradicted: Eq. 9.8 holds, but the kernel takes negative values",
    ),
)
OTHERS = (
    Equation("backward heat", "dt + lap"),
    Equation("Klein-Gordon", "dt**2 - lap + m**2", {"m": 1.0}),
    Equation("Airy (linear KdV)", "w = -k**3"),
    Equation("beam (Euler-Bernoulli)", "dt**2 + lap**2"),
    Equation("reaction-diffusion, growing", "dt - lap - r", {"r": 0.5}),
    Equation("drift-diffusion in one dimension", "w = c*k - I*k**2", {"c": 0.3}),
    Equation("Swift-Hohenberg, linear", "dt - r + (1 + lap)**2", {"r": -0.2}),
    Equation("Kuramoto-Sivashinsky, linear", "dt + lap + lap**2"),
    Equation("Cahn-Hilliard, linear, one phase", "dt - lap + lap**2"),
    Equation("viscoelastic wave (Kelvin-Voigt)", "dt**2 - lap - nu*lap*dt", {"nu": 1.0}),
    Equation("jumps (compound Poisson)", "w = -I*(1 - exp(-k**2))"),
    Equation("relativistic heat", "w = -I*(sqrt(k**2 + m**2) - m)", {"m": 1.0}),
    Equation("biwave of Poisson", "dt**4 - lap**2"),
)
EQUATIONS = (*TABLE_1, *TABLE_2, *OTHERS)
