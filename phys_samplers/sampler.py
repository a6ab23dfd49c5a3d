"""The two faces of every sampler: a frozen *recipe*, and the *model* that fitting it to a target gives.

>>> recipe = make("sampler", "bellman", steps=2_000)
>>> model = recipe.fit(make("task", "moons"), seed=0)
>>> x = model.sample(1_000, seed=1)
"""

from __future__ import annotations

import copy
import dataclasses
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import torch
from torch import Tensor

from phys_registry.errors import brief
from phys_registry.options import facts_of
from phys_samplers.checkpoint import load as read_model
from phys_samplers.checkpoint import save as write_model
from phys_samplers.draw import DrawForms
from phys_samplers.errors import ConfigurationError
from phys_samplers.options import check_values, part_options
from phys_samplers.randomness import as_device
from phys_samplers.shown import Facts, Shown, size
from phys_samplers.target import Target
from phys_samplers.training import Callback, TrainingReport

if TYPE_CHECKING:
    import pandas as pd

    from phys_samplers.table import Column

MOST_NUMBERS = 2**40
"""In one draw."""


@dataclass(frozen=True, repr=False)
class Draw(DrawForms):
    """Samples with what it cost to get them.

    Args:
        samples: (n, *event_shape).
        nfe: function evaluations (network or gradient calls) *per sample*, burn-in included.
        diagnostics: JSON-like facts: acceptance rate, R̂, clamped fraction, … Names that mean the same everywhere:
            ``log_z``, an estimate of the target's log Z, with its standard error ``log_z_std`` where one is known;
            ``elbo``, a lower bound of it in expectation; ``ess``, effective independent draws per sample: (Σw)²/(nΣw²)
            of importance weights, or of chains what the autocorrelation leaves (above 1 where a chain is long and one
            state of it was asked for).
        log_weights: logarithms (n,) of importance weights that make the samples exact, up to one constant; None if
            the samples stand for themselves.
        n_chains: of how many Markov chains the samples are states, the latest state of every chain first; None if
            they are no chains' states.
    """

    samples: Tensor
    nfe: float
    diagnostics: Mapping[str, Any] = field(default_factory=dict)
    log_weights: Tensor | None = None
    n_chains: int | None = None

    def __post_init__(self) -> None:
        """Refuse what no sampler can mean.

        Raises:
            ConfigurationError: on samples that are no real tensor, a negative or infinite ``nfe``, or ``log_weights``
                that are not one number a sample.
        """
        if not isinstance(self.samples, Tensor) or self.samples.is_complex() or self.samples.ndim == 0:
            given = getattr(self.samples, "dtype", type(self.samples).__name__)
            raise ConfigurationError(f"samples are {given}; expected a tensor (n, *event_shape) of real numbers")
        try:
            known = math.isfinite(self.nfe) and self.nfe >= 0
        except TypeError:
            known = False
        if not known:
            raise ConfigurationError(f"nfe is {self.nfe!r}; expected evaluations per sample, a number of at least 0")
        weights = self.log_weights
        if weights is not None and tuple(getattr(weights, "shape", ())) != (len(self.samples),):
            given = tuple(getattr(weights, "shape", ()))
            raise ConfigurationError(f"log_weights have shape {given}; expected {(len(self.samples),)}, one a sample")


