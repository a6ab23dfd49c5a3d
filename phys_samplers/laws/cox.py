r"""The posterior of a log-Gaussian Cox process on a square grid.

Counts y_i in M² equal cells of the unit square, of area α = 1/M², follow Poisson laws of mean α e^{x_i}; the logarithm
of the intensity is a Gaussian field, x ~ N(μ, K), K_ij = σ² exp(−|i − j| / (M β)) with |i − j| the distance of the
cells in cell widths:

    log p(x) = Σ_i (x_i y_i − α e^{x_i}) + log N(x; μ, K).

As in the literature, y_i log α − log y_i! is left out: ∫ exp(log p) is the evidence up to that constant of the data.

Source: J. Møller, A. R. Syversveen and R. P. Waagepetersen, Log Gaussian Cox processes (Scandinavian Journal of
Statistics 25, 1998); M. Arbel, A. Matthews and A. Doucet, Annealed flow transport Monte Carlo (ICML 2021), App. G.4.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from phys_samplers.errors import ConfigurationError
from phys_samplers.laws.arguments import Numbers, as_real, check_positive
from phys_samplers.shapes import Points, Values


class LogGaussianCoxProcess(nn.Module):
    """The field x itself (not whitened), cells in rows, given the counts.

    Evaluation runs in the dtype of the points.

    Args:
        counts: (M, M), non-negative integers.
        mean: μ.
        variance: σ².
        length_scale: β, in units of the side of the square.
        log_z: the logarithm of the normalising constant, if it is known.

    Raises:
        ConfigurationError: on counts that are none or not on a square grid, or a variance or length that is not
            positive.
    """

    counts: Tensor
    covariance: Tensor
    precision: Tensor
    differentiable = True

    def __init__(
        self, counts: Numbers, *, mean: float, variance: float, length_scale: float, log_z: float | None = None
    ) -> None:
        super().__init__()
        y = as_real("counts", counts)
        if y.ndim != 2 or y.shape[0] != y.shape[1] or not len(y) or not ((y >= 0) & (y == y.round())).all():
            raise ConfigurationError(
                f"counts have shape {tuple(y.shape)} and smallest value {float(y.min()) if y.numel() else None}; "
                "expected non-negative integers (M, M)"
            )
        side = len(y)
        self.event_shape: tuple[int, ...] = (side**2,)
        self.mean, self.area, self.log_z = float(mean), 1.0 / side**2, log_z
        reach = check_positive("length_scale", length_scale) * side
        cells = torch.arange(side, dtype=torch.float64)
        grid = torch.cartesian_prod(cells, cells)
        covariance = check_positive("variance", variance) * (-torch.cdist(grid, grid) / reach).exp()
        factor = torch.linalg.cholesky(covariance)
        precision = torch.cholesky_inverse(factor)
        self._normaliser = 0.5 * side**2 * math.log(2.0 * math.pi) + float(factor.diagonal().log().sum())
        self.register_buffer("counts", y.flatten())
        self.register_buffer("covariance", covariance.to(y.dtype))
        # equal to its transpose to the last bit, so that the score is the gradient
        self.register_buffer("precision", (0.5 * (precision + precision.T)).to(y.dtype))

    def log_prob(self, x: Points) -> Values:
        """log p (B,) at ``x`` (B, M²), without the data's constant."""
        return self.log_prob_and_score(x)[0]

    def score(self, x: Points) -> Points:
        """∇ log p (B, M²) = y − α e^x − K⁻¹(x − μ)."""
        return self.log_prob_and_score(x)[1]

    def log_prob_and_score(self, x: Points) -> tuple[Values, Points]:
        """Both, from one product with K⁻¹."""
        counts = self.counts.to(x.dtype)
        centred, expected = x - self.mean, self.area * x.exp()
        pull = centred @ self.precision.to(x.dtype)
        value = (x * counts - expected - 0.5 * centred * pull).sum(-1) - self._normaliser
        return value, counts - expected - pull
