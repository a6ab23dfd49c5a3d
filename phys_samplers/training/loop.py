"""The one training loop: Adam, EMA, clipping, validation with early stop, NaN stop; all of it per replica. Who listens.

The parameters of all replicas live in one (R, P) matrix of which the network's weights are views, so that the
optimiser, the average, the clipping and the best-so-far are single operations on it, each row apart from the others:
a replica that diverges leaves its neighbours alone.
"""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from phys_samplers.errors import ConfigurationError, DivergenceError, TrainingDiverged
from phys_samplers.options import check_values, option
from phys_samplers.schema import Shape, flag, mapping, maybe, number, rows, table, whole
from phys_samplers.training import state as states
from phys_samplers.training.state import OptimiserMemory, Resumable, TrainingReport, TrainingState

Loss = Callable[[], Tensor]
"""Draws its own batch and returns one loss per replica, shape (R,)."""


@dataclass(frozen=True, kw_only=True)
class TrainingPlan:
    """How to optimise.

    Args:
        steps: optimiser steps at most.
        learning_rate: of Adam, at the start.
        decay: ``"cosine"`` takes the learning rate to zero over ``steps``; ``"constant"`` keeps it.
        ema_decay: of the averaged weights, which are the ones returned; 0 returns the live weights.
        clip_norm: largest gradient norm per replica; None for no clipping.
        validate_every: steps between validations.
        patience: validations without improvement before a replica stops; None trains to the end. With a validation
            loss the best averaged weights are returned, else the last.
        log_every: steps between logged losses; the only points where the device is waited for.
    """

    steps: int = option(2_000, least=1)
    learning_rate: float = option(1e-3, above=0)
    decay: Literal["cosine", "constant"] = "cosine"
    ema_decay: float = option(0.995, least=0, below=1)
    clip_norm: float | None = option(1.0, above=0)
    validate_every: int = option(250, least=1)
    patience: int | None = option(None, least=0)
    log_every: int = option(50, least=1)

    def __post_init__(self) -> None:
        check_values(self)

    def decay_factor(self, step: int) -> float:
        """The learning rate at ``step`` (from 1) over that at the start."""
        if self.decay == "constant":
            return 1.0
        return 0.5 * (1 + math.cos(math.pi * (step - 1) / self.steps))


_ALIGNED = 16
"""Numbers of a row come in multiples of this: 64 bytes in single precision, a line of the cache."""


class Callback:
    """Told of training as it goes; every method may be left out. Values are plain numbers, one per replica."""

    def started(self, description: str, steps: int) -> None:
        """Training begins."""

    def logged(self, step: int, values: Mapping[str, Sequence[float]]) -> None:
        """At every logged step: ``loss`` and, where taken, ``validation``, each a list over replicas."""

    def evaluated(self, step: int, values: Mapping[str, Sequence[float]]) -> None:
        """What a test of the model as it stands gave (``return``, of agents), at a step in the unit of that test."""

    def finished(self) -> None:
        """Training ended, also by an error."""


class ProgressBar(Callback):
    """A rich progress bar on standard error; where that is gone (a connection that broke), training goes on."""

    def __init__(self) -> None:
        self._progress: Any = None
        self._task: Any = None

    def started(self, description: str, steps: int) -> None:
        """Show the bar."""
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[loss]}"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        try:
            self._progress.start()
            self._task = self._progress.add_task(description, total=steps, loss="")
        except (OSError, ValueError):
            self._progress = None

    def logged(self, step: int, values: Mapping[str, Sequence[float]]) -> None:
        """Advance the bar; the loss shown is the mean over replicas."""
        if self._progress is not None:
            loss = values["loss"]
            with suppress(OSError, ValueError):
                self._progress.update(self._task, completed=step, loss=f"loss {sum(loss) / len(loss):.4g}")

    def finished(self) -> None:
        """Take the bar away."""
        if self._progress is not None:
            with suppress(OSError, ValueError):
                self._progress.stop()
            self._progress = None


def default_callbacks(callbacks: Sequence[Callback]) -> list[Callback]:
    """The given callbacks, with a progress bar where a person watches or ``PHYS_SAMPLERS_PROGRESS=1`` (0: never)."""
    wanted = os.environ.get("PHYS_SAMPLERS_PROGRESS")
    for one in callbacks:
        if not callable(getattr(one, "logged", None)) or isinstance(one, type):
            raise ConfigurationError(
                f"callbacks holds {one!r}; expected objects of a class derived from phys_samplers.training.Callback"
            )
    shown = (sys.stderr is not None and sys.stderr.isatty()) if wanted is None else wanted not in ("", "0")
    return [*callbacks, ProgressBar()] if shown else list(callbacks)


