r"""The optimal values of a law whose blurred forms are known: what learning aims at, without learning.

The auxiliary process makes x_t = a_t x_T + √b_t ε of x_T ~ q, so that (Theorem 3.1)

    V*^t(x) = −τ log(Z q̃_t(x)) = −τ [log q_{b_t/a_t²}(x/a_t) − D log a_t + log Z]

with q_v the law of x_T + √v ε. A law with a method ``blurred(v)``, such as a Gaussian mixture, gives that at once.

Theorem 3.1 asks that the policies include q̃(x'|x) itself. Gaussian policies do not (unless q is Gaussian), so their
optimal cost-to-go is larger; the values here are those of the unrestricted problem, which the soft target leads to.

Source: Yoon et al. 2025 (arXiv:2502.13280), Eq. 15, App. B.1.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from phys_samplers.errors import IncompatibleError
from phys_samplers.target import Target
from phys_value_gradient.landscape import Energy
from phys_value_gradient.process import AuxiliaryProcess


class ExactLandscape:
    """V*^0, …, V*^{T−1} of a law with ``blurred``, and V^T = E; see ``Landscape``.

    Args:
        target: whose law has ``blurred(variance)``, ``log_prob`` (normalised, but for ``log_z``) and ``score``, on
            all of R^D.
        process: the auxiliary process.
        energy: of the target, for V^T.

    Raises:
        IncompatibleError: if the law has no ``blurred``, or lives on a subspace.
    """

    def __init__(self, target: Target, process: AuxiliaryProcess, energy: Energy) -> None:
        if not callable(getattr(target.law, "blurred", None)) or target.subspace is not None:
            raise IncompatibleError(
                f"the law of target {target.name!r} has no blurred form in closed form (a method blurred(variance), on "
                "all of R^D), so that its values must be learned; set value='value-mlp'"
            )
        self.process = process
        self.energy = energy
        self.log_z = target.log_z or 0.0
        self._blurred: list[Any] = [target.law.blurred(b / a**2) for a, b in process.marginals[:-1]]

    def values(self, z: Tensor, first: int) -> Tensor:
        """See ``Landscape``."""
        return self.values_and_gradients(z, first)[0]

    @torch.no_grad()
    def values_and_gradients(self, z: Tensor, first: int) -> tuple[Tensor, Tensor]:
        """See ``Landscape``."""
        results = [self._at(z[:, i], first + i) for i in range(z.shape[1])]
        return torch.stack([value for value, _ in results], 1), torch.stack([slope for _, slope in results], 1)

    def _at(self, z: Tensor, t: int) -> tuple[Tensor, Tensor]:
        """V^t (R, N) and its gradient at (R, N, K)."""
        if t == self.process.steps:
            return self.energy.value_and_gradient(z)
        scale, _ = self.process.marginals[t]
        points = z.reshape(-1, z.shape[-1]) / scale
        law = self._blurred[t]
        value = z.shape[-1] * math.log(scale) - self.log_z - law.log_prob(points)
        return value.view(z.shape[:-1]), (law.score(points) / -scale).view(z.shape)
