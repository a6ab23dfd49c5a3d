"""Fitted Bellman models: sampling by the dynamics, the fields and the score at any point, what a checkpoint holds."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from phys_bellman.dynamics import BellmanDynamics, Box, CappedFields
from phys_bellman.networks import FieldNetworks
from phys_samplers.dynamics import Dynamics
from phys_samplers.integrators import Integrator, integrate, uniform
from phys_samplers.parts import make_part
from phys_samplers.randomness import make_generator
from phys_samplers.sampler import Draw, Model
from phys_samplers.standardise import Standardiser

if TYPE_CHECKING:
    from phys_bellman.recipe import BellmanDiffusion


class BellmanModel(Model):
    """What both parametrisations share: draw, fields and score in data units, tensors.

    Args:
        recipe: that made it.
        standardiser: between data units and the network's.
    """

    recipe: BellmanDiffusion
    module: nn.Module
    default_integrator: ClassVar[str] = "euler-maruyama"

    def __init__(self, recipe: BellmanDiffusion, standardiser: Standardiser) -> None:
        self.recipe = recipe
        self.standardiser = standardiser

    @property
    def dim(self) -> int:
        """Number of coordinates."""
        return len(self.standardiser.mean)

    @property
    def device(self) -> torch.device:
        """Where the model computes."""
        return self.standardiser.mean.device

    @abstractmethod
    def dynamics(self, recipe: BellmanDiffusion, integrator: Integrator) -> Dynamics:
        """What ``integrator`` integrates, in standardised coordinates, with the sampling options of ``recipe``."""

    def grid(self, dynamics: Dynamics, steps: int) -> tuple[float, ...]:
        """The times of ``dynamics`` that are stepped through: equal steps."""
        return uniform(*dynamics.times, steps)

    @abstractmethod
    def standard_fields(self, x: Tensor, sigma: float | None) -> tuple[Tensor, Tensor, Tensor]:
        """s (B,), g (B, D) and ∇s (B, D) at standardised x (B, D)."""

    def standard_score(self, x: Tensor, sigma: float | None) -> Tensor:
        """The score (2g − ∇s)/s: from g* = ½(∇q + q∇log p). g/s alone would sample √(pq)."""
        s, g, slope = self.standard_fields(x, sigma)
        return (2 * g - slope) / s.unsqueeze(-1)

    def draw(self, n: int, *, seed: int = 0, start: Tensor | None = None, **options: Any) -> Draw:
        """Algorithm 2: start from the prior, follow the SDE. See ``Model.draw``."""
        self.check_draw(n, start)
        recipe = self.recipe.for_draw(options)
        integrator: Integrator = make_part("integrator", recipe.integrator or self.default_integrator)
        dynamics = self.dynamics(recipe, integrator)
        generator = make_generator(seed, "sample", device=self.device)
        if start is None:
            x = dynamics.prior(n, generator)
        else:
            x = self.standardiser.forward(start.to(self.device, self.standardiser.mean.dtype))
        solution = integrate(
            dynamics,
            x,
            integrator=integrator,
            grid=self.grid(dynamics, recipe.steps_of(integrator)),
            generator=generator,
        )
        facts = {"integrator": integrator.name, "sampling_steps": solution.steps, "lost": solution.lost}
        if isinstance(dynamics, BellmanDynamics) and dynamics.box is not None:
            facts |= dynamics.box.shares()
        return Draw(self.standardiser.inverse(solution.x, self.event_shape), solution.nfe, facts)

    @torch.no_grad()
    def fields(self, x: Tensor, sigma: float | None = None) -> dict[str, Tensor]:
        """The learned fields at x (B, *event_shape): ``s`` (B,) and ``g`` (B, D), as functions of the data's units.

        Args:
            x: points.
            sigma: blur in data units, for the annealed parametrisation; its smallest one by default. Networks know
                isotropic blur of standardised data, of the size sigma over the ``width`` of the standardiser.
        """
        s, g, _ = self.standard_fields(self.standardiser.forward(x), self._standard_blur(sigma))
        return {"s": s, "g": self.standardiser.pull_back(g)}

    @torch.no_grad()
    def score(self, x: Tensor, sigma: float | None = None) -> Tensor:
        """(2g − ∇s)/s at x (B, *event_shape), in data units.

        Args:
            x: points.
            sigma: blur in data units, for the annealed parametrisation; its smallest one by default. Networks know
                isotropic blur of standardised data, of the size sigma over the ``width`` of the standardiser.
        """
        score = self.standard_score(self.standardiser.forward(x), self._standard_blur(sigma))
        return self.standardiser.pull_back(score).unflatten(1, self.event_shape)

    def _standard_blur(self, sigma: float | None) -> float | None:
        return None if sigma is None else sigma / self.standardiser.width

    def tensors(self) -> dict[str, Tensor]:
        """Network and standardisation."""
        return {
            **{f"module.{name}": value for name, value in self.module.state_dict().items()},
            **self.standardiser.tensors(),
        }


class NetworkBellmanModel(BellmanModel):
    """The paper's parametrisation: two networks, one SDE, no annealing.

    Args:
        recipe: that made it.
        networks: a stack of one replica.
        standardiser: between data units and the networks'.
        bounds: least and greatest value of the standardised training rows, (2, D).
    """

    def __init__(
        self, recipe: BellmanDiffusion, networks: FieldNetworks, standardiser: Standardiser, bounds: Tensor
    ) -> None:
        super().__init__(recipe, standardiser)
        self.module: FieldNetworks = networks
        self.bounds = bounds

    def pair(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """s (B,) and g (B, D) at standardised x."""
        y = x.unsqueeze(0)
        if self.module.tied:
            s, slope = self.module.scalar_and_slope(y)
            return s.squeeze(0), slope.squeeze(0)
        return self.module.scalar(y).squeeze(0), self.module.gradient(y).squeeze(0)

    def dynamics(self, recipe: BellmanDiffusion, integrator: Integrator) -> BellmanDynamics:
        """Eq. 13 for a time T·η, with the guards of the recipe."""
        cap, margin = recipe.mobility_cap, recipe.box
        low, high = self.bounds
        return BellmanDynamics(
            self.pair if cap is None else CappedFields(lambda x: self.standard_fields(x, None), cap),
            self.dim,
            duration=recipe.steps_of(integrator) * recipe.step_size,
            prior_std=recipe.prior_std,
            box=None if margin is None else Box(low - margin * (high - low), high + margin * (high - low)),
        )

    def standard_fields(self, x: Tensor, sigma: float | None) -> tuple[Tensor, Tensor, Tensor]:
        """s, g and ∇s; there is one blur only."""
        y = x.unsqueeze(0)
        s, slope = self.module.scalar_and_slope(y)
        g = slope if self.module.tied else self.module.gradient(y)
        return s.squeeze(0), g.squeeze(0), slope.squeeze(0)

    def tensors(self) -> dict[str, Tensor]:
        """Networks, standardisation and the box of the data."""
        return {**super().tensors(), "bounds": self.bounds}