class _FlatParameters:
    """All trainable numbers as one (R, P) parameter whose rows are replicas; the module's weights become its views.

    Rows are filled up with zeros to whole vectors of the processor. What is left over of a row in a vectorised loop is
    computed by other instructions, whose last bits differ, and in a stack only the last replica would have such a rest.
    """

    def __init__(self, module: nn.Module) -> None:
        weights = [p for p in module.parameters() if p.requires_grad]
        replicas = {len(p) for p in weights}
        if len(replicas) != 1:
            raise ConfigurationError(f"leading (replica) axes of the weights are {sorted(replicas)}; expected one size")
        self.size = sum(p[0].numel() for p in weights)
        rows = torch.cat([p.detach().flatten(1) for p in weights], 1)
        self.values = nn.Parameter(nn.functional.pad(rows, (0, -self.size % _ALIGNED)))
        self.gradient = torch.zeros_like(self.values)
        self.values.grad = self.gradient
        self._weights = weights
        self._filled = self.gradient[:, : self.size]
        start = 0
        for p in weights:
            stop = start + p[0].numel()
            p.data = self.values.data[:, start:stop].unflatten(1, p.shape[1:])
            start = stop

    def differentiate(self, per_replica: Tensor) -> None:
        """Set ``gradient`` to that of each replica's loss (R,)."""
        parts = torch.autograd.grad(per_replica, self._weights, torch.ones_like(per_replica), materialize_grads=True)
        torch.cat([part.flatten(1) for part in parts], 1, out=self._filled)  # one launch, where adding takes one each


def train(
    module: nn.Module,
    loss: Loss,
    plan: TrainingPlan,
    *,
    validation: Loss | None = None,
    callbacks: Sequence[Callback] = (),
    description: str = "training",
    state: Sequence[Resumable] | None = (),
    checkpoint: str | Path | None = None,
    identity: Mapping[str, Any] | None = None,
) -> list[TrainingReport | TrainingDiverged]:
    """Train the stacked ``module`` in place; its weights end as the best (or last) averaged ones.

    Args:
        module: every parameter (R, …), see ``phys_samplers.fields.stacked``.
        loss: draws a batch, returns (R,).
        plan: how to optimise.
        validation: a loss (R,) without randomness between calls, for early stopping.
        callbacks: told of every logged step.
        description: for the progress bar and error messages.
        state: what changes while training beside the weights; None if that is not known.
        checkpoint: a folder that the state of training is kept in; what it holds is gone on with.
        identity: JSON-like facts that a checkpoint must agree with.

    Returns:
        Per replica its report, or the error that ended it; the weights of a diverged replica are not usable.

    Raises:
        TrainingDiverged: if particles that all replicas learn from were lost.
        CheckpointError: if ``checkpoint`` is damaged or belongs to another training.
    """
    flat = _FlatParameters(module)
    values = flat.values.data
    replicas = len(values)
    optimiser = torch.optim.Adam([flat.values], lr=plan.learning_rate, fused=True)
    memory = OptimiserMemory(optimiser)
    average = values.clone()
    best = values.clone()
    best_loss = torch.full((replicas,), math.inf, device=values.device)
    window = torch.zeros(plan.log_every, replicas, device=values.device)
    patience = plan.patience if validation is not None else None
    courses = [_Course() for _ in range(replicas)]
    begun, seconds = 1, 0.0
    names = {name for name, _ in module.named_buffers()}
    buffers = {name: tensor for name, tensor in module.state_dict().items() if name in names}

    def kept() -> dict[str, Tensor]:
        own = {"values": values, "average": average, "best": best, "best_loss": best_loss}
        return own | {f"buffer.{name}": tensor for name, tensor in buffers.items()}

    keeper = None if checkpoint is None else TrainingState(checkpoint, identity or {}, state, adam=memory)
    if (
        keeper is not None
        and (found := keeper.load(values.device, kept(), _progress(replicas, plan.steps))) is not None
    ):
        numbers, progress = found
        for name, tensor in kept().items():
            tensor.copy_(numbers[name])
        courses = [_Course(**{one.name: course[one.name] for one in fields(_Course)}) for course in progress["courses"]]
        begun, seconds = progress["step"] + 1, progress["seconds"]

    def save(step: int) -> None:
        assert keeper is not None
        facts = {"step": step, "seconds": seconds + time.perf_counter() - began}
        keeper.save(kept(), facts | {"courses": [asdict(course) for course in courses]})

    listeners = default_callbacks(callbacks)
    began = saved = time.perf_counter()
    step = begun - 1
    try:
        for listener in listeners:
            listener.started(description, plan.steps)
        for step in range(begun, plan.steps + 1):
            if not any(course.running for course in courses):
                break
            optimiser.param_groups[0]["lr"] = plan.learning_rate * plan.decay_factor(step)
            per_replica = loss()
            flat.differentiate(per_replica)
            with torch.no_grad():
                window[(step - 1) % plan.log_every] = per_replica.detach()
                if plan.clip_norm is not None:
                    excess = flat.gradient.norm(dim=1, keepdim=True).div_(plan.clip_norm).clamp_(min=1.0)
                    flat.gradient.div_(excess)
                optimiser.step()
                # A young average must not remember the initial weights.
                average.lerp_(values, 1 - min(plan.ema_decay, step / (step + 10)))

            last = step == plan.steps
            validate = validation is not None and (step % plan.validate_every == 0 or last)
            if not (validate or last or step % plan.log_every == 0):
                continue
            # From here on the device is waited for.
            recent = window[: (step - 1) % plan.log_every + 1]
            logged = {"loss": recent.mT.contiguous().mean(1).tolist()}
            for course, bad in zip(courses, _first_not_finite(recent, values if last else None, step), strict=True):
                if bad is not None:
                    course.diverge(bad)
            if validate:
                assert validation is not None
                held = _at(flat, average, validation)
                logged["validation"] = held.tolist()
                running = torch.tensor([course.running for course in courses], device=held.device)
                improved = (held < best_loss) & running
                best_loss = torch.where(improved, held, best_loss)
                best = torch.where(improved[:, None], average, best)
                for course, value, better in zip(courses, logged["validation"], improved.tolist(), strict=True):
                    course.validate(step, value, better)
            for r, course in enumerate(courses):
                course.log(step, {name: row[r] for name, row in logged.items()}, patience)
            ended = last or not any(course.running for course in courses)
            # Inside a window of losses a training cannot be left: it would be averaged without its beginning.
            due = step % plan.log_every == 0 and time.perf_counter() - saved >= states.SAVE_EVERY
            if keeper is not None and (ended or due):
                save(step)
                saved = time.perf_counter()
            for listener in listeners:
                listener.logged(step, logged)
    except DivergenceError as error:
        raise TrainingDiverged(
            f"{description}: particles were lost at step {step} of {plan.steps}: {error}; try a smaller learning_rate "
            f"(now {plan.learning_rate:g})"
        ) from error
    finally:
        for listener in listeners:
            listener.finished()
    seconds += time.perf_counter() - began
    values.copy_(average if validation is None else best)
    results: list[TrainingReport | TrainingDiverged] = []
    for r, course in enumerate(courses):
        if course.diverged is not None:
            results.append(
                TrainingDiverged(
                    f"{description}: the loss of replica {r} (or its gradient) is not finite at step {course.diverged} "
                    f"of {plan.steps}; try a smaller learning_rate (now {plan.learning_rate:g}) or clip_norm (now "
                    f"{plan.clip_norm})"
                )
            )
            continue
        results.append(
            TrainingReport(
                steps=course.steps,
                seconds=seconds,
                replicas=replicas,
                parameters=flat.size,
                best_step=course.steps if validation is None else course.best_step,
                best_validation=None if validation is None else float(best_loss[r]),
                history=course.history,
            )
        )
    return results


