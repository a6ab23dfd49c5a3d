"""Recipes that train a network on samples: what is common to all of them.

A recipe states a ``Problem`` (stacked network, loss, validation loss, how a trained replica becomes a model) and has
``fit`` and ``fit_replicas`` for free.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, get_args

import torch
from torch import Tensor, nn

from phys_samplers.errors import ConfigurationError
from phys_samplers.fields.stacked import replica
from phys_samplers.losses import Loss
from phys_samplers.randomness import Streams
from phys_samplers.sampler import Model, Sampler
from phys_samplers.standardise import Standardisation, Standardiser
from phys_samplers.target import Target
from phys_samplers.training import Callback, TrainingPlan, TrainingReport, train

PRECISION = torch.float32
"""Of networks and their initial weights."""


@dataclass(frozen=True)
class Problem:
    """A training problem in standardised coordinates.

    Args:
        module: the stacked network.
        loss: of the network on a batch of rows.
        finish: makes the model of one trained replica, from its network and its seed.
    """

    module: nn.Module
    loss: Loss
    finish: Callable[[nn.Module, int], Model]


@dataclass(frozen=True, kw_only=True)
class TrainedSampler(Sampler):
    """A recipe with a training loop.

    Args:
        steps: optimiser steps.
        batch_size: rows per step and replica.
        learning_rate: of Adam at the start; it follows a cosine to zero.
        ema_decay: of the averaged weights, which are the ones used.
        clip_norm: largest gradient norm.
        validate_every: steps between validations (if the target has validation rows).
        patience: validations without improvement before training stops; None trains to the end.
        standardise: whether networks see every coordinate with zero mean and unit variance (``coordinates``), with zero
            mean and one scale for all (``common``: for images, whose border pixels hardly vary), with unit variance and
            uncorrelated (``whiten``: for narrow, oblique laws), or as it is (``none``).
    """

    needs: ClassVar[frozenset[str]] = frozenset({"samples"})
    fixed: ClassVar[frozenset[str]] = frozenset(
        {"steps", "batch_size", "learning_rate", "ema_decay", "clip_norm", "validate_every", "patience", "standardise"}
    )

    steps: int = 4_000
    batch_size: int = 64
    learning_rate: float = 4e-3
    ema_decay: float = 0.995
    clip_norm: float | None = 1.0
    validate_every: int = 500
    patience: int | None = None
    standardise: Standardisation = "coordinates"

    def __post_init__(self) -> None:
        if self.standardise not in get_args(Standardisation):
            raise ConfigurationError(
                f"standardise is {self.standardise!r}; expected one of {', '.join(get_args(Standardisation))}"
            )
        if self.batch_size < 2:
            raise ConfigurationError(f"batch_size is {self.batch_size}; expected at least 2 rows")
        self.plan  # noqa: B018 - building the plan validates the options it takes

    @property
    def plan(self) -> TrainingPlan:
        """The options of the training loop."""
        return TrainingPlan(
            steps=self.steps,
            learning_rate=self.learning_rate,
            ema_decay=self.ema_decay,
            clip_norm=self.clip_norm,
            validate_every=self.validate_every,
            patience=self.patience,
        )

    @abstractmethod
    def problem(self, target: Target, rows: Tensor, standardiser: Standardiser, *, streams: Streams) -> Problem:
        """State the problem.

        Args:
            target: what is fitted to, on the device of computation.
            rows: standardised training rows (N, D).
            standardiser: the map that made them.
            streams: one per replica, for initial weights.
        """

    def standardiser(self, rows: Tensor) -> Standardiser:
        """The map to the coordinates that the network sees."""
        return Standardiser.fit(rows, self.standardise)

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
        assert target.train is not None
        # Networks, and with them models and samples, compute in single precision whatever the rows are.
        train_rows = target.train.detach().to(PRECISION)
        standardiser = self.standardiser(train_rows)
        rows = standardiser.forward(train_rows)
        problem = self.problem(target, rows, standardiser, streams=Streams(seeds, "weights", device="cpu"))
        module, loss = problem.module.to(device), problem.loss
        batches, noise = Streams(seeds, "batches", device=device), Streams(seeds, "noise", device=device)

        def training_loss() -> Tensor:
            return loss(module, rows[batches.integers(len(rows), self.batch_size)], noise)

        def validation_loss() -> Tensor:
            # The same rows and the same noise at every call and for every replica.
            assert held_rows is not None
            held = held_rows.expand(len(seeds), -1, -1)
            return loss(module, held, _Repeated(len(seeds), device))

        held_rows = None
        if target.validation is not None and len(target.validation) > 1:
            held_rows = standardiser.forward(target.validation.detach().to(PRECISION)).unsqueeze(0)

        reports = train(
            module,
            training_loss,
            self.plan,
            validation=None if held_rows is None else validation_loss,
            callbacks=callbacks,
            description=f"{name} on {target.name}",
        )
        results: list[Model | Exception] = []
        for index, (seed, report) in enumerate(zip(seeds, reports, strict=True)):
            if isinstance(report, TrainingReport):
                model = problem.finish(replica(module, index).requires_grad_(False), seed)
                model.recipe, model.report = self, report
                model.target_name, model.event_shape = target.name, target.event_shape
                results.append(model)
            else:
                results.append(report)
        return results


class _Repeated(Streams):
    """One stream shown to every replica: validation noise, the same at every call and in every run."""

    def __init__(self, replicas: int, device: torch.device | str) -> None:
        super().__init__([0], "validation", device=device)
        self._shown = replicas

    def normal(self, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        return super().normal(*shape, dtype=dtype).repeat_interleave(self._shown, 0)

    def uniform(self, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        return super().uniform(*shape, dtype=dtype).repeat_interleave(self._shown, 0)

    def integers(self, high: int, *shape: int) -> Tensor:
        return super().integers(high, *shape).repeat_interleave(self._shown, 0)
