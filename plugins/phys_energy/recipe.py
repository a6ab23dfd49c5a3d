r"""An energy learned from samples by contrastive divergence, with negative samples from any sampler that supplies them.

At every step, with x⁺ a batch of rows and x⁻ as many negative samples of the energy as it is,

    θ ← θ − η ∇_θ [mean E(x⁺) − mean E(x⁻) + γ (mean E(x⁺)² + mean E(x⁻)²)],        then the sampler follows.

Source: Hinton 2002; Yoon et al. 2025 (arXiv:2502.13280), Algorithm 3 and Sec. 7.3.1.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, get_args

import torch
from torch import Tensor

from phys_energy.contrastive import contrastive_loss
from phys_energy.energy import Energy
from phys_energy.model import EnergyModel, energy_target
from phys_samplers.chains.checks import at_least, positive
from phys_samplers.errors import ConfigurationError, DivergenceError, TrainingDiverged
from phys_samplers.fields import make_field
from phys_samplers.negatives import Negatives, SuppliesNegatives
from phys_samplers.nested import restore_nested
from phys_samplers.parts import Part, make_part
from phys_samplers.randomness import Streams, derive_seed
from phys_samplers.sampler import Sampler
from phys_samplers.standardise import Standardisation, Standardiser
from phys_samplers.target import Target
from phys_samplers.training import Callback, TrainingPlan, TrainingReport, train

PRECISION = torch.float32
"""Of networks and their initial weights."""

PERSISTENT = "langevin[sampling_steps=10,step_size=0.002,prior_std=1.0,starts=data,buffer_size=8192,restart_rate=0.05]"
"""Negative samples of 8,192 chains that go on from step to step, one in twenty started anew at a row of the data."""


@dataclass(frozen=True, kw_only=True)
class EnergyBasedModel(Sampler):
    """p ∝ exp(−E/τ) with a network as E, on standardised coordinates.

    Negative samples come from the sampler ``negatives``, which also draws from the fitted model, as it does at the end
    of training. What it cannot reach is wrong in the energy: short chains teach an energy that suits short chains.

    Args:
        negatives: a sampler that supplies negative samples (``phys_samplers.negatives``), by name (also with options),
            mapping or recipe. It works in standardised coordinates.
        field: the network, by name or object.
        width: units of each hidden layer, unless ``field`` is an object; None for the field's own.
        depth: hidden layers, likewise.
        gamma: γ, weight of the squared energies, which bound them by 1/(2γ).
        temperature: τ.
        well: standard deviation s of the Gaussian that the network tilts, in those of the data; None for none.
        noise_share: share of the negative samples that is drawn from N(0, s² I) instead (s = 1 without a well). Where
            the sampler does not go, nothing else keeps the energy from falling; they raise it there to 1/(2γ), and
            what they take from the model elsewhere is as thin as they are.
        jitter: standard deviation of normal noise that is added to rows, in those of the data.
        steps: optimiser steps.
        batch_size: rows, and negative samples, per step.
        learning_rate: of Adam at the start; it follows a cosine to zero.
        ema_decay: of the averaged weights, which are the ones used.
        clip_norm: largest gradient norm.
        settle: rounds after training in which the sampler of negatives follows the averaged energy.
        standardise: how networks see coordinates, see ``RowsSampler``.
        sampler: what draws from the fitted model instead, such as ``mala``: any sampler of densities, in standardised
            coordinates.
        log_z: the sampler whose estimate of log Z normalises ``log_prob``, such as ``smc``; None for quadrature, which
            only one or two coordinates allow.
        log_z_samples: its number of samples.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"samples"})
    fixed: ClassVar[frozenset[str]] = frozenset(
        {"negatives", "field", "width", "depth", "gamma", "temperature", "well", "steps", "batch_size"}
        | {"noise_share", "jitter", "learning_rate", "ema_decay", "clip_norm", "settle", "standardise"}
    )

    negatives: Part = PERSISTENT
    field: Part = "mlp"
    width: int | None = 128
    depth: int | None = None
    gamma: float = 0.05
    temperature: float = 1.0
    well: float | None = 1.5
    noise_share: float = 0.05
    jitter: float = 0.0
    steps: int = 1_000
    batch_size: int = 256
    learning_rate: float = 2e-3
    ema_decay: float = 0.98
    clip_norm: float | None = 1.0
    settle: int = 20
    standardise: Standardisation = "coordinates"
    sampler: Part | None = None
    log_z: Part | None = None
    log_z_samples: int = 2_000

    def __post_init__(self) -> None:
        at_least(2, batch_size=self.batch_size, log_z_samples=self.log_z_samples)
        at_least(0, settle=self.settle)
        positive(temperature=self.temperature, well=self.well)
        for name in ("gamma", "noise_share", "jitter"):
            if not getattr(self, name) >= 0:
                raise ConfigurationError(f"{name} is {getattr(self, name)}; expected a number of at least 0")
        if not self.noise_share < 1:
            raise ConfigurationError(f"noise_share is {self.noise_share}; expected a share below 1")
        if self.standardise not in get_args(Standardisation):
            raise ConfigurationError(
                f"standardise is {self.standardise!r}; expected one of {', '.join(get_args(Standardisation))}"
            )
        self.plan  # noqa: B018 - building the plan validates the options it takes
        self.supplier()

    @property
    def plan(self) -> TrainingPlan:
        """The options of the training loop."""
        return TrainingPlan(
            steps=self.steps,
            learning_rate=self.learning_rate,
            ema_decay=self.ema_decay,
            clip_norm=self.clip_norm,
        )

    def supplier(self) -> Sampler:
        """The recipe of the sampler of negatives.

        Raises:
            ConfigurationError: if it supplies none.
        """
        recipe: Sampler = make_part("sampler", self.negatives)
        if not isinstance(recipe, SuppliesNegatives):
            raise ConfigurationError(
                f"negatives is {self.negatives!r}, a sampler that cannot follow an energy under training; expected one "
                "with a method negatives(), such as 'langevin' or 'vgs'"
            )
        return recipe

    def passed_on(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Those of ``options`` that are not options of this recipe, but of the sampler of negatives."""
        own = {field.name for field in dataclasses.fields(self)}
        return {name: value for name, value in options.items() if name not in own}

    def fit(
        self, target: Target, *, seed: int = 0, device: torch.device | str = "cpu", callbacks: Sequence[Callback] = ()
    ) -> EnergyModel:
        """See ``Sampler.fit``.

        Raises:
            TrainingDiverged: at the step where the loss stopped being finite, or negative samples were lost.
        """
        name = type(self).__name__
        target.require(*self.needs, by=name)
        target = target.to(device)
        assert target.train is not None
        rows = target.train.detach().to(PRECISION)
        standardiser = Standardiser.fit(rows, self.standardise)
        rows = standardiser.forward(rows)
        energy = self._energy(rows.shape[1], Streams([seed], "weights")).to(device)
        inner = energy_target(energy, rows.shape[1], target.name, train=rows)
        supplier = self.supplier()
        assert isinstance(supplier, SuppliesNegatives)
        supply = supplier.negatives(inner, seed=derive_seed(seed, "negatives"), device=device)
        report = self._train(
            energy, rows, supply, seed=seed, callbacks=callbacks, description=f"{name} on {target.name}"
        )
        energy.requires_grad_(False)
        for _ in range(self.settle):
            supply.draw(self.batch_size)
            supply.learn()
        model = EnergyModel(
            self, energy, standardiser, supply.model(), target_name=target.name, event_shape=target.event_shape
        )
        model.report = report
        return model

    def restore(
        self,
        tensors: Mapping[str, Tensor],
        facts: Mapping[str, Any],
        *,
        event_shape: tuple[int, ...],
        target: Target | None,
        device: torch.device | str = "cpu",
    ) -> EnergyModel:
        """See ``Sampler.restore``."""
        standardiser = Standardiser.from_tensors(tensors)
        dim, prefix = len(standardiser.mean), EnergyModel.NETWORK
        energy = self._energy(dim, Streams([0], "restore"))
        energy.network.load_state_dict({k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)})
        energy = energy.to(device).requires_grad_(False)
        drawer = restore_nested(
            self.supplier(),
            tensors,
            facts["drawer"],
            prefix=EnergyModel.DRAWER,
            event_shape=(dim,),
            target=energy_target(energy, dim, ""),
            device=device,
        )
        return EnergyModel(self, energy, standardiser, drawer, target_name="", event_shape=event_shape)

    def _energy(self, dim: int, streams: Streams) -> Energy:
        field = make_field(self.field, width=self.width, depth=self.depth)
        return Energy(field.build(dim, 1, streams=streams), temperature=self.temperature, well=self.well)

    def _train(
        self,
        energy: Energy,
        rows: Tensor,
        supply: Negatives,
        *,
        seed: int,
        callbacks: Sequence[Callback],
        description: str,
    ) -> TrainingReport:
        batches, noise = Streams([seed], "batches", device=rows.device), Streams([seed], "noise", device=rows.device)
        scattered = round(self.noise_share * self.batch_size)
        step = 0

        def loss() -> Tensor:
            nonlocal step
            if step:
                supply.learn()  # the energy has changed since the last draw
            step += 1
            data = rows[batches.integers(len(rows), self.batch_size)]
            if self.jitter:
                data = torch.add(data, noise.normal(*data.shape[1:]), alpha=self.jitter)
            negatives = supply.draw(self.batch_size - scattered).unsqueeze(0)
            scatter = noise.normal(scattered, rows.shape[1]).mul_(self.well or 1.0)
            both = energy(torch.cat((data, negatives, scatter), 1))
            return contrastive_loss(both[:, : self.batch_size], both[:, self.batch_size :], gamma=self.gamma)

        try:
            (report,) = train(energy, loss, self.plan, callbacks=callbacks, description=description)
        except DivergenceError as error:
            raise TrainingDiverged(
                f"{description}: negative samples were lost at step {step} of {self.steps}: {error}; try a smaller "
                f"learning_rate (now {self.learning_rate:g}), more gamma (now {self.gamma:g}) or smaller steps of the "
                "sampler of negatives"
            ) from error
        if isinstance(report, TrainingDiverged):
            raise report
        return report
