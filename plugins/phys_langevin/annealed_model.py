"""The fitted annealed sampler, and where it takes its denoiser from: a network, or a model's blurred score."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import torch
from torch import Tensor

from phys_langevin.annealing import AnnealedLangevinDynamics, geometric_levels
from phys_langevin.nested import score_facts, score_tensors
from phys_samplers.fields import Denoiser, denoise_at
from phys_samplers.integrators import Integrator, integrate, uniform
from phys_samplers.parts import make_part
from phys_samplers.randomness import make_generator
from phys_samplers.sampler import Draw, Model
from phys_samplers.standardise import Standardiser

if TYPE_CHECKING:
    from phys_langevin.annealed import AnnealedLangevin


class DenoiserSource(Protocol):
    """D(x, σ) ≈ E[x₀ | x₀ + σn = x] in standardised coordinates, and what a checkpoint holds of it."""

    standardiser: Standardiser

    def __call__(self, x: Tensor, sigma: float) -> Tensor:
        """D (B, D) at x (B, D)."""
        ...

    def tensors(self) -> dict[str, Tensor]:
        """For the checkpoint."""
        ...

    def facts(self) -> dict[str, Any]:
        """For the checkpoint."""
        ...

    @property
    def needs_target(self) -> bool:
        """Whether the target's density is asked while sampling."""
        ...


class NetworkDenoiser:
    """A trained network.

    Args:
        module: a stack of one replica.
        standardiser: between data units and the network's.
    """

    PREFIX: ClassVar[str] = "module."
    needs_target = False

    def __init__(self, module: Denoiser, standardiser: Standardiser) -> None:
        self.module = module
        self.standardiser = standardiser

    def __call__(self, x: Tensor, sigma: float) -> Tensor:
        """See ``DenoiserSource``."""
        return denoise_at(self.module, x, sigma)

    def tensors(self) -> dict[str, Tensor]:
        """Weights and buffers."""
        return {self.PREFIX + name: tensor for name, tensor in self.module.state_dict().items()}

    def facts(self) -> dict[str, Any]:
        """None."""
        return {}


class ScoreDenoiser:
    """D = x + σ²∇log p_σ of a fitted model; the score of u = (x − m)/c at blur σ is c times that of x at blur cσ.

    Args:
        model: with ``score(x, sigma)`` in data units.
        standardiser: with one scale c for all coordinates.
        event_shape: of the model's particles.
    """

    def __init__(self, model: Any, standardiser: Standardiser, event_shape: tuple[int, ...]) -> None:
        self.model = model
        self.standardiser = standardiser
        self.event_shape = event_shape
        self.scale = standardiser.width

    def __call__(self, x: Tensor, sigma: float) -> Tensor:
        """See ``DenoiserSource``."""
        points = self.standardiser.inverse(x, self.event_shape)
        score = self.model.score(points, sigma=self.scale * sigma)
        return torch.add(x, score.flatten(1), alpha=self.scale * sigma**2)

    @property
    def needs_target(self) -> bool:
        """As the model says."""
        return bool(getattr(self.model, "needs_target", False))

    def tensors(self) -> dict[str, Tensor]:
        """Those of the model."""
        return score_tensors(self.model)

    def facts(self) -> dict[str, Any]:
        """Those of the model."""
        return {"score": score_facts(self.model)}


class AnnealedLangevinModel(Model):
    """A denoiser with the levels to pass.

    Args:
        recipe: with the sampling options.
        source: of D.
        event_shape: of a sample.
    """

    recipe: AnnealedLangevin

    def __init__(self, recipe: AnnealedLangevin, source: DenoiserSource, event_shape: tuple[int, ...]) -> None:
        self.recipe = recipe
        self.source = source
        self.event_shape = tuple(event_shape)

    @property
    def standardiser(self) -> Standardiser:
        """Between data units and the coordinates of the levels."""
        return self.source.standardiser

    @property
    def device(self) -> torch.device:
        """Where the model computes."""
        return self.standardiser.mean.device

    @property
    def needs_target(self) -> bool:
        """Whether the density of the target is asked while sampling."""
        return self.source.needs_target

    @torch.no_grad()
    def draw(self, n: int, *, seed: int = 0, start: Tensor | None = None, **options: Any) -> Draw:
        """``n`` samples: the levels from the highest to the lowest; see ``Model.draw``.

        ``start`` takes the place of the prior, at the highest level. ``nfe`` is denoiser (or score) evaluations.
        """
        self.check_draw(n, start)
        recipe = self.recipe.for_draw(options)
        integrator: Integrator = make_part("integrator", recipe.integrator)
        dynamics = AnnealedLangevinDynamics(
            self.source,
            len(self.standardiser.mean),
            sigmas=geometric_levels(recipe.sigma_max, recipe.sigma_min, recipe.levels),
            steps_per_level=recipe.steps_per_level,
            epsilon=recipe.epsilon,
            prior_std=recipe.prior_std,
        )
        dtype = self.standardiser.mean.dtype
        if start is None:
            x = dynamics.prior(n, make_generator(seed, "prior", device=self.device)).to(dtype)
        else:
            x = self.standardiser.forward(start.to(self.device, dtype))
        steps = recipe.levels * recipe.steps_per_level
        solution = integrate(
            dynamics,
            x,
            integrator=integrator,
            grid=uniform(*dynamics.times, steps),
            generator=make_generator(seed, "noise", device=self.device),
        )
        x, nfe = solution.x, solution.nfe
        if recipe.denoise:
            x, nfe = self.source(x, recipe.sigma_min), nfe + 1
        facts = {"integrator": integrator.name, "levels": recipe.levels, "steps_per_level": recipe.steps_per_level}
        return Draw(self.standardiser.inverse(x, self.event_shape), nfe, facts)

    @torch.no_grad()
    def score(self, x: Tensor, sigma: float | None = None) -> Tensor:
        """∇log of the blurred law at x (B, *event_shape), in data units.

        Args:
            x: points.
            sigma: blur in data units; ``sigma_min`` of the recipe by default. The denoiser knows isotropic blur of
                standardised data, of the size sigma over the ``width`` of the standardiser.
        """
        blur = self.recipe.sigma_min if sigma is None else sigma / self.standardiser.width
        flat = self.standardiser.forward(x)
        score = (self.source(flat, blur) - flat) / blur**2
        return self.standardiser.pull_back(score).unflatten(1, self.event_shape)

    def tensors(self) -> dict[str, Tensor]:
        """Those of the denoiser, and the standardisation."""
        return {
            **self.source.tensors(),
            **self.standardiser.tensors(),
        }

    def facts(self) -> dict[str, Any]:
        """Those of the denoiser."""
        return self.source.facts()
