"""What a metric is: a number from what is scored (``Scored``), with its needs declared by name; and its floor.

Needs are capabilities of the target (``modes``, ``log_prob``, …) and names of what comes besides the samples:

``rows``   reference rows of the exact law, never seen by the sampler
``model``  the fitted model itself
``draw``   what came with the samples: estimates of log Z, importance weights
``costs``  evaluations and seconds that the samples took

>>> x = model.sample(1_000, seed=1)
>>> scored = Scored(samples=x, reference=task.heldout[:1_000], target=task, generator=make_generator(0))
>>> make("metric", "w2")(scored)
"""

from __future__ import annotations

import inspect
import statistics
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from phys_samplers.errors import ConfigurationError, MissingCapability
from phys_samplers.options import check_values, part_options
from phys_samplers.randomness import make_generator
from phys_samplers.sampler import Draw, Model
from phys_samplers.target import Target

Best = Literal["low", "high", "zero", "half", "one"]

BESIDES = {
    "rows": "rows to compare with: reference=target.heldout",
    "model": "the fitted model: model=recipe.fit(target)",
    "draw": "what came with the samples: draw=model.draw(n)",
    "costs": "what the samples took: costs={'energy_gradients': ..., 'energy_densities': ..., 'seconds': ...}",
}
"""What a metric may need besides capabilities of the target, and how ``Scored`` is given it."""


@dataclass(frozen=True, kw_only=True)
class Scored:
    """What is scored, and all that a metric may look at.

    Args:
        samples: generated (n, *event_shape).
        target: what they should be samples of; for its modes, training rows, log-density.
        generator: of every random number of the metric (projections, sub-samples).
        reference: rows (m, *event_shape) of the exact law, never seen by the sampler.
        model: the fitted model.
        draw: what the sampler gave with the samples.
        costs: ``energy_gradients`` and ``energy_densities``, evaluations per sample, and ``seconds`` in all, each with
            training included.
        conditions: those (n, …) that the samples were drawn given and those (m, …) of the reference, of targets whose
            rows have conditions.
    """

    samples: Tensor
    target: Target
    generator: torch.Generator
    reference: Tensor | None = None
    model: Model | None = None
    draw: Draw | None = None
    costs: Mapping[str, float] | None = None
    conditions: tuple[Tensor, Tensor] | None = None

    def missing(self, needs: Iterable[str]) -> list[str]:
        """The names in ``needs`` that are not here, sorted."""
        given = {"rows": self.reference, "model": self.model, "draw": self.draw, "costs": self.costs}
        here = {name for name, value in given.items() if value is not None}
        return [name for name in self.target.missing(needs) if name not in here]

    def require(self, metric: Metric) -> None:
        """Raise unless everything that ``metric`` needs is here.

        Raises:
            MissingCapability: naming the metric, what is missing, and how to give it.
        """
        missing = self.missing(metric.needs)
        if lacking := [name for name in missing if name not in BESIDES]:
            self.target.require(*lacking, by=metric.label)
        if missing:
            ways = "; ".join(BESIDES[name] for name in missing)
            raise MissingCapability(f"{metric.label} needs {', '.join(missing)}; give {ways}")
        size = 1 if self.draw is None else self.draw.diagnostics.get("set_size", 1)
        if "rows" in metric.needs and size > 1 and not metric.of_sets:
            raise MissingCapability(
                f"{metric.label} compares independent samples, and these come in sets of {size}; score sets on a task "
                "of sets: set-modes, set-recall, set-marginal, ..."
            )

    def rows(self, metric: Metric, *, least: int = 1) -> tuple[Tensor, Tensor]:
        """Samples (n, D) and reference (m, D) as detached float64 rows, flattened, on the device of the samples.

        A device without float64 (MPS) is left for the CPU.

        Args:
            metric: whose needs are checked before.
            least: the smallest n and m for which it is defined.

        Raises:
            MissingCapability: if something that the metric needs is not here.
            ConfigurationError: on samples that are too few, not finite, or of another shape than the reference.
        """
        x = self.own_rows(metric, least=least)
        assert self.reference is not None  # what "rows" says
        if problem := _problem("reference", self.reference, least):
            raise ConfigurationError(f"{metric.label}: {problem}")
        if self.samples.shape[1:] != self.reference.shape[1:]:
            raise ConfigurationError(
                f"{metric.label}: samples have event shape {tuple(self.samples.shape[1:])} but the reference has "
                f"{tuple(self.reference.shape[1:])}; expected the same shape for both"
            )
        return x, as_rows(self.reference.to(x.device))

    def own_rows(self, metric: Metric, *, least: int = 1) -> Tensor:
        """The samples alone, (n, D), for a metric that compares them with no rows; see ``rows``."""
        self.require(metric)
        if problem := _problem("samples", self.samples, least):
            raise ConfigurationError(f"{metric.label}: {problem}")
        return as_rows(self.samples)


