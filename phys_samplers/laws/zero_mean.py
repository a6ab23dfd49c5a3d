"""The subspace of configurations whose centre of mass is at the origin: where laws of n-body systems live.

An energy that depends on relative positions alone has no normalisable density on R^{nm}; on the configurations x with
Σ_i x_i = 0, a linear subspace of dimension (n − 1)m, it has (Köhler et al. 2020, "Equivariant Flows").
"""

from __future__ import annotations

import torch
from torch import Tensor

from phys_samplers.laws.arguments import check_count


def zero_mean_basis(particles: int, space: int) -> Tensor:
    """Orthonormal rows ((n − 1)m, nm) that span the zero-mean subspace of n particles in R^m, in double precision.

    Row (k, a) moves particles 1 … k together against particle k + 1 along axis a: Helmert's contrasts
    (1, …, 1, −k, 0, …, 0)/√(k(k + 1)), once per axis. Coordinates of x are grouped by particle.

    Args:
        particles: n, at least 2.
        space: m, at least 1.
    """
    n = check_count("particles", particles, least=2)
    m = check_count("space", space, least=1)
    k = torch.arange(1, n, dtype=torch.float64)
    contrasts = torch.ones(n - 1, n, dtype=torch.float64).tril()
    contrasts[:, 1:].diagonal().copy_(-k)
    contrasts /= (k * (k + 1.0)).sqrt().unsqueeze(1)
    return torch.kron(contrasts, torch.eye(m, dtype=torch.float64))