class Model(Shown, ABC):
    """A fitted sampler: draws samples, saves itself.

    A model may offer more, and others find it there: ``score(x, sigma=None)``, ∇log of the law (of the law blurred by
    ``sigma``, in data units) at x (B, *event_shape); ``log_prob(x)``, normalised, (B,); ``fields(x)``, a mapping of
    what it learned at x, such as ``s`` (B,) and ``g`` (B, D), for pictures.

    Attributes:
        recipe: what it was fitted with.
        target_name: what it was fitted to.
        event_shape: shape of one sample.
        columns: names and types of the coordinates, if it was fitted to a table.
        report: what training cost (steps, seconds, parameters, losses); None for training-free samplers.
    """

    recipe: Sampler
    target_name: str
    event_shape: tuple[int, ...]
    report: TrainingReport | None = None
    columns: tuple[Column, ...] | None = None

    @property
    @abstractmethod
    def device(self) -> torch.device:
        """Where the model computes and its samples are."""

    @abstractmethod
    def draw(self, n: int, *, seed: int = 0, start: Tensor | None = None, **options: Any) -> Draw:
        """``n`` samples with their cost.

        Args:
            n: number of samples, at least 1.
            seed: of every random draw made here.
            start: particles (n, *event_shape) to start from instead of the prior.
            options: sampling options of the recipe to change for this draw, e.g. ``sampling_steps=3_000``.

        Raises:
            ConfigurationError: on a bad ``n``, seed, start or option.
            DivergenceError: if particles leave the finite numbers.
        """

    def sample(self, n: int, *, seed: int = 0, start: Tensor | None = None, **options: Any) -> Tensor:
        """``n`` samples (n, *event_shape); see ``draw``."""
        return self.draw(n, seed=seed, start=start, **options).samples

    def frame(self, n: int, *, seed: int = 0, start: Tensor | None = None, **options: Any) -> pd.DataFrame:
        """``n`` samples as a data frame with the columns of the table that was learned from, their types kept.

        Samples of integers are rounded. Without a table the columns are ``x0``, ``x1``, …; see ``draw``.
        """
        from phys_samplers.table import to_frame

        return to_frame(self.sample(n, seed=seed, start=start, **options), self.columns)

    def _title(self) -> str:
        return f"{type(getattr(self, 'recipe', None)).__name__} model"

    def _facts(self) -> Facts:
        shape = size(getattr(self, "event_shape", ()))
        facts = [("of", repr(getattr(self, "target_name", ""))), ("shape", shape), ("device", str(self.device))]
        if self.columns is not None:
            facts.append(("columns", ", ".join(column.name for column in self.columns[:8])))
        if self.report is not None:
            words = f"{self.report.steps:,} steps, {self.report.seconds:.1f} s, {self.report.parameters:,} parameters"
            facts.append(("training", words))
        return facts

    def with_options(self, **options: Any) -> Self:
        """The same fit with other sampling options: ``draw(n, **options)`` is ``with_options(**options).draw(n)``.

        It shares its numbers with this model. A model reads sampling options from ``recipe`` when it needs them; one
        that computes something from them when it is made must override this.

        Args:
            options: sampling options of the recipe.

        Raises:
            ConfigurationError: if an option does not exist, or is one that only fitting uses.
        """
        twin = copy.copy(self)
        twin.recipe = self.recipe.for_draw(options)
        return twin

    def save(self, path: str | Path) -> Path:
        """Write the model to the folder ``path``: safetensors for numbers, JSON for the rest. Atomic."""
        return write_model(self, path)

    @abstractmethod
    def tensors(self) -> dict[str, Tensor]:
        """The numbers that ``restore`` needs."""

    def facts(self) -> dict[str, Any]:
        """Further JSON-like facts that ``restore`` needs."""
        return {}

    @property
    def needs_target(self) -> bool:
        """Whether the model asks the target's density while sampling, so that ``load`` needs the target again."""
        return False

    def check_draw(self, n: int, start: Tensor | None) -> None:
        """Refuse a bad number of samples or bad starting points with a clear error."""
        if isinstance(n, bool) or not isinstance(n, int) or n < 1:
            raise ConfigurationError(f"n is {n!r}; expected the number of samples, an integer of at least 1")
        if n * math.prod(self.event_shape) > MOST_NUMBERS:
            raise ConfigurationError(f"n is {n:,}; expected at most {MOST_NUMBERS:,} numbers in all; draw in parts")
        if start is not None and not isinstance(start, Tensor):
            raise ConfigurationError(f"start is {brief(start)}; expected a tensor {(n, *self.event_shape)}, or None")
        if start is not None and start.is_complex():
            raise ConfigurationError(f"start has dtype {start.dtype}; expected real particles")
        if start is not None and tuple(start.shape) != (n, *self.event_shape):
            raise ConfigurationError(
                f"start has shape {tuple(start.shape)}; expected finite particles of shape {(n, *self.event_shape)}"
            )
        if start is not None and not torch.isfinite(start).all():
            bad = int((~torch.isfinite(start)).sum())
            raise ConfigurationError(f"start has {bad:,} numbers that are not finite; expected finite particles")

    def check_points(self, x: Tensor) -> None:
        """Refuse what are no points to ask the model about, with a clear error."""
        wanted = f"expected finite floating-point numbers of shape (B, {', '.join(map(str, self.event_shape))})"
        if not isinstance(x, Tensor):
            raise ConfigurationError(f"x is {brief(x)}; {wanted}")
        if not x.is_floating_point() or x.shape != (*x.shape[:1], *self.event_shape):
            raise ConfigurationError(f"x has shape {tuple(x.shape)} and dtype {x.dtype}; {wanted}")
        if not torch.isfinite(x).all():
            raise ConfigurationError(f"x has {int((~torch.isfinite(x)).sum()):,} numbers that are not finite; {wanted}")


