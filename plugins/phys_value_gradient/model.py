"""The fitted value gradient sampler: walks down the values, weighed by their paths."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from phys_samplers.chains.checks import refuse_lost
from phys_samplers.density import FlatDensity
from phys_samplers.randomness import make_generator
from phys_samplers.sampler import Draw, Model
from phys_samplers.target import Target
from phys_value_gradient.critic import Critic, LearnedLandscape
from phys_value_gradient.exact import ExactLandscape
from phys_value_gradient.landscape import Energy, Landscape
from phys_value_gradient.policy import walk

if TYPE_CHECKING:
    from phys_value_gradient.recipe import ValueGradientSampler


class ValueGradientModel(Model):
    """Values with the walks that follow them.

    Args:
        recipe: with the sampling options.
        target: whose energy is the last value; the model asks it while sampling.
        critic: the learned values of one replica; None for the exact ones.
        initial_std: σ_init.
    """

    recipe: ValueGradientSampler

    def __init__(self, recipe: ValueGradientSampler, target: Target, *, critic: Critic | None, log_std: Tensor) -> None:
        self.recipe = recipe
        self.target_name, self.event_shape = target.name, tuple(target.event_shape)
        self.critic = critic
        self.log_std = log_std
        self._target = target

    @property
    def device(self) -> torch.device:
        """Where the model computes."""
        return self.log_std.device

    @property
    def needs_target(self) -> bool:
        """V^T is the energy of the target."""
        return True

    def landscape(self, energy: Energy) -> Landscape:
        """V^0, …, V^T with ``energy`` as the last."""
        if self.critic is None:
            return ExactLandscape(self._target, self.recipe.auxiliary, energy)
        return LearnedLandscape(self.critic, energy)

    @torch.no_grad()
    def draw(self, n: int, *, seed: int = 0, start: Tensor | None = None, **options: Any) -> Draw:
        """``n`` samples by Algorithm 1; see ``Model.draw``.

        ``log_weights`` are of the whole path, log [p(x_T) Π q̃(x_t|x_{t+1})] − log [π(x_0) Π π(x_{t+1}|x_t)], and lead
        to the target itself, whatever the temperature, the policy and the noise were. There are none where the last
        step has no noise, nor from a ``start`` that did not come from the prior. ``nfe`` counts gradients of the
        network and of the energy.
        """
        self.check_draw(n, start)
        recipe = self.recipe.for_draw(options)
        density = FlatDensity(self._target)
        energy = Energy(density, recipe.energy_clip)
        generator = make_generator(seed, "walk", device=self.device)
        like = self.log_std

        def noise() -> Tensor:
            return torch.randn(1, n, energy.dim, generator=generator, device=self.device, dtype=like.dtype)

        z = noise() if start is None else density.reduce(start.detach().to(like)).unsqueeze(0)
        if start is None:
            prior = -0.5 * (z.square().sum(-1) + energy.dim * (2 * self.log_std + math.log(2 * math.pi)))
            z = z * self.log_std.exp()
        path = walk(
            self.landscape(energy),
            recipe.rule,
            z,
            noise,
            noise_scale=recipe.noise_scale,
            final_noise=recipe.final_noise,
        )
        final = path.final.squeeze(0)
        steps = recipe.sampling_steps
        refuse_lost(final, step=steps, total=steps, by="the value gradient sampler", advice="set drift_clip, e.g. to 3")
        log_weights = None
        if start is None and recipe.final_noise:
            log_weights = energy.log_prob(final) - (path.cost + prior).squeeze(0)
        nfe = density.evaluations + (0 if self.critic is None else steps - (recipe.policy == "taylor"))
        return Draw(density.embed(final), float(nfe), path_diagnostics(log_weights), log_weights)

    @torch.no_grad()
    def score(self, x: Tensor, sigma: float | None = None) -> Tensor:
        """∇log of the target blurred by ``sigma``, at x (B, *event_shape), from the values (Theorem 3.1).

        Args:
            x: points.
            sigma: blur in data units; that of the last learned step by default, and as small. Between two steps the
                scores of both are mixed, linearly in log σ.
        """
        marginals = self.recipe.auxiliary.marginals[:-1]
        levels = [math.sqrt(b) / a for a, b in marginals]  # falling with t
        wanted = min(max(levels[-1] if sigma is None else sigma, levels[-1]), levels[0])
        t = max(k for k, level in enumerate(levels) if level >= wanted * (1 - 1e-12))
        score = self._score_at(x, t)
        if t + 1 < len(levels) and levels[t] > wanted:
            weight = math.log(levels[t] / wanted) / math.log(levels[t] / levels[t + 1])
            score = score.lerp(self._score_at(x, t + 1), weight)
        return score

    @torch.no_grad()
    def fields(self, x: Tensor, sigma: float | None = None) -> dict[str, Tensor]:
        """``s`` = −V^t/τ (B,), an unnormalised log-density, and ``g`` = ∇s (B, *event_shape) of the step of this blur.

        Args:
            x: points.
            sigma: blur in data units; that of the last learned step by default. The next larger level of a step.
        """
        marginals = self.recipe.auxiliary.marginals[:-1]
        levels = [math.sqrt(b) / a for a, b in marginals]
        t = len(levels) - 1 if sigma is None else max((k for k, u in enumerate(levels) if u >= sigma), default=0)
        value, score = self._at(x, t)
        return {"s": value, "g": score}

    def _score_at(self, x: Tensor, t: int) -> Tensor:
        return self._at(x, t)[1]

    def _at(self, x: Tensor, t: int) -> tuple[Tensor, Tensor]:
        """log q̃ of a_t x, up to a constant, (B,) and its gradient in x (B, *event_shape)."""
        density = FlatDensity(self._target)
        scale, _ = self.recipe.auxiliary.marginals[t]
        z = density.reduce(x.detach().to(self.log_std)).mul(scale)
        values, gradients = self.landscape(Energy(density, self.recipe.energy_clip)).values_and_gradients(
            z.view(1, 1, *z.shape), t
        )
        tau = self.recipe.temperature
        return values.flatten() / -tau, density.embed(gradients[0, 0] * (-scale / tau))

    def tensors(self) -> dict[str, Tensor]:
        """Those of the critic, with log σ_init; of exact values log σ_init alone."""
        return {"log_std": self.log_std} if self.critic is None else self.critic.state_dict()


def path_diagnostics(log_weights: Tensor | None) -> dict[str, Any]:
    """``log_z``, ``log_z_std`` (delta method), ``elbo`` and ``ess`` of path weights (n,); {} without weights."""
    if log_weights is None:
        return {}
    weights = log_weights.double()
    n = len(weights)
    log_z = weights.logsumexp(0) - math.log(n)
    ess = (2 * weights.logsumexp(0) - (2 * weights).logsumexp(0)).exp() / n
    facts = {"log_z": log_z, "elbo": weights.mean(), "ess": ess}
    if n > 1:
        facts["log_z_std"] = ((1 / ess - 1).clamp(min=0) / (n - 1)).sqrt()
    numbers = {name: float(value) for name, value in facts.items()}
    return {name: number for name, number in numbers.items() if math.isfinite(number)}
