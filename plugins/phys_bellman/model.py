"""What both Bellman samplers share: options of kernel, network and step; draw, fields and score of the model."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from phys_bellman.kernels import Kernel
from phys_samplers.dynamics import Dynamics
from phys_samplers.errors import ConfigurationError
from phys_samplers.fields.stacked import Field, make_field, weights
from phys_samplers.integrators.base import Integrator, uniform
from phys_samplers.integrators.driver import integrate
from phys_samplers.objective import RowsSampler
from phys_samplers.options import Part, draw_option, fit_option, make_part
from phys_samplers.randomness import make_generator
from phys_samplers.sampler import Draw, Model
from phys_samplers.standardise import Standardiser


@dataclass(frozen=True, kw_only=True)
class BellmanSampler(RowsSampler):
    """Options of both recipes.

    Args:
        kernel: k of both fields, by name or object. A heavy-tailed one keeps stragglers moving, while the mobility of
            ``gaussian`` dies in the tails, where particles then stay.
        epsilon: its variance ε in standardised units; None for the median heuristic.
        field: network, by name or object.
        width: units of each hidden layer, unless ``field`` is an object; None for the field's own (64 for perceptrons).
        depth: hidden layers, likewise.
        integrator: of the SDE, by name or object.
        step_size: η.
    """

    kernel: Part = "slice-average"
    epsilon: float | None = fit_option(None, above=0)
    field: Part = "mlp"
    width: int | None = fit_option(None, least=1)
    depth: int | None = fit_option(None, least=1)
    integrator: Part = draw_option("euler-maruyama")
    step_size: float = draw_option(0.1, above=0)

    def kernel_part(self) -> Kernel:
        """The kernel as an object.

        Raises:
            ConfigurationError: if it is none, or has a bandwidth beside ``epsilon``.
        """
        if self.epsilon is not None and not isinstance(self.kernel, str):
            raise ConfigurationError(
                f"epsilon is {self.epsilon} and kernel is {self.kernel!r}; give epsilon inside the kernel, or the "
                "kernel by name"
            )
        options = {} if self.epsilon is None else {"epsilon": self.epsilon}
        kernel = make_part("kernel", self.kernel, **options)
        if not isinstance(kernel, Kernel):
            raise ConfigurationError(f"kernel is {kernel!r}; expected a Kernel of phys_bellman")
        return kernel

    def field_part(self) -> Field:
        """The specification of a network as an object."""
        return make_field(self.field, width=self.width, depth=self.depth)

    @cached_property
    def integrator_part(self) -> Integrator:
        """The integrator as an object."""
        integrator: Integrator = make_part("integrator", self.integrator)
        return integrator


class BellmanModel(Model):
    """Draw, fields and score in data units.

    Args:
        recipe: that made it.
        module: a stack of one replica.
        standardiser: between data units and the network's.
    """

    recipe: Any

    def __init__(self, recipe: BellmanSampler, module: nn.Module, standardiser: Standardiser) -> None:
        self.recipe = recipe
        self.module = module
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
    def dynamics(self, integrator: Integrator) -> Dynamics:
        """What ``integrator`` integrates, in standardised coordinates."""

    def grid(self, dynamics: Dynamics) -> tuple[float, ...]:
        """The times of ``dynamics`` that are stepped through: equal steps."""
        return uniform(*dynamics.times, self.recipe.sampling_steps)

    def diagnostics(self, dynamics: Dynamics) -> dict[str, float]:
        """What a draw says beside its cost."""
        return {}

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
        model = self.with_options(**options) if options else self
        integrator = model.recipe.integrator_part
        dynamics = model.dynamics(integrator)
        generator = make_generator(seed, "sample", device=self.device)
        x = dynamics.prior(n, generator) if start is None else self.standardiser.forward(start.to(self.device))
        solution = integrate(dynamics, x, integrator=integrator, grid=model.grid(dynamics), generator=generator)
        facts = {"integrator": integrator.name, "sampling_steps": solution.steps, "lost": solution.lost}
        facts |= model.diagnostics(dynamics)
        return Draw(self.standardiser.inverse(solution.x, self.event_shape), solution.nfe, facts)

    @torch.no_grad()
    def fields(self, x: Tensor, sigma: float | None = None) -> dict[str, Tensor]:
        """The learned fields at x (B, *event_shape): ``s`` (B,) and ``g`` (B, D), as functions of the data's units.

        Args:
            x: points.
            sigma: blur in data units, for the annealed parametrisation; its smallest one by default. Networks know
                isotropic blur of standardised data, of the size sigma over the ``width`` of the standardiser.

        Raises:
            ConfigurationError: if sigma is not positive and finite.
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

        Raises:
            ConfigurationError: if sigma is not positive and finite.
        """
        score = self.standard_score(self.standardiser.forward(x), self._standard_blur(sigma))
        return self.standardiser.pull_back(score).unflatten(1, self.event_shape)

    def _standard_blur(self, sigma: float | None) -> float | None:
        return None if sigma is None else self.standardiser.blur(sigma)

    def tensors(self) -> dict[str, Tensor]:
        """Network and standardisation."""
        return {**weights(self.module), **self.standardiser.tensors()}
