"""The fitted energy: values, score, density where its constant is known, samples by chains or a learned sampler."""

from __future__ import annotations

import copy
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Self

import torch
from torch import Tensor

from phys_energy.energy import Energy, EnergyLaw
from phys_energy.normalisation import log_normaliser
from phys_samplers.errors import ConfigurationError
from phys_samplers.nested import nested_facts, nested_tensors
from phys_samplers.parts import make_part
from phys_samplers.sampler import Draw, Model, Sampler
from phys_samplers.standardise import Standardiser
from phys_samplers.target import Target

if TYPE_CHECKING:
    from phys_energy.recipe import EnergyBasedModel

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