@dataclass(frozen=True, kw_only=True)
class Metric(ABC):
    """A score. Subclasses are frozen dataclasses whose fields (bins, bandwidths, …) are part of the definition.

    Attributes:
        best: which way is better; ``"zero"``, ``"half"`` and ``"one"`` for scores whose exact value is 0, ½ or 1
            (signed errors, two-sample accuracies, ratios).
        needs: names of what it looks at besides the samples; see the module.
        of_sets: whether it scores sets; others refuse samples that are independent between sets only.
    """

    best: ClassVar[Best] = "low"
    needs: ClassVar[frozenset[str]] = frozenset({"rows"})
    of_sets: ClassVar[bool] = False

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        own = vars(cls).get("__call__")
        flags = [flag for flag in ("needs_model", "needs_draw", "needs_rows") if flag in vars(cls)]
        signature = None if own is None else inspect.signature(own)
        if flags or (signature is not None and len(signature.parameters) != 2):
            raise ConfigurationError(
                f"metric {cls.__qualname__} {'sets ' + flags[0] if flags else f'takes {signature}'}; "
                "expected __call__(self, scored: Scored) -> float, with scored.samples, scored.reference, "
                "scored.target, scored.generator, scored.model and scored.draw in place of arguments, and "
                f"needs = frozenset of names among a target's capabilities and {', '.join(BESIDES)}"
            )

    def __post_init__(self) -> None:
        check_values(self)

    @abstractmethod
    def __call__(self, scored: Scored) -> float:
        """The score.

        Raises:
            MissingCapability: if ``scored`` lacks something that the metric needs.
            ConfigurationError: if what is there cannot be scored.
        """

    @property
    def has_floor(self) -> bool:
        """Whether exact samples alone can be scored: rows are compared, and no fitted model is asked."""
        return "rows" in self.needs and "model" not in self.needs

    @property
    def label(self) -> str:
        """The name it is registered by, or of its class, for messages."""
        form = part_options(self)
        return str(form["name"]) if isinstance(form, Mapping) else type(self).__name__


def as_rows(x: Tensor) -> Tensor:
    """``x`` (n, *event_shape) as detached float64 rows (n, D), on the CPU if its device has no float64 (MPS)."""
    x = x.detach()
    return (x.cpu() if x.device.type == "mps" else x).to(torch.float64).flatten(1)


def in_batches(function: Callable[[Tensor], Tensor], x: Tensor, size: int = 8192) -> Tensor:
    """``function(x)`` row by row, never of more than ``size`` rows at once, as a density should be asked."""
    return torch.cat([function(some) for some in x.split(size)])


def _problem(what: str, x: Tensor, least: int) -> str:
    """What is wrong with rows; empty if nothing is."""
    if not isinstance(x, Tensor) or x.ndim < 2:
        shape = tuple(x.shape) if isinstance(x, Tensor) else type(x).__name__
        return f"{what} is {shape}; expected a tensor (n, *event_shape)"
    if len(x) < least or x[0].numel() == 0:
        return f"{what} has shape {tuple(x.shape)}; expected at least {least} row(s) of at least one coordinate"
    finite = torch.isfinite(x).flatten(1).all(1)
    if not finite.all():
        return (
            f"{int((~finite).sum())} of {len(x)} {what} rows hold NaN or infinite values; a score of the rest would "
            "flatter the sampler, so mend or report the divergence instead"
        )
    return ""


Source = Literal["exact", "train", "heldout"]


@dataclass(frozen=True)
class Floor:
    """The score of exact samples.

    Attributes:
        mean: over repeats.
        std: standard deviation over repeats (n − 1 in the denominator).
        values: one score per repeat.
        source: ``"exact"`` for draws of ``target.sample`` against the given reference; ``"train"`` for training rows
            against it; ``"heldout"`` for disjoint parts of the held-out rows against each other. Repeats of the last
            two overlap, so that ``std`` is a little small.
    """

    mean: float
    std: float
    values: tuple[float, ...]
    source: Source


