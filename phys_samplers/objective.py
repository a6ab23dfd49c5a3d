"""What there is to train, and the recipes that train it.

One contract and one loop serve whatever a method learns from: rows, energies, simulated paths, replay buffers, sets,
transitions. A recipe states an ``Objective`` (stacked network, loss, how a trained replica becomes a model) and has
``fit``, ``fit_replicas`` and resuming from a checkpoint for free. Learning from rows is the most frequent case:
``RowsSampler`` standardises them, draws batches and asks for no more than a ``Problem``.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from phys_samplers.conditions import ConditionCode
from phys_samplers.errors import MissingCapability
from phys_samplers.fields.stacked import replica
from phys_samplers.options import check_values, fit_option
from phys_samplers.randomness import Prepared, Preparing, Streams, steps_at_once
from phys_samplers.sampler import Model, Sampler, StackedSampler
from phys_samplers.standardise import Standardisation, Standardiser
from phys_samplers.target import Target, require
from phys_samplers.training import Callback, Resumable, TrainingPlan, TrainingReport, train

PRECISION = torch.float32
"""Of networks and their initial weights."""


@dataclass(frozen=True)
class Objective:
    """All that the training loop needs to know.

    Args:
        module: the stacked network, on the device of computation; every parameter and buffer (R, …).
        loss: draws its own batch, returns one loss per replica (R,).
        finish: makes the model of one trained replica, from its network and its seed.
        validation: a loss (R,) without randomness between calls, for early stopping.
        state: what else changes while training (streams, buffers, chains, lagged networks), so that a fit that was
            killed goes on as if it had not been; None if that is not known, which refuses ``checkpoint=``.
    """

    module: nn.Module
    loss: Callable[[], Tensor]
    finish: Callable[[nn.Module, int], Model]
    validation: Callable[[], Tensor] | None = None
    state: Sequence[Resumable] | None = None


@dataclass(frozen=True, kw_only=True)
class TrainedSampler(StackedSampler):
    """A recipe with a training loop. Subclass it as a frozen dataclass and give ``training_objective`` and ``restore``.

    Args:
        steps: optimiser steps.
        learning_rate: of Adam, at the start.
        decay: ``cosine`` takes the learning rate to zero over ``steps``; ``constant`` keeps it.
        ema_decay: of the averaged weights, which are the ones used; 0 for the live ones.
        clip_norm: largest gradient norm; None for no clipping.

    Attributes:
        takes_conditions: whether it learns the laws given the conditions of a target that has them.
    """

    takes_conditions: ClassVar[bool] = False

    steps: int = fit_option(4_000, least=1)
    learning_rate: float = fit_option(4e-3, above=0)
    decay: Literal["cosine", "constant"] = fit_option("cosine")
    ema_decay: float = fit_option(0.995, least=0, below=1)
    clip_norm: float | None = fit_option(1.0, above=0)

    @property
    def plan(self) -> TrainingPlan:
        """The options of the training loop."""
        return TrainingPlan(
            steps=self.steps,
            learning_rate=self.learning_rate,
            decay=self.decay,
            ema_decay=self.ema_decay,
            clip_norm=self.clip_norm,
        )

    @abstractmethod
    def training_objective(self, target: Target, *, seeds: Sequence[int], device: torch.device | str) -> Objective:
        """State what there is to train.

        Args:
            target: what is fitted to, on ``device``; it offers ``self.needs``.
            seeds: one per replica; every random draw comes from streams that they make.
            device: where to compute.
        """

    def fit_replicas(
        self,
        target: Target,
        *,
        seeds: Sequence[int],
        device: torch.device | str = "cpu",
        callbacks: Sequence[Callback] = (),
        checkpoint: str | Path | None = None,
    ) -> list[Model | Exception]:
        """All seeds as one stacked network; see ``Sampler.fit_replicas``, and ``fit`` for ``checkpoint``."""
        require(target, *self.needs, by=type(self).__name__)
        if target.conditions is not None and not self.takes_conditions:
            raise MissingCapability(
                f"{type(self).__name__} learns no laws given a condition, and rows of target {target.name!r} have one; "
                "leave the condition out, or use a sampler that does: edm, ddpm, pfgmpp"
            )
        target = target.to(device)
        objective = self.training_objective(target, seeds=seeds, device=device)
        return fit_objective(
            self, objective, self.plan, target, seeds=seeds, callbacks=callbacks, checkpoint=checkpoint
        )


def fit_objective(
    recipe: Sampler,
    objective: Objective,
    plan: TrainingPlan,
    target: Target,
    *,
    seeds: Sequence[int],
    callbacks: Sequence[Callback] = (),
    checkpoint: str | Path | None = None,
    facts: Mapping[str, Any] | None = None,
) -> list[Model | Exception]:
    """Train what ``objective`` states: one model per seed, or the exception that its training ended with.

    Args:
        recipe: that the models are of.
        objective: what there is to train.
        plan: how.
        target: what is fitted to.
        seeds: one per replica.
        callbacks: told of every logged step.
        checkpoint: see ``TrainedSampler.fit``.
        facts: JSON-like, what a checkpoint must agree with besides recipe, seeds and rows.
    """
    reports = train(
        objective.module,
        objective.loss,
        plan,
        validation=objective.validation,
        callbacks=callbacks,
        description=f"{type(recipe).__name__} on {target.name}",
        state=objective.state,
        checkpoint=checkpoint,
        identity=None if checkpoint is None else {**_identity(recipe, target, seeds), **(facts or {})},
    )
    results: list[Model | Exception] = []
    for index, (seed, report) in enumerate(zip(seeds, reports, strict=True)):
        if not isinstance(report, TrainingReport):
            results.append(report)
            continue
        model = objective.finish(replica(objective.module, index).requires_grad_(False), seed)
        model.recipe, model.report = recipe, report
        model.target_name, model.event_shape = target.name, target.event_shape
        model.columns = target.columns
        results.append(model)
    return results


def _identity(recipe: Sampler, target: Target, seeds: Sequence[int]) -> dict[str, object]:
    """What a checkpoint must belong to, JSON-like: the options that decide the fit, seeds, target and its rows."""
    options = {name: repr(value) for name, value in recipe.options().items() if name in recipe.fit_options()}
    parts = [target.train, target.validation]
    parts += [] if target.conditions is None else [target.conditions.train, target.conditions.validation]
    rows = [None if part is None else digest(part) for part in parts]
    return {
        "recipe": type(recipe).__name__,
        "options": options,
        "seeds": list(seeds),
        "target": target.name,
        "event_shape": list(target.event_shape),
        "rows": rows,
    }


def digest(rows: Tensor) -> str:
    """What tells rows from others, on every machine."""
    payload = rows.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()
    return hashlib.blake2b(payload, digest_size=16).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Loss(ABC):
    """A loss of a stacked network; a frozen dataclass whose fields are its hyper-parameters.

    Attributes:
        prepares: whether it is ``of`` what ``prepare`` gives, so that batches of several steps are prepared at once.
    """

    prepares: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_values(self)

    @abstractmethod
    def __call__(self, module: nn.Module, rows: Tensor, streams: Streams) -> Tensor:
        """One loss per replica (R,), an average over the batch.

        Args:
            module: the stacked network that is trained.
            rows: training rows (R, B, D), independent draws.
            streams: source of every further random number.
        """

    def beside(self, batch: int, available: int) -> int | None:
        """How many training rows, drawn anew each step, it wants to see beside a batch; None for all there are."""
        return 0

    def against(self, module: nn.Module, rows: Tensor, others: Tensor, streams: Streams, *, whole: bool) -> Tensor:
        """The loss (R,) of a batch that sees ``others`` (R, M, D) beside it; called where ``beside`` is not 0.

        ``whole`` says that these are all the training rows, those of the batch among them.
        """
        return self(module, rows, streams)

    def prepare(
        self, module: nn.Module, rows: Tensor, streams: Streams, others: Tensor | None = None, *, whole: bool = False
    ) -> Prepared:
        """All of the loss that does not depend on weights, of a loss that ``prepares``; arguments as of ``against``."""
        raise TypeError(f"{type(self).__name__} prepares nothing")

    def of(self, module: nn.Module, prepared: Prepared) -> Tensor:
        """The loss (R,) of what was prepared."""
        raise TypeError(f"{type(self).__name__} prepares nothing")


@dataclass(frozen=True)
class Problem:
    """A training problem in standardised coordinates.

    Args:
        module: the stacked network.
        loss: of the network on a batch of rows.
        finish: makes the model of one trained replica, from its network and its seed.
        code: of the conditions that the loss wants beside the rows; None for rows alone.
    """

    module: nn.Module
    loss: Loss
    finish: Callable[[nn.Module, int], Model]
    code: ConditionCode | None = None


@dataclass(frozen=True, kw_only=True)
class RowsSampler(TrainedSampler):
    """A recipe that learns from rows. Subclass it as a frozen dataclass and give ``problem`` and ``restore``.

    Args:
        batch_size: rows per step and replica.
        validate_every: steps between validations (if the target has validation rows).
        patience: validations without improvement before training stops; None trains to the end.
        standardise: whether networks see every coordinate with zero mean and unit variance (``coordinates``), with zero
            mean and one scale for all (``common``: for images, whose border pixels hardly vary), with unit variance and
            uncorrelated (``whiten``: for narrow, oblique laws), or as it is (``none``).
    """

    needs: ClassVar[frozenset[str]] = frozenset({"samples"})

    batch_size: int = fit_option(64, least=2)
    validate_every: int = fit_option(500, least=1)
    patience: int | None = fit_option(None, least=0)
    standardise: Standardisation = fit_option("coordinates")

    @property
    def plan(self) -> TrainingPlan:
        """The options of the training loop."""
        return TrainingPlan(
            steps=self.steps,
            learning_rate=self.learning_rate,
            decay=self.decay,
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
        return Standardiser.fit(rows, self.standardise, precision=PRECISION)

    def training_objective(self, target: Target, *, seeds: Sequence[int], device: torch.device | str) -> Objective:
        """See ``TrainedSampler.training_objective``: batches of standardised rows, drawn with replacement."""
        assert target.train is not None
        # Networks compute in single precision whatever the rows are; what they see is centred in that of the rows.
        standardiser = self.standardiser(target.train.detach())
        rows = standardiser.forward(target.train.detach())
        problem = self.problem(target, rows, standardiser, streams=Streams(seeds, "weights", device="cpu"))
        module, loss, given = problem.module.to(device), problem.loss, target.conditions
        if problem.code is not None and given is not None:
            rows = problem.code.beside(rows, given.train)
        batches, noise = Streams(seeds, "batches", device=device), Streams(seeds, "noise", device=device)
        references, beside = Streams(seeds, "references", device=device), loss.beside(self.batch_size, len(rows))

        def batch(batches: Streams, references: Streams) -> tuple[Tensor, Tensor | None]:
            drawn = rows[batches.integers(len(rows), self.batch_size)]
            if beside == 0:
                return drawn, None
            if beside is None:
                return drawn, rows.expand(len(drawn), -1, -1)
            return drawn, rows[references.integers(len(rows), beside)]

        def prepare(batches: Streams, references: Streams, noise: Streams) -> Prepared:
            drawn, others = batch(batches, references)
            return loss.prepare(module, drawn, noise, others, whole=beside is None)

        def training_loss() -> Tensor:
            drawn, others = batch(batches, references)
            if others is None:
                return loss(module, drawn, noise)
            return loss.against(module, drawn, others, noise, whole=beside is None)

        seen = len(rows) if beside is None else beside + self.batch_size
        count = steps_at_once(self.plan.log_every, self.batch_size * max(seen, rows.shape[1]))
        ahead = Preparing(prepare, (batches, references, noise), count)

        def prepared_loss() -> Tensor:
            return loss.of(module, ahead.next())

        held = None
        if target.validation is not None and len(target.validation) > 1:
            held = standardiser.forward(target.validation.detach())
            if problem.code is not None and given is not None and given.validation is not None:
                held = problem.code.beside(held, given.validation)
            held = held.expand(len(seeds), -1, -1)

        def validation_loss() -> Tensor:
            # The same rows and the same noise at every call and for every replica.
            assert held is not None
            return loss(module, held, _Repeated(len(seeds), device))

        return Objective(
            module,
            prepared_loss if loss.prepares else training_loss,
            problem.finish,
            validation=None if held is None else validation_loss,
            state=(batches, noise, references),
        )


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
