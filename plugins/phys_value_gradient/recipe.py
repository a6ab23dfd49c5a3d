"""The value gradient sampler as a recipe."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from phys_samplers.chains.checks import positive
from phys_samplers.density import FlatDensity
from phys_samplers.errors import CheckpointError, ConfigurationError
from phys_samplers.fields import make_field
from phys_samplers.fields.stacked import replica
from phys_samplers.parts import Part
from phys_samplers.randomness import Streams
from phys_samplers.sampler import Model, Sampler
from phys_samplers.target import Target
from phys_samplers.training import Callback, TrainingPlan, TrainingReport, train
from phys_value_gradient.critic import Critic
from phys_value_gradient.exact import ExactLandscape
from phys_value_gradient.landscape import Energy
from phys_value_gradient.learning import ERROR, Learner, Learning, initial_slope
from phys_value_gradient.model import ValueGradientModel
from phys_value_gradient.negatives import ValueNegatives
from phys_value_gradient.policy import Policy, Rule
from phys_value_gradient.process import AuxiliaryProcess, Kind, Shape, schedule
from phys_value_gradient.targets import Backup
from phys_value_gradient.values.specs import ValueField

SAMPLING = frozenset({"policy", "drift_clip", "energy_clip", "noise_scale", "final_noise"})
EXACT = "exact"
INITIAL_DRAWS, INITIAL_STEPS = 4_096, 50
"""That find σ_init of exact values."""


@dataclass(frozen=True, kw_only=True)
class ValueGradientSampler(Sampler):
    """Walks of few large steps down learned values, learned from the energy by dynamic programming (VGS).

    Everything happens on flat coordinates (``FlatDensity``), within the subspace of the law if it has one, and in the
    units of the target: ``total_variance`` must be comparable with the square of its spread, ``end_variance`` with that
    of its finest detail.

    Args:
        value: the network of V^t, by name or object, or ``"exact"``: the optimal values in closed form, for laws that
            have ``blurred``; nothing is trained then.
        width: units of each hidden layer, unless ``value`` is an object; None for the network's own.
        depth: hidden layers, likewise.
        sampling_steps: T.
        process: ``"ve"`` or ``"vp"``; see ``process``.
        schedule: of s_t²: ``"geometric"``, ``"quadratic"`` or ``"linear"``.
        start_variance: s_0²; or None, and
        total_variance: Σ s_t², from which s_0² follows.
        end_variance: s_{T−1}².
        policy: how values become steps, ``"taylor"`` (the paper's), ``"mean"`` or ``"moments"``; see ``policy``.
        temperature: τ; the law sampled is p^{1/τ}. Path weights lead to p itself.
        baseline: whether a constant and a quadratic, found by least squares, are added to the network; see ``critic``.
        energy_skip: whether the network's value is added to a learned multiple of the energy; costs an energy gradient
            a step.
        initial_std: σ_init of the prior N(0, σ²I) at first, where the quadratic of the values then starts; None for the
            paper's, √(1 + Σs_t²) (``ve``) or 1 (``vp``), and no quadratic at first.
        initial_rate: of learning σ_init; 0 keeps it.
        backup: ``"soft"`` or ``"mean"`` targets; see ``learning``.
        draws: K, next states per target.
        n_step: n, steps that a target looks ahead.
        minibatches: parts that a batch of walks is taken in, one an optimiser step.
        updates_per_walk: optimiser steps on one batch of walks (n_update times ``minibatches``).
        exploration: η of the noise of training walks.
        target_decay: λ of the target network.
        error: ``"square"``, ``"huber"`` or ``"linex"``, which has no bias with soft targets; see ``learning``.
        gradient_weight: of learning the gradients of soft targets beside their values; 0 for values alone.
        steps: optimiser steps.
        batch_size: walks per step and replica.
        learning_rate: of Adam.
        decay: ``"cosine"`` or ``"constant"``.
        ema_decay: of the averaged weights, which are the ones used.
        clip_norm: largest gradient norm.
        drift_clip: largest drift of a step, in units of the length of its noise; None for no limit.
        energy_clip: energy from which E goes on like a logarithm; None for E as it is. See ``landscape.Energy``.
        noise_scale: η of the noise when sampling.
        final_noise: whether the last step has noise; without it there are no path weights.
        negatives_from: where walks for negative samples start: ``"prior"``, or ``"data"``: at training rows carried to
            t = 0 by the auxiliary process (Sec. 5).
    """

    needs: ClassVar[frozenset[str]] = frozenset({"log_prob", "score"})

    value: Part = "value-mlp"
    width: int | None = None
    depth: int | None = None
    sampling_steps: int = 20
    process: Kind = "ve"
    schedule: Shape = "geometric"
    start_variance: float | None = None
    total_variance: float | None = 25.0
    end_variance: float = 0.05
    policy: Rule = "moments"
    temperature: float = 1.0
    baseline: bool = True
    energy_skip: bool = True
    initial_std: float | None = None
    initial_rate: float = 0.003
    backup: Backup = "soft"
    draws: int = 4
    n_step: int = 1
    minibatches: int = 1
    updates_per_walk: int = 2
    exploration: float = 1.2
    target_decay: float = 0.9
    error: ERROR = "huber"
    gradient_weight: float = 0.0
    steps: int = 1_500
    batch_size: int = 128
    learning_rate: float = 2e-3
    decay: str = "cosine"
    ema_decay: float = 0.99
    clip_norm: float | None = 1.0
    drift_clip: float | None = 1.5
    energy_clip: float | None = None
    noise_scale: float = 1.0
    final_noise: bool = True
    negatives_from: str = "prior"

    def __post_init__(self) -> None:
        positive(noise_scale=self.noise_scale, initial_std=self.initial_std)
        if self.energy_clip is not None and not math.isfinite(self.energy_clip):
            raise ConfigurationError(f"energy_clip is {self.energy_clip}; expected a finite energy, or None")
        if self.negatives_from not in ("prior", "data"):
            raise ConfigurationError(f"negatives_from is {self.negatives_from!r}; expected 'prior' or 'data'")
        if self.energy_skip and not self.baseline:
            raise ConfigurationError("energy_skip is True and baseline False; the skip is a part of the baseline")
        self.rule, self.learning, self.plan  # noqa: B018 - building the parts validates their options
        if self.value == EXACT:
            if self.temperature != 1:
                raise ConfigurationError(
                    f"temperature is {self.temperature} and value {EXACT!r}; exact values are those of temperature 1"
                )
        else:
            self.network  # noqa: B018 - likewise

    @property
    def fixed(self) -> frozenset[str]:  # type: ignore[override]
        """Options that only fitting uses."""
        return frozenset(self.options()) - SAMPLING

    @property
    def auxiliary(self) -> AuxiliaryProcess:
        """The auxiliary process."""
        variances = schedule(
            self.schedule,
            self.sampling_steps,
            end=self.end_variance,
            start=self.start_variance,
            total=self.total_variance,
        )
        return AuxiliaryProcess(variances, self.process)

    @property
    def rule(self) -> Policy:
        """How values become steps."""
        return Policy(self.auxiliary, self.policy, self.temperature, self.drift_clip)

    @property
    def learning(self) -> Learning:
        """The options of learning."""
        return Learning(
            batch_size=self.batch_size,
            backup=self.backup,
            draws=self.draws,
            n_step=self.n_step,
            minibatches=self.minibatches,
            updates_per_walk=self.updates_per_walk,
            exploration=self.exploration,
            target_decay=self.target_decay,
            error=self.error,
            gradient_weight=self.gradient_weight,
            initial_rate=self.initial_rate,
        )

    @property
    def plan(self) -> TrainingPlan:
        """The options of the training loop."""
        return TrainingPlan(
            steps=self.steps,
            learning_rate=self.learning_rate,
            decay=self.decay,  # type: ignore[arg-type]
            ema_decay=self.ema_decay,
            clip_norm=self.clip_norm,
        )

    @property
    def network(self) -> ValueField:
        """The spec of the network.

        Raises:
            ConfigurationError: if it is not one of values.
        """
        field = make_field(self.value, width=self.width, depth=self.depth)
        if not isinstance(field, ValueField):
            raise ConfigurationError(
                f"value is {self.value!r}, a field that gives no values; expected value-mlp, value-fourier-mlp, "
                f"value-distances, value-inverse-distances or {EXACT!r}"
            )
        return field

    def fit(
        self, target: Target, *, seed: int = 0, device: torch.device | str = "cpu", callbacks: Sequence[Callback] = ()
    ) -> Model:
        """See ``Sampler.fit``."""
        (result,) = self.fit_replicas(target, seeds=[seed], device=device, callbacks=callbacks)
        if isinstance(result, Exception):
            raise result
        return result

    def fit_replicas(
        self,
        target: Target,
        *,
        seeds: Sequence[int],
        device: torch.device | str = "cpu",
        callbacks: Sequence[Callback] = (),
    ) -> list[Model | Exception]:
        """All seeds as one stacked network; see ``Sampler.fit_replicas``."""
        name = type(self).__name__
        target.require(*self.needs, by=name)
        target = target.to(device)
        if self.value == EXACT:
            return [self._exact(target, seed=seed, device=device) for seed in seeds]
        learner = self.learner(target, seeds=seeds, device=device)
        critic = learner.critic
        reports = train(critic, learner.loss, self.plan, callbacks=callbacks, description=f"{name} on {target.name}")
        results: list[Model | Exception] = []
        for index, report in enumerate(reports):
            if not isinstance(report, TrainingReport):
                results.append(report)
                continue
            one = replica(critic, index).requires_grad_(False)
            model = ValueGradientModel(self, target, critic=one, log_std=one.log_std)
            model.report = report
            results.append(model)
        return results

    def negatives(self, target: Target, *, seed: int, device: torch.device | str = "cpu") -> ValueNegatives:
        """A supply of negative samples that learns along; see ``phys_samplers.negatives.SuppliesNegatives``.

        Raises:
            MissingCapability: if the target has no density, or no rows to start from where they are asked for.
            ConfigurationError: with exact values, which cannot follow a changing energy.
        """
        target.require(*self.needs, *({"samples"} if self.negatives_from == "data" else ()), by="negatives()")
        if self.value == EXACT:
            raise ConfigurationError(f"value is {EXACT!r}, which cannot follow a changing energy; set 'value-mlp'")
        return ValueNegatives(self, target, seed=seed, device=device)

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
        return Learner(critic, Energy(density, self.energy_clip), self.rule, self.learning, streams=streams)

    @property
    def _initial_std(self) -> float:
        if self.initial_std is not None:
            return self.initial_std
        return math.sqrt(1 + self.auxiliary.total) if self.process == "ve" else 1.0

    @property
    def _variance(self) -> float | None:
        """Of a normal law that the auxiliary process carries to N(0, σ_init²), if σ_init is given."""
        if self.initial_std is None:
            return None
        scale, blur = self.auxiliary.marginals[0]
        return max((self.initial_std**2 - blur) / scale**2, self.end_variance)

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
        if target is None or tuple(target.event_shape) != tuple(event_shape):
            given = "none" if target is None else f"{target.name!r} with event shape {tuple(target.event_shape)}"
            raise CheckpointError(
                "the last value of a value gradient sampler is its target's energy: expected target= with event shape "
                f"{tuple(event_shape)}, got {given}"
            )
        if self.value == EXACT:
            return ValueGradientModel(self, target, critic=None, log_std=tensors["log_std"])
        critic = self.learner(target, seeds=[0], device=device).critic.requires_grad_(False)
        critic.load_state_dict(dict(tensors))
        return ValueGradientModel(self, target, critic=critic, log_std=critic.log_std)
