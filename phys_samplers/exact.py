"""Samplers that learn nothing and set the scale: exact draws of the target, and training rows handed out again.

The oracle draws from the own exact sampler of the target; its scores are the floor that every other score stands on.
The memoriser gives independent draws of the empirical law (1/N) Σ δ_{x_i} of the training rows, nothing new: scores
that compare laws rank it near the exact sampler, scores of memorisation put it last, so that a table with it shows what
such scores can and cannot tell. As the law of latent codes it shows what a decoder costs by itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from phys_samplers.errors import CheckpointError, ConfigurationError, MissingCapability
from phys_samplers.randomness import as_device, make_generator
from phys_samplers.sampler import Draw, Model, Sampler
from phys_samplers.target import Target, require

if TYPE_CHECKING:
    from phys_samplers.training import Callback


class ExactModel(Model):
    """Independent exact draws, at no function evaluation.

    Args:
        recipe: the recipe.
        target: the target, on ``device``; it must offer ``sample``.
        device: where draws are made.
    """

    def __init__(self, recipe: ExactSampler, target: Target, device: torch.device | str) -> None:
        self.recipe = recipe
        self.target = target
        self.target_name = target.name
        self.event_shape = target.event_shape
        self._device = as_device(device)

    @property
    def device(self) -> torch.device:
        """Where draws are made."""
        return self._device

    @property
    def needs_target(self) -> bool:
        """True: the law is the target's."""
        return True

    def draw(self, n: int, *, seed: int = 0, start: Tensor | None = None, **options: Any) -> Draw:
        """``n`` exact draws with nfe 0.

        Args:
            n: number of draws, at least 1.
            seed: of the draws.
            start: not accepted, there is no chain to start.
            options: none exist.

        Raises:
            ConfigurationError: on a bad ``n`` or seed, on ``start`` and on any option.
        """
        self.check_draw(n, start)
        if start is not None:
            raise ConfigurationError("start was given, but the exact sampler has no chain to start; leave it out")
        if options:
            raise ConfigurationError(
                f"the exact sampler has no sampling option {', '.join(map(repr, sorted(options)))}; leave it out"
            )
        generator = make_generator(seed, "exact", device=self._device)
        return Draw(samples=self.target.sample(n, generator=generator), nfe=0.0)

    def log_prob(self, x: Tensor) -> Tensor:
        """Normalised log-density (B,) at ``x`` (B, *event_shape).

        Raises:
            MissingCapability: if the target has no log-density or its normalising constant is not known.
        """
        self.target.require("log_prob", "log_z", by="the exact sampler's log_prob()")
        log_z = self.target.log_z
        return self.target.log_prob(x) - (0.0 if log_z is None else log_z)

    def score(self, x: Tensor, sigma: float | None = None) -> Tensor:
        """∇ log p at ``x`` (B, *event_shape), of the law blurred by N(0, σ² I) if ``sigma`` is given.

        Raises:
            MissingCapability: if the target has no score, or ``sigma`` is given and the law cannot blur itself.
        """
        if sigma is None:
            return self.target.score(x)
        if not callable(getattr(self.target.law, "blurred", None)):
            raise MissingCapability(
                f"score(x, sigma={sigma!r}) needs the blurred law, which target {self.target.name!r} does not know; "
                "leave sigma out, or give the law a method blurred(variance)"
            )
        return self.target.law.blurred(sigma**2).score(x)

    def tensors(self) -> dict[str, Tensor]:
        """Nothing: the law is the target's."""
        return {}


@dataclass(frozen=True, kw_only=True)
class ExactSampler(Sampler):
    """Draws from the target's own exact sampler; nothing is fitted."""

    needs: ClassVar[frozenset[str]] = frozenset({"sample"})

    def fit(
        self, target: Target, *, seed: int = 0, device: torch.device | str = "cpu", callbacks: Sequence[Callback] = ()
    ) -> ExactModel:
        """The model of ``target``; ``seed`` and ``callbacks`` have nothing to act on.

        Raises:
            MissingCapability: if the target has no exact sampler.
        """
        require(target, *self.needs, by="the exact sampler")
        return ExactModel(self, target.to(device), device)

    def restore(
        self,
        tensors: Mapping[str, Tensor],
        facts: Mapping[str, Any],
        *,
        event_shape: tuple[int, ...],
        target: Target | None,
        device: torch.device | str = "cpu",
    ) -> ExactModel:
        """The model of ``target``, which must be given again.

        Raises:
            CheckpointError: without a target, or with one of another event shape.
            MissingCapability: if the target has no exact sampler.
        """
        if target is None or target.event_shape != tuple(event_shape):
            given = "none" if target is None else f"{target.name!r} with event shape {target.event_shape}"
            raise CheckpointError(
                f"an exact model draws from its target; expected target= with event shape {tuple(event_shape)}, "
                f"got {given}"
            )
        return self.fit(target, device=device)


class TrainingRowsModel(Model):
    """Rows drawn with replacement, at no function evaluation.

    Args:
        recipe: the recipe.
        rows: (N, *event_shape).
    """

    def __init__(self, recipe: TrainingRows, rows: Tensor) -> None:
        self.recipe = recipe
        self.rows = rows

    @property
    def device(self) -> torch.device:
        """Where the rows are."""
        return self.rows.device

    def draw(self, n: int, *, seed: int = 0, start: Tensor | None = None, **options: Any) -> Draw:
        """``n`` rows with nfe 0.

        Raises:
            ConfigurationError: on a bad ``n`` or seed, on ``start`` and on any option.
        """
        self.check_draw(n, start)
        if start is not None:
            raise ConfigurationError("start was given, but training rows have no chain to start; leave it out")
        self.recipe.for_draw(options)
        generator = make_generator(seed, "training rows", device=self.device)
        return Draw(self.rows[torch.randint(len(self.rows), (n,), generator=generator, device=self.device)], 0.0)

    def tensors(self) -> dict[str, Tensor]:
        """The rows."""
        return {"rows": self.rows}


@dataclass(frozen=True, kw_only=True)
class TrainingRows(Sampler):
    """Keeps the training rows and hands out random ones; the seed of fitting has nothing to act on."""

    needs: ClassVar[frozenset[str]] = frozenset({"samples"})

    def fit(
        self, target: Target, *, seed: int = 0, device: torch.device | str = "cpu", callbacks: Sequence[Callback] = ()
    ) -> TrainingRowsModel:
        """The model that holds the rows of ``target``.

        Raises:
            MissingCapability: if the target has no training rows.
        """
        require(target, *self.needs, by="the sampler of training rows")
        assert target.train is not None
        model = TrainingRowsModel(self, target.train.detach().to(device))
        model.target_name, model.event_shape = target.name, target.event_shape
        model.columns = target.columns
        return model

    def restore(
        self,
        tensors: Mapping[str, Tensor],
        facts: Mapping[str, Any],
        *,
        event_shape: tuple[int, ...],
        target: Target | None,
        device: torch.device | str = "cpu",
    ) -> TrainingRowsModel:
        """See ``Sampler.restore``."""
        return TrainingRowsModel(self, tensors["rows"].to(device))
