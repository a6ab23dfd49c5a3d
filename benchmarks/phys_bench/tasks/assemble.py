"""From an exact law to a task: fixed splits, and the metrics that the law can be scored by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from phys_samplers.errors import ConfigurationError
from phys_samplers.randomness import make_generator
from phys_samplers.target import Modes, Task

SPLIT_SEED = 0
"""All splits of all tasks come from this seed, under the task's own labels."""
TRAIN_SIZE = 10_000
VALIDATION_SIZE = 2_000
HELDOUT_SIZE = 10_000
HELD = {"validation": VALIDATION_SIZE, "heldout": HELDOUT_SIZE}
EVAL_SIZE = 1_000
TRAIN_SHARE, VALIDATION_SHARE = 0.7, 0.1
"""Of data, whose number of rows is what it is; the rest, a fifth, is held out."""
KSD_MAX_DIM = 10
"""Above this dimension the kernel Stein discrepancy with a fixed kernel loses its power."""
DRAW_METRICS = ("log-z-error", "ess")
"""What samplers of energies say of their own draws; others have no number there."""

View = tuple[tuple[float, float], ...]


def assemble(
    name: str,
    law: Any,
    *,
    view: View,
    modes: Modes | None = None,
    train_size: int = TRAIN_SIZE,
    metrics: tuple[str, ...] = (),
    eval_size: int = EVAL_SIZE,
    version: int = 1,
) -> Task:
    """The task of an exact law.

    The training, validation and held-out rows are independent streams of one fixed seed: they are the same on every
    run, and neither validation nor held-out rows change with ``train_size``.

    Args:
        name: the task's name, also the label of its splits.
        law: law with ``log_prob``, ``sample`` and ``log_z``.
        view: the box that pictures show.
        modes: mode centres, weights and labels.
        train_size: number of training rows.
        metrics: the one that ranks first; ``metrics_for`` the law if not given.
        eval_size: number of generated samples that are scored.
        version: of the task.

    Raises:
        ConfigurationError: on a bad ``train_size``.
    """
    if isinstance(train_size, bool) or not isinstance(train_size, int) or train_size < 1:
        raise ConfigurationError(
            f"train_size of task {name!r} is {train_size!r}; expected the number of training rows, at least 1"
        )
    sizes = {"train": train_size, **HELD}
    return Task(
        event_shape=law.event_shape,
        name=name,
        law=law,
        modes=modes,
        version=version,
        metrics=metrics or metrics_for(law, modes),
        eval_size=eval_size,
        view=view,
        **drawn(name, law, sizes),
    )


def drawn(name: str, law: Any, sizes: Mapping[str, int] = HELD) -> dict[str, Any]:
    """Exact draws by the name of their split, each from a stream of its own.

    Args:
        name: of the task.
        law: with ``sample``.
        sizes: rows of each split; those that no sampler learns from if not given.
    """
    with torch.no_grad():
        return {split: law.sample(n, make_generator(SPLIT_SEED, "task", name, split)) for split, n in sizes.items()}


def metrics_for(law: Any, modes: Modes | None) -> tuple[str, ...]:
    """The metrics of a law, the one that ranks first.

    A law without a score here is a uniform one: its energy is constant on the support, so the energy histogram and
    the Stein discrepancy say nothing of it, and samplers of energies, whose estimates of log Z and effective sizes are
    scored, have nothing to follow.
    """
    names = ["w2"]
    if modes is not None:
        names.append("mode-tv")
    names += ["mmd2", "energy-distance", "sliced-w2", "w1", "1nn", "variance-ratio", "memorisation"]
    if law.differentiable:
        names += ["tvd-e", "delta-std"]
        if law.event_shape[0] <= KSD_MAX_DIM:
            names.append("ksd")
        names += DRAW_METRICS
    return tuple(names)


def square_view(half_width: float, dim: int = 2) -> View:
    """The box [−half_width, half_width]^dim."""
    return ((-half_width, half_width),) * dim


def split(name: str, n: int) -> tuple[Tensor, Tensor, Tensor]:
    """Indices of the training, validation and held-out rows: a fixed permutation of n rows, cut 70/10/20.

    Args:
        name: of the task, the label of its stream.
        n: number of rows.
    """
    order = torch.randperm(n, generator=make_generator(SPLIT_SEED, "task", name, "split"))
    train, validation = round(TRAIN_SHARE * n), round(VALIDATION_SHARE * n)
    return order[:train], order[train : train + validation], order[train + validation :]
