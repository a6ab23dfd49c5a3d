"""Annealed Langevin dynamics as a recipe: a denoiser trained by denoising score matching, or a fitted model's score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from phys_langevin.annealed_model import AnnealedLangevinModel, DenoiserSource, NetworkDenoiser, ScoreDenoiser
from phys_langevin.nested import fit_score, restore_score, score_options, score_recipe
from phys_samplers.chains.checks import at_least, positive
from phys_samplers.errors import ConfigurationError
from phys_samplers.fields import Denoiser, make_field
from phys_samplers.objective import Problem, RowsSampler
from phys_samplers.parts import Part, make_part
from phys_samplers.randomness import Streams
from phys_samplers.sampler import Model
from phys_samplers.standardise import Standardiser
from phys_samplers.target import Target
from phys_samplers.training import Callback


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

    fixed: ClassVar[frozenset[str]] = RowsSampler.fixed | {"score", "loss", "field", "width", "depth"}

    score: Part | None = None
    loss: Part = "denoising"
    field: Part = "mlp"
    width: int | None = None
    depth: int | None = None
    integrator: Part = "euler-maruyama"
    levels: int = 30
    steps_per_level: int = 10
    epsilon: float = 0.2
    sigma_max: float = 5.0
    sigma_min: float = 0.03
    denoise: bool = False
    prior_std: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(1, levels=self.levels, steps_per_level=self.steps_per_level)
        positive(epsilon=self.epsilon, sigma_max=self.sigma_max, sigma_min=self.sigma_min, prior_std=self.prior_std)
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
        target.require(*self.needs, by=type(self).__name__)
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
        return {**super().options(), "score": score_options(self.score)}

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
