"""A sampler of rows in coordinates in which tails like powers are light: y = asinh((x − m)/s), by columns.

m is the median of a column and s its median distance from there over .6745, which laws without moments have too. Far
out |y| grows like log|x|, so that a power law |x|^{−ν−1} becomes e^{−ν|y|}: a standard deviation exists whatever ν is,
and noise of one size reaches where in x it would have to grow with |x|. A diffusion of constant mobility in y has the
mobility s² + (x − m)² in x, that of a growing Bellman kernel (``phys_bellman.mobility``).
"""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor

from phys_samplers.errors import MissingCapability
from phys_samplers.nested import nested_facts, nested_tensors, restore_nested, rows_sampler
from phys_samplers.objective import TrainedSampler
from phys_samplers.options import Part
from phys_samplers.sampler import Draw, Model, Sampler, StackedSampler
from phys_samplers.target import Target, require
from phys_samplers.training import Callback

PREFIX = "inner."
NORMAL = 0.6745
"""Median of |x| for a standard normal x."""
FARTHEST = 60.0
"""|y| at most on the way back: 10²⁶ scales, so that single precision holds what networks invent."""


class Tails(NamedTuple):
    """y = asinh((x − m)/s): centre m and scale s (D,), of flat rows."""

    centre: Tensor
    scale: Tensor

    @classmethod
    def read(cls, rows: Tensor) -> Tails:
        """Of training rows (N, …). A column most of whose rows are equal has its standard deviation for a scale."""
        rows = rows.flatten(1)
        centre = rows.median(0).values
        apart = (rows - centre).abs().median(0).values / NORMAL
        scale = torch.where(apart > 0, apart, rows.std(0))
        return cls(centre, torch.where(scale > 0, scale, torch.ones_like(scale)))

    def inward(self, x: Tensor) -> Tensor:
        """Rows y of rows x (N, …)."""
        flat = x.flatten(1).to(self.centre)
        return ((flat - self.centre) / self.scale).asinh().view(x.shape)

    def outward(self, y: Tensor) -> Tensor:
        """Rows x of rows y (N, …)."""
        flat = y.flatten(1).to(self.centre).clamp(-FARTHEST, FARTHEST)
        return torch.addcmul(self.centre, flat.sinh(), self.scale).view(y.shape)

    def log_slope(self, y: Tensor) -> Tensor:
        """log |det ∂x/∂y| (N,) at rows y (N, …): log p(x) = log p(y) − this."""
        flat = y.flatten(1).to(self.centre)
        return (flat.abs() + torch.nn.functional.softplus(-2 * flat.abs()) - math.log(2) + self.scale.log()).sum(1)


class AsinhModel(Model):
    """A model of y, read in x.

    Args:
        recipe: of both.
        tails: the coordinates.
        inner: the model of y.
    """

    recipe: AsinhSampler

    def __init__(self, recipe: AsinhSampler, tails: Tails, inner: Model) -> None:
        self.recipe, self.tails, self.inner, self.columns = recipe, tails, inner, inner.columns
        self.event_shape, self.target_name, self.report = inner.event_shape, inner.target_name, inner.report

    @property
    def device(self) -> torch.device:
        """Where the model computes."""
        return self.inner.device

    def with_options(self, **options: Any) -> Self:
        """See ``Model.with_options``; the options are those of the sampler inside."""
        twin = copy.copy(self)
        twin.recipe = self.recipe.for_draw(options)
        twin.inner = self.inner.with_options(**options)
        return twin

    def draw(self, n: int, *, seed: int = 0, start: Tensor | None = None, **options: Any) -> Draw:
        """``n`` draws of the sampler inside, and back; its evaluations and diagnostics. See ``Model.draw``."""
        self.check_draw(n, start)
        begin = None if start is None else self.tails.inward(start.to(self.device))
        drawn = self.inner.draw(n, seed=seed, start=begin, **options)
        return dataclasses.replace(drawn, samples=self.tails.outward(drawn.samples))

    def log_prob(self, x: Tensor) -> Tensor:
        """Normalised log-density (B,) at x (B, *event_shape), where the sampler inside has one.

        Raises:
            MissingCapability: if it has none.
        """
        inner = getattr(self.inner, "log_prob", None)
        if inner is None:
            raise MissingCapability(f"{type(self.inner).__name__} has no log_prob; take a sampler inside that has one")
        self.check_points(x)
        y = self.tails.inward(x.to(self.device))
        density: Tensor = inner(y) - self.tails.log_slope(y)
        return density

    def tensors(self) -> dict[str, Tensor]:
        """The coordinates, and the numbers of the model inside, prefixed."""
        return {**self.tails._asdict(), **nested_tensors(self.inner, PREFIX)}

    def facts(self) -> dict[str, Any]:
        """Those of the model inside."""
        return {"inner": nested_facts(self.inner)}


@dataclass(frozen=True, kw_only=True)
class AsinhSampler(StackedSampler):
    """Any data-driven sampler, fitted to asinh((x − median)/scale): for rows whose tails are like powers.

    Seeds train as the sampler inside trains them. Conditions are handed on.

    Args:
        sampler: of the new coordinates, by name (also with options, ``"edm[width=128]"``), mapping or recipe.
    """

    needs = frozenset({"samples"})

    sampler: Part = "edm"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.inner()

    def inner(self) -> Sampler:
        """The recipe of the sampler inside."""
        return rows_sampler(self.sampler, offering="new coordinates")

    def for_draw(self, options: Mapping[str, Any]) -> Self:
        """See ``Sampler.for_draw``; the options are those of the sampler inside."""
        return dataclasses.replace(self, sampler=self.inner().for_draw(options)) if options else self

    def fit_replicas(
        self,
        target: Target,
        *,
        seeds: Sequence[int],
        device: torch.device | str = "cpu",
        callbacks: Sequence[Callback] = (),
        checkpoint: str | Path | None = None,
    ) -> list[Model | Exception]:
        """One model per seed; see ``TrainedSampler.fit_replicas``."""
        require(target, *self.needs, by=type(self).__name__)
        target = target.to(device)
        assert target.train is not None
        tails, inner = Tails.read(target.train), self.inner()
        held = None if target.validation is None else tails.inward(target.validation)
        seen = Target(
            event_shape=target.event_shape,
            name=target.name,
            train=tails.inward(target.train),
            validation=held,
            conditions=target.conditions,
            columns=target.columns,
        )
        kept = {} if checkpoint is None or not isinstance(inner, TrainedSampler) else {"checkpoint": checkpoint}
        found = inner.fit_replicas(seen, seeds=seeds, device=device, callbacks=callbacks, **kept)
        return [m if isinstance(m, Exception) else AsinhModel(self, tails, m) for m in found]

    def restore(
        self,
        tensors: Mapping[str, Tensor],
        facts: Mapping[str, Any],
        *,
        event_shape: tuple[int, ...],
        target: Target | None,
        device: torch.device | str = "cpu",
    ) -> AsinhModel:
        """See ``Sampler.restore``."""
        inner = restore_nested(
            self.inner(), tensors, facts["inner"], prefix=PREFIX, event_shape=event_shape, device=device
        )
        return AsinhModel(self, Tails(tensors["centre"].to(device), tensors["scale"].to(device)), inner)
