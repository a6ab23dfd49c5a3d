"""Thirteen particles with a Lennard-Jones potential, LJ-13 (Köhler et al. 2020, "Equivariant Flows").

    −log p(x) = 2 Σ_{i<j} (r_ij⁻¹² − 2 r_ij⁻⁶) + ½ Σ_i |x_i − x̄|²

Each pair counts twice, as in a sum over ordered pairs. The factor ε/(2τ) that arXiv:2502.13280, App. E.1, prints before
that sum would make it once (ε = τ = 1), and the text leaves out the harmonic term, which holds the cluster together.
The samples that its experiments and others score against are of the law above: they satisfy its virial identity
E[x·∇(−log p)] = 36, and miss that of the printed one by a quarter.
"""

from __future__ import annotations

from torch import Tensor

from phys_samplers.laws.pair_potential import PairPotential


class LennardJones(PairPotential):
    """The law above for n particles in R³; its normalising constant is not known.

    Args:
        particles: n, at least 2.
    """

    log_z = None
    core = 0.01  # a distance of 0.1, where one pair has energy 2e12

    def __init__(self, particles: int = 13) -> None:
        super().__init__(particles, 3)

    def pair(self, squared: Tensor) -> tuple[Tensor, Tensor]:
        """2 (s⁻⁶ − 2 s⁻³) + s/(2n), which is the pair's share of the trap, and its derivative in s."""
        trap = 0.5 / self.particles[0]
        inverse = squared.reciprocal()
        cube = inverse * inverse * inverse
        return 2.0 * cube * (cube - 2.0) + trap * squared, trap - 12.0 * cube * (cube - 1.0) * inverse
