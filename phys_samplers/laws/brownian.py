r"""The posterior of a Brownian path seen through noise, with known or unknown scales.

x_1 ~ N(0, s²), x_{t+1} ~ N(x_t, s²), y_t ~ N(x_t, r²) at the times t that were observed. Where the two scales are
unknown, they are coordinates too: (a, b) = (log s, log r) ~ N(0, 2² I), the log-normal prior LogNormal(0, 2) of the
scales with the Jacobian of the logarithm included. Then

    log p(a, b, x) = log N(a, b; 0, 4 I) + Σ_t log N(x_t; x_{t−1}, e^{2a}) + Σ_{t seen} log N(y_t; x_t, e^{2b}).

Given the scales all is Gaussian: with k_{tu} = min(t, u) and the eigenvectors U, eigenvalues λ of k among the observed
times, y ~ N(0, U diag(s²λ + r²) Uᵀ). So the evidence is a smooth integral over the plane of (a, b), and draws are
exact: the scales by rejection under a Student t law, then the path by conditioning a draw of the prior on y.

Source: P. Sountsov, A. Radul and contributors, Inference Gym (2020), targets BrownianMotionMissingMiddleObservations
and BrownianMotionUnknownScalesMissingMiddleObservations.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from phys_samplers.errors import ConfigurationError
from phys_samplers.laws.arguments import as_real, check_positive
from phys_samplers.shapes import Draws, Points, Values

PRIOR_STD = 2.0
"""Standard deviation of the logarithm of each scale."""
REACH, STEP = 14.0, 0.05
"""The plane of (a, b) is cut to ±7 prior standard deviations; the step is a sixth of the sharpest feature's width."""
DEGREES, WIDENING = 2, 1.2
"""Degrees of freedom of the Student t law that scales are proposed from, and its width against the covariance of the
posterior: tails heavier than the prior's, and three of ten proposals kept for the data of the benchmark."""
SLACK = 0.02
"""Added to the bound of the log-ratio, found on the grid: between its points the ratio rises by less."""