@dataclass
class _Course:
    """How the training of one replica goes; it runs until it diverges or its patience is at an end."""

    running: bool = True
    diverged: int | None = None
    steps: int = 0
    best_step: int = 0
    stale: int = 0
    history: list[dict[str, float]] = field(default_factory=list)

    def diverge(self, step: int) -> None:
        if self.running:
            self.diverged, self.running = step, False

    def validate(self, step: int, loss: float, better: bool) -> None:
        if not math.isfinite(loss):
            self.diverge(step)
        elif better:
            self.best_step, self.stale = step, 0
        else:
            self.stale += 1

    def log(self, step: int, values: dict[str, float], patience: int | None) -> None:
        if self.running:
            self.steps = step
            self.history.append({"step": step, **values})
            if patience is not None and self.stale > patience:
                self.running = False


def _progress(replicas: int, steps: int) -> Shape:
    """What the state of a training says beside its numbers."""
    count = whole(0, steps)
    course = {"running": flag, "diverged": maybe(count), "steps": count, "best_step": count, "stale": whole(0)}
    courses = rows(table({**course, "history": rows(mapping(number()))}), least=replicas, most=replicas)
    return table({"step": count, "seconds": number(0), "courses": courses})


def _first_not_finite(losses: Tensor, weights: Tensor | None, step: int) -> list[int | None]:
    """Per replica the first step of the window (steps, R), ending at ``step``, whose loss is not finite.

    With ``weights`` (R, P), those of the last step, also that step if they are not finite: a finite loss may have a
    gradient that is not, and after the last step no loss is there to show it.
    """
    finite = torch.isfinite(losses)
    first = (~finite).int().argmax(0) + (step - len(losses) + 1)
    lost = ~finite.all(0)
    broken = torch.zeros_like(lost) if weights is None else ~torch.isfinite(weights).all(1)
    return [
        f if a else step if b else None for f, a, b in zip(first.tolist(), lost.tolist(), broken.tolist(), strict=True)
    ]


def _at(flat: _FlatParameters, point: Tensor, loss: Loss) -> Tensor:
    """The loss with the weights ``point`` in place of the live ones."""
    live = flat.values.data.clone()
    flat.values.data.copy_(point)
    try:
        # A loss may take gradients in x (the paper's Jacobian term), so grad mode stays as the loss sets it.
        return loss().detach()
    finally:
        flat.values.data.copy_(live)