def floor(
    metric: Metric,
    target: Target,
    *,
    n: int,
    reference: Tensor,
    conditions: tuple[Tensor, Tensor] | None = None,
    repeats: int = 5,
    seed: int = 0,
) -> Floor | None:
    """Score ``n`` exact draws, ``repeats`` times.

    A target without an exact sampler gives n random training rows instead, which are independent of the reference and
    of the same law. To a metric that itself reads the training rows they are not like any other draws: it gets disjoint
    random parts of the held-out rows, n scored against as many as ``reference`` has, and so does a target with fewer
    than n training rows. A metric of laws given a condition gets training rows of the conditions that samples have.

    Args:
        metric: the score.
        target: what the samples should be from.
        n: number of generated samples that a sampler is scored with.
        reference: the rows (m, *event_shape) it is scored against.
        conditions: see ``Scored.conditions``.
        repeats: at least 2, for a spread.
        seed: of draws, splits and the metric's own randomness.

    Returns:
        The floor, or None where samples have none: the metric scores the model or the draw, or the target has neither
        an exact sampler nor enough rows.

    Raises:
        ConfigurationError: on a bad ``n`` or ``repeats``.
        MissingCapability: if the target lacks what the metric needs.
    """
    if n < 1 or repeats < 2:
        raise ConfigurationError(f"floor: n is {n} and repeats {repeats}; expected n >= 1 and repeats >= 2")
    if not metric.has_floor:
        return None
    target.require(*metric.needs - BESIDES.keys(), by=type(metric).__name__)
    source: Source
    if "conditions" in metric.needs:
        if conditions is None or not _enough(target, conditions[0]):
            return None
        source = "train"
    elif "sample" in target.capabilities:
        source = "exact"
    elif target.train is not None and len(target.train) >= n and "samples" not in metric.needs:
        source = "train"
    elif target.heldout is not None and len(target.heldout) >= n + len(reference):
        source = "heldout"
    else:
        return None

    values = []
    for repeat in range(repeats):
        if source == "exact":
            generator = make_generator(seed, "floor", "draw", repeat, device=reference.device)
            samples, against = target.sample(n, generator=generator), reference
        elif source == "train":
            order = _order(target.train, seed, repeat)
            if "conditions" in metric.needs:
                assert conditions is not None  # checked above
                order = _alike(target, order, conditions[0])
            assert target.train is not None
            samples, against = target.train[order[:n]].to(reference.device), reference
        else:
            assert target.heldout is not None
            rows = target.heldout[_order(target.heldout, seed, repeat)]
            samples, against = rows[:n], rows[n : n + len(reference)]
        own = make_generator(seed, "floor", "metric", repeat)
        draw = Draw(samples, nfe=0.0)  # exact samples weigh the same
        scored = Scored(
            samples=samples, reference=against, target=target, generator=own, draw=draw, conditions=conditions
        )
        values.append(metric(scored))
    return Floor(statistics.fmean(values), statistics.stdev(values), tuple(values), source)


def _order(rows: Tensor | None, seed: int, repeat: int) -> Tensor:
    assert rows is not None  # checked by the caller
    return torch.randperm(len(rows), generator=make_generator(seed, "floor", "split", repeat)).to(rows.device)


def _enough(target: Target, wanted: Tensor) -> bool:
    """Whether there are as many training rows of every class as are wanted of it."""
    assert target.conditions is not None  # the metric needs them
    kept = target.conditions.train
    labels, counts = wanted.to(kept.device).unique(return_counts=True)
    return not kept.is_floating_point() and bool(((kept == labels[:, None]).sum(1) >= counts).all())


def _alike(target: Target, order: Tensor, wanted: Tensor) -> Tensor:
    """Places (n,) of training rows, the first in ``order`` whose class is ``wanted`` (n,), each once."""
    assert target.conditions is not None
    kept, wanted = target.conditions.train[order], wanted.to(order.device)
    chosen = torch.empty_like(wanted)
    for label in wanted.unique():
        places = wanted == label
        chosen[places] = order[kept == label][: int(places.sum())]
    return chosen
