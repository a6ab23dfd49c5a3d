r"""Annealed Langevin dynamics: the law blurred by σ is followed while σ falls level by level.

At level σ_i the steps are Langevin steps of size α_i = ε σ_i² in the law p_σ of the data blurred by σ,

    x ← x + α_i ∇log p_{σ_i}(x) + √(2α_i) z.

In the clock in which every step takes ε, and with the denoiser D = x + σ²∇log p_σ (Tweedie), this is Euler–Maruyama for

    dx = (D(x, σ) − x) dt + √2 σ dW,

whose drift is a relaxation of rate 1: the exponential integrator's step is
``x ← x + (1 − e^{−ε})(D − x) + σ√(1 − e^{−2ε}) z``.

Source: Song & Ermon 2019, *Generative modeling by estimating gradients of the data distribution* (arXiv:1907.05600),
Algorithm 1, whose α_i is twice ours and whose step x + (α_i/2)∇log p + √α_i z is therefore the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from phys_langevin.score import PREFIX, fit_score, restore_score, score_recipe
from phys_samplers.denoisers.denoiser import Denoiser, denoise_at
from phys_samplers.dynamics import Dynamics, Noise, Relaxation
from phys_samplers.errors import ConfigurationError
from phys_samplers.fields.stacked import make_field
from phys_samplers.integrators.base import Integrator, uniform
from phys_samplers.integrators.driver import integrate
from phys_samplers.nested import nested_facts, nested_options, nested_tensors
from phys_samplers.objective import Problem, RowsSampler
from phys_samplers.options import Part, draw_option, make_part
from phys_samplers.randomness import Streams, make_generator
from phys_samplers.sampler import Draw, Model
from phys_samplers.standardise import Standardiser
from phys_samplers.target import Target, require
from phys_samplers.training import Callback

Denoise = Callable[[Tensor, float], Tensor]
"""D(x, σ), (B, D) → (B, D)."""


def geometric_levels(sigma_max: float, sigma_min: float, levels: int) -> tuple[float, ...]:
    """Noise levels from ``sigma_max`` down to ``sigma_min`` with a constant ratio; a single one is sigma_min."""
    if levels == 1:
        return (sigma_min,)
    ratio = sigma_min / sigma_max
    return (sigma_max, *(sigma_max * ratio ** (i / (levels - 1)) for i in range(1, levels - 1)), sigma_min)


class AnnealedLangevinDynamics(Dynamics):
    """The equation above on t ∈ [0, levels · steps_per_level · ε], from N(0, prior_std² I).

    Args:
        denoise: D.
        dim: coordinates D.
        sigmas: the levels, in the order in which they are passed.
        steps_per_level: steps at each.
        epsilon: ε.
        prior_std: standard deviation of the starting points; None for √(1 + σ_1²), that of standardised data blurred by
            the first level.
    """

    noise: Noise = "additive"

    def __init__(
        self,
        denoise: Denoise,
        dim: int,
        *,
        sigmas: tuple[float, ...],
        steps_per_level: int,
        epsilon: float,
        prior_std: float | None = None,
    ) -> None:
        self.denoise = denoise
        self.event_shape = (dim,)
        self.sigmas = sigmas
        self.steps_per_level = steps_per_level
        self.epsilon = epsilon
        self.prior_std = math.sqrt(1 + sigmas[0] ** 2) if prior_std is None else prior_std
        self.times = (0.0, len(sigmas) * steps_per_level * epsilon)

    def sigma(self, t: float) -> float:
        """The level at time t; at the time of a change the lower one."""
        step = int(t / self.epsilon + 1e-6)
        return self.sigmas[min(step // self.steps_per_level, len(self.sigmas) - 1)]

    def drift(self, x: Tensor, t: float) -> Tensor:
        """D(x, σ) − x = σ² ∇log p_σ(x)."""
        return self.denoise(x, self.sigma(t)) - x

    def diffusion(self, x: Tensor, t: float) -> Tensor:
        """√2 σ, of shape (1, 1)."""
        return torch.full((1, 1), math.sqrt(2.0) * self.sigma(t), dtype=x.dtype, device=x.device)

    def relaxation(self, x: Tensor, t: float) -> tuple[Relaxation, Tensor]:
        """Rate 1 towards the denoiser, nothing else, and the diffusion."""
        rate = torch.ones((1, 1), dtype=x.dtype, device=x.device)
        return Relaxation(rate, self.denoise(x, self.sigma(t)), None), self.diffusion(x, t)

    def prior(self, n: int, generator: torch.Generator) -> Tensor:
        """N(0, prior_std² I)."""
        return torch.randn(
            n, *self.event_shape, generator=generator, device=generator.device, dtype=torch.float32
        ).mul_(self.prior_std)


class NetworkDenoiser:
    """D(x, σ) ≈ E[x₀ | x₀ + σn = x] in standardised coordinates, by a trained network.

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
        """D (B, D) at x (B, D)."""
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
        """D (B, D) at x (B, D)."""
        points = self.standardiser.inverse(x, self.event_shape)
        score = self.model.score(points, sigma=self.scale * sigma)
        return torch.add(x, score.flatten(1), alpha=self.scale * sigma**2)

    @property
    def needs_target(self) -> bool:
        """As the model says."""
        return bool(getattr(self.model, "needs_target", False))

    def tensors(self) -> dict[str, Tensor]:
        """Those of the model."""
        return nested_tensors(self.model, PREFIX)

    def facts(self) -> dict[str, Any]:
        """Those of the model."""
        return {"score": nested_facts(self.model)}


