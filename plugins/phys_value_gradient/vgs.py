"""The value gradient sampler: walks down learned values, weighed by their paths."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import torch
from torch import Tensor, nn

from phys_samplers.chains import mala
from phys_samplers.density import FlatDensity, same_target
from phys_samplers.diagnostics import weight_diagnostics
from phys_samplers.errors import ConfigurationError
from phys_samplers.objective import Objective, TrainedSampler
from phys_samplers.options import Part, draw_option, fit_option
from phys_samplers.paths import Extent
from phys_samplers.randomness import Streams, make_generator
from phys_samplers.sampler import Draw, Model
from phys_samplers.target import Target, require
from phys_samplers.training import Callback
from phys_value_gradient.fields import ValueField, make_value_field
from phys_value_gradient.landscapes import Critic, ExactLandscape, LearnedLandscape
from phys_value_gradient.learning import Learner, Learning, initial_slope
from phys_value_gradient.negatives import ValueNegatives
from phys_value_gradient.policy import HIGHEST, PRIOR, Clip, Energy, Landscape, Policy, Rule, walk
from phys_value_gradient.process import Scheduled


class ValueGradientModel(Model):
    """Values with the walks that follow them.

    Args:
        recipe: with the sampling options.
        target: whose energy is the last value; the model asks it while sampling.
        critic: the learned values of one replica; None for the exact ones.
        log_std: log σ_init.
    """

    recipe: ValueGradientSampler

    def __init__(self, recipe: ValueGradientSampler, target: Target, *, critic: Critic | None, log_std: Tensor) -> None:
        self.recipe = recipe
        self.target_name, self.event_shape = target.name, tuple(target.event_shape)
        self.critic = critic
        self.log_std = log_std
        self.energy_limit = None if critic is None else critic.energy_limit
        self._target = target

    @property
    def device(self) -> torch.device:
        """Where the model computes."""
        return self.log_std.device

    @property
    def needs_target(self) -> bool:
        """V^T is the energy of the target."""
        return True

    @property
    def followed(self) -> Target:
        """Whose energy walks follow; weights lead to the target, whatever it is."""
        return self._target

    def landscape(self, energy: Energy) -> Landscape:
        """V^0, …, V^T with ``energy`` as the last."""
        if self.critic is None:
            return ExactLandscape(self._target, self.recipe.auxiliary, energy)
        return LearnedLandscape(self.critic, energy)

    @property
    def correction_step(self) -> Tensor:
        """h of MALA steps after the walk: the noise √(2h) of the last step."""
        return self.log_std.new_full((1,), 0.5 * self.recipe.auxiliary.variances[-1])

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
        density = FlatDensity(self.followed)
        energy = Energy(density, recipe.energy_clip, self.energy_limit)
        generator = make_generator(seed, "walk", device=self.device)
        like = self.log_std

        def noise() -> Tensor:
            return torch.randn(1, n, energy.dim, generator=generator, device=self.device, dtype=like.dtype)

        z = noise() if start is None else density.reduce(start.detach().to(like)).unsqueeze(0)
        if start is None:
            prior = -0.5 * (z.square().sum(-1) + energy.dim * (2 * self.log_std + math.log(2 * math.pi)))
            z = z * self.log_std.exp()
        path = walk(self.landscape(energy), recipe.rule, z, noise, **recipe.walk_options)
        final = path.ends(recipe.sampling_steps)
        log_weights, exact = None, FlatDensity(self._target)
        if start is None and recipe.final_noise:
            log_weights = exact.log_prob(final).to(final) - (path.cost + prior).squeeze(0)
        if recipe.corrections:  # they leave the law as it is: the weights stay right
            state, length = mala.init(final, exact.log_prob_and_score), self.correction_step
            for _ in range(recipe.corrections):
                kick = noise().squeeze(0)
                log_u = torch.rand(n, generator=generator, device=self.device, dtype=like.dtype).log_()
                state, _ = mala.step(state, exact.log_prob_and_score, step_size=length, noise=kick, log_uniform=log_u)
            final = state.x
        nfe = density.evaluations + exact.evaluations
        nfe += 0 if self.critic is None else recipe.sampling_steps - (recipe.policy == "taylor")
        return Draw(density.embed(final), float(nfe), weight_diagnostics(log_weights), log_weights)

    @torch.no_grad()
    def score(self, x: Tensor, sigma: float | None = None) -> Tensor:
        """∇log of the target blurred by ``sigma``, at x (B, *event_shape), from the values (Theorem 3.1).

        Args:
            x: points.
            sigma: blur in data units; that of the last learned step by default, and as small. Between two steps the
                scores of both are mixed, linearly in log σ.
        """
        levels = self._levels
        wanted = min(max(levels[-1] if sigma is None else sigma, levels[-1]), levels[0])
        t = max(k for k, level in enumerate(levels) if level >= wanted * (1 - 1e-12))
        score = self._at(x, t)[1]
        if t + 1 < len(levels) and levels[t] > wanted:
            weight = math.log(levels[t] / wanted) / math.log(levels[t] / levels[t + 1])
            score = score.lerp(self._at(x, t + 1)[1], weight)
        return score

    @torch.no_grad()
    def fields(self, x: Tensor, sigma: float | None = None) -> dict[str, Tensor]:
        """``s`` = −V^t/τ (B,), an unnormalised log-density, and ``g`` = ∇s (B, *event_shape) of the step of this blur.

        Args:
            x: points.
            sigma: blur in data units; that of the last learned step by default. The next larger level of a step.
        """
        levels = self._levels
        t = len(levels) - 1 if sigma is None else max((k for k, u in enumerate(levels) if u >= sigma), default=0)
        value, score = self._at(x, t)
        return {"s": value, "g": score}

    @property
    def _levels(self) -> list[float]:
        """Blur of the values of each step, in data units; falling with t."""
        return [math.sqrt(b) / a for a, b in self.recipe.auxiliary.marginals[:-1]]

    def _at(self, x: Tensor, t: int) -> tuple[Tensor, Tensor]:
        """log q̃ of a_t x, up to a constant, (B,) and its gradient in x (B, *event_shape)."""
        if self.followed.support is not None:
            raise ConfigurationError(
                f"target {self.target_name!r} has a support, and values are of coordinates without borders; expected a "
                "density on all of R^D"
            )
        density = FlatDensity(self.followed)
        scale, _ = self.recipe.auxiliary.marginals[t]
        z = density.reduce(x.detach().to(self.log_std)).mul(scale)
        landscape = self.landscape(Energy(density, self.recipe.energy_clip, self.energy_limit))
        values, gradients = landscape.values_and_gradients(z.view(1, 1, *z.shape), t)
        tau = self.recipe.temperature
        return values.flatten() / -tau, density.embed(gradients[0, 0] * (-scale / tau))

    def tensors(self) -> dict[str, Tensor]:
        """Those of the critic, with log σ_init; of exact values log σ_init alone."""
        return {"log_std": self.log_std} if self.critic is None else self.critic.state_dict()


EXACT = "exact"
STEERING = frozenset({"policy", "drift_clip", "energy_clip"})
"""Options of draws that training walks follow too."""
INITIAL_DRAWS, INITIAL_STEPS = 4_096, 50
"""That find σ_init of exact values."""


@dataclass(frozen=True, kw_only=True)
class ValueGradientSampler(Scheduled, Learning, TrainedSampler):
    """Walks of few large steps down learned values, learned from the energy by dynamic programming (VGS).

    For options of training see ``Learning`` and ``TrainedSampler``, for the schedule ``Scheduled``.

    Everything happens on flat coordinates (``FlatDensity``), within the subspace of the law if it has one, and in the
    units of the target.

    Args:
        value: the network of V^t, by name or object, or ``"exact"``: the optimal values in closed form, for laws that
            have ``blurred``; nothing is trained then.
        width: units of each hidden layer, unless ``value`` is an object; None for the network's own.
        depth: hidden layers, likewise.
        policy: how values become steps, ``"taylor"`` (the paper's), ``"mean"`` or ``"moments"``; see ``policy``.
        temperature: τ; the law sampled is p^{1/τ}. Path weights lead to p itself.
        baseline: whether a constant and a quadratic, found by least squares, are added to the network; see
            ``landscapes``.
        energy_skip: whether the network's value is added to a learned multiple of the energy; costs an energy gradient
            a step.
        initial_std: σ_init of the prior N(0, σ²I) at first, where the quadratic of the values then starts; None for the
            paper's, √(1 + Σs_t²) (``ve``) or 1 (``vp``), and no quadratic at first.
        drift_clip: largest drift of a step, in units of the length of its noise; None for no limit.
        energy_clip: energy from which E goes on like a logarithm, see ``policy.Energy``; ``"prior"`` for one far above
            prior draws' (none where values are exact, nor where E is learned along); None for E as it is.
        noise_scale: η of the noise when sampling.
        final_noise: whether the last step has noise; without it there are no path weights.
        negatives_from: where walks for negative samples start: ``"prior"``, or ``"data"``: at training rows carried to
            t = 0 by the auxiliary process (Sec. 5).
    """

    needs: ClassVar[frozenset[str]] = frozenset({"log_prob", "score"})

    value: Part = "value-mlp"
    width: int | None = None
    depth: int | None = None
    policy: Rule = draw_option("moments")
    temperature: float = fit_option(1.0, above=0)
    baseline: bool = True
    energy_skip: bool = True
    initial_std: float | None = fit_option(None, above=0)
    steps: int = fit_option(1_500, least=1)
    learning_rate: float = fit_option(2e-3, above=0)
    ema_decay: float = fit_option(0.99, least=0, below=1)
    drift_clip: float | None = draw_option(1.5, above=0)
    energy_clip: Clip = draw_option(PRIOR, most=HIGHEST)
    noise_scale: float = draw_option(1.0, above=0)
    final_noise: bool = draw_option(True)
    negatives_from: Literal["prior", "data"] = "prior"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.energy_skip and not self.baseline:
            raise ConfigurationError("energy_skip is True and baseline False; the skip is a part of the baseline")
        if self.value != EXACT:
            self.network  # noqa: B018 - building a part validates its options
        elif self.temperature != 1:
            raise ConfigurationError(
                f"temperature is {self.temperature} and value {EXACT!r}; exact values are those of temperature 1"
            )

    def fit_options(self) -> frozenset[str]:
        """See ``Sampler.fit_options``: what steers walks decides what is learned from them."""
        return super().fit_options() | (frozenset() if self.value == EXACT else STEERING)

    def for_draw(self, options: Mapping[str, Any]) -> Self:
        """See ``Sampler.for_draw``; learned values may be followed in another way than they were learned in."""
        steering = {name: value for name, value in options.items() if name in STEERING}
        return super().for_draw({k: v for k, v in options.items() if k not in STEERING}).with_options(**steering)

    @property
    def rule(self) -> Policy:
        """How values become steps."""
        return Policy(self.auxiliary, self.policy, self.temperature, self.drift_clip)

    @property
    def walk_options(self) -> dict[str, Any]:
        """Options of ``policy.walk`` for draws."""
        return {"noise_scale": self.noise_scale, "final_noise": self.final_noise}

    @property
    def network(self) -> ValueField:
        """The spec of the network."""
        return make_value_field(self.value, width=self.width, depth=self.depth)

    def fit_replicas(
        self,
        target: Target,
        *,
        seeds: Sequence[int],
        device: torch.device | str = "cpu",
        callbacks: Sequence[Callback] = (),
        checkpoint: str | Path | None = None,
    ) -> list[Model | Exception]:
        """See ``TrainedSampler.fit_replicas``; exact values are not trained."""
        require(target, *self.needs, by=type(self).__name__)
        if not self.settled:
            recipe = self.settle(target.to(device), device=device)
            return recipe.fit_replicas(target, seeds=seeds, device=device, callbacks=callbacks, checkpoint=checkpoint)
        if self.value != EXACT:
            return super().fit_replicas(target, seeds=seeds, device=device, callbacks=callbacks, checkpoint=checkpoint)
        return [self._exact(target.to(device), seed=seed, device=device) for seed in seeds]

    def training_objective(self, target: Target, *, seeds: Sequence[int], device: torch.device | str) -> Objective:
        """See ``TrainedSampler.training_objective``: temporal differences, the critics of all seeds in one stack."""
        learner = self.learner(target, seeds=seeds, device=device)
        if self.energy_clip == PRIOR:
            learner.bound_energies()

        def finish(critic: nn.Module, seed: int) -> ValueGradientModel:
            assert isinstance(critic, Critic)
            return self._model(target, critic)

        return Objective(learner.critic, learner.loss, finish, state=(learner,))

    def negatives(self, target: Target, *, seed: int, device: torch.device | str = "cpu") -> ValueNegatives:
        """A supply of negative samples that learns along; see ``phys_samplers.negatives.SuppliesNegatives``.

        Raises:
            MissingCapability: if the target has no density; or no rows, where walks start there or variances are unset.
            ConfigurationError: with exact values, which cannot follow a changing energy.
        """
        target.require(*self.needs, *({"samples"} if self.negatives_from == "data" else ()), by="negatives()")
        if self.value == EXACT:
            raise ConfigurationError(f"value is {EXACT!r}, which cannot follow a changing energy; set 'value-mlp'")
        if not self.settled:  # the energy has no scale yet, its rows have
            target.require("samples", by="negatives() without variances")
            assert target.train is not None
            spread = float(FlatDensity(target).reduce(target.train.detach()).square().mean().sqrt())
            recipe = self.settle(target, device=device, extent=Extent(spread, 0.25 * spread))
            return recipe.negatives(target, seed=seed, device=device)
        learner, rows = self.learner(target, seeds=[seed], device=device), None
        if self.negatives_from == "data" and target.train is not None:
            rows = FlatDensity(target).reduce(target.train.detach().to(learner.critic.offset))
        return ValueNegatives(
            learner,
            self.walk_options,
            rows=rows,
            learning_rate=self.learning_rate,
            clip_norm=self.clip_norm,
            finish=lambda critic: self._model(target, critic),
            seed=seed,
        )

    def learner(self, target: Target, *, seeds: Sequence[int], device: torch.device | str) -> Learner:
        """A fresh critic with its learning loop, for ``target`` on ``device``."""
        density = FlatDensity(target)
        network = self.network.build_value(
            density.dim, self.sampling_steps, streams=Streams(seeds, "weights", device="cpu"), target=target
        )
        critic = Critic(
            network,
            self.auxiliary,
            dim=density.dim,
            initial_std=self._initial_std,
            variance=self._variance,
            baseline=self.baseline,
            linear=target.subspace is None,
            skip=self.energy_skip,
        ).to(device)
        streams = Streams(seeds, "noise", device=device)
        return Learner(critic, Energy(density, self.energy_clip, critic.energy_limit), self.rule, self, streams=streams)

    @property
    def _initial_std(self) -> float:
        return self.initial_std or math.sqrt(1 + self.auxiliary.total * (self.process == "ve"))

    @property
    def _variance(self) -> float | None:
        """Of a normal law that the auxiliary process carries to N(0, σ_init²), if σ_init is given."""
        if self.initial_std is None:
            return None
        scale, blur = self.auxiliary.marginals[0]
        return max((self.initial_std**2 - blur) / scale**2, self.auxiliary.variances[-1])

    def _model(self, target: Target, critic: Critic) -> ValueGradientModel:
        return ValueGradientModel(self, target, critic=critic, log_std=critic.log_std)

    def _exact(self, target: Target, *, seed: int, device: torch.device | str) -> ValueGradientModel:
        """Nothing but σ_init is to be found."""
        energy = Energy(FlatDensity(target), self.energy_clip)
        landscape = ExactLandscape(target, self.auxiliary, energy)
        z = Streams([seed], "prior", device=device).normal(INITIAL_DRAWS, energy.dim)
        log_std = torch.full((1,), math.log(self._initial_std), device=device)
        if self.initial_rate:
            for _ in range(INITIAL_STEPS):
                log_std -= 0.25 * initial_slope(landscape, z * log_std.exp(), self.temperature)
        return ValueGradientModel(self, target, critic=None, log_std=log_std)

    def restore(
        self,
        tensors: Mapping[str, Tensor],
        facts: Mapping[str, Any],
        *,
        event_shape: tuple[int, ...],
        target: Target | None,
        device: torch.device | str = "cpu",
    ) -> ValueGradientModel:
        """See ``Sampler.restore``.

        Raises:
            CheckpointError: without a target, or with one of another event shape.
        """
        target = same_target(target, event_shape, by=type(self).__name__)
        recipe = self.settle(target, device=device)
        if self.value == EXACT:
            return ValueGradientModel(recipe, target, critic=None, log_std=tensors["log_std"])
        critic = recipe.learner(target, seeds=[0], device=device).critic.requires_grad_(False)
        critic.load_state_dict(dict(tensors))
        return recipe._model(target, critic)