@dataclass(frozen=True, kw_only=True)
class Sampler(ABC):
    """A recipe: hyper-parameters only, frozen, comparable, serialisable. Subclass it as a frozen dataclass.

    ``fit`` is all a sampler must give; ``restore`` is what makes its models loadable. Recipes that train should
    override ``fit_replicas`` instead (see ``phys_samplers.objective.TrainedSampler``), and have ``fit`` for free.

    Attributes:
        kind: of component that the recipe is registered as.
        needs: target capabilities that fitting needs.
    """

    kind: ClassVar[str] = "sampler"
    needs: ClassVar[frozenset[str]] = frozenset()

    def __post_init__(self) -> None:
        check_values(self)

    @abstractmethod
    def fit(
        self, target: Target, *, seed: int = 0, device: torch.device | str = "cpu", callbacks: Sequence[Callback] = ()
    ) -> Model:
        """Fit to ``target``.

        Args:
            target: a task, a ``Density``, ``Samples`` or any ``Target`` that offers ``self.needs``.
            seed: of every random draw made here.
            device: where to compute.
            callbacks: told of every logged step.

        Raises:
            MissingCapability: if the target does not offer what the sampler needs.
            TrainingDiverged: at the step where the loss stopped being finite.
        """

    def fit_replicas(
        self,
        target: Target,
        *,
        seeds: Sequence[int],
        device: torch.device | str = "cpu",
        callbacks: Sequence[Callback] = (),
    ) -> list[Model | Exception]:
        """One model per seed, or the exception that fitting that seed ended with. Here: one after the other."""
        results: list[Model | Exception] = []
        for seed in seeds:
            try:
                results.append(self.fit(target, seed=seed, device=device, callbacks=callbacks))
            except ArithmeticError as error:
                results.append(error)
        return results

    @abstractmethod
    def restore(
        self,
        tensors: Mapping[str, Tensor],
        facts: Mapping[str, Any],
        *,
        event_shape: tuple[int, ...],
        target: Target | None,
        device: torch.device | str = "cpu",
    ) -> Model:
        """Rebuild the model that gave these ``tensors()`` and ``facts()``."""

    def fit_options(self) -> frozenset[str]:
        """Names of the options that decide the fit: all that are not a ``draw_option``.

        A recipe in which an option for draws also decides the fit, under some value of another, adds it here.
        """
        return frozenset(name for name, facts in facts_of(type(self)).items() if facts.stage == "fit")

    def options(self) -> dict[str, Any]:
        """The recipe as a JSON-like dictionary, by field name; part objects by their registered name and options."""
        return {f.name: part_options(getattr(self, f.name)) for f in dataclasses.fields(self)}

    def with_options(self, **changes: Any) -> Self:
        """A copy with some options changed.

        Raises:
            ConfigurationError: if an option does not exist.
        """
        known = [f.name for f in dataclasses.fields(self)]
        if unknown := sorted(set(changes) - set(known)):
            named, has = ", ".join(map(repr, unknown)), ", ".join(known) or "none"
            raise ConfigurationError(f"{type(self).__name__} has no option {named}; it has {has}")
        return dataclasses.replace(self, **changes)

    def for_draw(self, options: Mapping[str, Any]) -> Self:
        """The recipe with sampling options changed for one draw.

        Raises:
            ConfigurationError: if an option does not exist, or is one that only fitting uses.
        """
        if late := sorted(set(options) & self.fit_options()):
            raise ConfigurationError(
                f"{', '.join(map(repr, late))} of {type(self).__name__} cannot change after fitting; "
                "make a recipe with it (with_options) and fit that; an option that acts on draws only is a draw_option"
            )
        return self.with_options(**options)


@dataclass(frozen=True, kw_only=True)
class StackedSampler(Sampler):
    """A recipe that fits several seeds at once; one seed is a stack of one."""

    def fit(
        self,
        target: Target,
        *,
        seed: int = 0,
        device: torch.device | str = "cpu",
        callbacks: Sequence[Callback] = (),
        checkpoint: str | Path | None = None,
    ) -> Model:
        """See ``Sampler.fit``.

        Args:
            target: what to fit to.
            seed: of every random draw made here.
            device: where to compute.
            callbacks: told of every logged step.
            checkpoint: a folder for the state of training; a fit that was killed goes on from there, to the same bits.

        Raises:
            CheckpointError: if the folder holds the state of another fit, or is damaged.
        """
        kept = {} if checkpoint is None else {"checkpoint": checkpoint}
        (result,) = self.fit_replicas(target, seeds=[seed], device=device, callbacks=callbacks, **kept)
        if isinstance(result, Exception):
            raise result
        return result


def load(path: str | Path, *, target: Target | None = None, device: torch.device | str = "cpu") -> Model:
    """The model that ``Model.save`` wrote to the folder ``path``; its samples are bit-equal for equal seeds.

    Args:
        path: the folder.
        target: the density a training-free sampler moves in; such models ask it while sampling and do not store it.
        device: where to compute.

    Raises:
        CheckpointError: naming the file that is missing, truncated, edited or of another format.
    """
    model: Model = read_model(path, target=target, device=as_device(device))
    return model