class BrownianMotion(nn.Module):
    """The path, in front of it log s and log r if the scales are unknown, given noisy observations.

    Evaluation runs in the dtype of the points; draws have the default dtype.

    Args:
        observations: (T,), NaN where nothing was observed.
        scales: (s, r) if they are known.

    Attributes:
        log_z: logarithm of the evidence of the observations, to 1e-9: in closed form for known scales, by the
            trapezoidal rule otherwise.

    Raises:
        ConfigurationError: if nothing was observed, an observation is infinite or a scale is not positive.
    """

    values: Tensor
    times: Tensor
    rotation: Tensor
    spectrum: Tensor
    spread: Tensor
    differentiable = True

    def __init__(self, observations: Sequence[float] | Tensor, scales: tuple[float, float] | None = None) -> None:
        super().__init__()
        given = torch.as_tensor(observations, dtype=torch.float64)
        seen = ~given.isnan()
        if given.ndim != 1 or not seen.any():
            raise ConfigurationError(
                f"observations have shape {tuple(given.shape)}, {int(seen.sum())} of them numbers; expected (T,) with "
                "NaN where nothing was observed, and a number somewhere"
            )
        self.scales = None if scales is None else (check_positive("s", scales[0]), check_positive("r", scales[1]))
        self.steps = len(given)
        self.event_shape: tuple[int, ...] = (self.steps + (2 if scales is None else 0),)
        time = torch.arange(1, self.steps + 1, dtype=torch.float64)
        covariance = torch.minimum(time[:, None], time)
        self.register_buffer("values", as_real("observations", given[seen]))
        self.register_buffer("times", seen.nonzero()[:, 0])
        spectrum, rotation = torch.linalg.eigh(covariance[seen][:, seen])
        self.register_buffer("spectrum", spectrum)
        self.register_buffer("rotation", rotation)
        self.register_buffer("spread", rotation.T @ covariance[seen])
        if scales is None:
            self._integrate()
        else:
            self.log_z = float(self._log_evidence(torch.tensor([scales], dtype=torch.float64).log()))

    def log_prob(self, x: Points) -> Values:
        """log p (B,) at ``x`` (B, D)."""
        return self.log_prob_and_score(x)[0]

    def score(self, x: Points) -> Points:
        """∇ log p (B, D)."""
        return self.log_prob_and_score(x)[1]

    def log_prob_and_score(self, x: Points) -> tuple[Values, Points]:
        """Both at the price of one."""
        path = x[:, -self.steps :]
        if self.scales is None:
            a, b = x[:, :1], x[:, 1:2]
        else:
            a, b = (x.new_full((1, 1), math.log(scale)) for scale in self.scales)
        stiffness, sharpness = (-2.0 * a).exp(), (-2.0 * b).exp()
        steps = path.diff(dim=1, prepend=path.new_zeros(len(path), 1))
        misses = self.values.to(x.dtype) - path[:, self.times]
        bent, missed = stiffness * steps.square().sum(1, True), sharpness * misses.square().sum(1, True)
        count = self.steps + len(self.values)
        value = -0.5 * (bent + missed + count * math.log(2.0 * math.pi)) - self.steps * a - len(self.values) * b
        pull = -stiffness * steps
        pull[:, :-1] += stiffness * steps[:, 1:]
        pull[:, self.times] += sharpness * misses
        if self.scales is None:
            prior = -0.5 * (a.square() + b.square()) / PRIOR_STD**2 - math.log(2.0 * math.pi * PRIOR_STD**2)
            along = (bent - self.steps - a / PRIOR_STD**2, missed - len(self.values) - b / PRIOR_STD**2)
            return (value + prior)[:, 0], torch.cat((*along, pull), 1)
        return value[:, 0], pull

    def sample(self, n: int, generator: torch.Generator) -> Draws:
        """``n`` exact draws (n, D) on the generator's device."""
        device = generator.device
        if self.scales is None:
            logs = self._sample_scales(n, generator)
        else:
            logs = torch.tensor(self.scales, dtype=torch.float64, device=device).log().expand(n, 2)
        normal: dict[str, Any] = {"generator": generator, "device": device, "dtype": torch.float64}
        moves, errors = torch.randn(n, self.steps, **normal), torch.randn(n, len(self.values), **normal)
        s, r = logs.exp().split(1, 1)
        path = s * moves.cumsum(1)
        misses = self.values.to(path) - path[:, self.times.to(device)] - r * errors
        weights = misses @ self.rotation.to(path) / (s.square() * self.spectrum.to(path) + r.square())
        path = path + s.square() * (weights @ self.spread.to(path))
        parts = (logs, path) if self.scales is None else (path,)
        return torch.cat(parts, 1).to(torch.get_default_dtype())

    def _log_evidence(self, logs: Tensor) -> Tensor:
        """log p(y | s, r) (B,) at (log s, log r) (B, 2), float64."""
        s2, r2 = (2.0 * logs).exp().split(1, 1)
        variances = s2 * self.spectrum.to(logs) + r2
        rotated = self.values.to(logs) @ self.rotation.to(logs)
        return -0.5 * (rotated.square() / variances + (2.0 * math.pi * variances).log()).sum(1)

    def _log_joint(self, logs: Tensor) -> Tensor:
        """log p(y, a, b) (B,) at (B, 2), float64."""
        prior = -0.5 * (logs / PRIOR_STD).square().sum(1) - math.log(2.0 * math.pi * PRIOR_STD**2)
        return prior + self._log_evidence(logs)

    def _integrate(self) -> None:
        """log Z, and the Student t law with the bound that draws of the scales are accepted under."""
        axis = torch.arange(-REACH, REACH + STEP, STEP, dtype=torch.float64)
        grid = torch.cartesian_prod(axis, axis)
        joint = torch.cat([self._log_joint(some) for some in grid.split(2**16)])
        self.log_z = float(joint.logsumexp(0)) + 2.0 * math.log(STEP)
        weights = joint.softmax(0)
        self._centre = weights @ grid
        centred = grid - self._centre
        self._factor = WIDENING * torch.linalg.cholesky((centred.T * weights) @ centred)
        self._bound = float((joint - self._log_proposal(grid)).max()) + SLACK

    def _log_proposal(self, logs: Tensor) -> Tensor:
        """Student t log-density (B,), without its constant."""
        away = torch.linalg.solve_triangular(self._factor.to(logs), (logs - self._centre.to(logs)).T, upper=False)
        return -0.5 * (DEGREES + 2) * torch.log1p(away.square().sum(0) / DEGREES)

    def _sample_scales(self, n: int, generator: torch.Generator) -> Tensor:
        """Exact draws of (a, b) (n, 2) from their posterior law, float64."""
        kept = torch.empty(0, 2, dtype=torch.float64, device=generator.device)
        while len(kept) < n:
            m = 4 * (n - len(kept)) + 64  # enough the first time, as a rule
            normal: dict[str, Any] = {"generator": generator, "device": generator.device, "dtype": torch.float64}
            noise = torch.randn(m, 2 + DEGREES, **normal)
            radius = (DEGREES / noise[:, 2:].square().sum(1, True)).sqrt()
            logs = self._centre.to(kept) + (radius * noise[:, :2]) @ self._factor.to(kept).T
            chance = self._log_joint(logs) - self._log_proposal(logs) - self._bound
            kept = torch.cat((kept, logs[torch.rand(m, **normal).log() < chance]))
        return kept[:n]
