"""What a sampler is fitted to: a law, known through samples, a density, an exact sampler, or several of these.

A ``Target`` says by *capability* what it offers; a sampler says what it needs; ``Target.missing`` is the difference:

``samples``    training rows (``target.train``)
``log_prob``   an unnormalised log-density
``score``      its gradient (by autograd unless the law brings its own)
``sample``     an exact sampler
``log_z``      the logarithm of the normalising constant of ``log_prob``
``modes``      mode centres and weights
``particles``  the layout (n, m) of a system of n particles in R^m
``sets``       samples are wanted, and scored, as sets of ``set_size``
``conditions`` rows are given class labels or covariates
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self, runtime_checkable

import torch
from torch import Tensor, nn

from phys_registry.errors import brief
from phys_samplers.errors import ConfigurationError, DensityError, MissingCapability
from phys_samplers.evaluations import Evaluations
from phys_samplers.randomness import as_device
from phys_samplers.shown import Facts, Shown, size
from phys_samplers.supports import Constraint, Support, support_of

if TYPE_CHECKING:
    from phys_samplers.conditions import Conditions
    from phys_samplers.table import Column

CAPABILITIES = ("samples", "log_prob", "score", "sample", "log_z", "modes", "particles", "sets", "conditions")


@runtime_checkable
class Law(Protocol):
    """A probability law; every method but ``event_shape`` is optional and announces a capability by being there.

    ``log_prob(x: (B, D)) -> (B,)``, ``score(x: (B, D)) -> (B, D)``, ``log_prob_and_score(x)`` where both cost little
    more than one, ``sample(n, generator) -> (n, D)`` and ``log_z: float``. A law on a linear subspace of R^D has its
    orthonormal rows as ``subspace`` (K, D); its density is with respect to Lebesgue measure on it. One on part of R^D
    has a ``support`` (``phys_samplers.supports``). A law of n particles
    in R^m has ``particles = (n, m)``, and its coordinates grouped by particle. A law that holds tensors is an
    ``nn.Module`` with buffers, so that it moves between devices.
    """

    event_shape: tuple[int, ...]


@dataclass(frozen=True)
class Modes:
    """Mode centres and their weights; a point belongs to the nearest centre unless ``label`` says otherwise.

    Args:
        centres: (K, D).
        weights: (K,), summing to one.
        label: optional ``(B, D) -> (B,)`` integer labels.
    """

    centres: Tensor
    weights: Tensor
    label: Callable[[Tensor], Tensor] | None = None

    def labels(self, x: Tensor) -> Tensor:
        """Integer mode labels (B,) of the rows of ``x`` (B, D)."""
        if self.label is not None:
            return self.label(x)
        return torch.cdist(x, self.centres.to(x)).argmin(1)


@dataclass(frozen=True, kw_only=True, repr=False)
class Target(Shown):
    """A law to sample from, and what is known of it.

    Args:
        event_shape: shape of one sample, e.g. ``(2,)``.
        name: for messages and records.
        law: object with ``log_prob``, ``score``, ``sample``, ``log_z`` as far as they are known.
        train: training rows (N, *event_shape).
        validation: rows for early stopping and tuning.
        heldout: rows that scores are computed against; a sampler never sees them.
        columns: names and types of the coordinates, if the rows are a table's.
        modes: centres and weights, if the law has modes.
        features: (B, *event_shape) → (B, F), what metrics that compare features (``frechet``) see of rows; it takes
            rows on any device and does not depend on what is scored.
        set_size: n, if samples are wanted as sets of n, one after the other; see ``phys_samplers.metrics.sets``.
        conditions: what each row is given, if the laws given it are wanted; see ``phys_samplers.conditions``.
        evaluations: counts what is asked of the density, if given.
    """

    event_shape: tuple[int, ...]
    name: str = "target"
    law: Any = None
    train: Tensor | None = None
    validation: Tensor | None = None
    heldout: Tensor | None = None
    columns: tuple[Column, ...] | None = None
    modes: Modes | None = None
    features: Callable[[Tensor], Tensor] | None = None
    set_size: int | None = None
    conditions: Conditions | None = None
    evaluations: Evaluations | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        for split in ("train", "validation", "heldout"):
            rows = getattr(self, split)
            if rows is None:
                continue
            if rows.shape[1:] != self.event_shape:
                raise ConfigurationError(
                    f"{split} rows of target {self.name!r} have shape {tuple(rows.shape[1:])}; "
                    f"expected event_shape {self.event_shape}"
                )
            if not torch.isfinite(rows).all():
                bad = int((~torch.isfinite(rows)).flatten(1).any(1).sum())
                raise ConfigurationError(
                    f"{bad} of {len(rows)} {split} rows of target {self.name!r} hold NaN or infinite values; "
                    "drop or impute them before fitting"
                )
        if self.conditions is not None:
            rows_of = {split: getattr(self, split) for split in ("train", "validation", "heldout")}
            self.conditions.check(rows_of, self.name)

    def _title(self) -> str:
        return f"{type(self).__name__} {self.name!r}"

    def _facts(self) -> Facts:
        rows = {split: getattr(self, split) for split in ("train", "validation", "heldout")}
        counts = ", ".join(f"{len(part):,} {split}" for split, part in rows.items() if part is not None)
        facts = [("shape", size(self.event_shape)), ("offers", ", ".join(sorted(self.capabilities)) or "nothing")]
        facts += [("rows", counts)] if counts else []
        names = ", ".join(column.name for column in self.columns or ())
        return [*facts, ("columns", names)] if names else facts

    @property
    def dim(self) -> int:
        """Number of coordinates D of one sample."""
        return int(torch.Size(self.event_shape).numel())

    @property
    def subspace(self) -> Tensor | None:
        """Orthonormal rows (K, D) that span where the law lives; None for all of R^D. See ``FlatDensity``."""
        return getattr(self.law, "subspace", None)

    @property
    def support(self) -> Support | None:
        """Where there is density, if not everywhere; see ``phys_samplers.supports``."""
        return getattr(self.law, "support", None)

    @property
    def flat_dim(self) -> int:
        """Number of flat coordinates K in which samplers move; see ``FlatDensity``."""
        if self.support is not None:
            return self.support.dim
        return self.dim if self.subspace is None else len(self.subspace)

    @property
    def particles(self) -> tuple[int, int] | None:
        """(n, m) of a system of n particles in R^m, whose coordinates are grouped by particle; None for other laws."""
        return getattr(self.law, "particles", None)

    @property
    def _has_score(self) -> bool:
        return callable(getattr(self.law, "log_prob", None)) and getattr(self.law, "differentiable", True)

    @property
    def capabilities(self) -> frozenset[str]:
        """What the target offers, a subset of ``CAPABILITIES``."""
        offers = set()
        if self.train is not None:
            offers.add("samples")
        if self.modes is not None:
            offers.add("modes")
        if self.particles is not None:
            offers.add("particles")
        if self.set_size is not None:
            offers.add("sets")
        if self.conditions is not None:
            offers.add("conditions")
        if self.law is not None:
            if callable(getattr(self.law, "log_prob", None)):
                offers.add("log_prob")
                if self._has_score:
                    offers.add("score")
            if callable(getattr(self.law, "sample", None)):
                offers.add("sample")
            if getattr(self.law, "log_z", None) is not None:
                offers.add("log_z")
        return frozenset(offers)

    def missing(self, needs: Iterable[str]) -> list[str]:
        """The capabilities in ``needs`` that the target lacks, sorted."""
        return sorted(set(needs) - self.capabilities)

    def require(self, *needs: str, by: str) -> None:
        """Raise unless the target offers all of ``needs``.

        Raises:
            MissingCapability: naming what is missing, who asked and what there is.
        """
        if missing := self.missing(needs):
            raise MissingCapability(
                f"{by} needs {', '.join(missing)}, which target {self.name!r} does not offer "
                f"(it offers {', '.join(sorted(self.capabilities)) or 'nothing'})"
            )

    def log_prob(self, x: Tensor) -> Tensor:
        """Unnormalised log-density (B,) at ``x`` (B, *event_shape)."""
        self.require("log_prob", by="log_prob()")
        if self.evaluations is not None:
            self.evaluations.densities += len(x)
        return self.law.log_prob(x)

    def score(self, x: Tensor) -> Tensor:
        """∇ log p at ``x`` (B, *event_shape); detached."""
        if not self._has_score:  # asked at every step of a chain, which finding all capabilities would slow
            self.require("score", by="score()")
        if self.evaluations is not None:
            self.evaluations.gradients += len(x)
        if callable(getattr(self.law, "score", None)):
            with torch.no_grad():
                return self.law.score(x)
        return self._by_autograd(x)[1]

    def log_prob_and_score(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """``log_prob`` (B,) and ``score`` (B, *event_shape) from one evaluation where that is possible; detached."""
        if not self._has_score:
            self.require("score", by="log_prob_and_score()")
        if self.evaluations is not None:
            self.evaluations.gradients += len(x)
        if callable(getattr(self.law, "log_prob_and_score", None)):
            with torch.no_grad():
                return self.law.log_prob_and_score(x)
        if callable(getattr(self.law, "score", None)):
            with torch.no_grad():
                return self.law.log_prob(x), self.law.score(x)
        return self._by_autograd(x)

    def _by_autograd(self, x: Tensor) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            value = self.law.log_prob(x)
            if not value.requires_grad:
                raise DensityError(
                    f"the log-density of target {self.name!r} has no gradient: it is constant, or was computed outside "
                    "of autograd (numpy, .detach(), torch.no_grad); write it in operations of torch, or give its "
                    "gradient: Density(log_prob, event_shape, score=...)"
                )
            (gradient,) = torch.autograd.grad(value, x, torch.ones_like(value))
        return value.detach(), gradient

    def sample(self, n: int, *, generator: torch.Generator) -> Tensor:
        """``n`` exact draws (n, *event_shape)."""
        self.require("sample", by="sample()")
        return self.law.sample(n, generator)

    @property
    def log_z(self) -> float | None:
        """log ∫ exp(log_prob), if known."""
        value = getattr(self.law, "log_z", None)
        return None if value is None else float(value)

    def to(self, device: torch.device | str) -> Self:
        """The same target with its tensors (and its law, if that is a module) on ``device``."""
        device = as_device(device)
        moved: dict[str, Any] = {}
        for split in ("train", "validation", "heldout"):
            rows = getattr(self, split)
            if rows is not None and rows.device != device:
                moved[split] = rows.to(device)
        if isinstance(self.law, nn.Module) and any(b.device != device for b in self.law.buffers()):
            moved["law"] = copy.deepcopy(self.law).to(device)
        if self.conditions is not None and self.conditions.train.device != device:
            moved["conditions"] = self.conditions.to(device)
        return replace(self, **moved) if moved else self


def Density(  # noqa: N802 - reads as a constructor: Density(lambda x: ..., event_shape=(2,))
    log_prob: Callable[[Tensor], Tensor] | torch.distributions.Distribution,
    event_shape: tuple[int, ...] | None = None,
    *,
    score: Callable[[Tensor], Tensor] | None = None,
    support: Constraint | Sequence[Constraint] | None = None,
    name: str = "density",
) -> Target:
    """A target from any unnormalised log-density, or from a ``torch.distributions`` object.

    A distribution brings its shape, support, log Z = 0 and its own sampler. Where there is a support samplers move in
    coordinates without borders, with the Jacobian; samples are inside it, and log Z is that of ``log_prob``.

    Args:
        log_prob: maps (B, *event_shape) to (B,); or a continuous distribution with an empty batch shape.
        event_shape: shape of one sample; not for a distribution.
        score: its gradient, if you have it by hand; autograd otherwise. Not for a distribution.
        support: where there is density, if not everywhere: for all coordinates, or one for each, "positive", "0:24",
            "circle" (an angle from −π to π; the density must be periodic), or a constraint of ``torch.distributions``;
            "simplex" for a whole row, with a density as that of ``Dirichlet``. Not for a distribution.
        name: for messages.

    Raises:
        ConfigurationError: if the shape is missing, the support unknown, or the distribution cannot be used.
    """
    from phys_samplers.adapters import CallableLaw, DistributionLaw

    law: Any
    if isinstance(log_prob, torch.distributions.Distribution):
        own = {"event_shape": event_shape, "score": score, "support": support}
        if given := ", ".join(name for name, value in own.items() if value is not None):
            raise ConfigurationError(f"{given} is given with a torch.distributions object, which has its own; leave it")
        law = DistributionLaw(log_prob)
    elif event_shape is None:
        raise ConfigurationError("event_shape is missing; expected the shape of one sample, e.g. event_shape=(2,)")
    elif not callable(log_prob):
        raise ConfigurationError(
            f"log_prob is {brief(log_prob)}; expected a function (B, *event_shape) -> (B,), or a torch distribution"
        )
    else:
        sizes = _shape(event_shape)
        law = CallableLaw(log_prob, sizes, score, support_of(support, sizes))
    return Target(event_shape=law.event_shape, name=name, law=law)


def _shape(event_shape: Any) -> tuple[int, ...]:
    sizes = tuple(event_shape) if isinstance(event_shape, list | tuple) else ()  # torch.Size is a tuple
    if not sizes or not all(isinstance(size, int) and not isinstance(size, bool) and size > 0 for size in sizes):
        raise ConfigurationError(f"event_shape is {brief(event_shape)}; expected positive integers, e.g. (2,)")
    return sizes


def require(target: Any, *needs: str, by: str) -> None:
    """Raise unless it is a target that offers all of ``needs``; see ``Target.require``.

    Raises:
        ConfigurationError: if it is no target.
        MissingCapability: naming what is missing.
    """
    if not isinstance(target, Target):
        raise ConfigurationError(
            f"{by} was given {brief(target)} as its target; expected a task, e.g. make('task', 'moons'), Samples(rows) "
            "or Density(log_prob, event_shape)"
        )
    target.require(*needs, by=by)


@dataclass(frozen=True, kw_only=True, repr=False)
class Task(Target):
    """A versioned target of the benchmark, with the metrics that judge it.

    Args:
        version: raised whenever the law, the splits or the metrics change; part of every record's identity.
        metrics: metric specs, e.g. ``("w2", "mode-tv")``; the first is the one that ranks.
        eval_size: number of generated samples scored against as many held-out rows.
        view: ((low, high), …) per coordinate, the box that pictures show.
        content: hash of what was read to make it where its options name files; part of every record's identity.

    Attributes:
        contestants: the kind of component that competes on it.
    """

    contestants: ClassVar[str] = "sampler"

    version: int = 1
    metrics: tuple[str, ...] = ("w2",)
    eval_size: int = 1000
    view: tuple[tuple[float, float], ...] = field(default=())
    content: str = ""
