r"""An energy learned from samples by contrastive divergence, with negative samples from any sampler that supplies them.

At every step, with x⁺ a batch of rows and x⁻ as many negative samples of p_θ ∝ exp(−E_θ/τ) as it is, held fixed,

    L = mean E(x⁺) − mean E(x⁻) + γ (mean E(x⁺)² + mean E(x⁻)²),        ∇_θ L|_{γ=0} = −τ ∇_θ E_data[log p_θ]

takes a step down, then the sampler follows. What γ does: E is known up to a constant, which the squares choose, and
they bound it. Where data and model have the densities p and q, the loss is stationary for an unrestricted E if
p − q + 2γE (p + q) = 0, so that

    q/p = (1 + 2γE)/(1 − 2γE),        |E| ≤ 1/(2γ):

in units of τ, energies span 1/(γτ) at most, and within the data q/p is wrong by the factor 1 + 4γE.

Source: Hinton 2002; Du & Mordatch 2019 (squares); Yoon et al. 2025 (arXiv:2502.13280), Sec. 5, 7.3.1, Algorithm 3.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from phys_energy.energy import Energy, EnergyLaw, log_normaliser
from phys_samplers.errors import ConfigurationError, DivergenceError, TrainingDiverged
from phys_samplers.fields.stacked import make_field
from phys_samplers.negatives import SuppliesNegatives
from phys_samplers.nested import nested_facts, nested_tensors, restore_nested
from phys_samplers.objective import PRECISION, Objective, TrainedSampler
from phys_samplers.options import Part, draw_option, fit_option, make_part
from phys_samplers.randomness import Streams, derive_seed
from phys_samplers.sampler import Draw, Model, Sampler
from phys_samplers.standardise import Standardisation, Standardiser
from phys_samplers.target import Target
from phys_samplers.training import Callback
from phys_samplers.training.state import Counter


def contrastive_loss(data: Tensor, negatives: Tensor, *, gamma: float = 0.0) -> Tensor:
    """L (R,), one per replica.

    Args:
        data: energies (R, B) of data.
        negatives: energies (R, M) of negative samples, which must not carry a graph to where they came from.
        gamma: γ.
    """
    loss = data.mean(1) - negatives.mean(1)
    if not gamma:
        return loss
    return loss + gamma * (data.square().mean(1) + negatives.square().mean(1))


REACH = 6.0
"""Standard deviations of the well within which the constant is integrated."""
ROWS = 2**16
"""Points whose energy is computed at once."""


def energy_target(energy: Energy, dim: int, name: str, *, train: Tensor | None = None) -> Target:
    """The energy as a target in standardised coordinates, for samplers; it follows the weights as they change."""
    return Target(event_shape=(dim,), name=f"energy of {name}", law=EnergyLaw(energy, dim), train=train)


class EnergyModel(Model):
    """A trained energy with what supplied its negative samples.

    Args:
        recipe: with the sampling options.
        energy: of standardised coordinates.
        standardiser: between data units and those.
        drawer: samples from the energy, in standardised coordinates.
        target_name: what the energy was fitted to.
        event_shape: of a sample.
    """

    recipe: EnergyBasedModel
    NETWORK: ClassVar[str] = "network."
    DRAWER: ClassVar[str] = "drawer."

    def __init__(
        self,
        recipe: EnergyBasedModel,
        energy: Energy,
        standardiser: Standardiser,
        drawer: Model,
        *,
        target_name: str,
        event_shape: tuple[int, ...],
    ) -> None:
        self.recipe, self._energy, self.standardiser, self.drawer = recipe, energy, standardiser, drawer
        self.target_name, self.event_shape = target_name, tuple(event_shape)

    @property
    def device(self) -> torch.device:
        """Where the model computes."""
        return self.standardiser.mean.device

    def target(self) -> Target:
        """The learned law in standardised coordinates u, unnormalised, as a target for any sampler of densities."""
        return energy_target(self._energy, len(self.standardiser.mean), self.target_name)

    @torch.no_grad()
    def energy(self, x: Tensor) -> Tensor:
        """E (B,) at x (B, *event_shape), up to the constant that training chose; low where data are."""
        return torch.cat([self._energy.value(self.standardiser.forward(rows)) for rows in x.split(ROWS)])

    @torch.no_grad()
    def score(self, x: Tensor, sigma: float | None = None) -> Tensor:
        """∇log p = −∇E/τ at x (B, *event_shape), in data units.

        Raises:
            ConfigurationError: if ``sigma`` is given: the energy is of one law, not of blurred ones.
        """
        if sigma is not None:
            raise ConfigurationError(f"sigma is {sigma!r}, but an energy knows no blurred laws; leave sigma out")
        _, gradient = self._energy.value_and_gradient(self.standardiser.forward(x))
        return self.standardiser.pull_back(gradient.div_(-self._energy.temperature)).unflatten(1, self.event_shape)

    @cached_property
    def log_z(self) -> float:
        """log Z of exp(−E(u)/τ) in standardised coordinates, computed once.

        By quadrature in one or two dimensions; beyond, what the sampler ``log_z`` of the recipe reports as ``log_z``.

        Raises:
            ConfigurationError: if there is no well, no such sampler, or it reports none.
        """
        recipe, dim = self.recipe, len(self.standardiser.mean)
        if recipe.log_z is None and dim <= 2:
            if recipe.well is None:
                raise ConfigurationError("well is None, so that exp(−E/τ) need not have a finite integral; set a well")
            device = self.device

            def log_density(u: Tensor) -> Tensor:
                return self._energy.value(u.to(device)).div_(-recipe.temperature).cpu()

            return log_normaliser(log_density, dim, half_width=REACH * recipe.well)
        if recipe.log_z is None:
            raise ConfigurationError(
                f"the density of an energy of {dim} coordinates needs its constant, and log_z is None; name a sampler "
                "that estimates it (with_options(log_z='smc')), or use energy(x), which is the density but for that"
            )
        sampler: Sampler = make_part("sampler", recipe.log_z)
        drawn = sampler.fit(self.target(), seed=0, device=self.device).draw(recipe.log_z_samples, seed=0)
        if "log_z" not in drawn.diagnostics:
            raise ConfigurationError(f"log_z is {recipe.log_z!r}, a sampler that estimates no constant; try 'smc'")
        return float(drawn.diagnostics["log_z"])

    @torch.no_grad()
    def log_prob(self, x: Tensor) -> Tensor:
        """The normalised log-density (B,) at x (B, *event_shape), in data units; see ``log_z``."""
        return self.energy(x).div_(-self._energy.temperature).sub_(self.log_z + self.standardiser.log_volume)

    def fields(self, x: Tensor) -> dict[str, Tensor]:
        """For pictures: ``s``, the energy (B,) at x (B, *event_shape), and the ``score`` (B, D)."""
        return {"s": self.energy(x), "score": self.score(x).flatten(1)}

    def with_options(self, **options: Any) -> Self:
        """See ``Model.with_options``; options that are not of this recipe are those of the sampler of negatives."""
        inner = self.recipe.passed_on(options)
        twin = copy.copy(self)
        twin.recipe = self.recipe.for_draw({name: value for name, value in options.items() if name not in inner})
        twin.drawer = self.drawer.with_options(**inner) if inner else self.drawer
        if {"log_z", "log_z_samples"} & options.keys():
            twin.__dict__.pop("log_z", None)
        return twin

    def draw(self, n: int, *, seed: int = 0, start: Tensor | None = None, **options: Any) -> Draw:
        """``n`` samples by what supplied the negative samples, or by ``sampler`` in the learned energy.

        ``start`` is handed on in standardised coordinates; ``nfe`` and diagnostics are those of the sampler.
        """
        self.check_draw(n, start)
        model = self.with_options(**options) if options else self
        drawer = model.drawer
        if model.recipe.sampler is not None:
            sampler: Sampler = make_part("sampler", model.recipe.sampler)
            drawer = sampler.fit(self.target(), seed=seed, device=self.device)
        begin = None if start is None else self.standardiser.forward(start.detach().to(self.device))
        drawn = drawer.draw(n, seed=seed, start=begin)
        samples = self.standardiser.inverse(drawn.samples, self.event_shape)
        return Draw(samples, drawn.nfe, drawn.diagnostics, drawn.log_weights)

    def tensors(self) -> dict[str, Tensor]:
        """Weights, standardiser and what the sampler of negatives holds."""
        weights = {self.NETWORK + name: tensor for name, tensor in self._energy.network.state_dict().items()}
        return {**weights, **self.standardiser.tensors(), **nested_tensors(self.drawer, self.DRAWER)}

    def facts(self) -> dict[str, Any]:
        """Those of the sampler of negatives."""
        return {"drawer": nested_facts(self.drawer)}


PERSISTENT = "langevin[sampling_steps=10,step_size=0.002,prior_std=1.0,starts=data,buffer_size=8192,restart_rate=0.05]"
"""Negative samples of 8,192 chains that go on from step to step, one in twenty started anew at a row of the data."""


@dataclass(frozen=True, kw_only=True)
class EnergyBasedModel(TrainedSampler):
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
        batch_size: rows, and negative samples, per step.
        settle: rounds after training in which the sampler of negatives follows the averaged energy.
        standardise: how networks see coordinates, see ``RowsSampler``.
        sampler: what draws from the fitted model instead, such as ``mala``: any sampler of densities, in standardised
            coordinates.
        log_z: the sampler whose estimate of log Z normalises ``log_prob``, such as ``smc``; None for quadrature, which
            only one or two coordinates allow.
        log_z_samples: its number of samples.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"samples"})
    negatives: Part = PERSISTENT
    field: Part = "mlp"
    width: int | None = 128
    depth: int | None = None
    gamma: float = fit_option(0.05, least=0)
    temperature: float = fit_option(1.0, above=0)
    well: float | None = fit_option(1.5, above=0)
    noise_share: float = fit_option(0.05, least=0, below=1)
    jitter: float = fit_option(0.0, least=0)
    steps: int = fit_option(1_000, least=1)
    batch_size: int = fit_option(256, least=2)
    learning_rate: float = fit_option(2e-3, above=0)
    ema_decay: float = fit_option(0.98, least=0, below=1)
    settle: int = fit_option(20, least=0)
    standardise: Standardisation = "coordinates"
    sampler: Part | None = draw_option(None)
    log_z: Part | None = draw_option(None)
    log_z_samples: int = draw_option(2_000, least=2)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.supplier()

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

    def fit_replicas(
        self,
        target: Target,
        *,
        seeds: Sequence[int],
        device: torch.device | str = "cpu",
        callbacks: Sequence[Callback] = (),
        checkpoint: str | Path | None = None,
    ) -> list[Model | Exception]:
        """One seed after the other: each follows negative samples of its own; see ``Sampler.fit_replicas``.

        A seed whose negative samples were lost ends with ``TrainingDiverged``. Each has its own folder in
        ``checkpoint``.
        """
        results: list[Model | Exception] = []
        for seed in seeds:
            folder = None if checkpoint is None else Path(checkpoint) / f"seed-{seed}"
            try:
                results += super().fit_replicas(
                    target, seeds=[seed], device=device, callbacks=callbacks, checkpoint=folder
                )
            except ArithmeticError as error:
                results.append(error)
        return results

    def training_objective(self, target: Target, *, seeds: Sequence[int], device: torch.device | str) -> Objective:
        """See ``TrainedSampler.training_objective``: contrastive divergence, negatives that follow the energy."""
        (seed,) = seeds
        assert target.train is not None
        standardiser = Standardiser.fit(target.train.detach(), self.standardise, precision=PRECISION)
        rows = standardiser.forward(target.train.detach())
        energy = self._energy(rows.shape[1], Streams([seed], "weights")).to(device)
        supplier = self.supplier()
        assert isinstance(supplier, SuppliesNegatives)
        supply = supplier.negatives(
            energy_target(energy, rows.shape[1], target.name, train=rows),
            seed=derive_seed(seed, "negatives"),
            device=device,
        )
        batches, noise = Streams([seed], "batches", device=device), Streams([seed], "noise", device=device)
        scattered = round(self.noise_share * self.batch_size)
        step = Counter()

        def loss() -> Tensor:
            try:
                if step.value:
                    supply.learn()  # the energy has changed since the last draw
                step.value += 1
                negatives = supply.draw(self.batch_size - scattered).unsqueeze(0)
            except DivergenceError as error:
                raise TrainingDiverged(
                    f"{type(self).__name__} on {target.name}: negative samples were lost at step {step.value} of "
                    f"{self.steps}: {error}; try a smaller learning_rate (now {self.learning_rate:g}), more gamma (now "
                    f"{self.gamma:g}) or smaller steps of the sampler of negatives"
                ) from error
            data = rows[batches.integers(len(rows), self.batch_size)]
            if self.jitter:
                data = torch.add(data, noise.normal(*data.shape[1:]), alpha=self.jitter)
            scatter = noise.normal(scattered, rows.shape[1]).mul_(self.well or 1.0)
            both = energy(torch.cat((data, negatives, scatter), 1))
            return contrastive_loss(both[:, : self.batch_size], both[:, self.batch_size :], gamma=self.gamma)

        def finish(module: nn.Module, seed: int) -> EnergyModel:
            energy.requires_grad_(False)  # the supply follows this one, not its copy
            for _ in range(self.settle):
                supply.draw(self.batch_size)
                supply.learn()
            drawer = supply.model()
            return EnergyModel(
                self, energy, standardiser, drawer, target_name=target.name, event_shape=target.event_shape
            )

        return Objective(energy, loss, finish, state=(batches, noise, step, supply))

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