DenoiserSource = NetworkDenoiser | ScoreDenoiser


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
            x = self.standardiser.forward(start.to(self.device))
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
        blur = self.recipe.sigma_min if sigma is None else self.standardiser.blur(sigma)
        flat = self.standardiser.forward(x)
        score = (self.source(flat, blur) - flat) / blur**2
        return self.standardiser.pull_back(score).unflatten(1, self.event_shape)

    def tensors(self) -> dict[str, Tensor]:
        """Those of the denoiser, and the standardisation."""
        return {**self.source.tensors(), **self.standardiser.tensors()}

    def facts(self) -> dict[str, Any]:
        """Those of the denoiser."""
        return self.source.facts()


@dataclass(frozen=True, kw_only=True)
class AnnealedLangevin(RowsSampler):
    """Langevin dynamics in the data blurred by σ, with σ falling from σ_max to σ_min (NCSN; Song & Ermon 2019).

    The score is (D − x)/σ² with one trained preconditioned denoiser D. Coordinates are standardised, so σ = 1 is the
    spread of the data. The number of network calls is ``levels · steps_per_level``; how 300 of them are split,
    and ε, were chosen by W2 to the validation rows of four small tasks, among the ε that reproduce a Gaussian (ε = 0.1
    scores better on the four, but lags behind the falling σ and leaves a Gaussian a fifth too wide).

    With ``score`` nothing is trained here: the blurred score of that model is followed. Coordinates are then centred
    and divided by one common scale (that of the training rows, if the target has any), because ``score(x, sigma)``
    knows blur of one size for all coordinates of the data's own units.

    Args:
        score: None to train a denoiser; or a fitted model that offers ``score(x, sigma=σ)`` of blurred laws; or a
            sampler, by name, mapping or recipe, that is fitted to the target first.
        loss: that trains the denoiser, by name or object.
        field: its network, by name or object.
        width: units of each hidden layer, unless ``field`` is an object; None for the field's own (64 for perceptrons).
        depth: hidden layers, likewise.
        integrator: of the dynamics, by name or object; ``euler-maruyama`` makes the published steps,
            ``exponential-ou`` solves the relaxation towards D exactly.
        levels: number of noise levels.
        steps_per_level: steps at each.
        epsilon: ε; a step at level σ has the size ε σ².
        sigma_max: first level.
        sigma_min: last level; the samples have the law of data blurred by it.
        denoise: end with x ← D(x, σ_min), one call more, which takes the last noise out.
        prior_std: standard deviation of the starting points; None for √(1 + sigma_max²).
    """

    score: Part | None = None
    loss: Part = "denoising"
    field: Part = "mlp"
    width: int | None = None
    depth: int | None = None
    integrator: Part = draw_option("euler-maruyama")
    levels: int = draw_option(30, least=1)
    steps_per_level: int = draw_option(10, least=1)
    epsilon: float = draw_option(0.2, above=0)
    sigma_max: float = draw_option(5.0, above=0)
    sigma_min: float = draw_option(0.03, above=0)
    denoise: bool = draw_option(False)
    prior_std: float | None = draw_option(None, above=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.sigma_max > self.sigma_min:
            raise ConfigurationError(
                f"sigma_max is {self.sigma_max} and sigma_min {self.sigma_min}; expected sigma_max > sigma_min"
            )
        if self.score is not None:
            recipe = score_recipe(self.score)
            object.__setattr__(self, "needs", frozenset() if recipe is None else recipe.needs)

    def problem(self, target: Target, rows: Tensor, standardiser: Standardiser, *, streams: Streams) -> Problem:
        """See ``RowsSampler.problem``."""

        def finish(module: nn.Module, seed: int) -> Model:
            assert isinstance(module, Denoiser)
            return self._model(NetworkDenoiser(module, standardiser), target.event_shape)

        return Problem(self._network(rows.shape[1], streams), make_part("loss", self.loss), finish)

    def fit_replicas(
        self,
        target: Target,
        *,
        seeds: Sequence[int],
        device: torch.device | str = "cpu",
        callbacks: Sequence[Callback] = (),
        checkpoint: str | Path | None = None,
    ) -> list[Model | Exception]:
        """Train the denoisers of all seeds as one stack, or fit the sampler behind ``score``."""
        if self.score is None:
            return super().fit_replicas(target, seeds=seeds, device=device, callbacks=callbacks, checkpoint=checkpoint)
        require(target, *self.needs, by=type(self).__name__)
        standardiser = _common_scale(target.to(device), device)
        results: list[Model | Exception] = []
        for fitted in fit_score(
            self.score, target, seeds=seeds, device=device, callbacks=callbacks, checkpoint=checkpoint
        ):
            if isinstance(fitted, Exception):
                results.append(fitted)
                continue
            model = self._model(ScoreDenoiser(fitted, standardiser, target.event_shape), target.event_shape)
            model.target_name, model.report = target.name, getattr(fitted, "report", None)
            model.columns = target.columns
            results.append(model)
        return results

    def restore(
        self,
        tensors: Mapping[str, Tensor],
        facts: Mapping[str, Any],
        *,
        event_shape: tuple[int, ...],
        target: Target | None,
        device: torch.device | str = "cpu",
    ) -> AnnealedLangevinModel:
        """See ``Sampler.restore``."""
        standardiser = Standardiser.from_tensors(tensors)
        if self.score is not None:
            followed = restore_score(
                self.score, tensors, facts["score"], event_shape=event_shape, target=target, device=device
            )
            return self._model(ScoreDenoiser(followed, standardiser, event_shape), event_shape)
        module = self._network(len(standardiser.mean), Streams([0], "restore"))
        prefix = NetworkDenoiser.PREFIX
        module.load_state_dict({k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)})
        return self._model(NetworkDenoiser(module.to(device).requires_grad_(False), standardiser), event_shape)

    def options(self) -> dict[str, Any]:
        """See ``Sampler.options``; a fitted model appears as the recipe that made it."""
        return {**super().options(), "score": nested_options(self.score)}

    def _network(self, dim: int, streams: Streams) -> Denoiser:
        field = make_field(self.field, width=self.width, depth=self.depth)
        return Denoiser(field, dim, streams=streams)

    def _model(self, source: DenoiserSource, event_shape: tuple[int, ...]) -> AnnealedLangevinModel:
        return AnnealedLangevinModel(self, source, event_shape)


def _common_scale(target: Target, device: torch.device | str) -> Standardiser:
    """Zero mean and one scale for all coordinates; the identity for a target without rows."""
    if target.train is None:
        return Standardiser.identity(target.dim, device=device)
    return Standardiser.fit(target.train, "common")
