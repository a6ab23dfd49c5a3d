r"""The posterior of Bayesian logistic regression.

With features a_n ∈ R^D, labels s_n = ±1 and weights w ~ N(0, τ² I),

    log p(w) = Σ_n log σ(s_n a_n·w) − |w|²/(2τ²) − D log(√(2π) τ),

so that ∫ exp(log p) is the probability of the labels under the model, its evidence. The posterior is log-concave.
"""

from __future__ import annotations

import math

from torch import Tensor, nn
from torch.nn import functional

from phys_samplers.errors import ConfigurationError
from phys_samplers.laws.arguments import Numbers, as_real, check_positive
from phys_samplers.shapes import Points, Values


class LogisticRegression(nn.Module):
    """Weights of a logistic regression, given labelled features.

    Evaluation runs in the dtype of the points.

    Args:
        features: (N, D); a column of ones makes its weight the intercept, under the same prior as the others.
        labels: (N,), zeros and ones (or ``False`` and ``True``).
        prior_std: τ.
        log_z: logarithm of the evidence, if it is known.

    Raises:
        ConfigurationError: on shapes that do not fit, other labels or a bad ``prior_std``.
    """

    signed: Tensor
    differentiable = True

    def __init__(
        self, features: Numbers, labels: Numbers, prior_std: float = 1.0, *, log_z: float | None = None
    ) -> None:
        super().__init__()
        a, y = as_real("features", features), as_real("labels", labels)
        if a.ndim != 2 or 0 in a.shape or tuple(y.shape) != (len(a),):
            raise ConfigurationError(
                f"features and labels have shapes {tuple(a.shape)} and {tuple(y.shape)}; expected (N, D) and (N,)"
            )
        if not ((y == 0) | (y == 1)).all():
            raise ConfigurationError(f"labels range from {float(y.min())} to {float(y.max())}; expected zeros and ones")
        self.prior_std = check_positive("prior_std", prior_std)
        self.event_shape: tuple[int, ...] = (a.shape[1],)
        self.log_z = log_z
        self.register_buffer("signed", a * (2.0 * y - 1.0).to(a.dtype)[:, None])

    def log_prob(self, x: Points) -> Values:
        """log p (B,) at weights ``x`` (B, D): the logarithm of likelihood times normalised prior."""
        return self._log_prob(x, x @ self.signed.to(x.dtype).T)

    def score(self, x: Points) -> Points:
        """∇ log p (B, D) = Σ_n σ(−m_n) s_n a_n − w/τ² with margins m_n = s_n a_n·w."""
        return self._score(x, x @ self.signed.to(x.dtype).T)

    def log_prob_and_score(self, x: Points) -> tuple[Values, Points]:
        """Both, with the margins computed once."""
        margins = x @ self.signed.to(x.dtype).T
        return self._log_prob(x, margins), self._score(x, margins)

    def _score(self, x: Tensor, margins: Tensor) -> Tensor:
        return (-margins).sigmoid_() @ self.signed.to(x.dtype) - x / self.prior_std**2

    def _log_prob(self, x: Tensor, margins: Tensor) -> Tensor:
        normaliser = x.shape[1] * math.log(math.sqrt(2.0 * math.pi) * self.prior_std)
        prior = -0.5 * (x / self.prior_std).square().sum(-1) - normaliser
        return functional.logsigmoid(margins).sum(-1) + prior
