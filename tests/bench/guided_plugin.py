"""A one-file plugin with a kind of its own, and a sampler that takes components of that kind as an option."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from phys_registry import Component, hookimpl
from phys_samplers.options import Part, make_part
from phys_samplers.randomness import make_generator
from phys_samplers.sampler import Draw, Model, Sampler


class Guide:
    """Moves a sample."""

    def __call__(self, x: Tensor) -> Tensor:
        raise AssertionError


@dataclass(frozen=True, kw_only=True)
class Wind(Guide):
    force: float = 0.0

    def __call__(self, x: Tensor) -> Tensor:
        return x + self.force


@dataclass(frozen=True, kw_only=True)
class Still(Guide):
    def __call__(self, x: Tensor) -> Tensor:
        return x


class GuidedModel(Model):
    def __init__(self, recipe: Guided, event_shape: tuple[int, ...]) -> None:
        self.recipe, self.event_shape, self.target_name = recipe, event_shape, "guided"

    @property
    def device(self) -> torch.device:
        return torch.device("cpu")

    def draw(self, n: int, *, seed: int = 0, start: Tensor | None = None, **options: Any) -> Draw:
        rows = torch.randn(n, *self.event_shape, generator=make_generator(seed, "guided"))
        guide: Guide = make_part("guide", self.recipe.guide)
        return Draw(guide(rows), nfe=1.0)

    def tensors(self) -> dict[str, Tensor]:
        return {}


@dataclass(frozen=True, kw_only=True)
class Guided(Sampler):
    guide: Part = "still"

    def __post_init__(self) -> None:
        super().__post_init__()
        make_part("guide", self.guide)

    def fit(self, target: Any, *, seed: int = 0, device: Any = "cpu", callbacks: Any = ()) -> Model:
        return GuidedModel(self, target.event_shape)

    def restore(self, tensors: Any, facts: Any, *, event_shape: Any, target: Any, device: Any = "cpu") -> Model:
        return GuidedModel(self, event_shape)


@hookimpl
def phys_components() -> Iterable[Component]:
    yield Component("kind", "guide", Guide, summary="what moves samples")
    yield Component("guide", "wind", Wind, summary="blows")
    yield Component("guide", "still", Still, summary="does nothing")
    yield Component("sampler", "guided-in-test", Guided, summary="normal rows, moved by a guide")
